"""Adaptive forms: what is disclosed, and how the payer's next set meets the answers that are there."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.json import dump_json, parse_json
from gateway.forms import adaptive
from gateway.forms.answers import add_repetition, clear_answer, remove_repetition, set_answer
from gateway.forms.complete import complete
from gateway.forms.populate import populate
from gateway.forms.session import FormSession
from gateway.forms.view import form_view
from gateway.profiles import dtr_2_0_1, dtr_2_2_0
from gateway.profiles.dtr_2_2_0 import FormPackageParts
from gateway.profiles.dtr_guide import DtrGuide, dtr_guide
from gateway.reasoning.record import RecordSnapshot
from tests.form_samples import AUTHOR, CORE, LAUNCH, NOW, SDC, expression, form, item

FLAG = {"url": f"{SDC}questionnaireAdaptive", "valueUrl": "https://payer.example.org/fhir"}
SHELL = FormPackageParts(questionnaire={**form(extension=[FLAG]), "id": "f"})
GUIDE: DtrGuide = dtr_guide("2.2.0")
GUIDE_CONTEXT = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/qr-context"
FIRST = [item("a", "string", required=True), item("b", "boolean", expression("initialExpression", "true"))]


def started(parts: FormPackageParts = SHELL, guide: DtrGuide = GUIDE) -> dict[str, Any]:
    """The working response before the first exchange."""
    package = adaptive.opened(parts)
    draft = populate(package, LAUNCH, RecordSnapshot(()), None, NOW, lambda: "qr-1", None, guide)
    return adaptive.begin(parts, draft.response, guide)


def disclosed(working: dict[str, Any], guide: DtrGuide = GUIDE) -> dict[str, Any]:
    """What is sent."""
    package = adaptive.opened(SHELL, working)
    session = FormSession(package=package, launch=LAUNCH, now=NOW, guide=guide)
    return adaptive.build_disclosure(session, working, NOW)


def reply(sent: dict[str, Any], *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The service's answer: what was sent, with these questions in its form."""
    answer = copy.deepcopy(sent)
    answer["contained"][0]["item"] = list(items)
    return {**answer, **more}


def taken(working: dict[str, Any], change: Callable[[dict[str, Any]], Any], *items: dict[str, Any]) -> adaptive.NextSet:
    sent = disclosed(working)
    answer = reply(sent, *(items or working["contained"][0].get("item", ())))
    change(answer)
    return adaptive.take_next(SHELL, working, sent, answer, GUIDE)


def populated(working: dict[str, Any]) -> dict[str, Any]:
    package = adaptive.opened(SHELL, working)
    return dict(populate(package, LAUNCH, RecordSnapshot(()), working, NOW, lambda: "x", None, GUIDE).response)


def answered(working: dict[str, Any], **answers: Any) -> dict[str, Any]:
    for link_id, value in answers.items():
        package = adaptive.opened(SHELL, working)
        working = set_answer(package, working, link_id, [value], AUTHOR, NOW, GUIDE)
    return populated(working)


@pytest.fixture(name="working")
def second_set() -> dict[str, Any]:
    """The first questions came, one is filled from the chart, one was typed."""
    working = started()
    first = taken(working, lambda _: None, *FIRST)
    return answered(populated(first.response), a="typed")


def values(working: dict[str, Any]) -> dict[str, Any]:
    return {one["linkId"]: one["answer"][0] for one in working.get("item", ()) if one.get("answer")}


@pytest.mark.requirement("dtr:spec-16")
def test_the_first_response_carries_a_shell_of_the_form(working: dict[str, Any]) -> None:
    begun = started()
    assert begun["questionnaire"] == "#f"
    assert "item" not in begun
    assert begun["contained"][0]["derivedFrom"] == ["http://example.org/q|1.0.0"]
    assert begun["meta"]["profile"] == [GUIDE.adaptive_profile()]
    assert (
        started(guide=dtr_guide("2.0.1"))["meta"] == dtr_2_0_1.build_response_header(LAUNCH.response_context())["meta"]
    )
    assert disclosed(begun)["contained"] == begun["contained"]


