"""Evidence packages: everything about one case, listed, digested and sealed, in one zip.

The list of files is signed with the sealing key under a type of its own, so it can never pass for the
signature of a document, nor the reverse. Source: spec/provenance.md §10.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from provenance.archive import Limits, read_archive, write_archive
from provenance.canonical import digest_hex, dump_plain
from provenance.certificates import x5t
from provenance.codes import Code
from provenance.errors import PackageError
from provenance.fhir_signature import instant
from provenance.identifiers import Identifier
from provenance.jws import Signer, sign_detached

FORMAT: Final = "pa-evidence"
"""`typ` of the manifest's signature and `format` of the manifest."""
MANIFEST: Final = "manifest.json"
MANIFEST_JWS: Final = "manifest.jws"
DOCUMENT: Final = "bundle/document.json"
SUBMISSION: Final = "bundle/submission.json"
LAYOUT: Final = re.compile(
    r"objects/sha256/[0-9a-f]{64}|events/[0-9]{6}\.json|bundle/(?:document|submission|response-[0-9]{3})\.json"
    r"|certs/[A-Za-z0-9_-]{43}\.der|revocation/[A-Za-z0-9._-]+\.(?:crl|ocsp)|log/[A-Za-z0-9._/-]+"
)
"""Every place that a package has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageContents:
    """What goes into a package."""

    case_tag: str
    """The case's random tag."""
    tenant: Identifier
    """The organization whose evidence it is."""
    events: Sequence[bytes]
    """Exact bytes of the statements, in order of their numbers."""
    objects: Mapping[str, bytes] = field(default_factory=dict)
    """Exact bytes by hexadecimal SHA-256: targets, inputs, external texts."""
    document: bytes | None = None
    """The sealed document as sent."""
    submission: bytes | None = None
    """The PAS request as sent."""
    responses: Sequence[bytes] = ()
    """The payer's answers as received, oldest first."""
    certificates: Sequence[bytes] = ()
    """DER of every certificate that the events name."""
    revocation: Mapping[str, bytes] = field(default_factory=dict)
    """Revocation lists (DER) by file name, e.g. `event.crl`."""
    tenant_name: str = ""
    """The organization's name, for the report's heading."""


def write_package(out: Path | BinaryIO, contents: PackageContents, *, signer: Signer, created_at: datetime) -> None:
    """Writes the package; `signer` is the sealing key, which signs the list of files.

    The same contents, key and instant give the same bytes (RS256 has no randomness).
    Errors: PackageError for an object under a wrong name or too much content.
    """
    files = _files(contents)
    manifest = build_manifest(contents, files, created_at)
    files[MANIFEST] = manifest
    files[MANIFEST_JWS] = _manifest_jws(manifest, signer, created_at).encode("ascii")
    archive = write_archive(files)
    if isinstance(out, Path):
        out.write_bytes(archive)
    else:
        out.write(archive)


def read_package(source: Path | bytes, limits: Limits | None = None) -> dict[str, bytes]:
    """The files of a package by name, with the rules of form checked; nothing is verified.

    Errors: PackageError; OSError where the path cannot be read.
    """
    return read_archive(read_source(source, limits), limits)


def read_source(source: Path | bytes, limits: Limits | None = None) -> bytes:
    """The package's bytes. Errors: PackageError PACKAGE_LIMIT; OSError where the path cannot be read."""
    if isinstance(source, bytes):
        return source
    if source.stat().st_size > (limits or Limits()).total_bytes:
        raise PackageError(Code.PACKAGE_LIMIT, "more bytes than permitted")
    return source.read_bytes()


def build_manifest(contents: PackageContents, files: Mapping[str, bytes], created_at: datetime) -> bytes:
    """manifest.json: whose case it is, how many things it holds, and every file with size and digest."""
    listed = [{"path": path, "sha256": digest_hex(files[path]), "size": len(files[path])} for path in sorted(files)]
    manifest: dict[str, Any] = {
        "v": 1,
        "format": FORMAT,
        "case": contents.case_tag,
        "tenant": {**contents.tenant.as_fhir(), **({"name": contents.tenant_name} if contents.tenant_name else {})},
        "created": instant(created_at),
        "counts": {"events": len(contents.events), "objects": sum(1 for path in files if path.startswith("objects/"))},
        "files": listed,
    }
    return dump_plain(manifest)


def _manifest_jws(manifest: bytes, signer: Signer, created_at: datetime) -> str:
    chain = [base64.b64encode(der).decode("ascii") for der in signer.chain]
    return sign_detached({"typ": FORMAT, "sigT": instant(created_at), "x5c": chain}, manifest, signer)


def _files(contents: PackageContents) -> dict[str, bytes]:
    files = {f"events/{seq:06d}.json": body for seq, body in enumerate(contents.events)}
    if contents.document is not None:
        files[DOCUMENT] = contents.document
    if contents.submission is not None:
        files[SUBMISSION] = contents.submission
    files.update({f"bundle/response-{n:03d}.json": body for n, body in enumerate(contents.responses)})
    # What has a place of its own is not stored a second time; the verifier finds it there by its digest.
    placed = {digest_hex(body) for path, body in files.items() if path.startswith("bundle/")}
    for name, body in contents.objects.items():
        if name != digest_hex(body):
            raise PackageError(Code.CONTENT_DIGEST, "an object under a name that is not its digest")
        if name not in placed:
            files[f"objects/sha256/{name}"] = body
    files.update({f"certs/{x5t(der)}.der": der for der in contents.certificates})
    files.update({f"revocation/{name}": der for name, der in contents.revocation.items()})
    return files
