"""Every attack of the threat list that needs no log, one mutated copy of a clean 26-event case per row.

Each row says what was changed and exactly which codes the verifier must answer with, beside the two that
only a log can settle. Source: spec/provenance.md §11.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance import NPI, DocumentEntry, KeyRing, digest_hex, seal_document, verify_package
from provenance.archive import read_archive, write_archive
from provenance.canonical import b64u, unb64u
from provenance.certificates import Purpose, issue_crl
from provenance.document import signature_jws
from provenance.jws import raw_ecdsa, sign_detached
from provenance.package import DOCUMENT, MANIFEST, MANIFEST_JWS, SUBMISSION
from provenance.urls import BINDING
from tests.provenance_case import (
    EHR,
    OTHER_TENANT,
    START,
    TENANT,
    anchors,
    build_case,
    clean_package,
    dump,
    key_ring,
    observation,
    patient,
    uuid,
)
from tests.provenance_forge import (
    Files,
    clean_files,
    edit,
    event_of,
    event_path,
    forge,
    leaf_signer,
    other_case,
    rechain,
    relist,
    retarget,
    self_signed,
    swap,
)

OPEN = {"HEAD_MISSING", "PROOF_MISSING"}
OBSERVED, ANSWERED, ATTESTED, ASSEMBLED, SEALED, SUBMITTED, LAST = 4, 16, 18, 19, 20, 22, 25
"""Numbers of events in the clean case."""
N_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def object_of(files: Files, seq: int, n: int = 0) -> str:
    """Path of a target's object."""
    raw = event_of(files, seq)[1][BINDING]["raw"][n]
    return f"objects/sha256/{unb64u(raw).hex()}"


def renamed(files: Files, path: str, body: bytes) -> Files:
    """An object replaced by another one under its own right name."""
    rest = {name: content for name, content in files.items() if name != path}
    return {**rest, f"objects/sha256/{digest_hex(body)}": body}


def without(files: Files, *paths: str) -> Files:
    return {path: body for path, body in files.items() if path not in paths}


def seal_header(files: Files, change: Callable[[dict[str, Any]], Any]) -> Files:
    """The header of the document's signature changed, its signature value kept."""

    def tamper(bundle: dict[str, Any]) -> None:
        protected, _, signature = signature_jws(bundle["signature"]).split(".")
        header = json.loads(unb64u(protected))
        change(header)
        jws = f"{b64u(json.dumps(header).encode())}..{signature}"
        bundle["signature"]["data"] = base64.b64encode(jws.encode()).decode()

    return edit(files, DOCUMENT, tamper)


def event_header(files: Files, change: Callable[[dict[str, Any]], str]) -> Files:
    """The text of the last event's header changed, its signature value kept."""

    def tamper(resource: dict[str, Any]) -> None:
        protected, _, signature = signature_jws(resource["signature"][0]).split(".")
        jws = f"{b64u(change(json.loads(unb64u(protected))).encode())}..{signature}"
        resource["signature"][0]["data"] = base64.b64encode(jws.encode()).decode()

    return edit(files, event_path(LAST), tamper)


def other_s(files: Files) -> Files:
    """An event's ECDSA signature (r, s) replaced by the equally valid (r, n - s)."""

    def flip(resource: dict[str, Any]) -> None:
        protected, _, signature = signature_jws(resource["signature"][0]).split(".")
        value = unb64u(signature)
        r, s = int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big")
        other = raw_ecdsa(encode_dss_signature(r, N_P256 - s), "ES256")
        assert decode_dss_signature(encode_dss_signature(r, N_P256 - s)) == (r, N_P256 - s)
        resource["signature"][0]["data"] = base64.b64encode(f"{protected}..{b64u(other)}".encode()).decode()

    return edit(files, event_path(OBSERVED), flip)


def padded(files: Files) -> Files:
    """The last base64url character of a signature changed within its unused bits."""

    def pad(resource: dict[str, Any]) -> None:
        jws = signature_jws(resource["signature"][0])
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        jws = jws[:-1] + alphabet[alphabet.index(jws[-1]) ^ 1]
        resource["signature"][0]["data"] = base64.b64encode(jws.encode()).decode()

    return edit(files, event_path(OBSERVED), pad)


def swap_events(files: Files, a: int, b: int) -> Files:
    return {**files, event_path(a): files[event_path(b)], event_path(b): files[event_path(a)]}


