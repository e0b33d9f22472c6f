"""The public DTR packages with real CQL run over charts made for them; every define answers or is null."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import parse_json
from gateway.reasoning.elm import ElmDefines
from gateway.reasoning.record import RecordSnapshot

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFIED = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"versionId": "3"},
    "name": [{"use": "official", "family": "Doe", "given": ["Ann", "Beth"]}],
    "birthDate": "1960-04-05",
    "gender": "female",
    "address": [{"use": "home", "line": ["1 Main St"], "city": "Xton", "state": "CO", "postalCode": "80000"}],
}
PRACTITIONER = {
    "resourceType": "Practitioner",
    "id": "pr",
    "name": [{"family": "Who", "given": ["Doc"]}],
    "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
}
ORDER = {
    "resourceType": "DeviceRequest",
    "id": "d",
    "status": "draft",
    "intent": "order",
    "codeCodeableConcept": {
        "coding": [
            {
                "system": "https://bluebutton.cms.gov/resources/codesystem/hcpcs",
                "code": "E0424",
                "display": "Stationary compressed gas",
            }
        ]
    },
    "subject": {"reference": "Patient/p"},
    "encounter": {"reference": "Encounter/e"},
    "performer": {"reference": "Practitioner/pr"},
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e",
    "status": "finished",
    "class": {"code": "AMB"},
    "subject": {"reference": "Patient/p"},
    "participant": [{"individual": {"reference": "Practitioner/pr"}}],
    "period": {"start": "2026-05-01", "end": "2026-05-02"},
    "location": [{"location": {"reference": "Location/l", "display": "Room 1"}}],
}
CONDITION = {
    "resourceType": "Condition",
    "id": "co",
    "subject": {"reference": "Patient/p"},
    "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
    "verificationStatus": {"coding": [{"system": VERIFIED, "code": "confirmed"}]},
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "J44.9"}]},
    "onsetDateTime": "2020-01-01",
}


def observation(name: str, code: str, value: str, day: str) -> dict[str, Any]:
    unit = "mm[Hg]" if code == "2703-7" else "%"
    return {
        "resourceType": "Observation",
        "id": name,
        "meta": {"versionId": "7"},
        "status": "final",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "effectiveDateTime": day,
        "valueQuantity": {
            "value": Decimal(value),
            "unit": unit,
            "system": "http://unitsofmeasure.org",
            "code": unit,
        },
    }


CHART = [
    PATIENT,
    PRACTITIONER,
    ORDER,
    ENCOUNTER,
    CONDITION,
    observation("sat", "59408-5", "85.5", "2026-05-01T10:00:00Z"),
    observation("po2", "2703-7", "54", "2026-05-01T10:00:00Z"),
    observation("exercise", "89276-0", "80", "2026-05-03T10:00:00Z"),
]


def resources(value: Any, kind: str) -> Iterator[dict[str, Any]]:
    """All resources of a type, however deep."""
    if isinstance(value, dict):
        if value.get("resourceType") == kind:
            yield value
        for one in value.values():
            yield from resources(one, kind)
    elif isinstance(value, list):
        for one in value:
            yield from resources(one, kind)


def session_of(corpora: Path, name: str) -> ElmDefines:
    package = parse_json((corpora / "dtr" / name).read_bytes())
    return ElmDefines(
        resources(package, "Library"),
        resources(package, "ValueSet"),
        RecordSnapshot(CHART),
        now=NOW,
        order=ORDER,
        on_error="isolate",
    )


PACKAGES = (
    "home_oxygen_package_parameters.json",
    "questionnaire_dinner_order_static.json",
    "questionnaire_dinner_order_adaptive.json",
)


@pytest.mark.requirement("dtr:spec-62")
@pytest.mark.parametrize("name", PACKAGES)
def test_every_define_of_a_public_package_runs(corpora: Path, name: str) -> None:
    session = session_of(corpora, name)
    assert session.package.broken == {}
    errors = {}
    for library in session.package.libraries.libraries:
        for define in library.defines:
            found = session.evaluate(define, library.name)
            if found.error:
                errors[f"{library.name}.{define}"] = found.error
    assert errors == {}


@pytest.mark.requirement("dtr:spec-74")
def test_home_oxygen_answers_come_from_the_chart(corpora: Path) -> None:
    session = session_of(corpora, PACKAGES[0])
    main, people = "HomeOxygenTherapyPrepopulation", "BasicClinicalInfoPrepopulation"
    pressure = session.evaluate("ArterialPartialPressureOfOxygen", main)
    assert (pressure.value["value"], pressure.value["code"]) == (54, "mm[Hg]")
    assert {(one.reference, one.version) for one in pressure.sources} == {("Observation/po2", "7")}
    assert session.evaluate("DeviceRequestDescription", main).value == "HCPCS E0424 - Stationary compressed gas"
    assert session.evaluate("IsArterialOxygenSaturationExerciseTested", main).value is True
    assert session.evaluate("OrderingProviderNPI", people).value == "1234567893"
    assert [one["code"] for one in session.evaluate("RelevantDiagnoses", main).value] == ["J44.9"]
    assert session.evaluate("FullName", "BasicPatientInfoPrepopulation").value == "Ann B Doe"


def test_dinner_answers_come_from_the_chart(corpora: Path) -> None:
    session = session_of(corpora, PACKAGES[1])
    assert session.evaluate("LastName", "DTRTest").value == "Doe"
    assert session.evaluate("FirstLocationDescription", "DTRTest").value == "Room 1"
