"""Key rings: what is created, what is refused, and what an auditor gets."""

from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from provenance import (
    EIN,
    NPI,
    DevelopmentKeyWarning,
    Identifier,
    KeyRing,
    KeyRingError,
    StatementError,
    verify_package,
)
from provenance.anchors import read_anchors
from provenance.certificates import Purpose, misuse, x5t
from provenance.errors import AnchorsError
from provenance.identifiers import is_named_by, san_names
from tests.provenance_case import START, TENANT, CaseBuilder, anchors, build_case, key_ring, patient, resource

NAME, VALUE = "Example Clinic", "1234567893"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring made once: RSA keys take a while."""
    folder = tmp_path_factory.mktemp("template")
    KeyRing.create(folder / "keys", NAME, NPI, VALUE, START, allow_development=True)
    return folder


@pytest.fixture
def ring(template: Path, tmp_path: Path) -> KeyRing:
    """A copy of it for one test, modes and all."""
    shutil.copytree(template / "keys", tmp_path / "keys")
    shutil.copy2(template / "keys.passphrase", tmp_path)
    return KeyRing.open(tmp_path / "keys", allow_development=True)


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


@pytest.mark.threat("T37")
def test_directory_and_files_are_their_owners_alone(ring: KeyRing, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert modes(tmp_path / "keys") == {0o600}
    assert stat.S_IMODE((tmp_path / "keys.passphrase").stat().st_mode) == 0o600


@pytest.mark.threat("T37")
@pytest.mark.parametrize(
    "path, mode",
    [("keys", 0o750), ("keys", 0o701), ("keys/keyring.json", 0o640), ("keys.passphrase", 0o604)],
)
def test_wider_modes_are_refused(ring: KeyRing, tmp_path: Path, path: str, mode: int) -> None:
    (tmp_path / path).chmod(mode)
    with pytest.raises(KeyRingError, match="read by others"):
        KeyRing.open(tmp_path / "keys", allow_development=True)


@pytest.mark.threat("T37")
def test_key_file_readable_by_others_is_refused_when_used(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "keys" / f"{ring.key_rows()[0].x5t}.pem").chmod(0o644)
    reopened = KeyRing.open(tmp_path / "keys", allow_development=True)
    with pytest.raises(KeyRingError, match="0600"):
        reopened.signer("seal")


def test_link_in_place_of_the_directory_is_refused(ring: KeyRing, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "keys")
    with pytest.raises(KeyRingError):
        KeyRing.open(tmp_path / "link", passphrase_file=tmp_path / "keys.passphrase", allow_development=True)


def test_ring_is_not_made_over_another(ring: KeyRing, tmp_path: Path) -> None:
    assert KeyRing.exists(tmp_path / "keys")
    with pytest.raises(KeyRingError, match="not empty"):
        KeyRing.create(tmp_path / "keys", NAME, NPI, VALUE, START, allow_development=True)


def test_absent_ring_is_an_error(tmp_path: Path) -> None:
    assert not KeyRing.exists(tmp_path / "none")
    with pytest.raises(KeyRingError):
        KeyRing.open(tmp_path / "none", allow_development=True)


def test_development_keys_warn_unless_they_were_asked_for(ring: KeyRing, tmp_path: Path) -> None:
    with pytest.warns(DevelopmentKeyWarning):
        KeyRing.open(tmp_path / "keys")
    with pytest.warns(DevelopmentKeyWarning):
        KeyRing.create(tmp_path / "more", NAME, NPI, VALUE, START)


def test_private_keys_are_encrypted_and_need_the_passphrase(ring: KeyRing, tmp_path: Path) -> None:
    for path in (tmp_path / "keys").glob("*.pem"):
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    passphrase = tmp_path / "keys.passphrase"
    passphrase.write_bytes(b"another")
    with pytest.raises(KeyRingError, match="passphrase"):
        KeyRing.open(tmp_path / "keys", allow_development=True).signer("event")
    passphrase.write_bytes(b"\n")
    with pytest.raises(KeyRingError, match="empty"):
        KeyRing.open(tmp_path / "keys", allow_development=True)


def test_passphrase_file_of_the_operator_is_used(tmp_path: Path) -> None:
    passphrase = tmp_path / "secret"
    descriptor = os.open(passphrase, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"correct horse\n")
    os.close(descriptor)
    KeyRing.create(tmp_path / "keys", NAME, NPI, VALUE, START, passphrase_file=passphrase, allow_development=True)
    assert not (tmp_path / "keys.passphrase").exists()
    ring = KeyRing.open(tmp_path / "keys", passphrase_file=passphrase, allow_development=True)
    assert ring.signer("event").alg == "ES256"


@pytest.mark.threat("T36")
def test_no_secret_shows_in_a_repr_or_an_error(ring: KeyRing, tmp_path: Path) -> None:
    secret = (tmp_path / "keys.passphrase").read_text()
    signer = ring.signer("event")
    assert secret not in repr(ring) + repr(signer) + repr(vars(type(ring)))
    assert "PRIVATE" not in repr(signer)
    assert signer.x5t in repr(signer)


def test_damaged_index_is_an_error(ring: KeyRing, tmp_path: Path) -> None:
    index = tmp_path / "keys" / "keyring.json"
    for text in ("{", "{}", "[]", '{"tenant":{"name":"x","system":"y","value":"z"},"keys":[{"purpose":"x"}]}'):
        index.write_text(text)
        with pytest.raises(KeyRingError):
            KeyRing.open(tmp_path / "keys", allow_development=True)


def test_keys_have_the_kinds_and_lifetimes_of_their_purposes(ring: KeyRing) -> None:
    seal, event = ring.signer("seal"), ring.signer("event")
    assert (seal.alg, event.alg) == ("RS256", "ES256")
    assert isinstance(seal.key, rsa.RSAPrivateKey)
    assert seal.key.key_size == 3072
    assert isinstance(event.key, ec.EllipticCurvePrivateKey)
    assert seal.valid_until - seal.valid_from == timedelta(days=365)
    assert event.valid_until - event.valid_from == timedelta(days=90)
    assert seal.valid_from <= START


def test_certificates_name_the_tenant_twice_and_serve_one_purpose(ring: KeyRing) -> None:
    for purpose in (Purpose.SEAL, Purpose.EVENT):
        leaf = x509.load_der_x509_certificate(ring.signer(purpose).chain[0])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:oid:2.16.840.1.113883.4.6.1234567893"]
        other = next(name for name in names if isinstance(name, x509.OtherName))
        assert other.type_id.dotted_string == "2.16.840.1.113883.4.6"
        assert other.value == b"\x0c\x0a1234567893"
        assert is_named_by(TENANT, leaf)
        assert not is_named_by(Identifier(system=NPI, value="1234567894"), leaf)
        assert not is_named_by(Identifier(system=EIN, value="1234567893"), leaf)
        assert misuse(leaf, purpose) == ""
    event = x509.load_der_x509_certificate(ring.signer("event").chain[0])
    assert misuse(event, Purpose.SEAL) == "a sealing key needs content commitment"
    authority = read_anchors(ring.export_anchors()).anchors[0].certificate
    assert misuse(authority, Purpose.SEAL) == "an authority's certificate"


@pytest.mark.parametrize(
    "system, value, uri",
    [
        (EIN, "12-3456789", "urn:oid:2.16.840.1.113883.4.4.12-3456789"),
        ("urn:oid:1.2.3", "x", "urn:oid:1.2.3.x"),
        ("urn:ietf:rfc:3986", "https://clinic.example.org", "https://clinic.example.org"),
    ],
)
def test_other_identifier_systems_have_names_too(system: str, value: str, uri: str) -> None:
    names = san_names(Identifier(system=system, value=value))
    assert x509.UniformResourceIdentifier(uri) in names


@pytest.mark.parametrize("system, value", [("https://clinic.example.org/ids", "1"), (NPI, "1" * 128)])
def test_identifier_that_a_certificate_cannot_carry_is_refused(tmp_path: Path, system: str, value: str) -> None:
    with pytest.raises(KeyRingError, match="no certificate"):
        KeyRing.create(tmp_path / "keys", NAME, system, value, START, allow_development=True)


def test_ring_opened_again_signs_with_the_same_keys(ring: KeyRing, tmp_path: Path) -> None:
    again = KeyRing.open(tmp_path / "keys", allow_development=True)
    assert again.signer("event").x5t == ring.signer("event").x5t
    assert (again.tenant, again.tenant_name) == (TENANT, NAME)
    assert again.export_anchors() == ring.export_anchors()
    case = CaseBuilder(ring=again)
    case.record("ehr-extract", [resource(patient())])
    assert verify_package(case.package(), ring.export_anchors()).verdict == "INDETERMINATE"


def test_rotated_key_signs_and_the_old_certificate_stays(ring: KeyRing, tmp_path: Path) -> None:
    old = ring.signer("event")
    case = CaseBuilder(ring=ring)
    case.record("case-open", [resource(patient())])
    row = ring.rotate("event", START)
    assert ring.signer("event").x5t == row.x5t != old.x5t
    case.record("ehr-extract", [resource(patient())])
    assert {x5t(der) for der in ring.certificates()} == {key.x5t for key in ring.key_rows()}
    assert ring.certificate(old.x5t) == old.chain[0]
    report = verify_package(case.package(), ring.export_anchors())
    assert report.codes == ("HEAD_MISSING", "PROOF_MISSING")
    assert [key.is_active for key in KeyRing.open(tmp_path / "keys", allow_development=True).key_rows()] == [
        True,
        False,
        True,
    ]


def test_keys_are_rotated_two_weeks_before_they_end(ring: KeyRing) -> None:
    assert ring.rotate_due(START + timedelta(days=75)) == ()
    rows = ring.rotate_due(START + timedelta(days=77))
    assert [row.purpose for row in rows] == ["event"]
    assert ring.rotate_due(START + timedelta(days=77)) == ()


def test_key_that_is_no_longer_valid_does_not_sign(ring: KeyRing) -> None:
    case = CaseBuilder(ring=ring)
    for recorded in (START - timedelta(days=1), START + timedelta(days=91)):
        with pytest.raises(StatementError, match="rotate"):
            case.record("ehr-extract", [resource(patient())], recorded=recorded)


def test_revoked_key_is_replaced_and_named_in_the_list(ring: KeyRing) -> None:
    case = CaseBuilder(ring=ring)
    case.record("ehr-extract", [resource(patient())])
    revoked = ring.signer("event").x5t
    ring.revoke(revoked, START - timedelta(minutes=1))
    assert ring.signer("event").x5t != revoked
    assert "REVOKED" in verify_package(case.package(), ring.export_anchors()).codes
    ring.revoke(revoked, START)
    with pytest.raises(KeyRingError):
        ring.revoke("unknown", START)
    with pytest.raises(KeyRingError):
        ring.certificate("unknown")


def test_revocation_lists_speak_for_thirty_days(ring: KeyRing) -> None:
    lists = ring.revocation_lists(START)
    assert set(lists) == {"seal.crl", "event.crl"}
    crl = x509.load_der_x509_crl(lists["event.crl"])
    assert (crl.last_update_utc, crl.next_update_utc) == (START, START + timedelta(days=30))


def test_anchors_say_what_each_authority_is_for() -> None:
    file = json.loads(key_ring().export_anchors(START))
    assert file["issued"] == "2026-11-01T12:00:00Z"
    assert file["development"] is True
    assert [row["purpose"] for row in file["anchors"]] == ["seal", "event"]
    read = read_anchors(key_ring().export_anchors())
    assert read.is_development
    assert {anchor.purpose: anchor.algs for anchor in read.anchors} == {
        Purpose.SEAL: frozenset({"RS256"}),
        Purpose.EVENT: frozenset({"ES256"}),
    }
    assert all(anchor.sans == {TENANT} for anchor in read.anchors)


def spoilt(**changes: object) -> bytes:
    file = json.loads(anchors())
    file["anchors"][0].update(changes)
    return json.dumps(file).encode()


UNUSABLE = {
    "not JSON": b"{",
    "member twice": b'{"v":1,"v":1}',
    "another version": json.dumps({**json.loads(anchors()), "v": 2}).encode(),
    "no anchors": json.dumps({**json.loads(anchors()), "anchors": []}).encode(),
    "a list": b"[]",
    "unknown member": json.dumps({**json.loads(anchors()), "exceptions": []}).encode(),
    "unknown member of an anchor": spoilt(scope="x"),
    "unknown purpose": spoilt(purpose="everything"),
    "unknown algorithm": spoilt(algs=["HS256"]),
    "no algorithm": spoilt(algs=[]),
    "no certificate": spoilt(certificate="AAAA"),
    "certificate not base64": spoilt(certificate="-"),
    "holder without value": spoilt(tenant={"system": "x"}),
    "names not a list": spoilt(sans=[1]),
    "time without a zone": spoilt(valid={"from": "2026-01-01T00:00:00"}),
    "distrust without a time": json.dumps({**json.loads(anchors()), "distrusted": [{"x5t#S256": "x"}]}).encode(),
    "distrust is no list": json.dumps({**json.loads(anchors()), "distrusted": 5}).encode(),
}


@pytest.mark.parametrize("file", UNUSABLE.values(), ids=UNUSABLE)
def test_anchors_not_fully_understood_are_refused(file: bytes) -> None:
    with pytest.raises(AnchorsError):
        read_anchors(file)


def test_interval_of_trust_of_the_auditor_counts() -> None:
    file = spoilt(valid={"until": "2026-10-01T00:00:00Z"})
    assert "CERT_TIME" in verify_package(build_case().package(), file).codes


def test_anchor_of_one_organization_does_not_vouch_for_another_even_without_a_list_of_names() -> None:
    file = json.loads(anchors())
    rows = [{**row, "sans": [], "tenant": {"system": NPI, "value": "1999999984"}} for row in file["anchors"]]
    report = verify_package(build_case().package(), json.dumps({**file, "anchors": rows}).encode())
    assert set(report.codes) == {"HEAD_MISSING", "PROOF_MISSING", "TENANT_MISMATCH"}
