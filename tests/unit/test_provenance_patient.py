"""One case, one patient: who may appear as somebody else, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from provenance import Report, Target, verify_package
from tests.provenance_case import (
    EHR,
    MRN,
    CaseBuilder,
    anchors,
    body,
    dump,
    key_ring,
    patient,
    resource,
    uuid,
)

OPEN = {"HEAD_MISSING", "PROOF_MISSING"}


def coverage(**members: Any) -> Target:
    return resource({"resourceType": "Coverage", "id": "c1", "status": "active", **members})


def observation(subject: dict[str, Any], **members: Any) -> Target:
    return resource({"resourceType": "Observation", "id": "o1", "status": "final", "subject": subject, **members})


def checked(
    *targets: Target, submission: dict[str, Any] | None = None, response: dict[str, Any] | None = None
) -> Report:
    case = CaseBuilder(ring=key_ring())
    case.record("ehr-extract", targets)
    if submission is not None:
        case.submission = dump(submission)
        case.record("submit", [body(60, case.submission)])
    if response is not None:
        case.responses.append(dump(response))
        case.record("payer-response", [body(61, case.responses[0])])
    return verify_package(case.package(), anchors())


def somebody(number: int, *identifiers: tuple[str, str], **members: Any) -> dict[str, Any]:
    rows = [{"system": system, "value": value} for system, value in identifiers]
    return {"resourceType": "Patient", "id": f"p{number}", "identifier": rows, **members}


ADA = resource(patient())
FINE: dict[str, list[Target]] = {
    "relative reference": [ADA, observation({"reference": "Patient/p1"})],
    "absolute reference": [ADA, observation({"reference": f"{EHR}/Patient/p1"})],
    "reference with a version": [ADA, observation({"reference": "Patient/p1/_history/4"})],
    "relative reference in something the gateway made": [
        ADA,
        resource({"resourceType": "Task", "for": {"reference": "Patient/p1"}}, uuid(1)),
    ],
    "identifier alone": [ADA, observation({"type": "Patient", "identifier": {"system": MRN, "value": "M-1"}})],
    "contained patient with the identifier": [
        ADA,
        observation({"reference": "#me"}, contained=[{**somebody(0, (MRN, "M-1")), "id": "me"}]),
    ],
    "subject that is a group": [ADA, observation({"reference": "Group/1"})],
    "subject that is a device": [ADA, observation({"type": "Device", "display": "scanner"})],
    "later version of the patient": [ADA, resource(patient(gender="female"), f"{EHR}/Patient/p1/_history/2")],
    "patient rewritten for the payer": [
        ADA,
        resource(patient(id="x"), uuid(5)),
        resource({"resourceType": "Claim", "patient": {"reference": uuid(5)}}, uuid(6)),
    ],
    "patient with another number as well": [
        ADA,
        resource(somebody(1, (MRN, "M-1"), ("urn:member", "W1")), uuid(5)),
        resource(somebody(1, ("urn:member", "W1")), uuid(6)),
    ],
    "subscriber who is somebody else": [
        resource(somebody(2, (MRN, "M-2"))),
        ADA,
        coverage(beneficiary={"reference": "Patient/p1"}, subscriber={"reference": "Patient/p2"}),
    ],
    "patient who is the subscriber too": [
        ADA,
        coverage(beneficiary={"reference": "Patient/p1"}, subscriber={"reference": "Patient/p1"}),
    ],
    "no patient received": [
        observation({"reference": "Patient/p7"}),
        coverage(beneficiary={"reference": "Patient/p7"}),
    ],
    "no patient received, a relative name before an absolute one": [
        resource({"resourceType": "Task", "for": {"reference": "Patient/p7"}}, uuid(1)),
        observation({"reference": "Patient/p7"}),
    ],
    "nobody named": [resource({"resourceType": "Organization", "id": "1"})],
}


@pytest.mark.threat("T15")
@pytest.mark.parametrize("targets", FINE.values(), ids=FINE)
def test_case_about_one_patient(targets: list[Target]) -> None:
    report = checked(*targets)
    assert set(report.codes) == OPEN, report.to_text()


MIXED: dict[str, list[Target]] = {
    "another patient of the same server": [ADA, observation({"reference": "Patient/p2"})],
    "same id on another server": [ADA, observation({"reference": "https://other.example.org/fhir/Patient/p1"})],
    "beneficiary is somebody else": [ADA, coverage(beneficiary={"reference": "Patient/p2"})],
    "identifier of somebody else": [ADA, observation({"identifier": {"system": MRN, "value": "M-2"}})],
    "no reference and no identifier": [ADA, observation({"display": "Ada Example"})],
    "contained patient with another identifier": [
        ADA,
        observation({"reference": "#me"}, contained=[{**somebody(0, (MRN, "M-2")), "id": "me"}]),
    ],
    "contained patient that is not there": [ADA, observation({"reference": "#me"})],
    "second patient": [ADA, resource(somebody(2, (MRN, "M-2")))],
    "second patient without identifiers": [ADA, resource(somebody(2))],
    "number of the patient changed": [ADA, resource(somebody(1, (MRN, "M-2")), f"{EHR}/Patient/p1/_history/2")],
    "two patients, neither received": [
        observation({"reference": "Patient/p7"}),
        coverage(beneficiary={"reference": "Patient/p8"}),
    ],
    "unknown urn": [ADA, observation({"reference": uuid(99)})],
}


@pytest.mark.threat("T15")
@pytest.mark.parametrize("targets", MIXED.values(), ids=MIXED)
def test_case_that_mixes_patients_fails(targets: list[Target]) -> None:
    assert set(checked(*targets).codes) == OPEN | {"PATIENT_MISMATCH"}


def bundle(*resources: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    entries = [{"fullUrl": url, "resource": value} for url, value in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


CLAIM = (uuid(71), {"resourceType": "Claim", "patient": {"reference": uuid(70)}})
SENT: dict[str, tuple[dict[str, Any], set[str]]] = {
    "the patient": (bundle(CLAIM, (uuid(70), somebody(9, (MRN, "M-1")))), set()),
    "another patient": (bundle(CLAIM, (uuid(70), somebody(9, (MRN, "M-2")))), {"PATIENT_MISMATCH"}),
    "a patient without numbers": (bundle(CLAIM, (uuid(70), somebody(9))), {"PATIENT_MISMATCH"}),
    "no patient": (bundle(CLAIM), {"PATIENT_MISMATCH"}),
    "the patient and a subscriber": (
        bundle(
            CLAIM,
            (uuid(70), somebody(9, (MRN, "M-1"))),
            (uuid(72), somebody(8, (MRN, "M-3"))),
            (uuid(73), {"resourceType": "Coverage", "subscriber": {"reference": uuid(72)}}),
        ),
        set(),
    ),
}


@pytest.mark.parametrize("submission, codes", SENT.values(), ids=SENT)
def test_request_is_about_the_patient(submission: dict[str, Any], codes: set[str]) -> None:
    assert set(checked(ADA, submission=submission).codes) == OPEN | codes


ANSWERED: dict[str, tuple[dict[str, Any], set[str]]] = {
    "own ids of the payer": (bundle(("https://payer.example.org/Patient/77", somebody(77, ("urn:payer", "1")))), set()),
    "same number": (bundle(("https://payer.example.org/Patient/77", somebody(77, (MRN, "M-1")))), set()),
    "number of somebody else": (
        bundle(("https://payer.example.org/Patient/77", somebody(77, (MRN, "M-2")))),
        {"PATIENT_MISMATCH"},
    ),
    "references of its own": (
        bundle(("https://payer.example.org/ClaimResponse/1", {"patient": {"reference": "Patient/77"}})),
        set(),
    ),
    "not a Bundle of resources": ({"resourceType": "Bundle", "entry": [{}, 5, {"resource": 7}]}, set()),
}


@pytest.mark.threat("T11")
@pytest.mark.parametrize("response, codes", ANSWERED.values(), ids=ANSWERED)
def test_answer_may_use_own_ids_but_not_contradict(response: dict[str, Any], codes: set[str]) -> None:
    assert set(checked(ADA, response=response).codes) == OPEN | codes


def test_patient_is_shown_as_a_digest() -> None:
    report = checked(ADA)
    assert report.patient.startswith("ni:///sha-256;")
    assert checked(observation({"reference": "Patient/p7"})).patient == ""