def drop_and_renumber(files: Files, seq: int) -> Files:
    kept = {path: body for path, body in files.items() if not path.startswith("events/")}
    bodies = [files[event_path(n)] for n in range(LAST + 1) if n != seq]
    return {**kept, **{event_path(n): body for n, body in enumerate(bodies)}}


def at(instant: str) -> Callable[[dict[str, Any]], None]:
    """`recorded` of a Provenance, or `sigT` of its header, moved to another instant."""

    def move(value: dict[str, Any]) -> None:
        value["recorded" if "recorded" in value else "sigT"] = instant

    return move


def in_provenance(change: Callable[[dict[str, Any]], Any]) -> Callable[[Files], Files]:
    return lambda files: edit(files, event_path(ANSWERED), change)


def in_signature(change: Callable[[dict[str, Any]], Any]) -> Callable[[Files], Files]:
    return lambda files: edit(files, event_path(ANSWERED), lambda resource: change(resource["signature"][0]))


def in_header(change: Callable[[dict[str, Any]], Any], seq: int = LAST) -> Callable[[Files], Files]:
    """The last event's header changed by somebody who holds the event key."""
    return lambda files: forge(files, seq, header=change)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    change: Callable[[Files], Files]
    codes: str
    """Codes that must be found beside those of OPEN, separated by spaces."""


DOCUMENT_CHANGED = "MISSING_FILE COVERAGE"
"""A document whose bytes changed is no longer the target of `seal`, and its old bytes are gone."""

