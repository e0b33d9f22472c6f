"""Does each event's signature fit its targets, its Provenance and its signer?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from cryptography import x509

from provenance.activities import SIGNATURE_TYPES, VERIFICATION
from provenance.anchors import Anchor, read_instant
from provenance.canonical import digest, jcs, ni_uri, read_ni, unb64u
from provenance.certificates import Purpose
from provenance.codes import Code
from provenance.errors import StrictJsonError
from provenance.evidence import EventRecord, Evidence, TargetRecord
from provenance.fhir_signature import commitments, signature_types
from provenance.identifiers import Identifier
from provenance.jws import fits
from provenance.report import Finding
from provenance.statement import payload_of, provenance_digest
from provenance.trust import Trust
from provenance.urls import BINDING, CANONICAL_JSON, EVENT_TARGET_FORMAT, JOSE_FORMAT

_HEADER: Final = frozenset({"alg", "canon", "sigT", "srCms", "typ", "x5t#S256", BINDING})
_BINDING: Final = frozenset({"v", "case", "seq", "prev", "pd", "raw"})
_ORGANIZATION: Final = "Organization"
_PERSON: Final = "PractitionerRole"
_MOST_ISSUERS: Final = 8
_SIGNATURE: Final = frozenset({"type", "when", "who", "targetFormat", "sigFormat", "data"})


def check_event(evidence: Evidence, event: EventRecord, trust: Trust) -> Iterator[Finding]:
    """STRICT_JSON, HEADER_POLICY, digests, SIG_INVALID, PROVENANCE_DIGEST and everything about the signer."""
    if event.provenance is None:
        yield _finding(event, Code.STRICT_JSON, event.trouble)
        return
    if event.jws is None:
        yield _finding(event, Code.HEADER_POLICY, event.jws_trouble)
        return
    policy = list(_header_doubts(event))
    yield from (_finding(event, Code.HEADER_POLICY, detail) for detail in policy)
    yield from _check_provenance(event)
    if not _is_bound(event):
        return
    parts, findings = _targets(evidence, event)
    yield from findings
    yield from _check_signer(evidence, event, trust, parts)


def signer_of(event: EventRecord) -> Identifier | None:
    """The identifier that the signature claims."""
    who = event.signature.get("who")
    return Identifier.read(who.get("identifier")) if isinstance(who, dict) else None


def is_signed_by_person(event: EventRecord) -> bool:
    """Whether the signature claims to be by a person's own key (mode P) and not the organization's (mode E)."""
    who = event.signature.get("who")
    return isinstance(who, dict) and who.get("type") == _PERSON


def _header_doubts(event: EventRecord) -> Iterator[str]:
    header, signature = event.jws.header if event.jws else {}, event.signature
    if header.keys() != _HEADER or not _is_bound(event):
        yield "a header with other members than those of an event"
    if header.get("canon") != CANONICAL_JSON or header.get("typ") != "JOSE":
        yield "another canonicalization or type"
    if event.jws is not None and not _is_canonical(event.jws.header_bytes):
        yield "a header that is not canonical"
    if signature.keys() != _SIGNATURE or signature.get("sigFormat") != JOSE_FORMAT:
        yield "a Signature with other members or another format"
    if signature.get("targetFormat") != EVENT_TARGET_FORMAT:
        yield "another target format"
    if header.get("sigT") != signature.get("when") or header.get("sigT") != (event.provenance or {}).get("recorded"):
        yield "sigT, Signature.when and recorded are not one instant"
    if not _is_instant(header.get("sigT")):
        yield "sigT is not a whole second in UTC"
    if not _purposes_agree(header, signature):
        yield "the purposes of header and Signature differ"
    if not _is_plain_who(signature.get("who")):
        yield "Signature.who has other members than type and identifier"


def _is_bound(event: EventRecord) -> bool:
    """Whether the private header member is complete and fits the number of targets."""
    binding = event.binding
    raw = binding.get("raw")
    return (
        binding.keys() == _BINDING
        and binding["v"] == 1
        and type(binding["seq"]) is int
        and isinstance(binding["case"], str)
        and isinstance(binding["pd"], str)
        and (binding["prev"] is None or isinstance(binding["prev"], str))
        and isinstance(raw, list)
        and len(raw) == len(event.targets) > 0
        and all(_sha256(item) is not None for item in raw)
    )


def _check_provenance(event: EventRecord) -> Iterator[Finding]:
    try:
        actual = provenance_digest(event.provenance or {})
    except StrictJsonError:
        actual = ""
    if actual != event.binding.get("pd"):
        yield _finding(event, Code.PROVENANCE_DIGEST, "the Provenance is another than the one that was signed")


def _targets(evidence: Evidence, event: EventRecord) -> tuple[list[bytes] | None, list[Finding]]:
    """The payload's parts, None where one cannot be had; and what is wrong with the targets."""
    parts: list[bytes] = []
    findings: list[Finding] = []
    for n, (target, raw) in enumerate(zip(event.targets, event.binding["raw"], strict=True)):
        part, found = _target(evidence, target, _sha256(raw) or b"")
        findings += [_finding(event, code, detail, f"{event.path}#target[{n}]") for code, detail in found]
        if part is not None:
            parts.append(part)
    return (parts if len(parts) == len(event.targets) else None), findings


