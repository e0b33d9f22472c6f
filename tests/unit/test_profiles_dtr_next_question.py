"""`$next-question`: requests per version, every shape of answer, and where it may be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.json import parse_json
from gateway.profiles.dtr_guide import dtr_guide
from gateway.profiles.dtr_next_question import build_shell, contained_form, read_next_question, service_paths
from tests.form_samples import SDC, form, item

RESPONSE: dict[str, Any] = {"resourceType": "QuestionnaireResponse", "id": "qr"}
BASE = "https://payer.example.org/fhir"
TYPED = "Questionnaire/$next-question"


@pytest.mark.parametrize(
    ("version", "wraps", "profile"), [("2.2.0", True, True), ("2.1.0", False, False), ("2.0.1", False, False)]
)
def test_the_request_is_that_of_the_version(version: str, wraps: bool, profile: bool) -> None:
    guide = dtr_guide(version)
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "questionnaire-response", "resource": RESPONSE}]}
    assert guide.build_next_question(RESPONSE) == (wrapped if wraps else RESPONSE)
    assert bool(guide.adaptive_profile()) is profile


@pytest.mark.parametrize("name", ["return", "out", "questionnaire-response-out", "anything"])
def test_an_answer_is_read_by_its_type_not_by_its_name(name: str) -> None:
    outcome = {"name": "outcome", "resource": {"resourceType": "OperationOutcome"}}
    body = {"resourceType": "Parameters", "parameter": [{"name": name, "resource": RESPONSE}, outcome]}
    assert read_next_question(body) == RESPONSE
    assert read_next_question(RESPONSE) == RESPONSE


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"resourceType": "OperationOutcome"},
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": {"resource": RESPONSE}},
        {"resourceType": "Parameters", "parameter": [{"resource": RESPONSE}, {"resource": RESPONSE}, 7]},
    ],
)
def test_an_answer_without_one_set_of_questions_is_refused(body: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_next_question(body)
    assert caught.value.reason == "adaptive.answer"


@pytest.mark.requirement("dtr:spec-24")
@pytest.mark.parametrize(
    ("url", "paths"),
    [
        (f"{BASE}/adaptive", (f"adaptive/{TYPED}",)),
        (f"{BASE}", (TYPED,)),
        (f"{BASE}/", (TYPED,)),
        (f"{BASE}/Questionnaire", (TYPED,)),
        (f"{BASE}/Questionnaire/$next-question", (TYPED,)),
        ("https://PAYER.example.org:443/fhir", (TYPED,)),
        ("http://payer.example.org/fhir", ()),
        ("https://payer.example.org:8443/fhir", ()),
        ("https://payer.example.org:x/fhir", ()),
        ("https://payer.example.org/fhirx", ()),
        ("https://payer.example.org/other", ()),
        ("https://payer.example.org.evil.example/fhir", ()),
        ("https://user@payer.example.org/fhir", ()),
        (f"{BASE}/../other", ()),
        (f"{BASE}/%2e%2e/other", ()),
        (f"{BASE}/a//b", ()),
        (f"{BASE}?to=http://evil.example", ()),
    ],
)
def test_the_service_is_asked_below_the_payers_base_only(url: str, paths: tuple[str, ...]) -> None:
    adaptive = form(extension=[{"url": f"{SDC}questionnaireAdaptive", "valueUrl": url}])
    assert service_paths(adaptive, BASE) == paths


def test_a_flag_alone_means_the_base_with_the_type_and_then_without() -> None:
    adaptive = form(extension=[{"url": f"{SDC}questionnaireAdaptive", "valueBoolean": True}])
    assert service_paths(adaptive, BASE) == (TYPED, "$next-question")


def test_a_shell_has_no_questions_and_names_the_form_it_is_of() -> None:
    shell = build_shell(form(item("a", "string"), id="f", effectivePeriod={"end": "2030"}))
    assert shell["derivedFrom"] == ["http://example.org/q|1.0.0"]
    assert shell["id"] == "f"
    assert not {"item", "url", "version", "effectivePeriod"} & shell.keys()
    assert contained_form({"questionnaire": "#f", "contained": [shell]}) == shell


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"questionnaire": "#f", "contained": [{"resourceType": "Questionnaire", "id": "g"}]},
        {"questionnaire": "#", "contained": [{"resourceType": "Questionnaire"}]},
        {"questionnaire": "#f", "contained": [{"resourceType": "Questionnaire", "id": "f"}] * 2},
        {"questionnaire": "http://example.org/q", "contained": [{"resourceType": "Questionnaire", "id": "f"}]},
    ],
)
def test_a_response_without_exactly_its_form_carries_none(response: dict[str, Any]) -> None:
    assert contained_form(response) is None


@pytest.mark.parametrize("name", ["initial_input_params_conformant", "input_params_missing_answer"])
def test_requests_of_the_conformance_kit_are_read(corpora: Path, name: str) -> None:
    found = read_next_question(parse_json((corpora / "dtr" / f"next_question_{name}.json").read_bytes()))
    carried = contained_form(found)
    assert carried is not None
    assert carried["id"] == "DinnerOrderAdaptive"