ROWS = [
    # Bytes
    Row(
        name="value edited in an object",
        change=lambda f: swap(f, object_of(f, OBSERVED), b"91.50", b"19.50"),
        codes="CONTENT_DIGEST JCS_DIGEST SIG_INVALID",
    ),
    Row(
        name="value edited and the object renamed",
        change=lambda f: renamed(f, object_of(f, OBSERVED), observation(1, "19.50")),
        codes="MISSING_FILE",
    ),
    Row(
        name="status edited in the document",
        change=lambda f: swap(f, DOCUMENT, b'"final"', b'"draft"'),
        codes=f"BUNDLE_SIG {DOCUMENT_CHANGED}",
    ),
    Row(
        name="entry meta added in the document",
        change=lambda f: edit(f, DOCUMENT, lambda b: b["entry"][2]["resource"].update(meta={"versionId": "9"})),
        codes=f"BUNDLE_SIG {DOCUMENT_CHANGED} CONTENT_DIGEST",
    ),
    Row(
        name="91.50 becomes 91.5 in an object",
        change=lambda f: swap(f, object_of(f, OBSERVED), b"91.50", b"91.5"),
        codes="CONTENT_DIGEST",
    ),
    Row(
        name="91.50 becomes 91.5 in the document: its own signature still fits",
        change=lambda f: swap(f, DOCUMENT, b"91.50", b"91.5"),
        codes=f"CONTENT_DIGEST {DOCUMENT_CHANGED}",
    ),
    Row(
        name="digits past double precision",
        change=lambda f: swap(f, object_of(f, OBSERVED), b"91.50", b"91.500000000000000001"),
        codes="CONTENT_DIGEST STRICT_JSON",
    ),
    Row(
        name="number beyond double range",
        change=lambda f: swap(f, object_of(f, OBSERVED), b"91.50", b"1E999"),
        codes="CONTENT_DIGEST STRICT_JSON",
    ),
    Row(
        name="member given twice in an object",
        change=lambda f: swap(f, object_of(f, OBSERVED), b'"status":', b'"status": "amended", "status":'),
        codes="CONTENT_DIGEST STRICT_JSON",
    ),
    Row(
        name="member given twice in an event",
        change=lambda f: swap(f, event_path(LAST), b'"recorded":', b'"recorded":"2020-01-01T00:00:00Z","recorded":'),
        codes="STRICT_JSON",
    ),
    Row(
        name="member given twice in the document",
        change=lambda f: swap(f, DOCUMENT, b'"type":"document"', b'"type":"collection","type":"document"'),
        codes=f"STRICT_JSON {DOCUMENT_CHANGED}",
    ),
    Row(name="object removed", change=lambda f: without(f, object_of(f, OBSERVED)), codes="MISSING_FILE"),
    Row(name="scan removed", change=lambda f: without(f, object_of(f, 11)), codes="MISSING_FILE"),
    Row(
        name="scan replaced under its old name",
        change=lambda f: {**f, object_of(f, 11): b"%PDF-1.7 another scan"},
        codes="CONTENT_DIGEST",
    ),
    # The Provenance around the signature
    Row(
        name="agent edited",
        change=in_provenance(lambda p: p["agent"][1]["who"].update(display="Somebody else")),
        codes="PROVENANCE_DIGEST",
    ),
    Row(
        name="contained person edited",
        change=in_provenance(lambda p: p["contained"][1]["practitioner"].update(display="Somebody else")),
        codes="PROVENANCE_DIGEST",
    ),
    Row(
        name="recorded edited",
        change=in_provenance(lambda p: p.update(recorded="2026-10-31T12:00:00Z")),
        codes="PROVENANCE_DIGEST HEADER_POLICY",
    ),
    Row(
        name="occurred edited",
        change=in_provenance(lambda p: p.update(occurredDateTime="2020-01-01")),
        codes="PROVENANCE_DIGEST",
    ),
    Row(
        name="activity edited",
        change=in_provenance(lambda p: p["activity"]["coding"][0].update(code="ehr-extract")),
        codes="PROVENANCE_DIGEST",
    ),
    Row(name="entity removed", change=in_provenance(lambda p: p["entity"].pop()), codes="PROVENANCE_DIGEST"),
    Row(
        name="targetElement edited",
        change=in_provenance(lambda p: p["target"][0]["extension"][0].update(valueUri="a1")),
        codes="PROVENANCE_DIGEST",
    ),
    Row(
        name="target reference edited",
        change=in_provenance(lambda p: p["target"][0].update(reference=uuid(99))),
        codes="PROVENANCE_DIGEST",
    ),
    Row(
        name="narrative edited",
        change=in_provenance(lambda p: p["text"].update(div='<div xmlns="http://www.w3.org/1999/xhtml">x</div>')),
        codes="PROVENANCE_DIGEST",
    ),
    Row(name="policy added", change=in_provenance(lambda p: p.update(policy=["x"])), codes="PROVENANCE_DIGEST"),
    Row(
        name="unsigned claim added to Signature",
        change=in_signature(lambda s: s.update(onBehalfOf={"display": "Somebody"})),
        codes="HEADER_POLICY",
    ),
    Row(
        name="purpose of Signature edited",
        change=in_signature(lambda s: s["type"].append({**s["type"][0], "code": "1.2.840.10065.1.12.1.1"})),
        codes="HEADER_POLICY",
    ),
    Row(
        name="Signature.when edited",
        change=in_signature(lambda s: s.update(when="2026-10-31T12:00:00Z")),
        codes="HEADER_POLICY",
    ),
    Row(
        name="Signature.who says it was a person",
        change=in_signature(lambda s: s["who"].update(type="PractitionerRole")),
        codes="KEY_PURPOSE",
    ),
    Row(
        name="Signature.who shows another name",
        change=in_signature(lambda s: s["who"].update(display="Dr. Somebody")),
        codes="HEADER_POLICY",
    ),
    Row(
        name="Signature.who is another organization",
        change=in_signature(lambda s: s["who"]["identifier"].update(value=OTHER_TENANT.value)),
        codes="SIGNER_NOT_AGENT SAN_MISMATCH TENANT_MISMATCH",
    ),
    Row(
        name="signature removed",
        change=in_provenance(lambda p: p.pop("signature")),
        codes="HEADER_POLICY PREV_MISMATCH",
    ),
    Row(
        name="second signature added",
        change=in_provenance(lambda p: p["signature"].append(p["signature"][0])),
        codes="HEADER_POLICY PREV_MISMATCH",
    ),
    # Sequence
    Row(
        name="middle event dropped",
        change=lambda f: without(f, event_path(OBSERVED)),
        codes="SEQ_GAP PREV_MISMATCH LINEAGE COVERAGE",
    ),
    Row(
        name="middle event dropped, later ones renumbered",
        change=lambda f: drop_and_renumber(f, OBSERVED),
        codes="SEQ_GAP PREV_MISMATCH LINEAGE COVERAGE",
    ),
    Row(
        name="first event dropped",
        change=lambda f: without(f, event_path(0)),
        codes="SEQ_GAP PREV_MISMATCH",
    ),
    Row(
        name="two events change places",
        change=lambda f: swap_events(f, 5, 6),
        codes="SEQ_GAP PREV_MISMATCH TIME_ORDER",
    ),
    Row(
        name="event and its files from another case of the same patient",
        change=lambda f: {**f, event_path(OBSERVED): other_case()[event_path(OBSERVED)]},
        codes="CASE_MISMATCH PREV_MISMATCH",
    ),
    Row(
        name="whole case under another tag",
        change=lambda f: edit(f, MANIFEST, lambda m: m.update(case="BBECAwQFBgcICQoLDA0ODw")),
        codes="CASE_MISMATCH",
    ),
    Row(
        name="backdated by an insider who signs the rest again",
        change=lambda f: rechain(
            forge(f, 5, provenance=at("2026-11-01T11:30:00Z"), header=at("2026-11-01T11:30:00Z")), 6
        ),
        codes="TIME_ORDER",
    ),
    Row(
        name="dated after the package was made",
        change=lambda f: forge(f, LAST, provenance=at("2026-11-02T12:00:00Z"), header=at("2026-11-02T12:00:00Z")),
        codes="TIME_ORDER",
    ),
    Row(
        name="no events at all",
        change=lambda f: {p: b for p, b in f.items() if not p.startswith("events/")},
        codes="SEQ_GAP COVERAGE",
    ),
    # Signers
    Row(
        name="signer replaced by one that vouches for itself",
        change=lambda f: forge(f, OBSERVED, signer=self_signed()),
        codes="CHAIN_UNTRUSTED PREV_MISMATCH",
    ),
    Row(
        name="signed again with the valid certificate of another organization",
        change=lambda f: forge(
            f,
            LAST,
            signer=key_ring(OTHER_TENANT.value).signer("event"),
            signature=lambda s: s["who"]["identifier"].update(value=OTHER_TENANT.value),
        ),
        codes="SIGNER_NOT_AGENT TENANT_MISMATCH REVOCATION_UNKNOWN",
    ),
    Row(
        name="another organization claims this one's identifier",
        change=lambda f: forge(f, LAST, signer=key_ring(OTHER_TENANT.value).signer("event")),
        codes="SAN_MISMATCH TENANT_MISMATCH REVOCATION_UNKNOWN",
    ),
    Row(
        name="sealing key used for an event",
        change=lambda f: forge(f, LAST, signer=key_ring().signer("seal")),
        codes="KEY_PURPOSE",
    ),
    Row(
        name="time stamping leaf used for an event",
        change=lambda f: forge(f, LAST, signer=leaf_signer(Purpose.EVENT, uses=[ExtendedKeyUsageOID.TIME_STAMPING])),
        codes="KEY_PURPOSE",
    ),
    Row(
        name="TLS client leaf used for an event",
        change=lambda f: forge(f, LAST, signer=leaf_signer(Purpose.EVENT, uses=[ExtendedKeyUsageOID.CLIENT_AUTH])),
        codes="KEY_PURPOSE",
    ),
    Row(
        name="signed before the certificate was valid",
        change=lambda f: rechain(
            forge(f, 0, provenance=at("2026-10-01T12:00:00Z"), header=at("2026-10-01T12:00:00Z")), 1
        ),
        codes="CERT_TIME",
    ),
    Row(
        name="certificate removed",
        change=lambda f: {p: b for p, b in f.items() if not p.startswith("certs/")},
        codes="MISSING_FILE",
    ),
    Row(
        name="certificate file replaced",
        change=lambda f: {
            **f,
            f"certs/{key_ring().signer('event').x5t}.der": key_ring(OTHER_TENANT.value).signer("event").chain[0],
        },
        codes="CONTENT_DIGEST SIG_INVALID SAN_MISMATCH TENANT_MISMATCH REVOCATION_UNKNOWN",
    ),
    Row(
        name="revocation data stripped",
        change=lambda f: {p: b for p, b in f.items() if not p.startswith("revocation/")},
        codes="REVOCATION_UNKNOWN",
    ),
    Row(
        name="revocation list of another authority",
        change=lambda f: {**f, "revocation/event.crl": f["revocation/seal.crl"]},
        codes="REVOCATION_UNKNOWN",
    ),
    # Header and encoding of an event's signature
    *(
        Row(
            name=f"event's header: {name}",
            change=lambda f, change=change: event_header(f, change),  # type: ignore[misc]
            codes="HEADER_POLICY",
        )
        for name, change in (
            ("alg none", lambda h: json.dumps({**h, "alg": "none"})),
            ("alg HS256", lambda h: json.dumps({**h, "alg": "HS256"})),
            ("alg PS256", lambda h: json.dumps({**h, "alg": "PS256"})),
            ("alg given twice", lambda h: json.dumps(h)[:-1] + ', "alg": "ES256"}'),
            ("no alg", lambda h: json.dumps({k: v for k, v in h.items() if k != "alg"})),
            ("not an object", lambda h: "[]"),
            ("not JSON", lambda h: "{"),
        )
    ),
    Row(
        name="event's header spelled otherwise",
        change=lambda f: event_header(f, lambda h: json.dumps(h)),
        codes="HEADER_POLICY SIG_INVALID",
    ),
    Row(name="unknown header member", change=in_header(lambda h: h.update(kid="1")), codes="HEADER_POLICY"),
    Row(name="crit", change=in_header(lambda h: h.update(crit=["exp"])), codes="HEADER_POLICY"),
    Row(name="empty crit", change=in_header(lambda h: h.update(crit=[])), codes="HEADER_POLICY"),
    Row(name="b64 false", change=in_header(lambda h: h.update(b64=False)), codes="HEADER_POLICY"),
    Row(name="key by address", change=in_header(lambda h: h.update(jku="https://x")), codes="HEADER_POLICY"),
    Row(name="own key", change=in_header(lambda h: h.update(jwk={})), codes="HEADER_POLICY"),
    Row(
        name="fraction of a second",
        change=lambda f: forge(f, LAST, provenance=at("2026-11-01T12:25:00.5Z"), header=at("2026-11-01T12:25:00.5Z")),
        codes="HEADER_POLICY",
    ),
    Row(
        name="number as a decimal",
        change=in_header(lambda h: h[BINDING].update(seq=24.5)),
        codes="HEADER_POLICY SEQ_GAP",
    ),
    Row(
        name="one target too many in the header",
        change=lambda f: forge(f, LAST, header=lambda h: h[BINDING].update(v=2)),
        codes="HEADER_POLICY",
    ),
    Row(name="other half of the curve", change=other_s, codes="PREV_MISMATCH"),
    Row(name="unused bits of the last character", change=padded, codes="HEADER_POLICY PREV_MISMATCH COVERAGE"),
    # Document
    Row(
        name="document's signature stripped",
        change=lambda f: edit(f, DOCUMENT, lambda b: b.pop("signature")),
        codes=f"BUNDLE_SIG {DOCUMENT_CHANGED} CONTENT_DIGEST",
    ),
    Row(
        name="document's signature moved to another Bundle",
        change=lambda f: edit(f, DOCUMENT, lambda b: b.update(timestamp="2026-12-01T00:00:00Z")),
        codes=f"BUNDLE_SIG {DOCUMENT_CHANGED} CONTENT_DIGEST",
    ),
    *(
        Row(
            name=f"document's header: {name}",
            change=lambda f, change=change: seal_header(f, change),  # type: ignore[misc]
            codes=f"{code} {DOCUMENT_CHANGED} CONTENT_DIGEST",
        )
        for name, change, code in (
            ("alg none", lambda h: h.update(alg="none"), "HEADER_POLICY"),
            ("alg HS256", lambda h: h.update(alg="HS256"), "HEADER_POLICY"),
            ("crit", lambda h: h.update(crit=["sigT"]), "HEADER_POLICY"),
            ("b64 false", lambda h: h.update(b64=False), "HEADER_POLICY"),
            ("x5u", lambda h: h.update(x5u="https://x"), "HEADER_POLICY"),
            (
                "another leaf",
                lambda h: h.update(x5c=_x5c(key_ring(OTHER_TENANT.value))),
                "BUNDLE_SIG SAN_MISMATCH TENANT_MISMATCH REVOCATION_UNKNOWN",
            ),
            ("no certificates", lambda h: h.pop("x5c"), "HEADER_POLICY"),
            ("padding in x5c", lambda h: h.update(x5c=[h["x5c"][0] + "\n"]), "HEADER_POLICY"),
            ("another purpose", lambda h: h.pop("srCms"), "HEADER_POLICY BUNDLE_SIG"),
        )
    ),
    Row(
        name="event key used for the document",
        change=lambda f: {**f, DOCUMENT: _sealed_by(f, key_ring().signer("event"))},
        codes=f"KEY_PURPOSE {DOCUMENT_CHANGED} CONTENT_DIGEST",
    ),
    Row(
        name="signature of the list of files passed off as the document's",
        change=lambda f: edit(
            f, DOCUMENT, lambda b: b["signature"].update(data=base64.b64encode(f[MANIFEST_JWS]).decode())
        ),
        codes=f"BUNDLE_SIG HEADER_POLICY {DOCUMENT_CHANGED} CONTENT_DIGEST",
    ),
    Row(name="document removed", change=lambda f: without(f, DOCUMENT), codes="MISSING_FILE"),
    Row(
        name="request replaced",
        change=lambda f: {**f, SUBMISSION: b'{"resourceType":"Bundle"}'},
        codes="MISSING_FILE COVERAGE",
    ),
    Row(
        name="payer's answer replaced",
        change=lambda f: {**f, "bundle/response-000.json": b'{"resourceType":"Bundle"}'},
        codes="MISSING_FILE COVERAGE",
    ),
    # Lineage
    Row(
        name="sign-in record of another attestation",
        change=lambda f: renamed(f, _context(f), b'{"kind":"auth-context","salt":"BBECAwQFBgcICQoLDA0ODw"}'),
        codes="LINEAGE",
    ),
    Row(
        name="input without a digest",
        change=lambda f: rechain(forge(f, SEALED, provenance=lambda p: p["entity"][0]["what"].pop("identifier")), 21),
        codes="LINEAGE",
    ),
    Row(
        name="input that no event received",
        change=lambda f: rechain(
            forge(
                f, ANSWERED, provenance=lambda p: p["entity"][0]["what"]["identifier"].update(value=_ni_of_nothing())
            ),
            ANSWERED + 1,
        ),
        codes="LINEAGE",
    ),
    # Patient
    Row(
        name="resource of another patient, signed by an insider",
        change=lambda f: rechain(retarget(f, 5, 0, observation(3).replace(b"Patient/p1", b"Patient/p2")), 6),
        codes="PATIENT_MISMATCH LINEAGE COVERAGE",
    ),
    Row(
        name="second Patient in the case, signed by an insider",
        change=lambda f: rechain(
            retarget(f, 2, 1, dump({**patient(id="p2"), "identifier": [{"system": "https://x", "value": "1"}]})), 3
        ),
        codes="PATIENT_MISMATCH",
    ),
    # Package
    Row(
        name="anchors inside the package",
        change=lambda f: {**f, "anchors.json": anchors()},
        codes="EXTRA_FILE",
    ),
]


