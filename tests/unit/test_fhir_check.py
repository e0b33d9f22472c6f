"""The structural check of what we are about to send."""

from __future__ import annotations

import pytest

from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json

FAULTS = [
    ("not json", b"{", "JSON"),
    ("no resource", b'{"a":1}', "resourceType"),
    ("unknown type", b'{"resourceType":"Nothing"}', "resourceType"),
    ("unknown element", b'{"resourceType":"Patient","shoe":1}', "shoe: extra_forbidden"),
    ("required element missing", b'{"resourceType":"Observation","status":"final"}', "code"),
    ("wrong kind of value", b'{"resourceType":"Patient","active":"perhaps Sam"}', "active"),
    ("wrong date", b'{"resourceType":"Patient","birthDate":"Sam"}', "birthDate"),
    ("list for one", b'{"resourceType":"Patient","gender":["male"]}', "gender"),
]


@pytest.mark.parametrize(("what", "body", "told"), FAULTS, ids=[case[0] for case in FAULTS])
def test_faults_are_told_by_place_without_values(what: str, body: bytes, told: str) -> None:
    findings = check_structure(body)
    assert any(told in finding for finding in findings), findings
    assert not any("Sam" in finding for finding in findings)


def test_sound_resource_has_no_findings() -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}'
    assert check_structure(body) == []


def test_bundle_is_checked_entry_by_entry() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "1"}},
            {"fullUrl": "urn:uuid:2", "resource": {"resourceType": "Patient", "active": 3}},
        ],
    }
    findings = check_structure(dump_json(bundle))
    assert findings
    assert all(finding.startswith("entry[1].active") for finding in findings)
