"""The committed description of the simulated payers is the one they give."""

from __future__ import annotations

from pathlib import Path

from payer_endpoints.harness.app import describe

COMMITTED = Path(__file__).resolve().parents[2] / "openapi" / "harness.yaml"


def test_the_committed_description_is_current() -> None:
    """Regenerate: python -m payer_endpoints.harness --openapi > openapi/harness.yaml"""
    assert COMMITTED.read_text("utf-8") == describe()
