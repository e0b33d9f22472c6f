"""Is the document's own signature that of the organization, over this document?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryptography import x509

from provenance.anchors import read_instant
from provenance.canonical import parse_strict
from provenance.certificates import Purpose
from provenance.checks.listing import read_x5c
from provenance.codes import Code
from provenance.document import document_payload, signature_jws
from provenance.errors import JwsError, StrictJsonError
from provenance.identifiers import Identifier
from provenance.jws import DetachedJws, fits, read_detached
from provenance.package import DOCUMENT, FORMAT
from provenance.report import Finding, Seal
from provenance.trust import Doubt, Trust
from provenance.urls import DOCUMENT_TARGET_FORMAT, JOSE_FORMAT, SIGNATURE_TYPE

_MEMBERS: Final = frozenset({"id", "extension", "type", "when", "who", "targetFormat", "sigFormat", "data"})
_URN_OID: Final = "urn:oid:"


def check_document(body: bytes, trust: Trust, tenant: Identifier | None) -> tuple[list[Finding], Seal | None]:
    """BUNDLE_SIG, STRICT_JSON, HEADER_POLICY and everything about the signer; and the seal for the report.

    `tenant` is the organization expected to have sealed it; None accepts any that the anchors vouch for.
    """
    try:
        bundle = parse_strict(body)
    except StrictJsonError as error:
        return [_finding(Code.STRICT_JSON, str(error))], None
    signature = bundle.get("signature") if isinstance(bundle, dict) else None
    if not isinstance(signature, dict):
        return [_finding(Code.BUNDLE_SIG, "the document is not signed")], None
    try:
        jws = read_detached(signature_jws(signature))
        chain = read_x5c(jws.header)
        leaf = x509.load_der_x509_certificate(chain[0])
    except JwsError as error:
        return [_finding(error.code, str(error))], None
    except ValueError:
        return [_finding(Code.HEADER_POLICY, "x5c does not hold certificates")], None
    findings = [_finding(code, detail) for code, detail in _doubts(bundle, signature, jws, chain, leaf, trust, tenant)]
    return findings, _seal(signature, jws, leaf, findings)


def _doubts(
    bundle: Mapping[str, Any],
    signature: Mapping[str, Any],
    jws: DetachedJws,
    chain: list[bytes],
    leaf: x509.Certificate,
    trust: Trust,
    tenant: Identifier | None,
) -> Iterator[Doubt]:
    for detail in _form_doubts(signature, jws):
        yield Code.HEADER_POLICY, detail
    try:
        if not fits(jws, document_payload(bundle), leaf.public_key()):
            yield Code.BUNDLE_SIG, "the signature does not fit the document"
    except StrictJsonError as error:
        yield Code.STRICT_JSON, str(error)
    who = _who(signature)
    if who is None:
        yield Code.SAN_MISMATCH, "the signature names no signer by identifier"
        return
    if tenant is not None and who != tenant:
        yield Code.TENANT_MISMATCH, "sealed by another organization than the package's"
    try:
        at = read_instant(jws.header["sigT"])
    except (KeyError, TypeError, ValueError):
        return
    yield from trust.doubts(chain, (Purpose.SEAL,), who, jws.alg, at)[0]


def _form_doubts(signature: Mapping[str, Any], jws: DetachedJws) -> Iterator[str]:
    if jws.header.get("typ") == FORMAT:
        yield "a signature made for a list of files"
    if signature.get("targetFormat") != DOCUMENT_TARGET_FORMAT or signature.get("sigFormat") != JOSE_FORMAT:
        yield "another target format or signature format"
    if not signature.keys() <= _MEMBERS:
        yield "a Signature with members that this profile does not have"
    if jws.header.get("sigT") != signature.get("when") or not isinstance(signature.get("when"), str):
        yield "sigT is not Signature.when"
    elif not _is_instant(signature["when"]):
        yield "sigT is not an instant"
    if _purposes(jws.header) != _types(signature) or not _types(signature):
        yield "the purposes of header and Signature differ"


def _purposes(header: Mapping[str, Any]) -> set[str]:
    rows = header.get("srCms")
    commitments = [row.get("commId") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    ids = [commitment.get("id") for commitment in commitments if isinstance(commitment, dict)]
    return {item.removeprefix(_URN_OID) for item in ids if isinstance(item, str)}


def _types(signature: Mapping[str, Any]) -> set[str]:
    rows = signature.get("type")
    codings = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(row.get("code")) for row in codings if row.get("system") == SIGNATURE_TYPE}


def _who(signature: Mapping[str, Any]) -> Identifier | None:
    who = signature.get("who")
    return Identifier.read(who.get("identifier")) if isinstance(who, dict) else None


def _is_instant(text: str) -> bool:
    try:
        read_instant(text)
    except ValueError:
        return False
    return True


def _seal(signature: Mapping[str, Any], jws: DetachedJws, leaf: x509.Certificate, findings: list[Finding]) -> Seal:
    who = _who(signature)
    codes = dict.fromkeys(finding.code.value for finding in findings)
    return Seal(
        signer="" if who is None else f"{who.system}|{who.value}",
        subject=leaf.subject.rfc4514_string(),
        alg=jws.alg,
        signed_at=str(jws.header.get("sigT", "")),
        result=", ".join(codes) or "ok",
    )


def _finding(code: Code, detail: str) -> Finding:
    return Finding(code=code, path=DOCUMENT, detail=detail)
