"""What conservative care writes to an EHR, judged by the HL7 validator: R4, and US Core where it has a profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.fhir.json import dump_json
from tests.care_resources import everything
from tests.referee import judge, require_referee

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
PROFILES = {
    "CarePlan": "us-core-careplan",
    "Goal": "us-core-goal",
    "MedicationRequest": "us-core-medicationrequest",
    "Procedure": "us-core-procedure",
    "ServiceRequest": "us-core-servicerequest",
}
"""Type → profile of US Core 7.0.0; Tasks, statements and preliminary screens have none."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_resource_in_every_phase_is_valid(tmp_path: Path) -> None:
    command = require_referee()
    files = []
    for name, resource in everything():
        claimed = PROFILES.get(resource["resourceType"])
        meta = {"meta": {"profile": [f"{US_CORE}{claimed}"]}} if claimed else {}
        files.append(tmp_path / f"{name}.json")
        files[-1].write_bytes(dump_json({**resource, "id": name, **meta}))
    judged, errors = judge(command, files, "us-core-7.0.0")
    print(f"{judged} resources judged")
    assert errors == []
    assert judged == len(files)