def _x5c(ring: KeyRing) -> list[str]:
    return [base64.b64encode(der).decode() for der in ring.signer("seal").chain]


def _sealed_by(files: Files, signer: Any) -> bytes:
    bundle = json.loads(files[DOCUMENT])
    del bundle["signature"]
    return seal_document(json.dumps(bundle).encode(), signer, START, key_ring().tenant)


def _context(files: Files) -> str:
    return next(path for path, body in files.items() if b"auth-context" in body and path.startswith("objects/"))


def _ni_of_nothing() -> str:
    return "ni:///sha-256;" + "A" * 43


def both_anchors() -> bytes:
    """Anchors of an auditor who trusts both organizations."""
    ours, theirs = json.loads(anchors()), json.loads(key_ring(OTHER_TENANT.value).export_anchors())
    return json.dumps({**ours, "anchors": [*ours["anchors"], *theirs["anchors"]]}).encode()


@pytest.mark.threat("T18")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_change_is_named_by_its_codes(row: Row) -> None:
    report = verify_package(relist(row.change(clean_files())), both_anchors())
    assert set(report.codes) == OPEN | set(row.codes.split()), report.to_text()
    assert report.verdict != "TOTAL-PASSED"


def unsigned(files: Files) -> bytes:
    """What an outsider can do: change files, but not sign the list of them."""
    return write_archive(files)


