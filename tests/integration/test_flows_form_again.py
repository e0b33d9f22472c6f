"""Forms that are taken up again: what changed is asked, what ran out is stopped, what people answered goes over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Conflict, PayerUnreachable
from gateway.fhir.json import parse_json
from gateway.flows import actions, form_fetch, forms, ledger
from tests.form_samples import expression, form, item
from tests.integration.flows_house import PERSON, House, answered, open_house

NAMES = (
    *("changed", "unchanged", "ignored", "empty", "down", "completed", "conflict", "unseen", "recheck", "cleared"),
    *("expired", "expired-twice", "expired-gone", "expired-down", "parts", "several", "second"),
)
BORN = item("born", "date", expression("initialExpression", "%patient.birthDate"))
LATER = "2999-12-31"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("again")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-DOCS-01")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _as_it_was(house: House) -> Iterator[None]:
    yield
    for between in house.payers.values():
        between.instead.clear()
        between.calls.clear()


class Desk:
    """The payer's desk for forms: what it hands out, and what it was asked."""

    def __init__(self, house: House, *questionnaires: Any) -> None:
        self.handed_out: list[Any] = list(questionnaires)
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        house.payer().instead["questionnaire_package"] = self._answer

    def _answer(self, real: Any, body: bytes, *rest: Any) -> Any:
        self.asked.append(dict(parse_json(body)))
        if self.handed_out == ["down"]:
            raise PayerUnreachable("The payer cannot be reached.")
        parameters = [{"name": "packagebundle", "resource": _bundle(one)} for one in self.handed_out]
        answer = {"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})}
        return answered(200, answer, body, **self.headers)

    def named(self, name: str) -> list[Any]:
        """Values of a parameter in the newest request."""
        return [
            next(value for key, value in one.items() if key != "name")
            for one in self.asked[-1]["parameter"]
            if one["name"] == name
        ]


def _bundle(questionnaires: Any) -> dict[str, Any]:
    listed = questionnaires if isinstance(questionnaires, list) else [questionnaires]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in listed]}


def opened(house: House, name: str) -> str:
    case_id = house.post(name)
    house.run()
    assert house.case(case_id).state == "documenting", house.case(case_id).next_action
    return case_id


def fill(house: House, case_id: str, form_id: str = "1", **answers: Any) -> None:
    forms.fill(house.services, PERSON, case_id, form_id, {key: [value] for key, value in answers.items()})


def later(house: House, days: float = 1) -> None:
    house.clock.instant += timedelta(days=days)


def response(house: House, case_id: str, form_id: str = "1") -> dict[str, Any]:
    found = house.facts(case_id).form(form_id)
    assert found is not None
    return dict(parse_json(ledger.load_object(house.services, house.case(case_id), found.response)))


def answers(house: House, case_id: str, form_id: str = "1") -> dict[str, tuple[Any, str]]:
    """Value and origin by linkId."""
    found = {}
    for one in response(house, case_id, form_id).get("item", ()):
        for given in one.get("answer", ()):
            value = next(part for key, part in given.items() if key.startswith("value"))
            found[one["linkId"]] = (value, given["extension"][0]["extension"][0]["valueCode"])
    return found


def stopped(house: House, case_id: str) -> list[dict[str, Any]]:
    """Drafts that were stopped, as the history has them."""
    with house.services.store.read() as tx:
        events = [event for event in tx.events.list("main", case_id) if event.verb == "void"]
    case = house.case(case_id)
    return [dict(parse_json(ledger.load_object(house.services, case, event.object_digest))) for event in events]


@pytest.mark.requirement("dtr:oper-20")
def test_a_changed_form_is_filled_anew_with_what_people_answered(house: House) -> None:
    desk = Desk(house, form(BORN, item("same", "string"), item("text", "string"), item("type", "string")))
    desk.headers = {"date": "Mon, 02 Mar 2026 10:00:00 GMT"}
    case_id = opened(house, "changed")
    fill(house, case_id, same="kept", text="asked again", type="asked again")
    assert len(desk.asked) == 1
    new_type = item("type", "text")
    new_text = {**item("text", "string"), "text": "Another question"}
    desk.handed_out = [form(BORN, item("same", "string"), new_text, new_type, version="2.0.0")]
    later(house)
    fill(house, case_id, same="kept")  # taking it up again is enough; the answer is as it was
    house.run()
    assert desk.named("changedsince") == ["2026-03-02T10:00:00+00:00"]
    assert desk.named("questionnaire") == ["http://example.org/q|1.0.0"]
    assert response(house, case_id)["questionnaire"] == "http://example.org/q|2.0.0"
    found = answers(house, case_id)
    assert found["same"] == ("kept", "manual")
    assert set(found) == {"born", "same"}
    assert found["born"][1] == "auto-client"
    (old,) = stopped(house, case_id)
    assert (old["status"], old["questionnaire"]) == ("stopped", "http://example.org/q|1.0.0")
    assert old["id"] != response(house, case_id)["id"]
    assert not house.failing_codes(case_id)


