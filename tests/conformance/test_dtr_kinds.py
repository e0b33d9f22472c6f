"""The harness's forms written for each guide version: what differs, and what the HL7 validator says of 2.0.1.

Every kind of question is answered, a signature is made, and all that goes to a payer about a form is judged: the
response in progress and completed, the Bundle of a response, the error report, the request for forms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.charts import all_charts
from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json
from gateway.forms.answers import set_answer
from gateway.forms.complete import complete
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import populate
from gateway.forms.session import FormSession, response_as_sent
from gateway.profiles.dtr_errors import FormIssue, build_error_report
from gateway.profiles.dtr_guide import dtr_guide
from gateway.profiles.dtr_package import FormPackageParts
from gateway.profiles.dtr_response_bundle import build_response_bundle
from gateway.reasoning.record import RecordSnapshot
from payer_endpoints.harness.form_shelf import FormShelf
from payer_endpoints.harness.package_damage import damage
from tests.conformance.test_dtr_versions import as_2_0_1
from tests.form_samples import AUTHOR, NOW
from tests.referee import judge, require_referee

DTR = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
CHART = next(one for one in all_charts() if one.chart_id == "P01")
RECORD = RecordSnapshot.from_bundle(CHART.bundle)
LAUNCH = LaunchContext(
    patient=RECORD.find(CHART.patient_reference) or {},
    order=RECORD.find(CHART.order_reference),
    coverage=RECORD.find(CHART.coverage_reference),
    practice_zone="America/Los_Angeles",
)
CONDITION = f"Condition/{RECORD.of_type('Condition')[0]['id']}"
FILE = {"valueAttachment": {"contentType": "application/pdf", "data": "JVBERi0="}}
ANSWERS: Mapping[str, Any] = {
    "yes-no": True,
    "count": "3",
    "ratio": "4.50",
    "day": "2026-02-03",
    "last-day": "2026-02-28",
    "moment": "2026-02-01T10:00",
    "clock": "08:30",
    "line": "words",
    "words": "More words",
    "link": "https://example.org/report",
    "one": "left",
    "several": "exercise",
    "open": "Something else",
    "weight": "70.5 kg",
    "letter": FILE,
    "record": CONDITION,
    "born": "1950-01-02",
    "site": "North imaging",
}
SLUGS = ("kinds", "two-libraries", "administrative")


def package(slug: str) -> FormPackageParts:
    form = FormShelf(None).form(slug)
    assert form is not None
    bundle: dict[str, Any] = {"entry": [{"resource": form.questionnaire}]}
    questionnaire = damage(bundle, ("signature",) if slug == "administrative" else ())["entry"][0]["resource"]
    return FormPackageParts(questionnaire=questionnaire, libraries=form.libraries, value_sets=form.value_sets)


def sign(body: bytes, kinds: Any) -> dict[str, Any]:
    who = {"type": "Organization", "identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}}
    return {
        "type": list(kinds),
        "when": "2026-03-15T10:00:00Z",
        "who": who,
        "sigFormat": "application/jose",
        "data": "YQ==",
    }


def responses(slug: str, version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(in progress as it would be saved, completed)."""
    guide, parts = dtr_guide(version), package(slug)
    session = FormSession(package=parts, launch=LAUNCH, record=RECORD, now=NOW, guide=guide)
    working = populate(parts, LAUNCH, RECORD, None, NOW, lambda: f"qr-{slug}", None, guide).response
    begun = response_as_sent(session, session.sheet(working))
    for link_id, value in ANSWERS.items():
        if link_id in session.form.by_link_id:
            working = set_answer(parts, working, link_id, [value], AUTHOR, NOW, guide, session)
    working = populate(parts, LAUNCH, RECORD, working, NOW, lambda: "", None, guide).response
    return begun, complete(parts.questionnaire, working, AUTHOR, NOW, session, sign)


