"""Population: sources, order, fixpoint, origins, and a reason for every gap."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from gateway.forms.answers import clear_answer, set_answer
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import CLEARED, NO_RULE, NOT_FOUND
from gateway.profiles.dtr_guide import dtr_guide
from gateway.reasoning.defines import DefineResult, Source
from tests.form_samples import (
    AUTHOR,
    NOW,
    PATIENT,
    SDC,
    answer,
    answered,
    expression,
    filled,
    form,
    item,
    package,
    response_of,
    trace,
    values,
    variable,
)

FAMILY = item("family", "string", expression("initialExpression", "%patient.name.first().family"))
CONDITION = {
    "resourceType": "Condition",
    "id": "c1",
    "meta": {"versionId": "4"},
    "subject": {"reference": "Patient/p"},
    "code": {"coding": [{"system": "http://icd", "code": "M1"}], "text": "sore"},
    "onsetDateTime": "2026-01-05",
}


class Engine:
    """A define engine with fixed answers."""

    def __init__(self, **results: DefineResult) -> None:
        self.results = results
        self.asked: list[tuple[str, str | None]] = []

    def evaluate(self, define: str, library: str | None = None) -> DefineResult:
        self.asked.append((define, library))
        return self.results.get(define, DefineResult(error="The define failed."))


def test_an_answer_names_its_origin_source_version_and_element() -> None:
    draft = filled(package(form(FAMILY)))
    (only,) = draft.response["item"][0]["answer"]
    assert only["valueString"] == "Example"
    assert dtr_guide("2.2.0").read_origin(only) is not None
    found = trace(draft, "family")
    assert (found.origin, found.source, found.source_version) == ("auto-client", "Patient/p", "7")
    assert found.element == "Patient.name[0].family"
    assert found.expression == "%patient.name.first().family"
    assert draft.evaluated_at == "2026-03-15T10:00:00-07:00"


def test_ids_of_answers_are_stable_and_distinct() -> None:
    parts = package(form(FAMILY, item("given", "string", expression("initialExpression", "%patient.name.given"))))
    first, second = filled(parts), filled(parts)
    ids = [one["answer"][0]["id"] for one in first.response["item"]]
    assert ids == [one["answer"][0]["id"] for one in second.response["item"]]
    assert len(set(ids)) == 2


def test_populating_again_changes_nothing_but_the_time() -> None:
    parts = package(form(FAMILY, item("n", "integer", initial=[{"valueInteger": 3}])))
    first = filled(parts)
    assert filled(parts, first.response).response == first.response


def test_nothing_handed_in_is_changed() -> None:
    questionnaire = form(FAMILY)
    previous = filled(package(questionnaire)).response
    before = copy.deepcopy((questionnaire, PATIENT, previous))
    filled(package(questionnaire), previous)
    assert before == (questionnaire, PATIENT, previous)


def test_a_query_variable_reads_the_record() -> None:
    questionnaire = form(
        item("onset", "date", expression("initialExpression", "%conditions.entry.resource.onset")),
        item("none", "date", expression("initialExpression", "%others.entry.resource.onset")),
        extension=[
            variable("conditions", "Condition?patient={{%patient.id}}&code=http://icd|M1", "application/x-fhir-query"),
            variable("others", "Condition?patient={{%patient.id}}&code=http://icd|Z9", "application/x-fhir-query"),
        ],
    )
    draft = filled(package(questionnaire), record=[CONDITION])
    assert values(draft) == {"onset": "2026-01-05"}
    assert trace(draft, "onset").source == "Condition/c1"
    gap = trace(draft, "none")
    assert gap.reason_if_empty == NOT_FOUND
    assert gap.looked_for == ("Condition?patient=p&code=http://icd|Z9",)


def test_a_query_in_a_contained_bundle_reads_the_record() -> None:
    batch = {
        "resourceType": "Bundle",
        "id": "sources",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": "Condition?patient={{%patient.id}}"}}],
    }
    questionnaire = form(
        item("text", "string", expression("initialExpression", "%sources.entry[0].resource.entry.resource.code.text")),
        extension=[{"url": f"{SDC}sourceQueries", "valueReference": {"reference": "#sources"}}],
        contained=[batch],
    )
    assert values(filled(package(questionnaire), record=[CONDITION])) == {"text": "sore"}


@pytest.mark.requirement("dtr:spec-94")
def test_an_inner_variable_hides_an_outer_one() -> None:
    questionnaire = form(
        item("a", "string", expression("initialExpression", "%x")),
        item("g", "group", variable("x", "'inner'"), item=[item("b", "string", expression("initialExpression", "%x"))]),
        extension=[variable("x", "'outer'")],
    )
    assert values(filled(package(questionnaire))) == {"a": "outer", "b": "inner"}


def test_a_variable_that_needs_itself_leaves_a_reason() -> None:
    questionnaire = form(
        item("a", "string", expression("initialExpression", "%x")), extension=[variable("x", "%y"), variable("y", "%x")]
    )
    assert "depends on itself" in trace(filled(package(questionnaire)), "a").reason_if_empty


@pytest.mark.requirement("dtr:spec-66")
def test_calculations_run_until_nothing_changes() -> None:
    path = "%resource.item.where(linkId = '{}').answer.value + 1"
    questionnaire = form(
        item("c", "integer", expression("calculatedExpression", path.format("b"))),
        item("b", "integer", expression("calculatedExpression", path.format("a"))),
        item("a", "integer", initial=[{"valueInteger": 1}]),
        item(
            "d",
            "string",
            initial=[{"valueString": "shown"}],
            enableWhen=[{"question": "c", "operator": "=", "answerInteger": 3}],
        ),
    )
    draft = filled(package(questionnaire))
    assert values(draft) == {"c": 3, "b": 2, "a": 1, "d": "shown"}
    assert values(answered(package(questionnaire), draft, a=5)) == {"c": 7, "b": 6, "a": 5, "d": "shown"}


@pytest.mark.requirement("dtr:spec-67")
def test_a_form_that_does_not_settle_is_reported() -> None:
    path = "iif(%resource.item.where(linkId = '{0}').answer.exists(), {{}}, 1)"
    questionnaire = form(
        item("a", "integer", expression("calculatedExpression", "1 - %resource.item.where(linkId = 'a').answer.value")),
        item("b", "integer", expression("calculatedExpression", path.format("b"))),
    )
    assert [problem.code for problem in filled(package(questionnaire)).problems] == ["form.unsettled"]


def test_initial_values_wait_until_their_item_is_enabled_and_come_once() -> None:
    questionnaire = form(
        item("on", "boolean"),
        item(
            "v",
            "string",
            initial=[{"valueString": "default"}],
            enableWhen=[{"question": "on", "operator": "=", "answerBoolean": True}],
        ),
    )
    parts = package(questionnaire)
    draft = filled(parts)
    assert values(draft) == {}
    draft = answered(parts, draft, on=True)
    assert values(draft) == {"on": True, "v": "default"}
    assert trace(draft, "v").origin == "auto-client"


def test_a_default_gives_way_to_what_the_chart_says() -> None:
    given = item("a", "string", expression("initialExpression", "%patient.name.family"), initial=[{"valueString": "x"}])
    empty = item("b", "string", expression("initialExpression", "%patient.photo.title"), initial=[{"valueString": "x"}])
    assert values(filled(package(form(given, empty)))) == {"a": "Example", "b": "x"}


@pytest.mark.requirement("dtr:spec-73")
def test_payer_answers_are_marked_kept_and_replaced_by_the_chart() -> None:
    questionnaire = form(
        FAMILY,
        item("photo", "string", expression("initialExpression", "%patient.photo.title")),
        item("plain", "string"),
    )
    draft_response = response_of(
        answer("family", {"valueString": "Payer"}),
        answer("photo", {"valueString": "Payer"}),
        answer("plain", {"valueString": "Payer"}),
    )
    draft = filled(package(questionnaire, draft_response=draft_response))
    assert values(draft) == {"family": "Example", "photo": "Payer", "plain": "Payer"}
    assert [trace(draft, name).origin for name in ("family", "photo", "plain")] == [
        "auto-client",
        "auto-server",
        "auto-server",
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"subject": {"reference": "Patient/else"}},
        {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/qr-context",
                    "valueReference": {"reference": "ServiceRequest/else"},
                }
            ]
        },
    ],
)
def test_a_draft_about_something_else_is_not_used(more: dict[str, Any]) -> None:
    draft_response = {**response_of(answer("plain", {"valueString": "Payer"})), **more}
    draft = filled(package(form(item("plain", "string")), draft_response=draft_response))
    assert values(draft) == {}
    assert any("was not used" in finding for finding in draft.findings)
    assert "Payer" not in str(draft.findings)


@pytest.mark.requirement("dtr:spec-72")
def test_a_persons_answer_is_never_touched_and_typed_becomes_override() -> None:
    parts = package(form(FAMILY, item("later", "string", expression("initialExpression", "%patient.photo.title"))))
    draft = answered(parts, filled(parts), family="Changed", later="Typed")
    assert values(draft) == {"family": "Changed", "later": "Typed"}
    assert [trace(draft, name).origin for name in ("family", "later")] == ["override", "manual"]
    launch = LaunchContext(patient={**PATIENT, "photo": [{"title": "from chart"}]})
    again = filled(parts, draft.response, launch=launch)
    assert values(again) == {"family": "Changed", "later": "Typed"}
    assert trace(again, "later").origin == "override"
    assert trace(again, "later").sources == ()


def test_a_cleared_answer_is_not_filled_again() -> None:
    parts = package(form(FAMILY))
    cleared = clear_answer(parts, filled(parts).response, "family", AUTHOR, NOW)
    again = filled(parts, cleared)
    assert values(again) == {}
    assert trace(again, "family").reason_if_empty == CLEARED
    typed = set_answer(parts, again.response, "family", ["Typed"], AUTHOR, NOW)
    assert values(filled(parts, typed)) == {"family": "Typed"}


def test_a_machine_answer_goes_when_the_chart_no_longer_has_it() -> None:
    parts = package(form(FAMILY))
    without = LaunchContext(patient={"resourceType": "Patient", "id": "p"})
    assert values(filled(parts, filled(parts).response, launch=without)) == {}


def test_rows_make_repetitions() -> None:
    context = expression("itemPopulationContext", "%conditions.entry.resource", name="row")
    questionnaire = form(
        item(
            "dx",
            "group",
            context,
            repeats=True,
            item=[
                item("code", "string", expression("initialExpression", "%row.code.text")),
                item("onset", "date", expression("initialExpression", "%row.onset")),
            ],
        ),
        extension=[variable("conditions", "Condition?patient={{%patient.id}}", "application/x-fhir-query")],
    )
    second = {**CONDITION, "id": "c2", "code": {"text": "stiff"}, "onsetDateTime": "2026-02-01"}
    parts = package(questionnaire)
    draft = filled(parts, record=[CONDITION, second])
    found = [[one["answer"][0] for one in group["item"]] for group in draft.response["item"]]
    assert [[one.get("valueString") or one.get("valueDate") for one in row] for row in found] == [
        ["sore", "2026-01-05"],
        ["stiff", "2026-02-01"],
    ]
    assert trace(draft, "onset@1").source == "Condition/c2"
    assert filled(parts, draft.response, record=[CONDITION, second]).response == draft.response


def test_rows_inside_rows() -> None:
    inner = item(
        "inner",
        "group",
        expression("itemPopulationContext", "%outer.code.coding", name="coding"),
        repeats=True,
        item=[item("code", "string", expression("initialExpression", "%coding.code"))],
    )
    outer = item(
        "outer",
        "group",
        expression("itemPopulationContext", "%conditions.entry.resource", name="outer"),
        repeats=True,
        item=[inner],
    )
    questionnaire = form(outer, extension=[variable("conditions", "Condition", "application/x-fhir-query")])
    records = [
        {**CONDITION, "code": {"coding": [{"code": "1"}, {"code": "2"}]}},
        {**CONDITION, "id": "c2", "code": {"coding": [{"code": "3"}, {"code": "4"}, {"code": "5"}]}},
    ]
    draft = filled(package(questionnaire), record=records)
    rows = [[row["item"][0]["answer"][0]["valueString"] for row in group["item"]] for group in draft.response["item"]]
    assert rows == [["1", "2"], ["3", "4", "5"]]


def test_several_rows_for_a_single_group_are_a_problem() -> None:
    group = item(
        "g",
        "group",
        expression("itemPopulationContext", "1 | 2", name="row"),
        item=[item("a", "integer", expression("initialExpression", "%row"))],
    )
    draft = filled(package(form(group)))
    assert values(draft) == {}
    assert [problem.code for problem in draft.problems] == ["form.rows"]


@pytest.mark.requirement("dtr:spec-86")
@pytest.mark.parametrize("language", ["text/cql", "text/cql-identifier", "text/cql-expression"])
@pytest.mark.parametrize(
    "text, asked",
    [
        ('"Lib"."Days since"', ("Days since", "Lib")),
        ('Lib."Days since"', ("Days since", "Lib")),
        ('"Days since"', ("Days since", None)),
    ],
)
def test_defines_are_asked_by_name(language: str, text: str, asked: tuple[str, str | None]) -> None:
    result = DefineResult(
        value=42, library="Lib|1", sources=(Source(reference="Condition/c1", version="4", element="Condition.onset"),)
    )
    engine = Engine(**{"Days since": result})
    draft = filled(
        package(form(item("d", "integer", expression("initialExpression", text, language)))), evaluator=engine
    )
    assert engine.asked == [asked]
    assert values(draft) == {"d": 42}
    found = trace(draft, "d")
    assert (found.define, found.library, found.source, found.element) == (
        "Days since",
        "Lib|1",
        "Condition/c1",
        "Condition.onset",
    )


@pytest.mark.parametrize("text", ['"Lib".X', "exists [Condition]"])
def test_without_an_engine_logic_leaves_a_reason(text: str) -> None:
    draft = filled(
        package(form(item("d", "integer", expression("initialExpression", text, "text/cql"), required=True)))
    )
    assert trace(draft, "d").reason_if_empty == "logic cannot be run here"
    assert draft.open_required == ("d",)
    assert draft.problems[0].code == "logic.unavailable"


def test_a_failed_define_leaves_its_reason() -> None:
    parts = package(form(item("d", "integer", expression("initialExpression", "X", "text/cql")), FAMILY))
    draft = filled(parts, evaluator=Engine())
    assert trace(draft, "d").reason_if_empty == "The define failed."
    assert values(draft) == {"family": "Example"}


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda: item("a", "string"), NO_RULE),
        (lambda: item("a", "string", expression("initialExpression", "%patient.photo.title")), NOT_FOUND),
        (
            lambda: item("a", "string", expression("initialExpression", "%nobody.x")),
            "There is no nobody in this context.",
        ),
        (lambda: item("a", "string", expression("initialExpression", "x", "text/other")), "language"),
        (lambda: item("a", "integer", expression("initialExpression", "%patient.name.family")), "does not fit"),
        (lambda: item("a", "string", expression("initialExpression", "%patient.name.first().given | 'x'")), "Several"),
    ],
)
def test_every_gap_has_a_reason(make: Callable[[], dict[str, Any]], reason: str) -> None:
    assert reason in trace(filled(package(form(make()))), "a").reason_if_empty


def test_a_declared_context_without_a_resource_is_empty() -> None:
    declared = {
        "url": f"{SDC}launchContext",
        "extension": [{"url": "name", "valueCoding": {"code": "user"}}, {"url": "type", "valueCode": "Practitioner"}],
    }
    questionnaire = form(
        item("a", "string", expression("initialExpression", "%user.name.family")), extension=[declared]
    )
    assert trace(filled(package(questionnaire)), "a").reason_if_empty == NOT_FOUND


@pytest.mark.parametrize("version, code", [("2.2.0", "auto-client"), ("2.0.1", "auto"), ("2.1.0", "auto")])
def test_origin_codes_follow_the_payers_version(version: str, code: str) -> None:
    assert trace(filled(package(form(FAMILY)), guide=dtr_guide(version)), "family").origin == code


def test_problems_hold_no_patient_data() -> None:
    parts = package(form(FAMILY, item("bad", "string", expression("initialExpression", "%patient.name.single(1)"))))
    draft = filled(parts)
    assert draft.problems
    assert "Example" not in str(draft.problems)


def test_a_repeating_required_group_is_open_until_begun() -> None:
    inner = item("a", "string", required=True)
    optional = filled(package(form(item("g", "group", repeats=True, item=[inner]))))
    demanded = filled(package(form(item("g", "group", repeats=True, required=True, item=[inner]))))
    assert optional.open_required == ()
    assert set(demanded.open_required) == {"g", "a"}


@pytest.mark.requirement("dtr:spec-96")
def test_inline_logic_is_run_from_its_elm() -> None:
    class Inline(Engine):
        def evaluate_elm(self, elm: str, name: str = "") -> DefineResult:
            return DefineResult(value=f"{elm}:{name}")

    instead = expression("initialExpression", '{"library": {}}', "application/elm+json", name="x")
    parts = package(form(item("a", "string", instead)))
    assert values(filled(parts, evaluator=Inline())) == {"a": '{"library": {}}:x'}
    assert trace(filled(parts, evaluator=Engine()), "a").reason_if_empty == "logic cannot be run here"


@pytest.mark.requirement("dtr:spec-139")
def test_payer_answers_that_point_outside_the_ehr_are_left_out() -> None:
    draft_response = response_of(answer("r", {"valueReference": {"reference": "https://payer.example.org/Device/1"}}))
    draft = filled(package(form(item("r", "reference")), draft_response=draft_response))
    assert values(draft) == {}
    assert any("outside the EHR" in finding for finding in draft.findings)


@pytest.mark.requirement("dtr:spec-123")
@pytest.mark.parametrize("end, blocked", [("2026-03-14", True), ("2026-03-15", False), ("2026", False), ("2025", True)])
def test_a_form_out_of_force_is_blocked(end: str, blocked: bool) -> None:
    draft = filled(package(form(item("a", "string"), effectivePeriod={"end": end})))
    assert bool(draft.blockers) is blocked


@pytest.mark.requirement("dtr:spec-100")
def test_weights_come_from_the_answer_or_the_option() -> None:
    score = [{"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 3}]
    option = {"valueCoding": {"system": "s", "code": "a", "extension": score}}
    questionnaire = form(
        item("q", "choice", answerOption=[option], initial=[{"valueCoding": {"system": "s", "code": "a"}}]),
        item(
            "w", "decimal", expression("calculatedExpression", "%resource.item.where(linkId='q').answer.value.weight()")
        ),
    )
    assert values(filled(package(questionnaire)))["w"] == 3


def test_a_query_may_filter_by_a_packaged_value_set() -> None:
    value_set = {
        "resourceType": "ValueSet",
        "url": "http://example.org/vs",
        "expansion": {"contains": [{"system": "http://icd", "code": "M1"}]},
    }
    questionnaire = form(
        item("a", "string", expression("initialExpression", "%found.entry.resource.code.text")),
        extension=[variable("found", "Condition?code:in=http://example.org/vs", "application/x-fhir-query")],
    )
    other = {**CONDITION, "id": "c2", "code": {"coding": [{"system": "http://icd", "code": "M2"}], "text": "other"}}
    parts = package(questionnaire, value_sets=(value_set,))
    assert values(filled(parts, record=[CONDITION, other])) == {"a": "sore"}
    assert trace(filled(package(questionnaire), record=[CONDITION]), "a").reason_if_empty.startswith("A value set")


@pytest.mark.threat("T6")
def test_the_work_of_a_whole_form_is_bounded() -> None:
    record = [{**CONDITION, "id": f"c{number}"} for number in range(400)]
    costly = "%all.entry.resource.where(%all.entry.resource.id contains id).id.first()"
    questionnaire = form(
        *[item(f"q{number}", "string", expression("initialExpression", costly)) for number in range(60)],
        extension=[variable("all", "Condition", "application/x-fhir-query")],
    )
    draft = filled(package(questionnaire), record=record)
    assert "fhirpath.limit" in {problem.code for problem in draft.problems}