@pytest.mark.parametrize(("name", "body"), [("unchanged", "nothing"), ("ignored", "again")])
def test_an_unchanged_form_keeps_its_draft(house: House, name: str, body: str) -> None:
    same = form(BORN, item("a", "string"))
    desk = Desk(house, same)
    case_id = opened(house, name)
    fill(house, case_id, a="one")
    before = response(house, case_id)["id"]
    desk.handed_out = [] if body == "nothing" else [same]  # some payers send everything again
    later(house)
    fill(house, case_id, a="two")
    house.run()
    assert len(desk.asked) == 2
    assert response(house, case_id)["id"] == before
    assert answers(house, case_id)["a"] == ("two", "manual")
    assert stopped(house, case_id) == []
    fill(house, case_id, a="three")
    house.run()
    assert len(desk.asked) == 2  # it was looked for today


def test_an_empty_body_means_that_nothing_changed(house: House) -> None:
    desk = Desk(house, form(item("a", "string")))
    case_id = opened(house, "empty")
    house.payer().instead["questionnaire_package"] = lambda real, body, *rest: answered(200, b"", body)
    later(house)
    fill(house, case_id, a="one")
    house.run()
    assert answers(house, case_id)["a"][0] == "one"
    assert house.case(case_id).state == "documenting"
    assert len(desk.asked) == 1


def test_a_payer_that_is_away_holds_nobody_up(house: House) -> None:
    desk = Desk(house, form(item("a", "string")))
    case_id = opened(house, "down")
    desk.handed_out = ["down"]
    later(house)
    fill(house, case_id, a="one")
    for _ in range(6):
        house.wait(300)
    assert house.case(case_id).state == "documenting"
    assert not house.facts(case_id).forms_look
    tries = len(desk.asked)
    house.wait(3600)
    assert len(desk.asked) == tries
    forms.complete(house.services, PERSON, case_id, "1")
    assert house.facts(case_id).forms[0].status == "completed"


def test_a_form_is_not_completed_behind_the_back_of_a_newer_one(house: House) -> None:
    desk = Desk(house, form(item("a", "string")))
    case_id = opened(house, "conflict")
    fill(house, case_id, a="one")
    desk.handed_out = [form(item("a", "string"), item("b", "string"), version="2.0.0")]
    later(house)
    with pytest.raises(Conflict, match="changed this form"):
        forms.complete(house.services, PERSON, case_id, "1")
    house.run()
    assert answers(house, case_id)["a"] == ("one", "manual")
    forms.complete(house.services, PERSON, case_id, "1")
    assert house.facts(case_id).forms[0].canonical == "http://example.org/q|2.0.0"


def test_a_newer_form_found_on_a_check_takes_the_draft_over(house: House) -> None:
    desk = Desk(house, form(BORN, item("a", "string"), item("b", "string")))
    case_id = opened(house, "recheck")
    fill(house, case_id, a="one", born="")
    desk.handed_out = [form(BORN, item("a", "string"), {**item("b", "string"), "text": "Else"}, version="2.0.0")]
    actions.check_again(house.services, PERSON, case_id, "the payer has a newer form")
    house.run()
    assert answers(house, case_id) == {"a": ("one", "manual")}  # what was taken out is not brought back
    assert response(house, case_id)["questionnaire"] == "http://example.org/q|2.0.0"
    assert [one["questionnaire"] for one in stopped(house, case_id)] == ["http://example.org/q|1.0.0"]
    assert not house.failing_codes(case_id)


def test_what_was_taken_out_stays_out_after_completion(house: House) -> None:
    Desk(house, form(BORN, item("a", "string")))
    case_id = opened(house, "cleared")
    fill(house, case_id, a="one", born="")
    forms.complete(house.services, PERSON, case_id, "1")
    house.run()
    assert set(answers(house, case_id)) == {"a"}
    actions.check_again(house.services, PERSON, case_id, "the plan changed")
    house.run()
    assert house.case(case_id).state == "documenting"
    assert answers(house, case_id) == {"a": ("one", "manual")}


def test_nobody_completes_answers_that_were_not_shown(house: House) -> None:
    desk = Desk(house, form(item("a", "string")))
    case_id = opened(house, "unseen")
    fill(house, case_id, a="one")
    seen = house.facts(case_id).forms[0].response

    def meanwhile(real: Any, body: bytes, *rest: Any) -> Any:
        if house.facts(case_id).forms[0].response == seen:
            fill(house, case_id, a="two")
        return desk._answer(real, body, *rest)

    house.payer().instead["questionnaire_package"] = meanwhile
    later(house)
    with pytest.raises(Conflict) as found:
        forms.complete(house.services, PERSON, case_id, "1", seen=seen)
    assert found.value.reason == "form.changed"
    assert answers(house, case_id)["a"][0] == "two"
    assert house.facts(case_id).forms[0].status == "in-progress"
    with pytest.raises(Conflict):
        forms.fill(house.services, PERSON, case_id, "1", {"a": ["three"]}, seen=seen)
    assert answers(house, case_id)["a"][0] == "two"
    forms.complete(house.services, PERSON, case_id, "1", seen=house.facts(case_id).forms[0].response)
    assert house.facts(case_id).forms[0].status == "completed"


