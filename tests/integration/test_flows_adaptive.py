"""An adaptive form from the package to the approval: the real flows against the simulated payer over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import Conflict, InputError, PayerRejected, PayerTimedOut, PayerUnreadable
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import forms, ledger, next_questions
from tests.integration.flows_house import PERSON, SYSTEM, House, open_house

NAMES = ("adaptive", "early", "older", "hostile", "timeout", "refused", "meanwhile", "elsewhere", "twice", "moved")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("adaptive")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-ADAPT-01")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _as_it_was(house: House) -> Iterator[None]:
    directory = house.services.directory
    yield
    house.services.directory = directory
    for between in house.payers.values():
        between.instead.clear()
        between.calls.clear()


def opened(house: House, name: str) -> str:
    case_id = house.post(name)
    house.run()
    assert house.case(case_id).state == "documenting"
    return case_id


def ask(house: House, case_id: str, seen: str = "") -> None:
    next_questions.ask_next(house.services, PERSON, case_id, "1", seen)
    house.run()


def rows(house: House, case_id: str) -> dict[str, Any]:
    (form,) = forms.show_forms(house.services, PERSON, case_id)
    return {row["link_id"]: row for row in form["rows"] if row["type"] not in ("group", "display")}


def fill(house: House, case_id: str, **answers: Any) -> None:
    named = {key.replace("_", "-"): [value] for key, value in answers.items()}
    forms.fill(house.services, PERSON, case_id, "1", named)


def response(house: House, case_id: str) -> dict[str, Any]:
    form = house.facts(case_id).forms[0]
    return dict(parse_json(ledger.load_object(house.services, house.case(case_id), form.response)))


def to_last_set(house: House, name: str) -> str:
    """A case whose form has all its sets and every answer but none disclosed since."""
    case_id = opened(house, name)
    ask(house, case_id)
    fill(house, case_id, weeks=7)
    ask(house, case_id)
    fill(house, case_id, treatment="exercise")
    ask(house, case_id)
    fill(house, case_id, change="Surgery would be planned.")
    return case_id


@pytest.mark.requirement("dtr:spec-16")
def test_an_adaptive_form_leads_to_an_approval(house: House) -> None:
    case_id = opened(house, "adaptive")
    assert rows(house, case_id) == {}
    assert "sends your answers to the payer" in house.case(case_id).next_action
    assert house.facts(case_id).forms[0].sets == 0  # nothing is asked without a person
    ask(house, case_id)
    assert set(rows(house, case_id)) == {"birth-date", "weeks"}
    assert rows(house, case_id)["birth-date"]["origin_label"] == "From chart"
    fill(house, case_id, weeks=7)
    ask(house, case_id)
    assert set(rows(house, case_id)) == {"birth-date", "weeks", "treatment"}
    assert rows(house, case_id)["weeks"]["origin_label"] == "Typed"
    fill(house, case_id, treatment="exercise")
    ask(house, case_id)
    fill(house, case_id, change="Surgery would be planned.")
    ask(house, case_id)
    house.wait(5)
    assert house.facts(case_id).forms[0].status == "completed"
    assert house.case(case_id).state == "approved"
    verbs = house.verbs(case_id)
    assert verbs.count("form-receive") == 5  # the package and four exchanges
    assert "populate-auto-server" in verbs
    assert not house.failing_codes(case_id)
    findings = httpx.get(_origin(house) + "/_ledger").json()["findings"]
    assert [one for one in findings if "Questionnaire" in json.dumps(one)] == []


def _origin(house: House) -> str:
    row = house.services.payer_row("example-medicare")
    assert row.dtr is not None
    return str(row.dtr.base_url).split("/example-medicare")[0]


def test_an_earlier_answer_changed_later_drops_what_no_longer_applies(house: House) -> None:
    case_id = opened(house, "early")
    ask(house, case_id)
    fill(house, case_id, weeks=7)
    ask(house, case_id)
    fill(house, case_id, treatment="exercise")
    fill(house, case_id, weeks=2)
    ask(house, case_id)
    assert set(rows(house, case_id)) == {"birth-date", "weeks", "red-flag"}
    assert "no longer asks 1 answered question" in house.case(case_id).next_action
    assert rows(house, case_id)["weeks"]["values"] == ["2"]


def test_the_older_guide_has_its_own_shapes(house: House) -> None:
    row = house.services.payer_row("example-medicare")
    assert row.dtr is not None
    url = str(row.dtr.base_url).replace("/fhir", "/2.0.1/fhir")
    older = row.model_copy(update={"dtr": row.dtr.model_copy(update={"version": "2.0.1", "base_url": url})})
    rest = [one for one in house.services.directory if one.slug != row.slug]
    directory, kept = house.services.directory, dict(house.services._payers)
    house.services.directory = type(directory)([*rest, older])
    house.services._payers.clear()
    try:
        case_id = to_last_set(house, "older")
        ask(house, case_id)
        house.wait(5)
    finally:
        house.services._payers.clear()
        house.services._payers.update(kept)
    done = response(house, case_id)
    assert done["status"] == "completed"
    assert done["contained"][0]["item"]
    assert house.facts(case_id).forms[0].status == "completed"


@pytest.mark.requirement("dtr:spec-146")
def test_nothing_is_sent_while_an_answer_is_missing(house: House) -> None:
    case_id = opened(house, "twice")
    ask(house, case_id)
    calls = house.payer().calls.count("next_question")
    with pytest.raises(InputError) as caught:
        ask(house, case_id)
    assert (caught.value.reason, caught.value.expression) == ("form.incomplete", "weeks")
    with pytest.raises(InputError) as caught:
        forms.complete(house.services, PERSON, case_id, "1")
    assert caught.value.reason == "form.adaptive"
    with pytest.raises(Exception, match="role"):
        next_questions.ask_next(house.services, SYSTEM, case_id, "1")
    assert house.payer().calls.count("next_question") == calls


def _changed(body: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(body).replace('"valueInteger": 7', '"valueInteger": 8')
    return dict(json.loads(text))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_changed, "adaptive.changed"),
        (lambda _: {"resourceType": "Bundle"}, "adaptive.answer"),
        (lambda _: b"{", "adaptive.answer"),
        (lambda _: b" " * (5 * 1024 * 1024), "adaptive.too-large"),
        (lambda _: b'{"a":' * 3000 + b"1" + b"}" * 3000, "adaptive.answer"),
    ],
    ids=["changed", "bundle", "broken", "large", "deep"],
)
def test_an_answer_that_cannot_be_used_changes_nothing(
    house: House, change: Callable[[Any], Any], code: str, request: pytest.FixtureRequest
) -> None:
    case_id = next((one for one in _STARTED), "") or opened(house, "hostile")
    if not _STARTED:
        _STARTED.append(case_id)
        ask(house, case_id)
        fill(house, case_id, weeks=7)
    before = house.facts(case_id).forms

    def instead(real: Any, *arguments: Any, **more: Any) -> Any:
        exchange = real(*arguments, **more)
        body = change(parse_json(exchange.response_bytes))
        return replace(exchange, response_bytes=body if isinstance(body, bytes) else dump_json(body))

    house.payer().instead["next_question"] = instead
    with pytest.raises(PayerUnreadable) as caught:
        ask(house, case_id)
    assert caught.value.reason == code
    assert house.facts(case_id).forms == before
    assert house.verbs(case_id)[-1] == "form-receive"  # what was disclosed is on record
    assert "7" not in caught.value.message


_STARTED: list[str] = []


def test_a_call_without_an_answer_is_on_record_and_may_be_repeated(house: House) -> None:
    case_id = opened(house, "timeout")

    def instead(*_: Any, **__: Any) -> Any:
        raise PayerTimedOut("The payer did not answer in time.")

    house.payer().instead["next_question"] = instead
    with pytest.raises(PayerTimedOut):
        ask(house, case_id)
    assert house.verbs(case_id)[-1] == "form-receive"
    house.payer().instead.clear()
    ask(house, case_id)
    assert "weeks" in rows(house, case_id)


@pytest.mark.requirement("dtr:spec-147")
def test_a_refusal_leaves_the_form_and_says_where_to_look(house: House) -> None:
    case_id = opened(house, "refused")

    def instead(real: Any, body: bytes, **more: Any) -> Any:
        return real(body.replace(b'"in-progress"', b'"completed"'), **more)

    house.payer().instead["next_question"] = instead
    with pytest.raises(PayerRejected) as caught:
        ask(house, case_id)
    assert caught.value.http_answer == 400
    assert "history" in caught.value.message


def test_what_was_changed_meanwhile_is_not_overwritten(house: House) -> None:
    case_id = opened(house, "meanwhile")
    ask(house, case_id)
    seen = house.facts(case_id).forms[0].response
    fill(house, case_id, weeks=7)
    with pytest.raises(Conflict):
        ask(house, case_id, seen)

    def instead(real: Any, *arguments: Any, **more: Any) -> Any:
        with pytest.raises(Conflict) as caught:
            next_questions.ask_next(house.services, PERSON, case_id, "1")
        assert caught.value.reason == "form.in-flight"
        fill(house, case_id, weeks=8)
        return real(*arguments, **more)

    house.payer().instead["next_question"] = instead
    with pytest.raises(Conflict) as caught:
        ask(house, case_id)
    assert caught.value.reason == "form.changed"
    house.payer().instead.clear()
    assert rows(house, case_id)["weeks"]["values"] == ["8"]
    ask(house, case_id)
    assert "treatment" in rows(house, case_id)


@pytest.mark.requirement("dtr:spec-24")
def test_a_service_outside_the_payers_address_is_not_asked(house: House) -> None:
    def instead(real: Any, *arguments: Any, **more: Any) -> Any:
        exchange = real(*arguments, **more)
        base = str(house.services.payer_row("example-medicare").dtr.base_url)  # type: ignore[union-attr]
        return replace(exchange, response_bytes=exchange.response_bytes.replace(base.encode(), b"https://evil.example"))

    house.payer().instead["questionnaire_package"] = instead
    case_id = opened(house, "elsewhere")
    with pytest.raises(InputError) as caught:
        ask(house, case_id)
    assert caught.value.reason == "form.service"
    assert "next_question" not in house.payer().calls
