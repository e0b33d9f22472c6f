"""Verification of an evidence package, offline: bytes, signatures, sequence, lineage, coverage, patient.

Nothing here trusts the package: it brings no anchors of its own, opens no connection, and what cannot be
told is said to be so. The order of the checks is the order of `verify_package`. Source: spec/provenance.md §10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from provenance.anchors import Anchors, read_anchors
from provenance.archive import Limits, read_archive
from provenance.canonical import digest_hex
from provenance.checks.coverage import check_coverage
from provenance.checks.lineage import check_lineage
from provenance.checks.listing import check_listing, check_manifest_signature
from provenance.checks.patient import check_patient, pseudonym
from provenance.checks.seal import check_document
from provenance.checks.sequence import check_sequence
from provenance.checks.signatures import check_event, is_signed_by_person, signer_of
from provenance.checks.timeproof import check_time_proof
from provenance.codes import Code
from provenance.errors import PackageError
from provenance.evidence import EventRecord, Evidence, read_evidence
from provenance.identifiers import Identifier
from provenance.package import DOCUMENT, read_source
from provenance.report import EventRow, Finding, Report, Seal, verdict_of
from provenance.trust import Trust


def verify_package(
    source: Path | bytes,
    anchors: bytes,
    *,
    expect_tenant: str | None = None,
    expect_patient: str | None = None,
    complete_until: datetime | None = None,
    revocation_lists: Sequence[bytes] = (),
    limits: Limits | None = None,
) -> Report:
    """The verdict on a package, and everything found.

    `source` is a path or the package's bytes; `anchors` the auditor's own anchors.json. `expect_tenant` is an
    NPI, an EIN or `SYSTEM|VALUE`; `expect_patient` is `SYSTEM|VALUE`. `complete_until` asks for a head not
    older than that. `revocation_lists` (DER) add to those in the package.
    Errors: AnchorsError; OSError where the path cannot be read. A bad package is a report, not an error.
    """
    trusted = read_anchors(anchors)
    body = b""
    try:
        body = read_source(source, limits)
        files = read_archive(body, limits)
    except PackageError as error:
        finding = Finding(code=error.code, path=error.path, detail=str(error))
        return _unopened(finding, trusted, digest_hex(body) if body else "")
    return verify_files(
        files,
        trusted,
        package_digest=digest_hex(body),
        expect_tenant=expect_tenant,
        expect_patient=expect_patient,
        complete_until=complete_until,
        revocation_lists=revocation_lists,
    )


def verify_files(
    files: dict[str, bytes],
    anchors: Anchors,
    *,
    package_digest: str = "",
    expect_tenant: str | None = None,
    expect_patient: str | None = None,
    complete_until: datetime | None = None,
    revocation_lists: Sequence[bytes] = (),
) -> Report:
    """As `verify_package`, over files that were read already."""
    evidence = read_evidence(files)
    trust = Trust(anchors=anchors, revocation_lists=_lists(files, revocation_lists))
    by_event = {event.seq: list(check_event(evidence, event, trust)) for event in evidence.events}
    sequence = list(check_sequence(evidence))
    seal_findings, seal = _seal(evidence, trust)
    coverage_findings, coverage = check_coverage(evidence)
    lineage_findings, lineage = check_lineage(evidence)
    findings = [
        *check_listing(evidence),
        *check_manifest_signature(evidence, trust),
        *_check_tenant(evidence, expect_tenant),
        *(finding for found in by_event.values() for finding in found),
        *sequence,
        *seal_findings,
        *coverage_findings,
        *lineage_findings,
        *check_patient(evidence, expect_patient),
        *check_time_proof(evidence),
        *_check_until(complete_until),
    ]
    report = _report(evidence, anchors, package_digest, _once(findings))
    rows = tuple(_row(event, findings_of) for event, findings_of in _by_event(evidence, findings))
    return replace(report, seal=seal, events=rows, coverage=coverage, lineage=lineage)


def verify_document(
    document: bytes, anchors: bytes, *, expect_signer: Identifier | None = None, revocation_lists: Sequence[bytes] = ()
) -> tuple[Finding, ...]:
    """Findings about the signature of a sealed document alone; empty when nothing speaks against it.

    `expect_signer` is the organization that must have sealed it; None accepts any the anchors vouch for.
    Errors: AnchorsError.
    """
    trust = Trust(anchors=read_anchors(anchors), revocation_lists=_lists({}, revocation_lists))
    return tuple(_once(check_document(document, trust, expect_signer)[0]))


def _seal(evidence: Evidence, trust: Trust) -> tuple[list[Finding], Seal | None]:
    body = evidence.files.get(DOCUMENT)
    return ([], None) if body is None else check_document(body, trust, evidence.tenant)


def _check_tenant(evidence: Evidence, expected: str | None) -> Iterator[Finding]:
    tenant = evidence.tenant
    if tenant is None:
        yield Finding(code=Code.TENANT_MISMATCH, path="manifest.json", detail="the package names no organization")
    elif expected is not None and not tenant.answers_to(expected):
        yield Finding(code=Code.TENANT_MISMATCH, path="manifest.json", detail="not the organization asked for")


def _check_until(complete_until: datetime | None) -> Iterator[Finding]:
    if complete_until is not None:
        yield Finding(code=Code.HEAD_STALE, path="log/", detail="no head as new as asked for")


def _lists(files: dict[str, bytes], more: Sequence[bytes]) -> list[x509.CertificateRevocationList]:
    """Revocation lists that can be read; an unreadable one proves nothing, which REVOCATION_UNKNOWN then says."""
    lists = []
    for der in [*(body for path, body in files.items() if path.startswith("revocation/")), *more]:
        try:
            lists.append(x509.load_der_x509_crl(der))
        except ValueError:
            continue
    return lists


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Each finding once; an open question about the signer's certificate is not repeated for every event."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for finding in findings:
        general = finding.code in (Code.REVOCATION_UNKNOWN, Code.CHAIN_UNTRUSTED)
        key = (finding.code, finding.detail) if general else (finding.code, finding.seq, finding.path, finding.detail)
        if key not in seen:
            seen.add(key)
            kept.append(finding)
    return kept


def _report(evidence: Evidence, anchors: Anchors, package_digest: str, findings: Sequence[Finding]) -> Report:
    verdict, codes = verdict_of(findings)
    manifest = evidence.manifest
    tenant = evidence.tenant
    name = manifest["tenant"].get("name") if tenant is not None else ""
    last = evidence.events[-1].activity if evidence.events else ""
    return Report(
        verdict=verdict,
        codes=codes,
        findings=tuple(findings),
        package_digest=package_digest,
        anchors_digest=anchors.digest,
        is_development=anchors.is_development,
        case_tag=evidence.case_tag,
        tenant="" if tenant is None else f"{tenant.system}|{tenant.value}",
        tenant_name=name if isinstance(name, str) else "",
        payer=_payer(evidence),
        patient=pseudonym(evidence),
        created_at=str(manifest.get("created", "")),
        head="none published, so nothing says as of when the case is complete",
        is_closed=last == "case-close",
    )


def _by_event(evidence: Evidence, findings: Sequence[Finding]) -> Iterator[tuple[EventRecord, list[Finding]]]:
    grouped: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.seq is not None:
            grouped.setdefault(finding.seq, []).append(finding)
    return ((event, grouped.get(event.seq, [])) for event in evidence.events)


def _row(event: EventRecord, findings: Sequence[Finding]) -> EventRow:
    codes = dict.fromkeys(finding.code.value for finding in findings)
    signer = signer_of(event)
    return EventRow(
        seq=event.seq,
        activity=event.activity,
        agents=tuple(_agents(event)),
        targets=tuple(target.type for target in event.targets),
        signed_at=str(event.jws.header.get("sigT", "")) if event.jws is not None else "",
        signer="" if signer is None else f"{signer.system}|{signer.value}",
        mode="P" if is_signed_by_person(event) else "E",
        result=", ".join(codes) or "ok",
    )


def _payer(evidence: Evidence) -> str:
    """Name of the last organization that authored something the gateway received from a payer."""
    name = ""
    for event in evidence.events:
        if event.activity in ("payer-need", "form-receive", "payer-response"):
            authors = [agent.removeprefix("author: ") for agent in _agents(event) if agent.startswith("author: ")]
            name = authors[-1] if authors else name
    return name


def _agents(event: EventRecord) -> Iterator[str]:
    agents = (event.provenance or {}).get("agent")
    for agent in agents if isinstance(agents, list) else []:
        try:
            who, role = agent["who"], agent["type"]["coding"][0]["code"]
            yield f"{role}: {who.get('display') or who.get('type') or 'unnamed'}"
        except (KeyError, IndexError, TypeError, AttributeError):
            yield "unreadable"


def _unopened(finding: Finding, anchors: Anchors, package_digest: str) -> Report:
    verdict, codes = verdict_of([finding])
    return Report(
        verdict=verdict,
        codes=codes,
        findings=(finding,),
        package_digest=package_digest,
        anchors_digest=anchors.digest,
        is_development=anchors.is_development,
        head="unknown",
    )
