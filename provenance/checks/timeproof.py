"""Does anything outside the gateway prove when this was signed, and that nothing was cut off the end?

Only a time-stamped checkpoint of the log and a head published in it can. This release writes neither,
so both questions stay open, and a package never passes without them: leaving proofs out must not give a
better verdict than bad ones. Source: spec/provenance.md §9, §10.
"""

from __future__ import annotations

from collections.abc import Iterator

from provenance.codes import Code
from provenance.evidence import Evidence
from provenance.report import Finding


def check_time_proof(evidence: Evidence) -> Iterator[Finding]:
    """HEAD_MISSING and PROOF_MISSING."""
    held = any(path.startswith("log/") for path in evidence.files)
    unread = "; the log files in this package are not read by this version" if held else ""
    yield Finding(
        code=Code.HEAD_MISSING, path="log/", detail=f"no published head, so a cut tail would go unseen{unread}"
    )
    yield Finding(
        code=Code.PROOF_MISSING,
        path="log/",
        detail=f"no time-stamped checkpoint proves when events were signed{unread}",
    )
