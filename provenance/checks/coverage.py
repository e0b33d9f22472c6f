"""Is everything that was sent accounted for by an event?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provenance.canonical import canonicalise, digest, digest_hex, ni_uri, unb64u
from provenance.codes import Code
from provenance.errors import StrictJsonError
from provenance.evidence import EventRecord, Evidence, read_target
from provenance.package import DOCUMENT, SUBMISSION
from provenance.report import Count, Finding
from provenance.slices import EntrySlice, slice_entries
from provenance.statement import BODY_TYPE


def check_coverage(evidence: Evidence) -> tuple[list[Finding], Count]:
    """COVERAGE, and CONTENT_DIGEST for an entry that is spelled otherwise than received.

    The count is of the document's entries that an event accounts for, of all entries except Provenance.
    """
    raws = _raw_by_ni(evidence)
    entries = [_Entry.read(entry) for entry in _entries(evidence)]
    findings = [*_check_all_sent(evidence), *_check_entries(entries, raws)]
    rest = [entry for entry in entries if entry.kind != "Provenance"]
    return findings, Count(found=sum(1 for entry in rest if entry.ni in raws), of=len(rest))


class _Entry:
    """One entry of the document, read."""

    __slots__ = ("kind", "ni", "raw_hex", "slice", "value")

    def __init__(self, entry: EntrySlice, value: Mapping[str, Any], kind: str, ni: str) -> None:
        self.slice, self.value, self.kind, self.ni = entry, value, kind, ni
        self.raw_hex = digest_hex(entry.raw)

    @classmethod
    def read(cls, entry: EntrySlice) -> _Entry:
        try:
            value, canonical = canonicalise(entry.raw)
        except StrictJsonError:
            return cls(entry, {}, "", "")
        resource = value if isinstance(value, dict) else {}
        kind = str(resource.get("resourceType", ""))
        return cls(entry, resource, kind, ni_uri(digest(entry.raw if kind == BODY_TYPE else canonical)))


def _check_all_sent(evidence: Evidence) -> Iterator[Finding]:
    yield from _check_sent(evidence, DOCUMENT, "seal")
    yield from _check_sent(evidence, SUBMISSION, "submit")
    for path in sorted(evidence.files):
        if path.startswith("bundle/response-"):
            yield from _check_sent(evidence, path, "payer-response")


def _check_sent(evidence: Evidence, path: str, activity: str) -> Iterator[Finding]:
    """A Bundle that was sent or received is the target of an event of its activity, and the reverse."""
    body = evidence.files.get(path)
    events = [event for event in evidence.events if event.activity == activity]
    if body is None:
        if events and activity == "seal":
            yield Finding(
                code=Code.MISSING_FILE, seq=events[-1].seq, path=path, detail="sealed, but not in the package"
            )
        return
    name = digest_hex(body)
    if not any(name in raws_of(event) for event in events):
        yield Finding(code=Code.COVERAGE, path=path, detail=f"not the target of an event {activity}")


def _check_entries(entries: list[_Entry], raws: Mapping[str, set[str]]) -> Iterator[Finding]:
    inside = frozenset(name for entry in entries for name in _names(entry))
    for n, entry in enumerate(entries):
        path = f"{DOCUMENT}#entry[{n}]"
        if entry.kind == "Provenance":
            yield from _check_provenance_entry(path, entry.value, inside)
        elif entry.ni not in raws:
            yield Finding(code=Code.COVERAGE, path=path, detail="no event accounts for this entry")
        elif entry.raw_hex not in raws[entry.ni]:
            yield Finding(code=Code.CONTENT_DIGEST, path=path, detail="spelled otherwise than the event's target")


def _names(entry: _Entry) -> tuple[str, ...]:
    """What a Provenance may call an entry: its digest, its address, or the end of its address."""
    url = entry.slice.full_url
    return (entry.ni, url, "/".join(url.split("/")[-2:]))


def _check_provenance_entry(path: str, value: Mapping[str, Any], inside: frozenset[str]) -> Iterator[Finding]:
    """R4 admits to a document only Provenances about its entries, and never one about the document itself."""
    targets = value.get("target")
    read = [read_target(target) for target in targets] if isinstance(targets, list) else []
    if any(target.type == "Bundle" or target.reference.startswith("Bundle/") for target in read):
        yield Finding(code=Code.COVERAGE, path=path, detail="a Provenance inside the document that targets a Bundle")
    if not any(name and name in inside for target in read for name in (target.ni, target.base)):
        yield Finding(code=Code.COVERAGE, path=path, detail="a Provenance about none of the document's entries")


def _entries(evidence: Evidence) -> tuple[EntrySlice, ...]:
    try:
        return slice_entries(evidence.files.get(DOCUMENT, b"{}"))
    except StrictJsonError:
        return ()


def _raw_by_ni(evidence: Evidence) -> dict[str, set[str]]:
    """Content address of every target → hexadecimal digests of the exact bytes it was signed with."""
    raws: dict[str, set[str]] = {}
    for event in evidence.events:
        for target, raw in zip(event.targets, raws_of(event), strict=False):
            raws.setdefault(target.ni, set()).add(raw)
    return raws


def raws_of(event: EventRecord) -> list[str]:
    """Hexadecimal digests of the exact bytes of each target; empty text for one that is not a digest."""
    found = []
    for item in event.binding.get("raw", []):
        try:
            found.append(unb64u(item).hex())
        except (ValueError, TypeError, AttributeError):
            found.append("")
    return found
