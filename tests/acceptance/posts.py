"""Bodies that EHRs post, and the synthetic people that bad ones are about."""

from __future__ import annotations

import base64
from typing import Any

from gateway.demo.charts import DemoChart
from gateway.fhir.reading import thaw

CANARY = "Zzyxqa"
"""A name that must never come back in an answer or a log."""
PAYER_IDS = "https://payer.example.org/payer-id"


def person(key: str) -> dict[str, Any]:
    """A patient with a telling name."""
    return {
        "resourceType": "Patient",
        "id": key,
        "name": [{"use": "official", "family": CANARY, "given": ["Canary"]}],
        "birthDate": "1961-07-04",
        "gender": "female",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-99-9999"}],
    }


def payer(key: str, value: str, system: str = PAYER_IDS) -> dict[str, Any]:
    """A payer organization."""
    return {
        "resourceType": "Organization",
        "id": key,
        "active": True,
        "name": "A synthetic plan",
        "identifier": [{"system": system, "value": value}],
    }


def coverage(key: str, patient: str, organization: str, **more: Any) -> dict[str, Any]:
    """A coverage of a patient at a payer."""
    return {
        "resourceType": "Coverage",
        "id": key,
        "status": "active",
        "beneficiary": {"reference": f"Patient/{patient}"},
        "payor": [{"reference": f"Organization/{organization}"}],
        **more,
    }


def order(key: str, patient: str, *coverages: str, **more: Any) -> dict[str, Any]:
    """An imaging order."""
    insurance = {"insurance": [{"reference": f"Coverage/{name}"} for name in coverages]} if coverages else {}
    return {
        "resourceType": "ServiceRequest",
        "id": key,
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72148"}], "text": "MRI lumbar spine"},
        "subject": {"reference": f"Patient/{patient}"},
        "authoredOn": "2026-02-16T09:00:00-08:00",
        **insurance,
        **more,
    }


def bundle(*resources: Any) -> dict[str, Any]:
    """A collection of resources."""
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}


STRANGERS = {
    "timestamp": "2026-02-16T17:00:00Z",
    **bundle(
        person("covered"),
        coverage("of-covered", "covered", "plan"),
        payer("plan", "SYN-MCR-01"),
        person("uncovered"),
        coverage("ended", "uncovered", "plan", status="cancelled"),
        person("elsewhere"),
        coverage("of-elsewhere", "elsewhere", "unknown-plan"),
        payer("unknown-plan", "NOBODY-KNOWS-99"),
        coverage("of-nobody", "elsewhere", "plan", beneficiary={"display": "somebody"}),
    ),
}
"""In the EHR beside the worked cases: people whose orders cannot be taken as they are, and one whose can."""


def with_context(chart: DemoChart) -> dict[str, Any]:
    """The order of a chart with its patient, coverage and payer, as an EHR sends it along."""
    wanted = {chart.order_reference, chart.patient_reference, chart.coverage_reference}
    entries = [thaw(entry) for entry in chart.bundle["entry"]]
    kept = [e for e in entries if name_of(e["resource"]) in wanted or e["resource"]["resourceType"] == "Organization"]
    return {"resourceType": "Bundle", "type": "collection", "entry": kept}


def order_of(chart: DemoChart) -> dict[str, Any]:
    """The imaging order of a chart alone."""
    found = [entry["resource"] for entry in chart.bundle["entry"]]
    copy: dict[str, Any] = thaw(next(item for item in found if name_of(item) == chart.order_reference))
    return copy


def name_of(resource: Any) -> str:
    """`Type/id`."""
    return f"{resource['resourceType']}/{resource.get('id', '')}"


def scan(size_bytes: int, key: str) -> dict[str, Any]:
    """A document of the covered person with an attachment of so many bytes before base64."""
    data = base64.b64encode(b"%PDF-1.7\n" + b"\x00" * (size_bytes - 9)).decode("ascii")
    return {
        "resourceType": "DocumentReference",
        "id": key,
        "status": "current",
        "subject": {"reference": "Patient/covered"},
        "content": [{"attachment": {"contentType": "application/pdf", "data": data}}],
    }
