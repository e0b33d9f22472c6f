"""The response we write, exact to each version, and judged by the HL7 validator where it is at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.demo.charts import all_charts
from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json, parse_json
from gateway.forms.answers import set_answer
from gateway.forms.complete import complete
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import populate
from gateway.forms.session import FormSession
from gateway.profiles.dtr_2_2_0 import FormPackageParts
from gateway.profiles.dtr_guide import dtr_guide
from gateway.reasoning.record import RecordSnapshot
from tests.conftest import ROOT
from tests.form_samples import AUTHOR, NOW
from tests.referee import judge, require_referee

FORM = ROOT / "questionnaires" / "cervical-mri" / "questionnaire.json"
ANSWERS = {"reevaluated": "no", "changes-management": "yes", "drug-text": "naproxen 500 mg twice a day"}
MORE = {"reevaluation-omitted": "The order came first.", "management": "Referral to surgery."}


def completed(version: str, chart_id: str = "P01") -> dict[str, Any]:
    """The cervical MRI form of a synthetic chart, answered and completed."""
    guide = dtr_guide(version)
    chart = next(one for one in all_charts() if one.chart_id == chart_id)
    record = RecordSnapshot.from_bundle(chart.bundle)
    patient = record.find(chart.patient_reference)
    assert patient is not None
    launch = LaunchContext(
        patient=patient,
        order=record.find(chart.order_reference),
        coverage=record.find(chart.coverage_reference),
        practice_zone="America/Los_Angeles",
    )
    package = FormPackageParts(questionnaire=parse_json(FORM.read_bytes()))
    response: Any = None
    for given in ({}, ANSWERS, MORE):
        for link_id, text in given.items():
            response = set_answer(package, response, link_id, [text], AUTHOR, NOW, guide)
        response = populate(package, launch, record, response, NOW, lambda: "qr-1", None, guide).response
    session = FormSession(package=package, launch=launch, record=record, now=NOW, guide=guide)
    return complete(package.questionnaire, response, AUTHOR, NOW, session)


def extensions(done: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in done["extension"] if one["url"].endswith(f"/{name}")]


@pytest.mark.requirement("dtr:prof-1")
def test_the_response_of_2_2_0_links_order_and_coverage_apart() -> None:
    done = completed("2.2.0")
    assert [one["valueReference"]["reference"].split("/")[0] for one in extensions(done, "qr-context")] == [
        "ServiceRequest"
    ]
    assert [one["valueReference"]["reference"].split("/")[0] for one in extensions(done, "qr-coverage")] == ["Coverage"]
    (use,) = extensions(done, "intendedUse")
    assert use["valueCodeableConcept"]["coding"][0]["code"] == "withpa"
    assert done["questionnaire"].endswith("|1.0.0")
    assert done["subject"]["reference"].startswith("Patient/")
    assert "basedOn" not in done
    assert "partOf" not in done


def test_the_response_of_2_0_1_links_both_in_one_place() -> None:
    done = completed("2.0.1")
    assert [one["valueReference"]["reference"].split("/")[0] for one in extensions(done, "qr-context")] == [
        "Coverage",
        "ServiceRequest",
    ]
    assert extensions(done, "qr-coverage") == []


def test_sources_tell_who_answered() -> None:
    groups = {group["linkId"]: group for group in completed("2.2.0")["item"]}
    treatment = {one["linkId"]: one["answer"][0] for one in groups["treatment"]["item"]}
    judgement = {one["linkId"]: one["answer"][0] for one in groups["judgement"]["item"]}
    guide = dtr_guide("2.2.0")

    def source(answer: dict[str, Any]) -> str:
        origin = guide.read_origin(answer)
        assert origin is not None
        return origin.source

    assert source(treatment["drug-start"]) == "auto-client"
    assert source(treatment["drug-text"]) == "override"
    assert source(judgement["management"]) == "manual"
    assert set(judgement) == {"reevaluated", "reevaluation-omitted", "changes-management", "management"}


@pytest.mark.parametrize("version", ["2.2.0", "2.0.1"])
def test_the_structure_is_that_of_r4(version: str) -> None:
    assert check_structure(dump_json(completed(version))) == []


def test_the_form_is_of_r4() -> None:
    assert check_structure(FORM.read_bytes()) == []


@pytest.mark.slow
def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    """Form and response by DTR 2.0.1's own profiles; 2.2.0 has no package, so its response is judged by base FHIR."""
    command = require_referee()
    files = {"form.json": FORM.read_bytes(), "response-2-0-1.json": dump_json(completed("2.0.1"))}
    for name, body in files.items():
        (tmp_path / name).write_bytes(body)
    assert judge(command, [tmp_path / name for name in files], "dtr-2.0.1") == (2, [])
    plain = completed("2.2.0")
    del plain["meta"]
    (tmp_path / "response-2-2-0.json").write_bytes(dump_json(_without_guide(plain)))
    assert judge(command, [tmp_path / "response-2-2-0.json"], "us-core-7.0.0") == (1, [])


def _without_guide(node: Any) -> Any:
    """The response without the guide's extensions, whose definitions no package here has in version 2.2.0."""
    if isinstance(node, list):
        return [_without_guide(one) for one in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _without_guide(value) for key, value in node.items() if key != "extension"}
    own = [one for one in node.get("extension", ()) if "/davinci-dtr/" not in one["url"]]
    return {**kept, "extension": own} if own else kept