def relisted_by_outsider(files: Files) -> bytes:
    """The list of files put right, its old signature kept."""
    signed = read_archive(relist(files))
    return write_archive({**signed, MANIFEST_JWS: clean_files()[MANIFEST_JWS]})


LISTING = [
    Row(
        name="file changed",
        change=lambda f: swap(f, "bundle/response-000.json", b"collection", b"searchset"),
        codes="CONTENT_DIGEST MISSING_FILE COVERAGE",
    ),
    Row(name="file added", change=lambda f: {**f, "objects/note.txt": b"x"}, codes="EXTRA_FILE MANIFEST"),
    Row(
        name="file removed", change=lambda f: without(f, "revocation/seal.crl"), codes="MISSING_FILE REVOCATION_UNKNOWN"
    ),
    Row(
        name="list removed",
        change=lambda f: without(f, MANIFEST),
        codes="MANIFEST EXTRA_FILE TENANT_MISMATCH CASE_MISMATCH",
    ),
    Row(name="signature of the list removed", change=lambda f: without(f, MANIFEST_JWS), codes="MANIFEST"),
    Row(name="signature of the list is not a JWS", change=lambda f: {**f, MANIFEST_JWS: b"\xff"}, codes="MANIFEST"),
    Row(
        name="document's signature passed off as that of the list",
        change=lambda f: {**f, MANIFEST_JWS: signature_jws(json.loads(f[DOCUMENT])["signature"]).encode()},
        codes="MANIFEST",
    ),
    Row(
        name="list edited: another moment",
        change=lambda f: edit(f, MANIFEST, lambda m: m.update(created="2026-11-01T13:00:00Z")),
        codes="MANIFEST",
    ),
    Row(
        name="list edited: a count",
        change=lambda f: edit(f, MANIFEST, lambda m: m["counts"].update(events=25)),
        codes="MANIFEST",
    ),
    Row(
        name="list edited: a member of somebody else's",
        change=lambda f: edit(f, MANIFEST, lambda m: m.update(anchors=[])),
        codes="MANIFEST EXTRA_FILE",
    ),
    Row(
        name="list edited: one file twice",
        change=lambda f: edit(f, MANIFEST, lambda m: m["files"].append(m["files"][0])),
        codes="MANIFEST EXTRA_FILE",
    ),
    Row(
        name="list edited: another organization",
        change=lambda f: edit(f, MANIFEST, lambda m: m["tenant"].update(value=OTHER_TENANT.value)),
        codes="MANIFEST SAN_MISMATCH TENANT_MISMATCH",
    ),
    Row(
        name="list edited: no organization",
        change=lambda f: edit(f, MANIFEST, lambda m: m.pop("tenant")),
        codes="MANIFEST TENANT_MISMATCH",
    ),
    Row(
        name="list edited: another case",
        change=lambda f: edit(f, MANIFEST, lambda m: m.update(case="BBECAwQFBgcICQoLDA0ODw")),
        codes="MANIFEST CASE_MISMATCH",
    ),
]