def test_a_form_that_the_payers_draft_carries_is_kept_as_it_came() -> None:
    carried = {**SHELL.questionnaire, "id": "theirs", "item": FIRST[:1]}
    draft = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "#theirs",
        "contained": [carried],
        "item": [{"linkId": "a", "answer": [{"valueString": "known"}]}],
    }
    parts = FormPackageParts(questionnaire=form(), draft_response=draft)
    begun = started(parts)
    assert adaptive.is_adaptive(parts)
    assert begun["contained"] == [carried]
    assert dtr_2_2_0.read_origin(values(begun)["a"]).source == "auto-server"  # type: ignore[union-attr]


def test_new_questions_are_filled_and_typed_answers_stay(working: dict[str, Any]) -> None:
    after = taken(working, lambda _: None, *FIRST, item("c", "string"))
    assert after.added == ("c",)
    assert not after.dropped
    assert values(after.response) == values(working)
    assert GUIDE.read_origin(values(after.response)["b"]).source == "auto-client"  # type: ignore[union-attr]


@pytest.mark.requirement("dtr:spec-146")
def test_nothing_is_disclosed_while_a_required_answer_is_missing() -> None:
    first = taken(started(), lambda _: None, *FIRST)
    with pytest.raises(InputError) as caught:
        disclosed(populated(first.response))
    assert (caught.value.reason, caught.value.expression) == ("form.incomplete", "a")


def test_nothing_is_disclosed_for_a_form_that_demands_a_signature() -> None:
    signed = {"url": f"{CORE}questionnaire-signatureRequired", "valueCodeableConcept": {"text": "s"}}
    first = taken(started(), lambda _: None, item("a", "string", signed))
    with pytest.raises(InputError) as caught:
        disclosed(populated(first.response))
    assert caught.value.reason == "form.blocked"


def test_private_marks_and_switched_off_answers_stay_inside(working: dict[str, Any]) -> None:
    after = taken(working, lambda _: None, *FIRST, item("c", "string"))
    package = adaptive.opened(SHELL, after.response)
    cleared = clear_answer(package, after.response, "b", AUTHOR, NOW, GUIDE)
    sent = disclosed(populated(cleared))
    assert b"urn:oid:2.25" not in dump_json(sent)
    back = adaptive.take_next(SHELL, populated(cleared), sent, reply(sent, *FIRST), GUIDE)
    assert "b" not in values(populated(back.response))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda r: r["item"][0]["answer"][0].update(valueString="theirs"), "adaptive.changed"),
        (lambda r: r["item"][0].pop("answer"), "adaptive.changed"),
        (lambda r: r.pop("item"), "adaptive.changed"),
        (lambda r: r.update(id="other"), "adaptive.identity"),
        (lambda r: r.update(subject={"reference": "Patient/other"}), "adaptive.identity"),
        (lambda r: r.update(status="stopped"), "adaptive.status"),
        (lambda r: r.pop("status"), "adaptive.status"),
        (lambda r: r.pop("contained"), "adaptive.form"),
        (lambda r: r.update(questionnaire="http://example.org/q"), "adaptive.form"),
        (lambda r: r["contained"][0].update(derivedFrom=["http://example.org/other"]), "adaptive.form"),
        (
            lambda r: r["contained"][0].update(item=[item(f"i{n}", "string") for n in range(3_100)]),
            "adaptive.too-large",
        ),
    ],
)
def test_an_answer_that_is_not_ours_is_refused_whole(
    working: dict[str, Any], change: Callable[[dict[str, Any]], Any], code: str
) -> None:
    before = copy.deepcopy(working)
    with pytest.raises(InputError) as caught:
        taken(working, change)
    assert caught.value.reason == code
    assert working == before