def _target(evidence: Evidence, target: TargetRecord, raw: bytes) -> tuple[bytes | None, list[tuple[Code, str]]]:
    body = evidence.content(raw.hex())
    if target.is_body:
        found = [] if target.ni == ni_uri(raw) else [(Code.CONTENT_DIGEST, "named by another digest than signed")]
        missing = [] if body is not None else [(Code.MISSING_FILE, "the bytes of a target are not in the package")]
        return f'"{target.ni}"'.encode(), found + missing
    if body is None:
        return None, [(Code.MISSING_FILE, "the bytes of a target are not in the package")]
    try:
        canonical = evidence.canonical(raw.hex(), body)[1]
    except StrictJsonError as error:
        return None, [(Code.STRICT_JSON, f"a target: {error}")]
    agrees = read_ni(target.ni) == digest(canonical)
    return canonical, [] if agrees else [(Code.JCS_DIGEST, "the resource is another than the one named")]


def _check_signer(
    evidence: Evidence, event: EventRecord, trust: Trust, parts: Sequence[bytes] | None
) -> Iterator[Finding]:
    jws, who = event.jws, signer_of(event)
    if jws is None:
        return
    der = evidence.files.get(f"certs/{jws.header.get('x5t#S256')}.der")
    if der is None:
        yield _finding(event, Code.MISSING_FILE, "the signer's certificate is not in the package")
        return
    if parts is not None and not _fits(event, parts, der):
        yield _finding(event, Code.SIG_INVALID, "the signature does not fit targets and header")
    if who is None:
        yield _finding(event, Code.SAN_MISMATCH, "the signature names no signer by identifier")
        return
    if who not in _acting(event.provenance or {}):
        yield _finding(event, Code.SIGNER_NOT_AGENT, "the signer is no agent of the event")
    if not _is_instant(jws.header.get("sigT")):
        return
    at = read_instant(jws.header["sigT"])
    doubts, anchor = trust.doubts((der, *_issuers(evidence, der)), (Purpose.EVENT, Purpose.PERSON), who, jws.alg, at)
    yield from (_finding(event, code, detail) for code, detail in doubts)
    yield from _check_tenant(evidence, event, who, anchor)


def _check_tenant(evidence: Evidence, event: EventRecord, who: Identifier, anchor: Anchor | None) -> Iterator[Finding]:
    claims_person = is_signed_by_person(event)
    is_person = claims_person if anchor is None else anchor.purpose is Purpose.PERSON
    if is_person != claims_person:
        yield _finding(event, Code.KEY_PURPOSE, "a person's key for an organization, or the reverse")
    if not is_person and who != evidence.tenant:
        yield _finding(event, Code.TENANT_MISMATCH, "signed by another organization than the package's")
    if anchor is not None and anchor.tenant not in (None, evidence.tenant):
        yield _finding(event, Code.TENANT_MISMATCH, "the anchor belongs to another organization than the package")


def _issuers(evidence: Evidence, leaf: bytes) -> Iterator[bytes]:
    """Other certificates of the package, which may lead from a person's leaf to an anchor."""
    return islice((der for der in evidence.certificates() if der != leaf), _MOST_ISSUERS)


def _fits(event: EventRecord, parts: Sequence[bytes], der: bytes) -> bool:
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except ValueError:
        return False
    return event.jws is not None and fits(event.jws, payload_of(parts), key)


def _acting(provenance: Mapping[str, Any]) -> set[Identifier]:
    """Identifiers of every agent and of everybody an agent acts for; contained people count."""
    contained = {f"#{item.get('id')}": item for item in _rows(provenance.get("contained"))}
    found: set[Identifier] = set()
    for agent in _rows(provenance.get("agent")):
        for reference in (agent.get("who"), agent.get("onBehalfOf")):
            if isinstance(reference, dict):
                found.update(_named(reference, contained.get(str(reference.get("reference")), {})))
    return found


def _named(reference: Mapping[str, Any], resource: Mapping[str, Any]) -> Iterator[Identifier]:
    practitioner = resource.get("practitioner")
    inside = [practitioner.get("identifier")] if isinstance(practitioner, dict) else []
    for value in [reference.get("identifier"), *_rows(resource.get("identifier")), *inside]:
        identifier = Identifier.read(value)
        if identifier is not None:
            yield identifier


def _purposes_agree(header: Mapping[str, Any], signature: Mapping[str, Any]) -> bool:
    codes = [str(row.get("code")) for row in _rows(signature.get("type"))]
    if VERIFICATION not in codes or not all(code in SIGNATURE_TYPES for code in codes):
        return False
    return signature["type"] == signature_types(codes) and header.get("srCms") == commitments(codes)


def _is_plain_who(who: Any) -> bool:
    """`Signature.who` is in no signature, so it may say nothing beyond what the certificate confirms."""
    if not isinstance(who, dict) or who.keys() != {"type", "identifier"}:
        return False
    if who["type"] not in (_ORGANIZATION, _PERSON):
        return False
    return isinstance(who["identifier"], dict) and who["identifier"].keys() == {"system", "value"}


def _is_canonical(header: bytes) -> bool:
    try:
        return jcs(header) == header
    except StrictJsonError:
        return False


def _is_instant(text: Any) -> bool:
    if not isinstance(text, str) or len(text) != 20 or not text.endswith("Z") or text[10] != "T":
        return False
    try:
        read_instant(text)
    except ValueError:
        return False
    return True


def _sha256(text: Any) -> bytes | None:
    try:
        value = unb64u(text) if isinstance(text, str) else b""
    except ValueError:
        return None
    return value if len(value) == 32 else None


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _finding(event: EventRecord, code: Code, detail: str, path: str = "") -> Finding:
    return Finding(code=code, seq=event.seq, path=path or event.path, detail=detail)
