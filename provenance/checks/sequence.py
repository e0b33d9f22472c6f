"""Is this one unbroken sequence of events of one case, and does time run forwards in it?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from provenance.anchors import read_instant
from provenance.codes import Code
from provenance.evidence import EventRecord, Evidence
from provenance.package import MANIFEST
from provenance.report import Finding
from provenance.statement import CASE_TAG, jws_digest

SKEW: Final = timedelta(seconds=60)


def check_sequence(evidence: Evidence) -> Iterator[Finding]:
    """SEQ_GAP, PREV_MISMATCH, CASE_MISMATCH, TIME_ORDER."""
    if not CASE_TAG.fullmatch(evidence.case_tag):
        yield Finding(code=Code.MANIFEST, path=MANIFEST, detail="no case tag of the right form")
    if not evidence.events:
        yield Finding(code=Code.SEQ_GAP, detail="the package holds no event")
    before: EventRecord | None = None
    for expected, event in enumerate(evidence.events):
        yield from _check_place(event, expected, before)
        if event.jws is not None and event.binding.get("case") != evidence.case_tag:
            yield _finding(event, Code.CASE_MISMATCH, "an event of another case")
        before = event
    if before is not None and _is_later(_time(before), _text(evidence.manifest.get("created"))):
        yield _finding(before, Code.TIME_ORDER, "signed later than the package says it was made")


def _check_place(event: EventRecord, expected: int, before: EventRecord | None) -> Iterator[Finding]:
    if event.seq != expected:
        yield _finding(event, Code.SEQ_GAP, "events before this one are missing")
    if event.jws is None:
        return
    if event.binding.get("seq") != event.seq:
        yield _finding(event, Code.SEQ_GAP, "signed under another number than its file's")
    # Without an event before it, only the first may have no predecessor.
    known = None if before is None or not before.compact else jws_digest(before.compact)
    if event.binding.get("prev") != known:
        yield _finding(event, Code.PREV_MISMATCH, "does not follow the event before it")
    if before is not None and _time(event) < _time(before):
        yield _finding(event, Code.TIME_ORDER, "signed earlier than the event before it")


def _time(event: EventRecord) -> str:
    """`sigT`; whole seconds in UTC order as text. Empty when unreadable, which the signature check reports."""
    return "" if event.jws is None else _text(event.jws.header.get("sigT"))


def _is_later(signed: str, made: str) -> bool:
    """Whether a signature is dated after the package, beyond what two clocks of one site may differ."""
    try:
        return read_instant(signed) - read_instant(made) > SKEW
    except ValueError:
        return False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _finding(event: EventRecord, code: Code, detail: str) -> Finding:
    return Finding(code=code, seq=event.seq, path=event.path, detail=detail)
