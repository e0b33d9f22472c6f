"""Packages once written stay readable: stored ones verify as they did on the day they were made.

`tests/vectors/evidence/case-v1.zip` is the clean case of `tests/provenance_case.py` with its anchors; the private
keys are gone. A stored package is never made again: a change that breaks it breaks every package in the world.
"""

from __future__ import annotations

from pathlib import Path

from provenance import verify_package

VECTORS = Path(__file__).resolve().parent.parent / "vectors" / "evidence"


def test_package_of_version_one_verifies() -> None:
    report = verify_package(VECTORS / "case-v1.zip", (VECTORS / "anchors-v1.json").read_bytes())
    assert report.codes == ("HEAD_MISSING", "PROOF_MISSING")
    assert [row.result for row in report.events] == ["ok"] * 26
    assert (report.coverage.found, report.coverage.of) == (14, 14)
    assert (report.lineage.found, report.lineage.of) == (20, 20)
    assert report.seal is not None
    assert report.seal.result == "ok"