@pytest.mark.threat("T18")
@pytest.mark.parametrize("row", LISTING, ids=lambda row: row.name)
def test_change_without_the_sealing_key_shows_in_the_list_of_files(row: Row) -> None:
    report = verify_package(unsigned(row.change(clean_files())), anchors())
    assert set(report.codes) == OPEN | set(row.codes.split()), report.to_text()
    assert report.verdict == "TOTAL-FAILED"


def test_list_put_right_without_the_sealing_key_fails() -> None:
    files = swap(clean_files(), "bundle/response-000.json", b"collection", b"searchset")
    report = verify_package(relisted_by_outsider(files), anchors())
    assert "MANIFEST" in report.codes


def test_list_signed_with_the_event_key_fails() -> None:
    files = clean_files()
    header = {"typ": "pa-evidence", "sigT": json.loads(files[MANIFEST])["created"]}
    signer = key_ring().signer("event")
    chain = [base64.b64encode(der).decode() for der in signer.chain]
    jws = sign_detached({**header, "x5c": chain}, files[MANIFEST], signer)
    report = verify_package(write_archive({**files, MANIFEST_JWS: jws.encode()}), anchors())
    assert set(report.codes) == OPEN | {"KEY_PURPOSE"}


# What an insider with every key can put into a document; only the document's own rules can tell.
DOCUMENTS: list[tuple[str, Callable[[list[DocumentEntry]], list[DocumentEntry]], str]] = [
    (
        "entry that no event accounts for",
        lambda e: [*e, DocumentEntry(full_url=uuid(88), raw=b'{"resourceType":"Basic","code":{"text":"x"}}')],
        "COVERAGE",
    ),
    (
        "entry spelled otherwise than received",
        lambda e: [replace(entry, raw=entry.raw.replace(b"91.50", b"91.5")) for entry in e],
        "CONTENT_DIGEST",
    ),
    (
        "Provenance about the Bundle",
        lambda e: [*e, DocumentEntry(full_url=uuid(89), raw=about("Bundle", uuid(60), uuid(40)))],
        "COVERAGE",
    ),
    (
        "Provenance about nothing in the document",
        lambda e: [*e, DocumentEntry(full_url=uuid(89), raw=about("Task", uuid(1)))],
        "COVERAGE",
    ),
    (
        "entry of another patient",
        lambda e: [*e, DocumentEntry(full_url=f"{EHR}/Observation/o9", raw=observation(9).replace(b"/p1", b"/p2"))],
        "COVERAGE PATIENT_MISMATCH",
    ),
    (
        "another Patient under the patient's address",
        lambda e: [replace(entry, raw=entry.raw.replace(b"M-1", b"M-2")) for entry in e],
        "COVERAGE PATIENT_MISMATCH",
    ),
]


