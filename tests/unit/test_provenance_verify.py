"""A clean case verifies as far as it can without the log, and says what is open."""

from __future__ import annotations

from provenance import Code, verify_package
from tests.provenance_case import TENANT, anchors, clean_case, clean_package


def test_clean_case_leaves_only_the_questions_that_need_a_log() -> None:
    report = verify_package(clean_package(), anchors())
    assert report.verdict == "INDETERMINATE"
    assert report.codes == ("HEAD_MISSING", "PROOF_MISSING")
    assert report.exit_code == 3
    assert [row.result for row in report.events] == ["ok"] * len(clean_case().events)
    assert report.seal is not None
    assert report.seal.result == "ok"
    assert report.coverage.found == report.coverage.of > 0
    assert report.lineage.found == report.lineage.of > 0
    assert report.is_closed


def test_clean_case_answers_to_its_own_tenant_and_patient() -> None:
    package = clean_package()
    for tenant in (TENANT.value, f"{TENANT.system}|{TENANT.value}"):
        report = verify_package(package, anchors(), expect_tenant=tenant)
        assert Code.TENANT_MISMATCH not in report.codes
    report = verify_package(package, anchors(), expect_patient="https://ehr.example.org/mrn|M-1")
    assert Code.PATIENT_MISMATCH not in report.codes
