"""The HL7 validator over everything the PAS builders make, where it is installed.

The referee is a tool beside the project (shared/tools/referee); it needs Java and its one-time setup.
The only errors let through are those that the guide's own extension contexts force on content it
demands (spec/pas.md §13): each is listed here with its extension and place.
"""

from __future__ import annotations

import json
import re
import subprocess
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.fhir.json import dump_json
from gateway.profiles import pas_2_0_1, pas_2_2_1
from gateway.profiles.pas_input import CareTeamMember, CompletedForm, PasItem, Supporting
from gateway.profiles.pas_records import DocumentRequest
from gateway.profiles.pas_update import ClaimUpdate, ItemChange
from tests import pas_samples as sample
from tests.referee import require_referee

FORCED = (
    ("extension-infoChanged", "Claim.supportingInfo: demanded by pas:spec-71, but its context is Claim.item"),
    ("modifierextension-infoCancelled", "Claim.supportingInfo: demanded by pas:spec-69, but its context is Claim.item"),
)
"""Extension and reason of context errors that our output must carry."""
CONSEQUENCES = (
    "BUNDLE_BUNDLE_ENTRY_MULTIPLE_PROFILES_NO_MATCH",
    "Validation_VAL_Profile_NoMatch",
    "Validation_VAL_Profile_Maximum",
)
"""Messages that a forced error draws after it: the Claim then matches none of the Bundle's two profiles."""


@pytest.fixture(scope="module")
def referee() -> Path:
    return require_referee()


def judge(referee: Path, preset: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Errors by file name."""
    ran = subprocess.run([referee, "--preset", preset, "--json", folder], capture_output=True, timeout=280, check=False)
    verdicts = json.loads(ran.stdout)["verdicts"]
    assert len(verdicts) == len(list(folder.glob("*.json")))
    return {
        Path(verdict["file"]).name: [i for i in verdict["issues"] if i["severity"] in ("error", "fatal")]
        for verdict in verdicts
    }


def unforced(issues: list[dict[str, Any]]) -> list[str]:
    """Errors that nobody forced on us. Consequences are let through only beside a forced error."""
    forced = [i for i in issues if "Context_Wrong" in i["id"] and any(name in i["text"] for name, _ in FORCED)]
    at_place = [i for i in forced if re.search(r"Claim[^ ]*\.supportingInfo", i["text"])]
    rest = [i for i in issues if i not in at_place and not (at_place and i["id"] in CONSEQUENCES)]
    return [f"{issue['path']}: {issue['text']}" for issue in rest]


def update(**changes: Any) -> ClaimUpdate:
    return ClaimUpdate(
        bundle_identifier=("urn:example:txn", "TXN-2"),
        claim_identifier=("urn:trnorg:9012345678", "PA-2"),
        created_at=sample.NOW + timedelta(days=1),
        codes=sample.CODES,
        coverage=sample.coverage(),
        **changes,
    )


def made(guide: ModuleType) -> dict[str, Any]:
    """One of everything that a guide's builders make."""
    code, child = sample.order()["code"], {"coding": [{"code": "child"}]}
    request = sample.request()
    held = {**sample.coverage(), "relationship": child}
    bare = (Supporting(content=CompletedForm(response=sample.response(), as_bundle=False)),)
    team = CareTeamMember(
        provider=sample.practitioner("prac2", "1999912011"), item_sequences=(2,), qualification="207L00000X"
    )
    items = (PasItem(sequence=1, product_or_service=code), PasItem(sequence=2, product_or_service=code))
    annotated = {
        **sample.order(),
        "extension": [sample.coverage_information(covered="covered", pa_needed="auth-needed")],
    }
    first = guide.build_request_bundle(request, sample.uuids())
    task = {
        "identifier": ("urn:example:tasks", "1"),
        "patient": "Patient/pat1",
        "claim": {"identifier": {"system": "urn:trnorg:9012345678", "value": "PA-1"}},
        "payer": (sample.NPI, "1234567893"),
        "organization": (sample.NPI, "1999910015"),
        "payer_url": "https://payer.example.org/fhir",
    }
    documents = (DocumentRequest(control_number="ACN", loinc_codes=("11506-3",), line_numbers=(1, 2)),)
    form = (DocumentRequest(control_number="ACN", is_questionnaire=True, context="CTX", line_numbers=(1,)),)
    changes = (ItemChange(sequence=1, starts_on=date(2026, 4, 1), ends_on=date(2026, 5, 1)),)
    added = (PasItem(sequence=2, product_or_service=code, requested_service=sample.order()),)
    return {
        "request": first,
        "request-busy": guide.build_request_bundle(
            sample.request(care_team=(team,), items=items, order=annotated, is_expedited=True), sample.uuids()
        ),
        "request-dependent": guide.build_request_bundle(
            sample.request(coverage=held, subscriber={**sample.patient(), "id": "holder"}, supporting=bare),
            sample.uuids(),
        ),
        "request-device": guide.build_request_bundle(sample.request(order=sample.device()), sample.uuids()),
        "request-drug": guide.build_request_bundle(sample.request(order=sample.medication()), sample.uuids()),
        "request-formula": guide.build_request_bundle(
            sample.request(order=sample.nutrition(), items=(PasItem(sequence=1, product_or_service=sample.HCPCS),)),
            sample.uuids(),
        ),
        "inquiry": guide.build_inquiry_bundle(request, sample.uuids()),
        "inquiry-number": guide.build_inquiry_bundle(
            request, sample.uuids(), guide.InquiryKeys(administration_number="NT1", with_diagnoses=True)
        ),
        "update": guide.build_update_bundle(first, update(changes=changes, added_items=added), sample.uuids(500)),
        "update-documents": guide.build_update_bundle(
            first,
            update(added_supporting=(Supporting(content=sample.observation("o")),), cancelled_supporting=(1,)),
            sample.uuids(500),
        ),
        "cancel": guide.build_update_bundle(first, update(cancel_all=True), sample.uuids(500)),
        "subscription": guide.build_subscription("https://gw.example.org/n", "CLINIC01", heartbeat_seconds=60),
        "task-documents": guide.build_task(requests=documents, due_on=date(2026, 4, 1), **task),
        "task-form": guide.build_task(requests=form, status="failed", status_reason="Nobody knows.", **task),
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("pas:spec-19")
@pytest.mark.requirement("pas:spec-23")
@pytest.mark.requirement("pas:conf-15")
@pytest.mark.parametrize(
    ("preset", "guide"), [("pas-2.2.1", pas_2_2_1), ("pas-2.0.1", pas_2_0_1)], ids=["2.2.1", "2.0.1"]
)
def test_validator_finds_no_error_in_what_we_build(
    referee: Path, tmp_path: Path, preset: str, guide: ModuleType
) -> None:
    for name, resource in made(guide).items():
        (tmp_path / f"{name}.json").write_bytes(dump_json(resource))
    findings = {name: unforced(issues) for name, issues in judge(referee, preset, tmp_path).items()}
    assert {name: found for name, found in findings.items() if found} == {}
