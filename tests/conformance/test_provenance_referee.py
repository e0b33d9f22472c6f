"""The HL7 validator over statements and a sealed document, where it is installed.

HRex and CDex are not among its packages, so what they add is judged by our own tests of shape.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.provenance_case import clean_case
from tests.referee import require_referee

US_CORE_PROVENANCE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance"


@pytest.fixture(scope="module")
def referee() -> Path:
    return require_referee()


def errors(referee: Path, folder: Path) -> dict[str, list[str]]:
    """Errors by file name; files without any are left out."""
    command = [str(referee), "--preset", "us-core-7.0.0", "--json", str(folder)]
    ran = subprocess.run(command, capture_output=True, timeout=110, check=False)
    verdicts: list[dict[str, Any]] = json.loads(ran.stdout)["verdicts"]
    assert len(verdicts) == len(list(folder.glob("*.json")))
    found = {
        Path(verdict["file"]).name: [
            f"{issue['path']}: {issue['text']}"
            for issue in verdict["issues"]
            if issue["severity"] in ("error", "fatal")
        ]
        for verdict in verdicts
    }
    return {name: issues for name, issues in found.items() if issues}


@pytest.mark.slow
def test_statements_and_sealed_document_conform(referee: Path, tmp_path: Path) -> None:
    """Every activity's statement against US Core Provenance, and the document with those inside it.

    A server that serves a statement may claim the profile: neither id nor meta is part of what was signed.
    """
    case = clean_case()
    for number, event in enumerate(case.events):
        served = {"resourceType": "Provenance", "meta": {"profile": [US_CORE_PROVENANCE]}, **event.provenance}
        (tmp_path / f"event-{number:02d}.json").write_text(json.dumps(served))
    assert case.document is not None
    (tmp_path / "document.json").write_bytes(case.document)
    assert errors(referee, tmp_path) == {}