@pytest.mark.requirement("dtr:spec-137")
@pytest.mark.parametrize("version", ["2.0.1", "2.1.0"])
@pytest.mark.parametrize("slug", SLUGS)
def test_every_kind_of_answer_differs_between_the_guides_as_they_do(slug: str, version: str) -> None:
    for new, old in zip(responses(slug, "2.2.0"), responses(slug, version), strict=True):
        # 2.0.1 wants an item even where nothing is answered yet; nothing else differs beyond the rewrites
        expected = as_2_0_1(new)
        assert {**expected, "item": old["item"]} == old if "item" not in new else expected == old


@pytest.mark.parametrize("version", ["2.2.0", "2.0.1"])
@pytest.mark.parametrize("slug", SLUGS)
def test_every_response_is_r4(slug: str, version: str) -> None:
    assert [check_structure(dump_json(one)) for one in responses(slug, version)] == [[], []]


@pytest.mark.requirement("dtr:spec-157")
def test_a_response_travels_with_what_its_answers_point_to() -> None:
    _, done = responses("kinds", "2.2.0")
    bundle, missing = build_response_bundle(done, RECORD.find, "https://ehr.example.org/fhir", NOW)
    first, second = bundle["entry"]
    assert first["resource"] == done
    assert second["fullUrl"] == f"https://ehr.example.org/fhir/{CONDITION}"
    assert missing == ()
    alone, gone = build_response_bundle(done, lambda reference: None, "https://ehr.example.org/fhir", NOW)
    assert (len(alone["entry"]), gone) == (1, (CONDITION,))


def test_a_draft_is_not_handed_on() -> None:
    begun, _ = responses("kinds", "2.2.0")
    with pytest.raises(Exception, match="Only a completed form"):
        build_response_bundle(begun, RECORD.find, "https://ehr.example.org/fhir", NOW)


@pytest.mark.parametrize(("version", "status"), [("2.2.0", "active"), ("2.0.1", "draft")])
def test_the_order_has_the_status_that_the_guide_wants(version: str, status: str) -> None:
    assert LAUNCH.order is not None
    assert LAUNCH.coverage is not None
    built = dtr_guide(version).build_package_parameters(LAUNCH.coverage, LAUNCH.order)
    (order,) = [one["resource"] for one in built["parameter"] if one["name"] == "order"]
    assert order["status"] == status
    assert LAUNCH.order["status"] == "active"


def _bare(reference: str) -> dict[str, Any]:
    """A record of the chart without its claims: it names profiles of US Core 7, which 2.0.1's judge does not have."""
    return {key: value for key, value in (RECORD.find(reference) or {}).items() if key != "meta"}


def judged() -> Iterator[dict[str, Any]]:
    for slug in SLUGS:
        yield from responses(slug, "2.0.1")
    _, done = responses("kinds", "2.0.1")
    yield build_response_bundle(done, _bare, "https://ehr.example.org/fhir", NOW)[0]
    issues = [FormIssue(code="fhirpath.syntax", link_id="a"), FormIssue(code="elm.limit", library="L|1", define="D")]
    report = build_error_report("http://example.org/q|1", issues, application="g 1", provider="https://g.org", now=NOW)
    yield {**report, "meta": {"profile": [f"{DTR}dtr-log-errors-input-parameters"]}}
    bare = [
        _bare(f"{one['resourceType']}/{one['id']}") for one in (LAUNCH.coverage, LAUNCH.order, LAUNCH.patient) if one
    ]
    request = dtr_guide("2.0.1").build_package_parameters(bare[0], bare[1], [bare[2]], ["http://e.org/q|1"], "c", NOW)
    yield {**request, "meta": {"profile": [f"{DTR}dtr-qpackage-input-parameters"]}}


@pytest.mark.slow
def test_the_validator_accepts_all_that_2_0_1_payers_get(tmp_path: Path) -> None:
    command, files = require_referee(), []
    for position, resource in enumerate(judged()):
        files.append(tmp_path / f"{position:02d}-{resource['resourceType']}.json")
        files[-1].write_bytes(dump_json(resource))
    assert judge(command, files, "dtr-2.0.1") == (9, [])
