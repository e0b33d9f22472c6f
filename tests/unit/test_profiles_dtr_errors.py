"""The error report to the payer: complete, and without patient data by construction."""

from __future__ import annotations

import pytest

from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json
from gateway.profiles.dtr_errors import FormIssue, build_error_report
from tests.form_samples import NOW, expression, filled, form, item, package


@pytest.mark.requirement("dtr:oper-2")
def test_a_report_of_a_populated_form_names_places_and_no_person() -> None:
    questionnaire = form(
        item("bad", "string", expression("initialExpression", "%patient.name.first(.family")),
        item("gone", "choice", answerValueSet="http://example.org/absent"),
        item("logic", "string", expression("initialExpression", '"Lib"."Define"', "text/cql")),
        item("fails", "string", expression("initialExpression", "%patient.name.family + 1")),
    )
    draft = filled(package(questionnaire))
    issues = [
        FormIssue(code=one.code, link_id=one.link_id, library=one.library, define=one.define) for one in draft.problems
    ]
    body = build_error_report(
        "http://example.org/q|1.0.0", issues, application="gateway 0.1.0", provider="https://ehr.example.org", now=NOW
    )
    text = dump_json(body).decode()
    assert check_structure(text.encode()) == []
    assert [one["name"] for one in body["parameter"]] == ["questionnaire", "operationOutcome"]
    found = body["parameter"][1]["resource"]["issue"]
    assert [one["code"] for one in found] == ["invalid", "not-found", "not-supported", "processing"]
    assert "library Lib; define Define" in found[2]["diagnostics"]
    for secret in ("Example", "Ann", "1950", "Patient/p", "ServiceRequest/o"):
        assert secret not in text


def test_an_unknown_problem_is_told_in_general_words() -> None:
    body = build_error_report("q", [FormIssue(code="new", link_id="a@2")], application="a", provider="p", now=NOW)
    (issue,) = body["parameter"][1]["resource"]["issue"]
    assert issue["details"]["text"] == "A part of the form could not be processed."
    assert issue["expression"] == ["Questionnaire.repeat(item).where(linkId = 'a')"]
