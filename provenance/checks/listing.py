"""Is everything that is listed here, nothing else, and is each file what its name says?"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography import x509

from provenance.anchors import read_instant
from provenance.canonical import digest_hex
from provenance.certificates import Purpose, x5t
from provenance.codes import Code
from provenance.errors import JwsError
from provenance.evidence import Evidence
from provenance.jws import DetachedJws, fits, read_detached
from provenance.package import FORMAT, LAYOUT, MANIFEST, MANIFEST_JWS
from provenance.report import Finding
from provenance.trust import Trust

_MEMBERS = frozenset({"v", "format", "case", "tenant", "created", "counts", "files"})


def check_listing(evidence: Evidence) -> Iterator[Finding]:
    """MANIFEST, MISSING_FILE, EXTRA_FILE, CONTENT_DIGEST."""
    listed = _listed(evidence.manifest)
    if listed is None:
        yield Finding(code=Code.MANIFEST, path=MANIFEST, detail="missing, or not a list of files of this form")
        listed = {}
    for path, row in listed.items():
        yield from _check_file(path, row, evidence.files.get(path))
    for path in evidence.files.keys() - {MANIFEST, MANIFEST_JWS}:
        if path not in listed:
            yield Finding(code=Code.EXTRA_FILE, path=path, detail="not in the list of files")
        elif not LAYOUT.fullmatch(path):
            yield Finding(code=Code.EXTRA_FILE, path=path, detail="not a place that a package has")
        yield from _check_name(path, evidence.files[path])
    yield from _check_counts(evidence)


def check_manifest_signature(evidence: Evidence, trust: Trust) -> Iterator[Finding]:
    """MANIFEST for a missing or wrong signature, and whatever speaks against its signer."""
    body, signed = evidence.files.get(MANIFEST), evidence.files.get(MANIFEST_JWS)
    if body is None or signed is None:
        yield Finding(code=Code.MANIFEST, path=MANIFEST_JWS, detail="the list of files is not signed")
        return
    try:
        jws, chain = read_manifest_jws(signed)
        at = read_instant(jws.header["sigT"])
        key = x509.load_der_x509_certificate(chain[0]).public_key()
    except (JwsError, ValueError, KeyError, TypeError) as error:
        detail = str(error) if isinstance(error, JwsError) else "its header cannot be used"
        yield Finding(code=Code.MANIFEST, path=MANIFEST_JWS, detail=detail)
        return
    if not fits(jws, body, key):
        yield Finding(code=Code.MANIFEST, path=MANIFEST_JWS, detail="the signature does not fit the list of files")
    if jws.header["sigT"] != evidence.manifest.get("created"):
        yield Finding(code=Code.MANIFEST, path=MANIFEST_JWS, detail="signed at another time than stated")
    if evidence.tenant is None:
        return
    doubts, _ = trust.doubts(chain, (Purpose.SEAL,), evidence.tenant, jws.alg, at)
    yield from (Finding(code=code, path=MANIFEST_JWS, detail=detail) for code, detail in doubts)


def read_manifest_jws(signed: bytes) -> tuple[DetachedJws, list[bytes]]:
    """The manifest's signature and the chain in its header. Errors: JwsError."""
    try:
        jws = read_detached(signed.decode("ascii"))
    except UnicodeDecodeError as error:
        raise JwsError(Code.MANIFEST, "not a JWS") from error
    if jws.header.get("typ") != FORMAT:
        raise JwsError(Code.MANIFEST, "a signature made for something else")
    return jws, read_x5c(jws.header)


def read_x5c(header: Mapping[str, Any]) -> list[bytes]:
    """DER certificates of `x5c`, leaf first; standard base64, canonical. Errors: JwsError HEADER_POLICY."""
    chain = header.get("x5c")
    if not isinstance(chain, list) or not 1 <= len(chain) <= 5:
        raise JwsError(Code.HEADER_POLICY, "x5c is not a list of certificates")
    try:
        ders = [base64.b64decode(item, validate=True) for item in chain]
    except (TypeError, ValueError, binascii.Error) as error:
        raise JwsError(Code.HEADER_POLICY, "x5c is not base64") from error
    if [base64.b64encode(der).decode() for der in ders] != chain:
        raise JwsError(Code.HEADER_POLICY, "x5c is not canonical base64")
    return ders


def _listed(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]] | None:
    """Path → row of a manifest of our form; None for any other."""
    rows = manifest.get("files")
    if manifest.get("v") != 1 or manifest.get("format") != FORMAT or not isinstance(rows, list):
        return None
    if not manifest.keys() <= _MEMBERS or not all(isinstance(row, dict) for row in rows):
        return None
    if not all(isinstance(row.get("path"), str) and isinstance(row.get("sha256"), str) for row in rows):
        return None
    listed = {row["path"]: row for row in rows}
    return listed if len(listed) == len(rows) else None


def _check_file(path: str, row: Mapping[str, Any], body: bytes | None) -> Iterator[Finding]:
    if body is None:
        yield Finding(code=Code.MISSING_FILE, path=path, detail="listed, but not in the package")
    elif digest_hex(body) != row["sha256"] or len(body) != row.get("size"):
        yield Finding(code=Code.CONTENT_DIGEST, path=path, detail="differs from the list of files")


def _check_name(path: str, body: bytes) -> Iterator[Finding]:
    folder, _, name = path.rpartition("/")
    if folder == "objects/sha256" and digest_hex(body) != name:
        yield Finding(code=Code.CONTENT_DIGEST, path=path, detail="its bytes have another digest than its name")
    elif folder == "certs" and f"{x5t(body)}.der" != name:
        yield Finding(
            code=Code.CONTENT_DIGEST, path=path, detail="the certificate has another thumbprint than its name"
        )


def _check_counts(evidence: Evidence) -> Iterator[Finding]:
    stated = evidence.manifest.get("counts")
    objects = sum(1 for path in evidence.files if path.startswith("objects/"))
    if stated != {"events": len(evidence.events), "objects": objects}:
        yield Finding(code=Code.MANIFEST, path=MANIFEST, detail="another number of events or objects than stated")
