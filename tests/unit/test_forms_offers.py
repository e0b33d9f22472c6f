"""What a question offers at this moment, and the words for what was chosen."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InputError
from gateway.forms.answers import set_answer
from gateway.forms.complete import complete
from gateway.forms.form_row import FormRow
from gateway.forms.options import OptionList
from gateway.forms.session import FormSession
from gateway.forms.view import form_view
from gateway.forms.words import words_of
from gateway.reasoning.record import RecordSnapshot
from tests.form_samples import (
    AUTHOR,
    CORE,
    LAUNCH,
    NOW,
    SDC,
    answered,
    expression,
    filled,
    form,
    item,
    package,
    response_of,
    values,
    variable,
)

LOINC = "http://loinc.org"
CONDITION = {
    "resourceType": "Condition",
    "id": "c1",
    "subject": {"reference": "Patient/p"},
    "code": {"text": "Neck pain for weeks", "coding": [{"system": "http://snomed.info/sct", "code": "81680005"}]},
}


def coding(code: str, display: str = "") -> dict[str, Any]:
    return {"valueCoding": {"system": LOINC, "code": code, **({"display": display} if display else {})}}


def toggle(path: str, *options: dict[str, Any]) -> dict[str, Any]:
    parts = [{"url": "option", **one} for one in options]
    asked = {"url": "expression", "valueExpression": {"language": "text/fhirpath", "expression": path}}
    return {"url": f"{SDC}answerOptionsToggleExpression", "extension": [*parts, asked]}


def row(parts: Any, response: Any, link_id: str, record: Any = ()) -> FormRow:
    view = form_view(parts, response, launch=LAUNCH, record=RecordSnapshot(record))
    return next(one for one in view if one.link_id == link_id)


TOGGLED = package(
    form(
        item("is-child", "boolean"),
        item(
            "device",
            "choice",
            toggle("%resource.item.where(linkId='is-child').answer.value = true", coding("ped")),
            answerOption=[coding("ped", "For children"), coding("std", "Standard")],
        ),
    )
)


@pytest.mark.parametrize(("is_child", "keys"), [(True, ["ped", "std"]), (False, ["std"]), (None, ["std"])])
def test_listed_answers_are_switched_by_an_expression(is_child: bool | None, keys: list[str]) -> None:
    draft = filled(TOGGLED)
    if is_child is not None:
        draft = answered(TOGGLED, draft, **{"is-child": is_child})
    assert [one.key for one in row(TOGGLED, draft.response, "device").options] == keys


def test_an_answer_that_was_switched_off_cannot_be_given_and_does_not_stay_valid() -> None:
    draft = answered(TOGGLED, filled(TOGGLED), **{"is-child": True})
    draft = answered(TOGGLED, draft, device="ped")
    assert row(TOGGLED, draft.response, "device").error == ""
    draft = answered(TOGGLED, draft, **{"is-child": False})
    assert row(TOGGLED, draft.response, "device").error == "The answer is not one of those offered."
    with pytest.raises(InputError, match="Choose one of the answers"):
        set_answer(TOGGLED, filled(TOGGLED).response, "device", ["ped"], AUTHOR, NOW)


def test_a_switch_that_cannot_be_run_switches_nothing_off() -> None:
    broken = item("device", "choice", toggle("%nothing.here(", coding("ped")), answerOption=[coding("ped")])
    parts = package(form(broken))
    assert [one.key for one in row(parts, filled(parts).response, "device").options] == ["ped"]


COMPUTED = package(
    form(
        item(
            "which",
            "choice",
            expression("answerExpression", "Condition?patient={{%patient.id}}", "application/x-fhir-query"),
        ),
        item("problem", "choice", expression("answerExpression", "%problems.entry.resource.code")),
        item("word", "choice", expression("answerExpression", "('left' | 'right')")),
        item("bad", "choice", expression("answerExpression", "%none.x(")),
        extension=[variable("problems", "Condition?patient={{%patient.id}}", "application/x-fhir-query")],
    )
)


def test_a_list_of_answers_is_computed_from_the_record() -> None:
    draft = filled(COMPUTED, record=[CONDITION])
    assert [one.key for one in row(COMPUTED, draft.response, "problem", [CONDITION]).options] == ["81680005"]
    assert [one.key for one in row(COMPUTED, draft.response, "word", [CONDITION]).options] == ["left", "right"]
    bad = row(COMPUTED, draft.response, "bad", [CONDITION])
    assert bad.options_missing == "The list of answers cannot be computed."


def test_a_person_chooses_from_a_computed_list_and_from_nothing_else() -> None:
    draft = filled(COMPUTED, record=[CONDITION])
    session = FormSession(package=COMPUTED, launch=LAUNCH, record=RecordSnapshot([CONDITION]), now=NOW)
    chosen = set_answer(COMPUTED, draft.response, "problem", ["81680005"], AUTHOR, NOW, session=session)
    assert chosen["item"][0]["answer"][0]["valueCoding"]["code"] == "81680005"
    with pytest.raises(InputError):
        set_answer(COMPUTED, draft.response, "problem", ["999"], AUTHOR, NOW, session=session)


def test_a_computed_list_never_sets_an_answer() -> None:
    assert values(filled(COMPUTED, record=[CONDITION])) == {}


@pytest.mark.parametrize(
    ("value", "options", "chart", "words"),
    [
        ({"system": LOINC, "code": "a"}, [coding("a", "Option a")], [], "Option a"),
        ({"system": LOINC, "code": "a", "display": "Own"}, [], [CONDITION], "Own"),
        ({"system": "http://snomed.info/sct", "code": "81680005"}, [], [CONDITION], "Neck pain for weeks"),
        ({"system": "http://snomed.info/sct", "code": "1"}, [], [CONDITION], "1"),
        ({}, [], [CONDITION], ""),
    ],
)
def test_a_code_is_shown_in_words(value: Any, options: Any, chart: Any, words: str) -> None:
    listed = FormSession(package=package(form(item("q", "choice", answerOption=options))))
    found = listed.options(listed.form.by_link_id["q"]) if options else OptionList()
    assert words_of(value, found, chart) == words


def test_an_open_choice_from_the_chart_reads_as_the_chart_says_it() -> None:
    parts = package(
        form(
            item("why", "open-choice", expression("initialExpression", "%c.entry.resource.code")),
            extension=[variable("c", "Condition?patient={{%patient.id}}", "application/x-fhir-query")],
        )
    )
    draft = filled(parts, record=[CONDITION])
    view = form_view(parts, draft, launch=LAUNCH, record=RecordSnapshot([CONDITION]))
    assert next(iter(view)).values == ("Neck pain for weeks",)
    assert draft.response["item"][0]["answer"][0]["valueCoding"] == CONDITION["code"]["coding"][0]  # type: ignore[index]


UNITS = {
    "resourceType": "ValueSet",
    "url": "http://example.org/units",
    "expansion": {
        "contains": [{"system": "http://unitsofmeasure.org", "code": code, "display": code} for code in ("kg", "g")]
    },
}


def _weight(*more: Any) -> Any:
    named = {"url": f"{CORE}questionnaire-unitValueSet", "valueCanonical": "http://example.org/units"}
    return package(form(item("weight", "quantity", named, *more)), value_sets=(UNITS,))


def test_units_come_from_a_value_set_and_bind() -> None:
    parts = _weight()
    assert row(parts, filled(parts).response, "weight").units == ("kg", "g")
    draft = answered(parts, filled(parts), weight="70.50 kg")
    given = draft.response["item"][0]["answer"][0]["valueQuantity"]
    assert (str(given["value"]), given["code"]) == ("70.50", "kg")
    with pytest.raises(InputError):
        set_answer(parts, filled(parts).response, "weight", ["70 stone"], AUTHOR, NOW)


def test_an_open_unit_may_be_any() -> None:
    parts = _weight({"url": f"{SDC}unitOpen", "valueCode": "optionsOrString"})
    draft = answered(parts, filled(parts), weight="11 stone")
    assert row(parts, draft.response, "weight").error == ""


@pytest.mark.parametrize(
    ("quantity", "error"),
    [
        ("20 kg", ""),
        ("5 kg", "The answer must be not below 10 kg."),
        ("300 kg", "The answer must be not above 200 kg."),
        ("5 g", ""),  # another unit is not compared here
    ],
)
def test_limits_of_an_amount(quantity: str, error: str) -> None:
    def limit(name: str, value: int) -> dict[str, Any]:
        return {"url": f"{SDC}{name}", "valueQuantity": {"value": value, "unit": "kg", "code": "kg"}}

    parts = _weight(limit("minQuantity", 10), limit("maxQuantity", 200))
    draft = answered(parts, filled(parts), weight=quantity)
    assert row(parts, draft.response, "weight").error == error


PDF = {"contentType": "application/pdf", "data": "JVBERi0=", "title": "Letter"}


@pytest.mark.parametrize(
    ("attachment", "error"),
    [
        (PDF, ""),
        ({**PDF, "contentType": "text/html"}, "A file of another kind is wanted: application/pdf."),
        ({**PDF, "data": "A" * 1_500_000}, "The file is larger than the 1 MB that are taken."),
        ({"contentType": "application/pdf", "url": "http://x", "size": 5_000_000}, "The file is larger"),
    ],
)
@pytest.mark.requirement("dtr:spec-52")
def test_an_attachment_is_of_the_kind_and_size_that_is_asked_for(attachment: Any, error: str) -> None:
    parts = package(
        form(
            item(
                "letter",
                "attachment",
                {"url": f"{CORE}mimeType", "valueCode": "application/pdf"},
                {"url": f"{CORE}maxSize", "valueDecimal": 1},
            )
        )
    )
    draft = answered(parts, filled(parts), letter={"valueAttachment": attachment})
    shown = row(parts, draft.response, "letter")
    assert shown.error.startswith(error) if error else shown.error == ""
    assert shown.media_types == ("application/pdf",)


def constraint(path: str, severity: str = "error", human: str = "Start before end.") -> dict[str, Any]:
    return {
        "url": f"{CORE}targetConstraint",
        "extension": [
            {"url": "key", "valueId": "k1"},
            {"url": "severity", "valueCode": severity},
            {"url": "expression", "valueExpression": {"language": "text/fhirpath", "expression": path}},
            {"url": "human", "valueString": human},
        ],
    }


OLD = {
    "url": f"{CORE}questionnaire-constraint",
    "extension": [
        {"url": "key", "valueId": "k1"},
        {"url": "severity", "valueCode": "error"},
        {"url": "expression", "valueString": "answer.value > 3"},
        {"url": "human", "valueString": "More than three."},
    ],
}


@pytest.mark.parametrize(
    ("extension", "value", "error", "notice"),
    [
        (constraint("answer.value > 3"), 2, "Start before end.", ""),
        (constraint("answer.value > 3"), 4, "", ""),
        (constraint("answer.value > 3", human=""), 2, "The answers here do not fit together as the form wants.", ""),
        (constraint("answer.value > 3", "warning"), 2, "", "Start before end."),
        (constraint("%absent.value > 3"), 2, "", ""),
        (constraint("answer.item.value > 3"), 2, "", ""),
        (OLD, 2, "More than three.", ""),
        (OLD, 4, "", ""),
    ],
)
def test_a_constraint_of_the_form_on_one_question(extension: Any, value: int, error: str, notice: str) -> None:
    parts = package(form(item("n", "integer", extension)))
    shown = row(parts, answered(parts, filled(parts), n=value).response, "n")
    assert (shown.error, shown.notice) == (error, notice)


def test_a_constraint_on_the_whole_form_holds_up_completion_and_says_so() -> None:
    rule = constraint("item.where(linkId='a').answer.value < item.where(linkId='b').answer.value")
    questionnaire = form(item("a", "integer"), item("b", "integer"), extension=[rule])
    parts = package(questionnaire)
    wrong = answered(parts, filled(parts), a=5, b=3)
    view = form_view(parts, wrong, launch=LAUNCH)
    assert (view.faults, view.can_be_completed) == (("Start before end.",), False)
    with pytest.raises(InputError, match="Start before end"):
        complete(questionnaire, wrong.response, AUTHOR, NOW)
    right = answered(parts, wrong, b=9)
    assert form_view(parts, right, launch=LAUNCH).can_be_completed
    assert complete(questionnaire, right.response, AUTHOR, NOW)["status"] == "completed"


def test_a_warning_does_not_hold_up_completion() -> None:
    questionnaire = form(item("n", "integer", constraint("answer.value > 3", "warning")))
    parts = package(questionnaire)
    draft = answered(parts, filled(parts), n=2)
    assert form_view(parts, draft, launch=LAUNCH).can_be_completed
    assert complete(questionnaire, draft.response, AUTHOR, NOW)["status"] == "completed"


def test_a_response_with_nothing_to_check_is_left_alone() -> None:
    parts = package(form(item("n", "integer", constraint("answer.value > 3"))))
    assert row(parts, response_of(), "n").error == ""


DATED = {**CONDITION, "onsetDateTime": "2026-01-05T10:00:00Z"}


@pytest.mark.parametrize(
    ("record", "offered", "chosen"),
    [
        (DATED, "Neck pain for weeks, 2026-01-05", "Neck pain for weeks, 2026-01-05 (Condition/c1)"),
        ({**CONDITION, "code": {"coding": [{"code": "x"}]}}, "Condition/c1", "Condition/c1"),
        ({**CONDITION, "code": {"coding": [{"code": "x", "display": "X"}]}}, "X", "X (Condition/c1)"),
    ],
)
def test_a_record_is_offered_and_shown_by_its_name(record: Any, offered: str, chosen: str) -> None:
    asked = item("which", "reference", expression("candidateExpression", "%c.entry.resource"))
    parts = package(
        form(asked, extension=[variable("c", "Condition?patient={{%patient.id}}", "application/x-fhir-query")])
    )
    draft = filled(parts, record=[record])
    assert [one.text for one in row(parts, draft.response, "which", [record]).candidates] == [offered]
    given = set_answer(parts, draft.response, "which", ["Condition/c1"], AUTHOR, NOW)
    assert row(parts, given, "which", [record]).values == (chosen,)
