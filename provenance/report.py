"""What a verification found, as data, as JSON and as text.

The verdict is one of three: passed, failed, or cannot tell. Every text from the package is cut and freed of
control characters before it is shown. Source: spec/provenance.md §10.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from provenance.codes import OPEN_QUESTIONS, Code
from provenance.steps import Step, is_opened, steps_of

VERIFIER: Final = "pa-verify 1"
PASSED: Final = "TOTAL-PASSED"
FAILED: Final = "TOTAL-FAILED"
INDETERMINATE: Final = "INDETERMINATE"
EXIT_CODES: Final = {PASSED: 0, FAILED: 1, INDETERMINATE: 3}
DISCLAIMER: Final = (
    "This shows that the gateway held these exact bytes, in this order, for this case, signed by this key holder. "
    "It does not show that the chart is clinically true, that nothing else existed which the gateway never saw, "
    "or that a person rather than a session signed: such signatures are electronic, not digital."
)
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or cannot be told."""

    code: Code
    seq: int | None = None
    """Number of the event concerned; None for the package as a whole."""
    path: str = ""
    """File in the package, or place inside it."""
    detail: str = ""
    """What was found, in plain words, without values of resources."""

    def line(self) -> str:
        """`CODE seq path detail`."""
        number = "-" if self.seq is None else str(self.seq)
        return f"{self.code} {number} {plain(self.path) or '-'} {plain(self.detail)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event as listed in a report."""

    seq: int
    activity: str
    """Code of the activity."""
    agents: tuple[str, ...]
    """`role: who`, who by name or type."""
    targets: tuple[str, ...]
    """Types of the targets."""
    signed_at: str
    """`sigT`: the time the signature claims."""
    signer: str
    """`SYSTEM|VALUE` of the signer."""
    mode: str
    """`E` signed by the organization, `P` signed by a person's own key."""
    result: str
    """`ok`, or the codes found for this event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The sealed document's signature."""

    signer: str
    subject: str
    """Subject of the certificate."""
    alg: str
    signed_at: str
    result: str
    """`ok`, or the codes found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """So many of so many."""

    found: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of one verification."""

    verdict: str
    """TOTAL-PASSED, INDETERMINATE or TOTAL-FAILED."""
    codes: tuple[str, ...]
    """Every code found, once, in the order of their table."""
    findings: tuple[Finding, ...]
    package_digest: str = ""
    """SHA-256 of the package, hexadecimal."""
    anchors_digest: str = ""
    """SHA-256 of the anchors file: compare it over a second channel."""
    is_development: bool = False
    """The anchors are those of a development CA."""
    case_tag: str = ""
    tenant: str = ""
    """`SYSTEM|VALUE` of the organization."""
    tenant_name: str = ""
    payer: str = ""
    """Name of the payer as the events have it; empty when none names one."""
    patient: str = ""
    """Pseudonym of the patient: the digest of the record first received."""
    created_at: str = ""
    """When the package says it was made."""
    seal: Seal | None = None
    events: tuple[EventRow, ...] = ()
    coverage: Count = Count(found=0, of=0)
    """Entries of the sealed document that an event accounts for."""
    lineage: Count = Count(found=0, of=0)
    """Inputs that are an earlier output or an object in the package."""
    head: str = ""
    """What is known about the published head."""
    is_closed: bool = False
    """The last event closes the case."""

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 3 cannot tell."""
        return EXIT_CODES[self.verdict]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The verdict as questions that people ask, each with its own answer."""
        return steps_of(self.codes)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values; member names are stable."""
        steps = [asdict(step) for step in self.steps]
        return {"verifier": VERIFIER, **asdict(self), "steps": steps, "disclaimer": DISCLAIMER}

    def to_json(self) -> str:
        """The report as JSON text, ASCII only."""
        return json.dumps(self.to_dict(), indent=1)

    def to_text(self) -> str:
        """The report for a terminal; no control characters."""
        return "\n".join(_text_lines(self)) + "\n"


def plain(text: str) -> str:
    """Foreign text made harmless for a terminal: one line, no control or direction characters, cut to size."""
    clean = _UNPRINTABLE.sub("\ufffd", text)
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


def verdict_of(findings: Iterable[Finding]) -> tuple[str, tuple[str, ...]]:
    """The verdict and the codes, in the order of the table. One failing code fails it beside any others."""
    found = {finding.code for finding in findings}
    codes = tuple(code.value for code in Code if code in found)
    if found - OPEN_QUESTIONS:
        return FAILED, codes
    return (INDETERMINATE if found else PASSED), codes


def _text_lines(report: Report) -> Iterable[str]:
    yield f"verifier        {VERIFIER}"
    yield f"anchors sha256  {report.anchors_digest}" + ("  (development CA)" if report.is_development else "")
    yield f"package sha256  {report.package_digest or '-'}"
    if not is_opened(report.codes):
        yield ""
        yield "This is no evidence package that can be opened, so nothing in it was checked."
        yield ""
        yield from (finding.line() for finding in report.findings)
        yield ""
        yield from _verdict_lines(report)
        return
    yield f"case            {plain(report.case_tag)}"
    yield f"tenant          {plain(report.tenant)} {plain(report.tenant_name)}".rstrip()
    yield f"payer           {plain(report.payer) or '-'}"
    yield f"patient         {report.patient or '-'}"
    yield f"made            {plain(report.created_at)}"
    yield ""
    yield from _seal_lines(report.seal)
    yield ""
    yield from _event_lines(report.events)
    yield ""
    yield f"coverage        {report.coverage.found}/{report.coverage.of} entries of the document"
    yield f"lineage         {report.lineage.found}/{report.lineage.of} inputs"
    yield f"head            {report.head}"
    yield f"case            {'closed' if report.is_closed else 'still open'}"
    yield ""
    yield from (f"{step.answer:<12}    {step.question}" for step in report.steps)
    yield ""
    yield from (finding.line() for finding in report.findings)
    yield ""
    yield from _verdict_lines(report)
    yield ""
    yield DISCLAIMER


def _verdict_lines(report: Report) -> Iterable[str]:
    yield f"verdict         {report.verdict}" + (f" ({', '.join(report.codes)})" if report.codes else "")


def _seal_lines(seal: Seal | None) -> Iterable[str]:
    if seal is None:
        yield "document        none"
        return
    yield f"document        signed by {plain(seal.signer)} ({plain(seal.subject)}), {seal.alg}, {plain(seal.signed_at)}"
    yield f"                {seal.result}"


def _event_lines(events: Sequence[EventRow]) -> Iterable[str]:
    yield f"events          {len(events)}"
    for row in events:
        agents = ", ".join(plain(agent) for agent in row.agents)
        targets = ", ".join(plain(target) for target in row.targets)
        head = f"{row.seq:>6}  {plain(row.signed_at)}  {row.mode}  {plain(row.activity):<22}"
        yield f"{head} {row.result:<12} {targets}  [{agents}]"