def test_a_form_that_is_too_deep_is_refused(working: dict[str, Any]) -> None:
    inner = item("x", "string")
    for level in range(60):
        inner = item(f"g{level}", "group", item=[inner])
    with pytest.raises(InputError) as caught:
        taken(working, lambda _: None, *FIRST, inner)
    assert caught.value.reason == "adaptive.too-large"


def test_the_payer_may_fill_but_not_sign_for_a_person(working: dict[str, Any]) -> None:
    theirs = {
        "linkId": "c",
        "answer": [{"extension": [GUIDE.information_origin("manual", AUTHOR)], "valueString": "x"}],
    }
    after = taken(working, lambda r: r["item"].append(theirs), *FIRST, item("c", "string"))
    origin = GUIDE.read_origin(values(after.response)["c"])
    assert origin is not None
    assert (origin.source, origin.author) == ("auto-server", None)


def test_another_display_of_the_same_code_is_no_change() -> None:
    option = {"valueCoding": {"system": "urn:s", "code": "x", "display": "X"}}
    first = taken(started(), lambda _: None, item("a", "choice", answerOption=[option]))
    working = answered(populated(first.response), a="x")
    after = taken(working, lambda r: r["item"][0]["answer"][0]["valueCoding"].update(display="Ex"))
    assert values(after.response) == values(working)


def test_a_question_that_the_service_drops_is_named(working: dict[str, Any]) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["item"] = [one for one in answer["item"] if one["linkId"] != "a"]

    after = taken(working, change, FIRST[1], item("c", "string"))
    assert (after.dropped, after.added) == (("a",), ("c",))


def test_what_is_carried_stays_in_force(working: dict[str, Any]) -> None:
    value_set = {
        "resourceType": "ValueSet",
        "id": "vs",
        "expansion": {"contains": [{"system": "urn:s", "code": "x"}]},
    }
    choice = item("c", "choice", answerValueSet="#vs")
    after = taken(working, lambda r: r["contained"].append(value_set), *FIRST, choice)
    rows = {row.link_id: row for row in form_view(adaptive.opened(SHELL, after.response), after.response)}
    assert [option.key for option in rows["c"].options] == ["x"]


@pytest.mark.parametrize("word", ["completed", "complete"])
def test_the_service_completes_and_a_person_does_not(working: dict[str, Any], word: str) -> None:
    package = adaptive.opened(SHELL, working)
    session = FormSession(package=package, launch=LAUNCH, now=NOW, guide=GUIDE)
    with pytest.raises(InputError) as caught:
        complete(package.questionnaire, working, AUTHOR, NOW, session)
    assert caught.value.reason == "form.adaptive"
    view = form_view(package, working, (), session)
    assert view.is_adaptive
    assert view.can_continue
    assert not view.can_be_completed
    after = taken(working, lambda r: r.update(status=word))
    assert after.says_completed
    done = adaptive.build_completed(session, after.response, NOW)
    assert done is not None
    assert done["status"] == "completed"
    assert values(done) == values(working)


def test_a_completed_form_with_a_new_required_question_goes_on(working: dict[str, Any]) -> None:
    after = taken(working, lambda r: r.update(status="completed"), *FIRST, item("c", "string", required=True))
    session = FormSession(package=adaptive.opened(SHELL, after.response), launch=LAUNCH, now=NOW, guide=GUIDE)
    assert adaptive.build_completed(session, after.response, NOW) is None


def test_coverage_information_of_the_service_is_kept_beside_whose_it_is(working: dict[str, Any]) -> None:
    said = {"url": "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information", "extension": []}
    foreign = {"url": GUIDE_CONTEXT, "valueReference": {"reference": "ServiceRequest/other"}}
    after = taken(working, lambda r: r.update(extension=[foreign, said]), *FIRST)
    urls = [one["url"] for one in after.response["extension"]]
    assert said["url"] in urls
    assert foreign not in after.response["extension"]
    assert [one for one in working["extension"] if one not in after.response["extension"]] == []


