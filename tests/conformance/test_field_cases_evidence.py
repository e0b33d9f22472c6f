"""Trouble that other systems had with evidence, and does not trouble this one: cases of area `evidence`.

B105 (attachments by urn:uuid) is in test_field_cases_fhir.py, B109 (evidence of one criterion) in
test_field_cases_clinical.py; what B107 says of HTTP is tested at the door that receives the bodies.
"""

from __future__ import annotations

import base64
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from provenance import Target, verify_package
from provenance.canonical import jcs
from provenance.jws import fits, read_detached
from tests.provenance_case import EHR, CaseBuilder, anchors, build_case, key_ring, patient, resource


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["id"]: case for case in map(json.loads, lines)}


def verifies(jws: str, text: str) -> bool:
    key = x509.load_der_x509_certificate(key_ring().signer("event").chain[0]).public_key()
    return fits(read_detached(jws), jcs(text.encode()), key)


def test_b103_narrative_is_an_opaque_string_of_the_canonical_form(cases: dict[str, Any]) -> None:
    case = cases["B103"]
    text, expected = case["input"]["resource"], case["expected"]
    value = json.loads(text)
    div = value["text"]["div"]
    event = CaseBuilder(ring=key_ring()).record(
        "ehr-extract", [Target(reference=f"{EHR}/Patient/1", type="Patient", raw=text.encode())]
    )
    assert json.loads(jcs(text.encode()))["text"]["div"] == div
    reformatted = json.dumps({"text": {"div": div, "status": "generated"}, "resourceType": "Patient"}, indent=4)
    assert verifies(event.jws, reformatted) is expected["verify_after_reformatting_whitespace_or_key_order"]
    for changed in (div.replace(">x<", ">y<"), div.replace('lang="fi" xml:lang="fi"', 'xml:lang="fi" lang="fi"')):
        other = json.dumps({**value, "text": {**value["text"], "div": changed}})
        assert verifies(event.jws, other) is expected["verify_after_changing_one_character_in_div"]


@pytest.mark.parametrize("megabytes", [3, 15])
def test_b107_large_scans_are_signed_packed_and_verified(cases: dict[str, Any], megabytes: int) -> None:
    case = cases["B107"]
    assert any(f"{megabytes} MB" in body for body in case["input"]["bodies"])
    scan = base64.b64encode(bytes(range(256)) * (megabytes * 4096 * 3 // 4)).decode()
    document = {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "subject": {"reference": "Patient/p1"},
        "content": [{"attachment": {"contentType": "application/pdf", "data": scan}}],
    }
    target = resource(document)
    builder = CaseBuilder(ring=key_ring())
    tracemalloc.start()
    builder.record("ehr-extract", [resource(patient())])
    builder.record("ehr-extract", [target])
    report = verify_package(builder.package(), anchors())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.codes == ("HEAD_MISSING", "PROOF_MISSING")
    assert peak < 8 * len(target.raw)


def test_b107_large_scan_goes_into_the_sealed_document(cases: dict[str, Any]) -> None:
    assert cases["B107"]["expected"]["first_two"].startswith("accepted")
    scan = base64.b64encode(b"\x00\x01\x02" * 1_000_000).decode()
    raw = json.dumps({"resourceType": "Binary", "contentType": "application/pdf", "data": scan}).encode()

    target = Target(reference=f"{EHR}/Binary/b1", type="Binary", raw=raw)
    report = verify_package(build_case(also=[target]).package(), anchors())
    assert report.codes == ("HEAD_MISSING", "PROOF_MISSING")
    assert report.coverage.found == report.coverage.of