def about(kind: str, *references: str) -> bytes:
    """A Provenance of the EHR's about these things."""
    targets = [
        {"reference": reference, "type": kind if n == 0 else "Composition"} for n, reference in enumerate(references)
    ]
    agent = {"who": {"display": "EHR"}}
    return dump({"resourceType": "Provenance", "target": targets, "recorded": "2026-11-01T12:00:00Z", "agent": [agent]})


@pytest.mark.threat("T15")
@pytest.mark.parametrize("name, alter, codes", DOCUMENTS, ids=[row[0] for row in DOCUMENTS])
def test_document_that_breaks_its_own_rules_fails(
    name: str, alter: Callable[[list[DocumentEntry]], list[DocumentEntry]], codes: str
) -> None:
    report = verify_package(build_case(alter=alter).package(), anchors())
    assert set(report.codes) == OPEN | set(codes.split()), report.to_text()


def test_tail_cut_off_leaves_the_case_open_and_never_passes() -> None:
    files = clean_files()
    cut = without(
        files, *(event_path(seq) for seq in range(SUBMITTED, LAST + 1)), SUBMISSION, "bundle/response-000.json"
    )
    report = verify_package(relist(cut), anchors())
    assert set(report.codes) == OPEN
    assert report.verdict == "INDETERMINATE"
    assert not report.is_closed


