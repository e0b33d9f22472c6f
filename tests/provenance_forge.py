"""Tools of an attacker: change one thing in a clean package and put everything around it right again.

`relist` is an insider with the sealing key, who also corrects the list of files. `forge` signs a changed
statement with whatever key is given, and `rechain` signs all later ones again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from provenance.archive import read_archive, write_archive
from provenance.canonical import b64u, digest, digest_hex, jcs, ni_uri, parse_strict, unb64u
from provenance.certificates import Purpose, issue_leaf, make_key, x5t
from provenance.document import signature_jws
from provenance.jws import Signer, read_detached, sign_detached
from provenance.keys import KeyRing, LocalSigner
from provenance.package import MANIFEST, MANIFEST_JWS, PackageContents, build_manifest
from provenance.statement import jws_digest, payload_of, provenance_digest
from provenance.urls import BINDING
from tests.provenance_case import START, build_case, clean_case, clean_package, key_ring

Files = dict[str, bytes]
Change = Callable[[dict[str, Any]], Any]


def clean_files() -> Files:
    """The files of the clean package; a copy to change."""
    return read_archive(clean_package())


def event_path(seq: int) -> str:
    return f"events/{seq:06d}.json"


def edit(files: Files, path: str, change: Change) -> Files:
    """One JSON file with a change made to its value."""
    value = json.loads(files[path])
    change(value)
    return {**files, path: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()}


def swap(files: Files, path: str, old: bytes, new: bytes) -> Files:
    """One file with bytes replaced in place."""
    assert old in files[path]
    return {**files, path: files[path].replace(old, new)}


def relist(files: Files, ring: KeyRing | None = None) -> bytes:
    """A package whose list of files is right and signed: what remains wrong is inside."""
    ring = ring or key_ring()
    inner = {path: body for path, body in files.items() if path not in (MANIFEST, MANIFEST_JWS)}
    manifest = parse_strict(files[MANIFEST])
    contents = PackageContents(
        case_tag=manifest["case"],
        tenant=ring.tenant,
        tenant_name=ring.tenant_name,
        events=[body for path, body in inner.items() if path.startswith("events/")],
        objects={path: body for path, body in inner.items() if path.startswith("objects/")},
    )
    listed = build_manifest(contents, inner, clean_case().now)
    signer = ring.signer("seal")
    chain = [base64.b64encode(der).decode() for der in signer.chain]
    header = {"typ": "pa-evidence", "sigT": parse_strict(listed)["created"], "x5c": chain}
    return write_archive({**inner, MANIFEST: listed, MANIFEST_JWS: sign_detached(header, listed, signer).encode()})


def event_of(files: Files, seq: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Provenance, header and compact JWS of an event."""
    provenance = json.loads(files[event_path(seq)])
    compact = signature_jws(provenance["signature"][0])
    return provenance, dict(read_detached(compact).header), compact


def forge(
    files: Files,
    seq: int,
    *,
    signer: Signer | None = None,
    provenance: Change = lambda value: None,
    header: Change = lambda value: None,
    signature: Change = lambda value: None,
    rebind: bool = True,
) -> Files:
    """One event changed and signed again; `rebind` also puts its own digest right."""
    signer = signer or key_ring().signer("event")
    resource, protected, _ = event_of(files, seq)
    element = resource.pop("signature")[0]
    provenance(resource)
    if rebind:
        protected[BINDING]["pd"] = provenance_digest(resource)
    protected["x5t#S256"] = signer.x5t
    header(protected)
    parts = [
        _part(files, target, raw) for target, raw in zip(resource["target"], protected[BINDING]["raw"], strict=True)
    ]
    jws = sign_detached(protected, payload_of(parts), signer)
    element["data"] = base64.b64encode(jws.encode()).decode()
    element["when"] = protected["sigT"]
    signature(element)
    resource["signature"] = [element]
    body = json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
    return {**files, event_path(seq): body, f"certs/{signer.x5t}.der": signer.chain[0]}


def rechain(files: Files, first: int, signer: Signer | None = None) -> Files:
    """Every event from `first` on signed again, each after the one before it."""
    last = max(int(path[7:13]) for path in files if path.startswith("events/"))
    for seq in range(first, last + 1):
        before = jws_digest(event_of(files, seq - 1)[2])

        def follow(header: dict[str, Any], before: str = before) -> None:
            header[BINDING]["prev"] = before

        files = forge(files, seq, header=follow, signer=signer)
    return files


def retarget(files: Files, seq: int, n: int, raw: bytes) -> Files:
    """Another resource as a target of an event, digests put right; not yet signed (call `forge` or `rechain`)."""
    resource, protected, _ = event_of(files, seq)
    name = digest_hex(raw)
    files = {**files, f"objects/sha256/{name}": raw}

    def point(value: dict[str, Any]) -> None:
        value["target"][n]["identifier"]["value"] = ni_uri(digest(jcs(raw)))

    def bind(header: dict[str, Any]) -> None:
        header[BINDING]["raw"][n] = b64u(digest(raw))

    assert resource["target"][n] is not None
    assert protected
    return forge(files, seq, provenance=point, header=bind)


def leaf_signer(
    purpose: Purpose,
    ring: KeyRing | None = None,
    *,
    uses: Sequence[x509.ObjectIdentifier] = (),
    key: ec.EllipticCurvePrivateKey | None = None,
) -> LocalSigner:
    """A signer with a certificate of the ring's own authority, with extended key usages where given."""
    ring = ring or key_ring()
    issuer_key, issuer = ring._authority(Purpose.EVENT if purpose is Purpose.PERSON else purpose)
    key = key or ec.generate_private_key(ec.SECP256R1())
    plain = issue_leaf(purpose, "Somebody", ring.tenant, key, (issuer_key, issuer), START)
    builder = x509.CertificateBuilder().subject_name(plain.subject).issuer_name(plain.issuer)
    builder = builder.public_key(plain.public_key()).serial_number(plain.serial_number)
    builder = builder.not_valid_before(plain.not_valid_before_utc).not_valid_after(plain.not_valid_after_utc)
    for extension in plain.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=True)
    return signer_of(key, builder.sign(issuer_key, hashes.SHA256()), purpose)


def self_signed(ring: KeyRing | None = None) -> LocalSigner:
    """A signer that vouches for itself, with the tenant's names in its certificate."""
    ring = ring or key_ring()
    key = make_key(Purpose.EVENT)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    genuine = x509.load_der_x509_certificate(ring.signer("event").chain[0])
    fake = issue_leaf(Purpose.EVENT, "Example Clinic", ring.tenant, key, (key, genuine), START)
    return signer_of(key, fake, Purpose.EVENT)


def signer_of(key: Any, certificate: x509.Certificate, purpose: Purpose) -> LocalSigner:
    der = certificate.public_bytes(Encoding.DER)
    return LocalSigner(
        key=key,
        alg="ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256",
        x5t=x5t(der),
        chain=(der,),
        purpose=purpose,
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
    )


def other_case(case_tag: str = "BBECAwQFBgcICQoLDA0ODw") -> Files:
    """A second clean case of the same patient and organization."""
    return read_archive(build_case(case_tag=case_tag).package())


def _part(files: Files, target: dict[str, Any], raw: str) -> bytes:
    if target["type"] == "Binary":
        return json.dumps(target["identifier"]["value"]).encode()
    name = unb64u(raw).hex()
    body = files.get(f"objects/sha256/{name}") or next(b for b in files.values() if digest_hex(b) == name)
    return jcs(body)
