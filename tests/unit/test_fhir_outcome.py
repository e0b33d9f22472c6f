"""OperationOutcomes and Parameters, read and built; extensions and tolerant access."""

from __future__ import annotations

from decimal import Decimal

from gateway.errors import InputError
from gateway.fhir.extensions import (
    build_extension,
    extension_value,
    extension_values,
    extensions,
    without_extensions,
)
from gateway.fhir.outcome import Issue, build_operation_outcome, issue_of, read_issues
from gateway.fhir.parameters import (
    build_parameter,
    build_parameters,
    parameter_resources,
    parameter_value,
    parameters,
)
from gateway.fhir.reading import calendar_day, codings, objects, one, text, texts, thaw, whole_number


def test_outcome_survives_a_round_trip() -> None:
    issue = Issue(
        severity="warning", code="invalid", diagnostics="Say more.", expression=("Claim.item",), details_text="x"
    )
    assert read_issues(build_operation_outcome([issue])) == (issue,)


def test_outcome_without_issues_says_all_is_well() -> None:
    assert [issue.severity for issue in read_issues(build_operation_outcome([]))] == ["information"]


def test_foreign_outcomes_are_read_liberally() -> None:
    assert read_issues({"resourceType": "Patient"}) == ()
    assert read_issues({"resourceType": "OperationOutcome", "issue": "x"}) == ()
    odd = {"resourceType": "OperationOutcome", "issue": [{"details": {"coding": [{"code": "c", "display": "d"}]}}]}
    (issue,) = read_issues(odd)
    assert (issue.severity, issue.code, issue.details_code, issue.details_text) == ("error", "processing", "c", "d")


def test_our_errors_become_issues_without_values() -> None:
    issue = issue_of(InputError("Give a name.", code="x.y", expression="Patient.name"))
    assert (issue.code, issue.diagnostics, issue.expression) == ("invalid", "Give a name.", ("Patient.name",))


def test_parameters_by_name_value_and_resource() -> None:
    whole = build_parameters(
        [build_parameter("Final", "Boolean", True), {"name": "return", "resource": {"resourceType": "Bundle"}}]
    )
    assert parameter_value(whole, "Final") is True
    assert parameter_value(whole, "absent") is None
    assert parameter_resources(whole, "return") == ({"resourceType": "Bundle"},)
    assert parameters({"part": [{"name": "a"}]}, "a") == ({"name": "a"},)
    assert build_parameters([]) == {"resourceType": "Parameters"}


def test_extensions_by_url() -> None:
    element = {
        "extension": [
            build_extension("a", "String", "x"),
            build_extension("b", parts=[build_extension("c", "Code", "y")]),
        ]
    }
    assert extension_value(element, "a") == "x"
    assert extension_value(extensions(element, "b")[0], "c") == "y"
    assert extension_values(element, "a", "b") == ("x",)
    assert without_extensions(element, "a", "b") == {}
    assert extension_value({"modifierExtension": [{"url": "m", "valueBoolean": True}]}, "m", modifier=True) is True
    assert extensions({"extension": "x"}, "a") == ()


def test_tolerant_access() -> None:
    assert (objects(None), objects("x"), objects({"a": 1}), objects([1, {"a": 1}])) == (
        (),
        (),
        ({"a": 1},),
        ({"a": 1},),
    )
    assert (one([]), text(True), text(Decimal("1.50")), text([]), texts(["a", "", 1])) == (
        {},
        "",
        "1.50",
        "",
        ("a", "1"),
    )
    assert [whole_number(v) for v in (3, "4", "x", True, None, "9" * 20, "٣")] == [3, 4, None, None, None, None, None]
    assert [str(calendar_day(v)) for v in ("2026-03-02", "2026-03-02T10:00:00Z", "2026-03", "x", None)] == [
        "2026-03-02",
        "2026-03-02",
        "None",
        "None",
        "None",
    ]
    assert [len(codings(v)) for v in ({"coding": [{"code": "a"}, {}]}, {"code": "a"}, {"text": "x"}, None)] == [
        2,
        1,
        0,
        0,
    ]
    frozen = {"a": ({"b": 1},)}
    assert thaw(frozen) == {"a": [{"b": 1}]}