@pytest.mark.parametrize("meal", ["hamburger", "burrito"])
def test_forms_of_the_conformance_kit_follow_each_other(corpora: Path, meal: str) -> None:
    folder = corpora / "dtr"

    def read(name: str) -> dict[str, Any]:
        return dict(parse_json((folder / f"dinner_order_adaptive_next_question_{name}.json").read_bytes()))

    begun = started()
    begun["contained"] = [
        {**begun["contained"][0], "id": "DinnerOrderAdaptive", "derivedFrom": read(meal)["derivedFrom"]}
    ]
    begun["questionnaire"] = "#DinnerOrderAdaptive"
    parts = FormPackageParts(questionnaire={**form(extension=[FLAG]), "url": read(meal)["derivedFrom"][0]})
    first = adaptive.take_next(parts, begun, begun, {**begun, "contained": [read("initial")]}, GUIDE)
    assert "PBD.1" in first.added
    working = first.response
    for link_id, text in (("PBD.1", "Doe"), ("PBD.2", "Jo"), ("LOC.1", "here")):
        working = set_answer(adaptive.opened(parts, working), working, link_id, [text], AUTHOR, NOW, GUIDE)
    second = adaptive.take_next(parts, working, working, {**working, "contained": [read(meal)]}, GUIDE)
    assert second.added
    assert second.response["item"][0] == working["item"][0]
    assert second.response["contained"] == [read(meal)]


ROWS = [item("g", "group", repeats=True, item=[item("x", "string")])]


def rows_of(response: dict[str, Any]) -> list[tuple[str, str]]:
    """(answer, origin) of each row of the group; nothing for an empty one."""
    found = []
    for row in (one for one in response.get("item", ()) if one["linkId"] == "g"):
        given = [(one["valueString"], one) for node in row.get("item", ()) for one in node.get("answer", ())]
        found += [(value, str(getattr(GUIDE.read_origin(one), "source", ""))) for value, one in given] or [("", "")]
    return found


def rowed(*texts: str) -> dict[str, Any]:
    """The working response with a row for each text, as a person made them."""
    working = populated(taken(started(), lambda _: None, *ROWS).response)
    for position, text in enumerate(texts):
        if position:
            working, _ = add_repetition(adaptive.opened(SHELL, working), working, "g", NOW, GUIDE)
        place = f"x@{position}" if position else "x"
        if text:
            working = set_answer(adaptive.opened(SHELL, working), working, place, [text], AUTHOR, NOW, GUIDE)
    return populated(working)


def test_a_row_that_was_taken_out_keeps_its_place() -> None:
    working = rowed("one", "two", "three")
    working = remove_repetition(adaptive.opened(SHELL, working), working, "g", AUTHOR, NOW, GUIDE)
    back = taken(populated(working), lambda _: None, *ROWS)
    assert rows_of(back.response) == [("", ""), ("two", "manual"), ("three", "manual")]
    sent = disclosed(populated(back.response))
    assert rows_of(sent) == [("two", "manual"), ("three", "manual")]


def test_a_row_that_a_person_added_and_left_empty_stays() -> None:
    back = taken(rowed("one", "", "three"), lambda _: None, *ROWS)
    assert rows_of(back.response) == [("one", "manual"), ("", ""), ("three", "manual")]


def test_rows_of_the_payer_come_without_an_empty_one_of_ours() -> None:
    def more(answer: dict[str, Any]) -> None:
        answer["item"] = [{"linkId": "g", "item": [{"linkId": "x", "answer": [{"valueString": "theirs"}]}]}]

    assert rows_of(taken(rowed(""), more, *ROWS).response) == [("theirs", "auto-server")]


def test_a_row_that_a_person_answered_is_not_dropped_in_silence() -> None:
    def drop(answer: dict[str, Any]) -> None:
        answer["item"] = answer["item"][:1]

    with pytest.raises(InputError, match="lacks an entry") as found:
        taken(rowed("one", "two"), drop, *ROWS)
    assert found.value.reason == "adaptive.changed"