def test_a_form_that_did_not_change_is_completed_at_once(house: House) -> None:
    desk = Desk(house, form(item("a", "string")))
    case_id = opened(house, "completed")
    fill(house, case_id, a="one")
    desk.handed_out = []
    later(house)
    forms.complete(house.services, PERSON, case_id, "1")
    assert len(desk.asked) == 2
    assert house.facts(case_id).forms[0].status == "completed"


def ending(house: House, days: int, **more: Any) -> dict[str, Any]:
    end = (house.services.today() + timedelta(days=days)).isoformat()
    return form(BORN, item("a", "string"), effectivePeriod={"end": end}, **more)


@pytest.mark.requirement("dtr:spec-123")
def test_a_form_that_runs_out_is_stopped_and_asked_for_without_naming_it(house: House) -> None:
    desk = Desk(house, ending(house, 1))
    case_id = opened(house, "expired")
    fill(house, case_id, a="one")
    desk.handed_out = [form(BORN, item("a", "string"), version="2.0.0", effectivePeriod={"end": LATER})]
    later(house, 3)
    house.wait(1)
    fill(house, case_id, a="two")
    house.run()
    assert desk.named("questionnaire") == []
    assert desk.named("changedsince") == []
    assert desk.named("context") == [house.facts(case_id).assertion_id]
    assert [one["status"] for one in stopped(house, case_id)] == ["stopped"]
    assert answers(house, case_id)["a"] == ("two", "manual")
    assert response(house, case_id)["questionnaire"] == "http://example.org/q|2.0.0"
    assert house.facts(case_id).forms[0].faults == ""


@pytest.mark.requirement("dtr:spec-124")
def test_a_payer_that_sends_the_expired_form_again_is_told_and_a_person_too(house: House) -> None:
    desk = Desk(house, ending(house, 1))
    case_id = opened(house, "expired-twice")
    later(house, 3)
    fill(house, case_id, a="one")
    house.run()
    tries = len(desk.asked)
    assert tries == 2
    assert "no longer in force" in house.case(case_id).next_action
    fill(house, case_id, a="two")
    house.run()
    assert len(desk.asked) == tries  # it is not asked over and over
    assert "log_errors" in house.payer().calls
    (shown,) = forms.show_forms(house.services, PERSON, case_id)
    assert shown["can_be_completed"] is False


def test_an_expired_form_that_nothing_follows_is_gone(house: House) -> None:
    desk = Desk(house, ending(house, 1))
    case_id = opened(house, "expired-gone")
    desk.handed_out = []
    later(house, 3)
    fill(house, case_id, a="one")
    house.run()
    assert house.facts(case_id).forms == ()
    assert [one["status"] for one in stopped(house, case_id)] == ["stopped"]
    assert house.case(case_id).state == "needs_attention"
    assert house.case(case_id).next_action == form_fetch.NO_FORM


def test_an_expired_form_whose_payer_is_away_waits_for_a_person(house: House) -> None:
    desk = Desk(house, ending(house, 1))
    case_id = opened(house, "expired-down")
    desk.handed_out = ["down"]
    later(house, 3)
    fill(house, case_id, a="one")
    for _ in range(6):
        house.wait(300)
    tries = len(desk.asked)
    house.wait(3600)
    assert len(desk.asked) == tries
    assert house.facts(case_id).forms[0].is_ended
    assert house.case(case_id).state == "documenting"


def test_parts_are_put_together_and_forms_beside_them_are_answered_too(house: House) -> None:
    place = item(
        "place",
        "display",
        {
            "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-subQuestionnaire",
            "valueCanonical": "http://example.org/part|1.0.0",
        },
    )
    part = form(item("inside", "string"), url="http://example.org/part")
    beside = form(item("more", "string"), url="http://example.org/more", title="Another form")
    Desk(house, [form(BORN, place), part, beside])
    case_id = opened(house, "parts")
    main, further = forms.show_forms(house.services, PERSON, case_id)
    assert [row["link_id"] for row in main["rows"]] == ["born", "inside"]
    assert (further["title"], [row["link_id"] for row in further["rows"]]) == ("Another form", ["more"])
    fill(house, case_id, inside="one")
    fill(house, case_id, "2", more="two")
    forms.complete(house.services, PERSON, case_id, "1")
    assert house.case(case_id).state == "documenting"
    forms.complete(house.services, PERSON, case_id, "2")
    house.run()
    assert house.case(case_id).state == "documented"


def test_several_forms_of_an_order_are_all_completed_in_any_order(house: House) -> None:
    Desk(house, form(item("a", "string")), form(item("b", "string"), url="http://example.org/r"))
    case_id = opened(house, "several")
    assert [one.form_id for one in house.facts(case_id).forms] == ["1", "2"]
    forms.complete(house.services, PERSON, case_id, "2")
    assert house.case(case_id).next_action == "Review the payer's form and complete it."
    forms.complete(house.services, PERSON, case_id, "1")
    house.run()
    assert house.case(case_id).state == "documented"
    assert not house.failing_codes(case_id)
