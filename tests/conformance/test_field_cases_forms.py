"""Field cases of forms and FHIRPath, read from the corpus: what people reported of comparable systems.

Covered: B23, B25, B27 (FHIRPath), B31, B33, B35, B37, B39, B41, B43, B45, B47, B49, B125. None of the area is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.json import dump_json, parse_json
from gateway.forms.answers import Author, clear_answer, set_answer
from gateway.forms.complete import complete
from gateway.forms.enablement import enabled_items
from gateway.forms.launch import LaunchContext
from gateway.forms.marks import values_of
from gateway.forms.populate import Draft, populate
from gateway.forms.view import form_view
from gateway.profiles.dtr_2_2_0 import FormPackageParts
from gateway.profiles.dtr_sdc import is_adaptive, read_libraries
from gateway.reasoning.fhirpath import FhirPath
from gateway.reasoning.record import RecordSnapshot

NOW = datetime(2026, 3, 15, 17, tzinfo=UTC)
AUTHOR = Author(practitioner="Practitioner/1")
PATIENT = {"resourceType": "Patient", "id": "p"}


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_bytes().splitlines()
    return {case["id"]: case for case in map(parse_json, lines)}


def package_of(case: Mapping[str, Any]) -> FormPackageParts:
    return FormPackageParts(questionnaire=case["input"]["questionnaire"])


def draft_of(case: Mapping[str, Any], previous: Any = None, now: datetime = NOW) -> Draft:
    contexts = dict(case["input"].get("launch", {}))
    launch = LaunchContext(patient=contexts.pop("patient", PATIENT), others=contexts)
    return populate(package_of(case), launch, RecordSnapshot(()), previous, now, lambda: "qr-1")


def answered(draft: Draft) -> dict[str, list[dict[str, Any]]]:
    items = draft.response.get("item", ())
    return {item["linkId"]: values_of(item["answer"]) for item in items if item.get("answer")}


def step(case: Mapping[str, Any], draft: Draft, changes: Mapping[str, Any]) -> Draft:
    response = draft.response
    for link_id, value in changes.items():
        if value is None:
            response = clear_answer(package_of(case), response, link_id, AUTHOR, NOW)
        else:
            response = set_answer(package_of(case), response, link_id, [value], AUTHOR, NOW)
    return draft_of(case, response)


def completed_link_ids(case: Mapping[str, Any], draft: Draft) -> list[str]:
    done = complete(case["input"]["questionnaire"], draft.response, AUTHOR, NOW)
    return [item["linkId"] for item in done.get("item", ())]


def test_b31_a_missing_value_set_leaves_the_form_open(cases: dict[str, Any]) -> None:
    case = cases["B31"]
    draft = draft_of(case)
    rows = {row.link_id: row for row in form_view(package_of(case), draft)}
    assert rows["dx"].options_missing == "The list of answers is not available."
    with pytest.raises(InputError):
        set_answer(package_of(case), draft.response, "dx", ["E11.9"], AUTHOR, NOW)
    noted = step(case, draft, {"note": "usable"})
    assert answered(noted)["note"] == [{"valueString": "usable"}]
    assert [problem.link_id for problem in noted.problems] == ["dx"]


def test_b33_an_open_choice_keeps_an_unlisted_coding(cases: dict[str, Any]) -> None:
    case = cases["B33"]
    assert answered(draft_of(case))["dx"] == case["expected"]["dx"]


def test_b33_a_closed_choice_shows_what_it_dropped(cases: dict[str, Any]) -> None:
    case = json.loads(dump_json(cases["B33"]))
    case["input"]["questionnaire"]["item"][0]["type"] = "choice"
    draft = draft_of(case)
    trace = draft.answers[0]
    assert answered(draft) == {}
    assert trace.refused == (case["expected"]["dx"][0]["valueCoding"],)
    assert "not among the answers" in trace.reason_if_empty


def test_b35_a_string_option_is_answered_as_string(cases: dict[str, Any]) -> None:
    case = cases["B35"]
    assert answered(step(case, draft_of(case), case["input"]["user"])) == case["expected"]


def test_b37_zero_is_an_answer(cases: dict[str, Any]) -> None:
    case = cases["B37"]
    draft, found = draft_of(case), []
    for changes in case["input"]["steps"]:
        draft = step(case, draft, changes)
        enabled = enabled_items(case["input"]["questionnaire"], draft.response)
        found.append([link_id for link_id in ("gt", "eq", "ex") if link_id in enabled])
    assert found == case["expected"]["enabled"]


def test_b39_switched_off_answers_are_not_sent_and_come_back(cases: dict[str, Any]) -> None:
    case = cases["B39"]
    draft = draft_of(case)
    draft = step(case, draft, {"q1": True})
    draft = step(case, draft, {"q2": "x", "q3": "y"})
    off = step(case, draft, case["input"]["steps"][1])
    assert completed_link_ids(case, off) == case["expected"]["completed_response_linkIds"]
    on = step(case, off, {"q1": True})
    assert completed_link_ids(case, on) == ["q1", "q2", "q3"]


def test_b41_a_repetition_looks_at_itself(cases: dict[str, Any]) -> None:
    case = cases["B41"]
    response = {"resourceType": "QuestionnaireResponse", "status": "in-progress", **case["input"]["response"]}
    enabled = enabled_items(case["input"]["questionnaire"], response)
    found = [address in enabled for address in ("detail", "detail@1")]
    assert found == case["expected"]["detail_enabled_by_repetition"]


def test_b43_a_default_of_a_switched_off_item_is_no_answer(cases: dict[str, Any]) -> None:
    case = cases["B43"]
    off = step(case, draft_of(case), case["input"]["user"])
    assert completed_link_ids(case, off) == case["expected"]["completed_response_linkIds"]
    on = step(case, draft_of(case), {"a": True})
    assert answered(on)["h"] == case["expected"]["if_a_true"]["h"]


def test_b45_dates_and_times_take_the_type_of_their_item(cases: dict[str, Any]) -> None:
    case = cases["B45"]
    now = datetime.fromisoformat(case["input"]["now"])
    assert answered(draft_of(case, now=now)) == case["expected"]


def test_b47_one_bad_expression_leaves_one_item_blank(cases: dict[str, Any]) -> None:
    case = cases["B47"]
    draft = draft_of(case)
    reasons = {trace.link_id: trace.reason_if_empty for trace in draft.answers}
    assert answered(draft) == {"p": case["expected"]["p"]}
    assert reasons["x"] == "There is no practitioner in this context."
    assert reasons["bad"] == "The form's expression cannot be read."
    assert {problem.link_id for problem in draft.problems} == {"x", "bad"}


def test_b49_an_adaptive_form_is_known_by_its_extension(cases: dict[str, Any]) -> None:
    form = cases["B49"]["input"]["questionnaire"]
    assert is_adaptive(form) is cases["B49"]["expected"]["adaptive"]
    assert list(read_libraries(form)) == cases["B49"]["expected"]["libraries"]
    assert is_adaptive({key: value for key, value in form.items() if key != "meta"})


def test_b125_text_typed_into_an_open_choice_stays(cases: dict[str, Any]) -> None:
    case = cases["B125"]
    draft = step(case, draft_of(case), case["input"]["steps"][0])
    saved = parse_json(dump_json(draft.response))
    assert answered(draft_of(case, saved))["o"] == case["expected"]["o"]
    assert answered(step(case, draft, {"o": "one"}))["o"] == case["expected"]["typing_one"]


@pytest.mark.parametrize("case_id", ["B23", "B25"])
def test_fhirpath_cases(cases: dict[str, Any], case_id: str) -> None:
    case = cases[case_id]
    for name, expression in case["input"]["define"].items():
        assert FhirPath().evaluate(expression, case["input"]["resource"]) == case["expected"][name], name


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Denver"])
def test_b27_dates_do_not_depend_on_the_host(cases: dict[str, Any], zone: str) -> None:
    case = cases["B27"]
    script = (
        "import json, sys; from gateway.reasoning.fhirpath import FhirPath; c = json.load(sys.stdin);"
        "print(json.dumps({n: FhirPath().evaluate(e, c['resource']) for n, e in c['define'].items()}))"
    )
    environment = {**os.environ, "TZ": zone, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(case["input"]),
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == case["expected"]


def test_the_module_covers_every_form_case(cases: dict[str, Any]) -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert [
        name for name, case in cases.items() if case["area"] == "forms" and f"test_{name.lower()}_" not in here
    ] == []
