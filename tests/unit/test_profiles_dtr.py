"""DTR modules: package requests and answers, origins, headers, in both versions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import InputError, SettingsError
from gateway.profiles import dtr_2_0_1, dtr_2_2_0
from gateway.profiles.dtr_guide import OriginAuthor, ResponseContext, dtr_guide
from gateway.profiles.dtr_sdc import (
    is_adaptive,
    is_request_specific,
    read_adaptive_urls,
    read_expression,
    read_launch_contexts,
    read_libraries,
    read_unit_options,
)
from tests.form_samples import CORE, SDC, form, item

COVERAGE = {"resourceType": "Coverage", "id": "c"}
ORDER = {"resourceType": "ServiceRequest", "id": "o"}
FORM = form(item("a", "string"))
DRAFT = {"resourceType": "QuestionnaireResponse", "questionnaire": "http://example.org/q|1.0.0"}
LIBRARY = {"resourceType": "Library", "name": "L"}
VALUE_SET = {"resourceType": "ValueSet", "url": "http://example.org/vs"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": []}
AUTHOR = OriginAuthor(practitioner="Practitioner/1", roles=({"text": "nurse"},))


def bundle(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def parameters(*named: tuple[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, "resource": one} for name, one in named]}


WHOLE = bundle(FORM, DRAFT, LIBRARY, VALUE_SET)


@pytest.mark.requirement("dtr:oper-10")
@pytest.mark.parametrize(
    "body, packages, outcomes",
    [
        (WHOLE, 1, 0),
        (parameters(("packagebundle", WHOLE)), 1, 0),
        (parameters(("PackageBundle", WHOLE), ("operationOutcome", OUTCOME)), 1, 1),
        (parameters(("return", WHOLE), ("Outcome", OUTCOME)), 1, 1),
        (parameters(("packagebundle", WHOLE), ("packagebundle", WHOLE), ("outcome", OUTCOME)), 2, 1),
        (parameters(("outcome", OUTCOME)), 0, 1),
        ({"resourceType": "Parameters"}, 0, 0),
        (OUTCOME, 0, 1),
        (None, 0, 0),
        ({}, 0, 0),
        (parameters(("packagebundle", bundle(LIBRARY))), 0, 0),
    ],
)
def test_every_shape_of_answer_is_read(body: Any, packages: int, outcomes: int) -> None:
    answer = dtr_2_2_0.read_package_answer(body)
    assert (len(answer.packages), len(answer.outcomes)) == (packages, outcomes)


def test_another_resource_is_no_answer() -> None:
    with pytest.raises(InputError) as caught:
        dtr_2_2_0.read_package_answer({"resourceType": "Patient"})
    assert caught.value.reason == "dtr.answer"


def test_a_package_is_taken_apart() -> None:
    sub = {**FORM, "url": "http://example.org/sub"}
    (parts,) = dtr_2_2_0.read_package_answer(bundle(FORM, sub, DRAFT, LIBRARY, VALUE_SET)).packages
    assert parts.canonical == "http://example.org/q|1.0.0"
    assert (parts.draft_response, parts.libraries, parts.value_sets) == (DRAFT, (LIBRARY,), (VALUE_SET,))
    assert parts.sub_questionnaires == (sub,)
    assert parts.findings == ()


@pytest.mark.requirement("dtr:spec-122")
@pytest.mark.parametrize(
    "resources, word",
    [
        ((LIBRARY, FORM, DRAFT), "first entry"),
        (({**FORM, "version": None}, DRAFT), "no version"),
        (({"resourceType": "Questionnaire"},), "no canonical"),
        ((FORM,), "no draft"),
        ((FORM, {**DRAFT, "questionnaire": "http://example.org/other"}), "another form"),
    ],
)
def test_departures_are_findings_not_failures(resources: Any, word: str) -> None:
    (parts,) = dtr_2_2_0.read_package_answer(bundle(*resources)).packages
    assert any(word in finding for finding in parts.findings), parts.findings


def test_a_contained_value_set_counts_as_packaged() -> None:
    contained = {**FORM, "contained": [{**VALUE_SET, "id": "v"}]}
    (parts,) = dtr_2_2_0.read_package_answer(bundle(contained)).packages
    assert [one["id"] for one in parts.value_sets] == ["v"]


def test_the_request_has_the_guides_names_in_order() -> None:
    body = dtr_2_2_0.build_package_parameters(
        COVERAGE,
        ORDER,
        [{"resourceType": "Patient", "id": "p"}],
        ["http://example.org/q|1.0.0"],
        "assertion-1",
        datetime(2026, 3, 15, 17, tzinfo=UTC),
    )
    assert [one["name"] for one in body["parameter"]] == [
        "coverage",
        "order",
        "referenced",
        "questionnaire",
        "context",
        "changedsince",
    ]
    assert body["parameter"][3]["valueCanonical"] == "http://example.org/q|1.0.0"
    assert body["parameter"][5]["valueInstant"] == "2026-03-15T17:00:00+00:00"


def test_invariants_of_the_request() -> None:
    with pytest.raises(InputError) as caught:
        dtr_2_2_0.build_package_parameters(COVERAGE)
    assert caught.value.reason == "dtr.dtr-1"
    with pytest.raises(InputError) as caught:
        dtr_2_2_0.build_package_parameters([COVERAGE, COVERAGE], ORDER)
    assert caught.value.reason == "dtr.coverage"
    body = dtr_2_0_1.build_package_parameters([COVERAGE, COVERAGE], [ORDER, ORDER])
    assert [one["name"] for one in body["parameter"]] == ["coverage", "coverage", "order", "order"]


@pytest.mark.requirement("dtr:spec-137")
@pytest.mark.parametrize("guide", [dtr_2_2_0, dtr_2_0_1])
@pytest.mark.parametrize(
    "author", [AUTHOR, OriginAuthor(practitioner="Practitioner/1"), OriginAuthor(roles=({"text": "x"},))]
)
def test_origins_are_written_and_read(guide: Any, author: OriginAuthor) -> None:
    for source, who in ((guide.AUTO, None), (guide.OVERRIDE, author), (guide.MANUAL, author)):
        answer = {"extension": [guide.information_origin(source, who)], "valueString": "x"}
        origin = guide.read_origin(answer)
        assert (origin.source, origin.author) == (source, who)
        assert guide.is_machine(source) is (who is None)


@pytest.mark.parametrize("guide", [dtr_2_2_0, dtr_2_0_1])
def test_author_and_source_must_agree(guide: Any) -> None:
    for source, author in ((guide.AUTO, AUTHOR), (guide.MANUAL, None), (guide.OVERRIDE, OriginAuthor())):
        with pytest.raises(ValueError):
            guide.information_origin(source, author)


def test_an_answer_without_origin_has_none() -> None:
    assert dtr_2_2_0.read_origin({"valueString": "x"}) is None


CONTEXT = ResponseContext(orders=("ServiceRequest/o",), coverages=("Coverage/c",), intended_use=("withpa", "OTH"))


def urls(header: dict[str, Any]) -> list[str]:
    return [one["url"].rsplit("/", 1)[-1] for one in header["extension"]]


def test_headers_follow_the_version() -> None:
    new, old = dtr_2_2_0.build_response_header(CONTEXT), dtr_2_0_1.build_response_header(CONTEXT)
    assert urls(new) == ["qr-context", "qr-coverage", "intendedUse", "intendedUse"]
    assert urls(old) == ["qr-context", "qr-context", "intendedUse", "intendedUse"]
    systems = [header["extension"][2]["valueCodeableConcept"]["coding"][0]["system"] for header in (new, old)]
    assert [system.rsplit("/", 1)[-1] for system in systems] == ["coverage-information-codes", "temp"]
    other = new["extension"][3]["valueCodeableConcept"]["coding"][0]
    assert other == {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "OTH"}


@pytest.mark.parametrize(
    "version, name", [("2.2.0", "2.2.0"), ("2.2.1", "2.2.0"), ("2.0.1", "2.0.1"), ("2.1.0", "2.0.1")]
)
def test_the_guide_of_a_payers_version(version: str, name: str) -> None:
    assert name == dtr_guide(version).VERSION


def test_a_version_that_is_not_spoken_is_a_setting_error() -> None:
    with pytest.raises(SettingsError):
        dtr_guide("1.0.0")


@pytest.mark.parametrize(
    "value, expected",
    [({"valueBoolean": True}, True), ({"valueBoolean": False}, False), ({"valueUrl": "http://x"}, True)],
)
def test_adaptive_forms_of_both_versions(value: dict[str, Any], expected: bool) -> None:
    extension = {"url": f"{SDC}questionnaireAdaptive", **value}
    assert is_adaptive(form(extension=[extension])) is expected
    assert read_adaptive_urls(form(extension=[extension])) == (("http://x",) if "valueUrl" in value else ())


def test_readers_of_a_form() -> None:
    library = {"url": f"{CORE}cqf-library", "valueCanonical": "http://example.org/L|1"}
    specific = {
        "url": "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/request-specific",
        "valueBoolean": False,
    }
    questionnaire = form(extension=[library, specific])
    assert read_libraries(questionnaire) == ("http://example.org/L|1",)
    assert not is_request_specific(questionnaire)
    assert is_request_specific(form())


@pytest.mark.parametrize(
    "name", [{"valueCoding": {"code": "patient"}}, {"valueCode": "patient"}, {"valueId": "patient"}]
)
def test_launch_contexts_in_every_spelling(name: dict[str, Any]) -> None:
    extension = {
        "url": f"{SDC}launchContext",
        "extension": [{"url": "name", **name}, {"url": "type", "valueCode": "Patient"}],
    }
    (context,) = read_launch_contexts(form(extension=[extension]))
    assert (context.name, context.types) == ("patient", ("Patient",))


@pytest.mark.requirement("dtr:spec-96")
@pytest.mark.parametrize(
    "url",
    [
        "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/alternativeExpression",
        "http://hl7.org/fhir/us/ecr/StructureDefinition/us-ph-alternative-expression-extension",
    ],
)
def test_elm_beside_inline_logic_is_read_under_both_names(url: str) -> None:
    elm = {"url": url, "valueExpression": {"language": "application/elm+json", "expression": "{}"}}
    value = {"extension": [elm], "language": "text/cql", "expression": "1 + 1"}
    found = read_expression(
        {"extension": [{"url": f"{SDC}initialExpression", "valueExpression": value}]}, "initialExpression"
    )
    assert found is not None
    assert (found.is_cql, found.alternative) == (True, "{}")


def test_one_unit_counts_as_the_only_option() -> None:
    assert read_unit_options(
        item("q", "quantity", {"url": f"{CORE}questionnaire-unit", "valueCoding": {"code": "kg"}})
    ) == ({"code": "kg"},)