def test_package_forged_with_own_authority_is_never_believed() -> None:
    forged = KeyRing.create(
        Path(tempfile.mkdtemp()) / "keys", "Example Clinic", NPI, TENANT.value, START, allow_development=True
    )
    report = verify_package(build_case(ring=forged).package(), anchors())
    assert set(report.codes) == OPEN | {"CHAIN_UNTRUSTED"}
    assert report.verdict == "INDETERMINATE"
    assert {row.result for row in report.events} == {"CHAIN_UNTRUSTED"}


def test_whole_package_of_another_organization_fails_when_one_was_expected() -> None:
    package = build_case(ring=key_ring(OTHER_TENANT.value)).package()
    assert set(verify_package(package, both_anchors()).codes) == OPEN
    report = verify_package(package, both_anchors(), expect_tenant=TENANT.value)
    assert set(report.codes) == OPEN | {"TENANT_MISMATCH"}


def test_another_patient_than_expected_fails() -> None:
    report = verify_package(clean_package(), anchors(), expect_patient="https://ehr.example.org/mrn|M-2")
    assert set(report.codes) == OPEN | {"PATIENT_MISMATCH"}


def test_completeness_asked_for_needs_a_head() -> None:
    report = verify_package(clean_package(), anchors(), complete_until=START)
    assert set(report.codes) == OPEN | {"HEAD_STALE"}
    assert report.verdict == "INDETERMINATE"


@pytest.mark.parametrize(
    "revoked_at, codes",
    [(START - timedelta(minutes=1), "REVOKED"), (START + timedelta(days=3), "")],
    ids=["before the signatures", "after them"],
)
def test_theft_found_later_counts_through_a_newer_list(revoked_at: datetime, codes: str) -> None:
    ring = key_ring()
    leaf = x509.load_der_x509_certificate(ring.signer("event").chain[0])
    newer = issue_crl(ring._authority(Purpose.EVENT), [(leaf.serial_number, revoked_at)], START + timedelta(days=4))
    report = verify_package(clean_package(), anchors(), revocation_lists=[newer])
    assert set(report.codes) == OPEN | set(codes.split())
    assert any("later" in finding.detail for finding in report.findings) is not bool(codes)


@pytest.mark.parametrize("since, codes", [("2026-10-31T00:00:00Z", "REVOKED"), ("2026-12-01T00:00:00Z", "")])
def test_distrust_of_the_auditor_counts(since: str, codes: str) -> None:
    distrusted = [{"x5t#S256": key_ring().signer("event").x5t, "from": since}]
    file = json.dumps({**json.loads(anchors()), "distrusted": distrusted}).encode()
    report = verify_package(clean_package(), file)
    assert set(report.codes) == OPEN | set(codes.split())


def test_insider_who_signs_the_whole_chain_again_waits_for_the_log() -> None:
    """Only a time-stamped checkpoint can tell; until then such a package does not pass, and nothing more."""
    report = verify_package(relist(rechain(clean_files(), 1)), anchors())
    assert report.verdict == "INDETERMINATE"
