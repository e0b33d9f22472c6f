"""Keys of one tenant: a development authority per purpose, its leaves, and the anchors an auditor needs.

A key ring is a directory (0700) of encrypted private keys (PKCS#8), certificates and one index; a wider
mode is refused. The passphrase lies in a file of its own, outside the directory. Keys come from a
development CA made on the spot, which proves integrity to those who were handed its anchors and nothing
to anybody else; so opening one warns. Source: spec/provenance.md §8; spec/security.md T20, T37.
"""

from __future__ import annotations

import json
import secrets
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from provenance.anchors import build_anchors
from provenance.certificates import (
    ALGORITHM,
    Purpose,
    SigningKey,
    issue_authority,
    issue_crl,
    issue_leaf,
    make_key,
    x5t,
)
from provenance.errors import KeyRingError
from provenance.fhir_signature import instant
from provenance.identifiers import Identifier
from provenance.jws import raw_ecdsa
from provenance.private_files import make_private_folder, read_private, require_private_folder, write_private

_INDEX: Final = "keyring.json"
_PURPOSES: Final = (Purpose.SEAL, Purpose.EVENT)
_RENEW_BEFORE: Final = timedelta(days=14)


class DevelopmentKeyWarning(UserWarning):
    """Keys of a development CA are in use: fine for trying out and for tests, not for real submissions."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LocalSigner:
    """A private key held in this process. Never shown: its repr names the certificate only."""

    key: SigningKey
    alg: str
    x5t: str
    chain: tuple[bytes, ...]
    purpose: Purpose
    valid_from: datetime
    valid_until: datetime

    def sign(self, signing_input: bytes) -> bytes:
        """JWS signature value: RS256 or ES256."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())
        return raw_ecdsa(self.key.sign(signing_input, ec.ECDSA(hashes.SHA256())), self.alg)

    def __repr__(self) -> str:
        return f"LocalSigner({self.purpose}, {self.alg}, x5t={self.x5t})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key of the ring, as listed in its index."""

    purpose: Purpose
    """What it signs."""
    x5t: str
    """base64url SHA-256 of its certificate."""
    alg: str
    """JOSE name of its algorithm."""
    not_before: str
    """Begin of validity, UTC."""
    not_after: str
    """End of validity, UTC."""
    is_active: bool
    """Whether new signatures use it; older ones stay so that packages can carry their certificates."""
    revoked_at: str = ""
    """Instant of revocation; empty when not revoked."""


class KeyRing:
    """The keys of one tenant. Make one with `create` or `open`."""

    def __init__(self, directory: Path, passphrase: bytes, index: dict[str, Any]) -> None:
        self._directory = directory
        self._passphrase = passphrase
        self._name = str(index["tenant"]["name"])
        self._tenant = Identifier(system=index["tenant"]["system"], value=index["tenant"]["value"])
        self._rows = tuple(KeyRow(**{**row, "purpose": Purpose(row["purpose"])}) for row in index["keys"])
        self._signers: dict[str, LocalSigner] = {}

    def __repr__(self) -> str:
        return f"KeyRing({len(self._rows)} keys)"

    @classmethod
    def create(
        cls,
        directory: Path,
        tenant_name: str,
        identifier_system: str,
        identifier_value: str,
        now: datetime,
        *,
        passphrase_file: Path | None = None,
        allow_development: bool = False,
    ) -> KeyRing:
        """A new ring with one authority and one key per purpose.

        The directory must be absent or empty. `passphrase_file` is read where it exists and written with a
        random passphrase where not; None means `<directory>.passphrase`. Warns unless `allow_development`.
        Errors: KeyRingError.
        """
        _warn(allow_development)
        make_private_folder(directory)
        passphrase = _passphrase(directory, passphrase_file, create=True)
        tenant = {"name": tenant_name, "system": identifier_system, "value": identifier_value}
        ring = cls(directory, passphrase, {"tenant": tenant, "keys": []})
        for purpose in _PURPOSES:
            ring._make_authority(purpose, now)
            ring._add_key(purpose, now)
        return ring

    @classmethod
    def open(cls, directory: Path, *, passphrase_file: Path | None = None, allow_development: bool = False) -> KeyRing:
        """An existing ring. Warns unless `allow_development`. Errors: KeyRingError (absent, modes, unreadable)."""
        _warn(allow_development)
        require_private_folder(directory)
        passphrase = _passphrase(directory, passphrase_file, create=False)
        try:
            index = json.loads(read_private(directory / _INDEX))
            return cls(directory, passphrase, index)
        except (ValueError, KeyError, TypeError) as error:
            raise KeyRingError(f"{_INDEX} is not the index of a key ring") from error

    @staticmethod
    def exists(directory: Path) -> bool:
        """Whether a key ring was made here."""
        return (directory / _INDEX).is_file()

    @property
    def tenant(self) -> Identifier:
        """Identifier of the organization: what its certificates carry."""
        return self._tenant

    @property
    def tenant_name(self) -> str:
        """Name of the organization."""
        return self._name

    def key_rows(self) -> tuple[KeyRow, ...]:
        """Every key of the ring, oldest first."""
        return self._rows

    def signer(self, purpose: str) -> LocalSigner:
        """The signer now in use for `seal` or `event`; its key is decrypted once. Errors: KeyRingError."""
        row = self._active(Purpose(purpose))
        if row.x5t not in self._signers:
            self._signers[row.x5t] = self._load_signer(row)
        return self._signers[row.x5t]

    def certificates(self) -> tuple[bytes, ...]:
        """DER of every leaf of the ring, retired ones too: a package must carry those its events were signed with."""
        return tuple(self._read_certificate(f"{row.x5t}.der") for row in self._rows)

    def certificate(self, x5t_value: str) -> bytes:
        """DER of one leaf by its thumbprint. Errors: KeyRingError for a stranger."""
        if all(row.x5t != x5t_value for row in self._rows):
            raise KeyRingError("no such certificate in this key ring")
        return self._read_certificate(f"{x5t_value}.der")

    def revocation_lists(self, now: datetime) -> dict[str, bytes]:
        """A fresh DER revocation list of each authority, by file name. Export them with every package."""
        lists = {}
        for purpose in _PURPOSES:
            gone = [
                (x509.load_der_x509_certificate(self.certificate(row.x5t)).serial_number, _read_instant(row.revoked_at))
                for row in self._rows
                if row.purpose is purpose and row.revoked_at
            ]
            lists[f"{purpose}.crl"] = issue_crl(self._authority(purpose), gone, now)
        return lists

    def export_anchors(self, now: datetime | None = None) -> bytes:
        """anchors.json for auditors: the authorities of this ring with purpose, holder and algorithm.

        Hand it over by another way than the packages.
        """
        authorities = [(purpose, self._authority_certificate(purpose)) for purpose in _PURPOSES]
        return build_anchors(self._tenant, authorities, issued=None if now is None else instant(now))

    def rotate(self, purpose: str, now: datetime) -> KeyRow:
        """A new key for this purpose; the old one stays listed and its certificate stays available."""
        return self._add_key(Purpose(purpose), now)

    def rotate_due(self, now: datetime) -> tuple[KeyRow, ...]:
        """Rotates each key with less than 14 days left; the new rows, empty when none was due."""
        due = [purpose for purpose in _PURPOSES if _read_instant(self._active(purpose).not_after) - now < _RENEW_BEFORE]
        return tuple(self._add_key(purpose, now) for purpose in due)

    def revoke(self, x5t_value: str, now: datetime) -> None:
        """Marks a key as revoked from `now` and, where it was in use, replaces it. Errors: KeyRingError."""
        rows = {row.x5t: row for row in self._rows}
        if x5t_value not in rows:
            raise KeyRingError("no such certificate in this key ring")
        revoked = replace(rows[x5t_value], revoked_at=instant(now))
        self._rows = tuple(revoked if row.x5t == x5t_value else row for row in self._rows)
        if revoked.is_active:
            self._add_key(revoked.purpose, now)
        else:
            self._save_index()

    def _active(self, purpose: Purpose) -> KeyRow:
        for row in reversed(self._rows):
            if row.purpose is purpose and row.is_active:
                return row
        raise KeyRingError(f"no key for {purpose} in this key ring")

    def _make_authority(self, purpose: Purpose, now: datetime) -> None:
        key, certificate = issue_authority(purpose, self._name, now)
        self._write_key(f"authority-{purpose}.pem", key)
        write_private(self._directory / f"authority-{purpose}.der", certificate.public_bytes(Encoding.DER))

    def _add_key(self, purpose: Purpose, now: datetime) -> KeyRow:
        key = make_key(purpose)
        try:
            leaf = issue_leaf(purpose, self._name, self._tenant, key, self._authority(purpose), now)
        except ValueError as error:
            raise KeyRingError(f"no certificate for this tenant: {error}") from error
        der = leaf.public_bytes(Encoding.DER)
        row = KeyRow(
            purpose=purpose,
            x5t=x5t(der),
            alg=ALGORITHM[purpose],
            not_before=instant(leaf.not_valid_before_utc),
            not_after=instant(leaf.not_valid_after_utc),
            is_active=True,
        )
        write_private(self._directory / f"{row.x5t}.der", der)
        self._write_key(f"{row.x5t}.pem", key)
        retired = (replace(old, is_active=old.is_active and old.purpose is not purpose) for old in self._rows)
        self._rows = (*retired, row)
        self._save_index()
        return row

    def _save_index(self) -> None:
        tenant = {"name": self._name, **self._tenant.as_fhir()}
        rows = [{name: getattr(row, name) for name in KeyRow.__slots__} for row in self._rows]
        index = {"v": 1, "development": True, "tenant": tenant, "keys": rows}
        write_private(self._directory / _INDEX, json.dumps(index, indent=1).encode())

    def _load_signer(self, row: KeyRow) -> LocalSigner:
        key = self._read_key(f"{row.x5t}.pem")
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise KeyRingError("a key of another kind than the index says")
        return LocalSigner(
            key=key,
            alg=row.alg,
            x5t=row.x5t,
            chain=(self.certificate(row.x5t),),
            purpose=row.purpose,
            valid_from=_read_instant(row.not_before),
            valid_until=_read_instant(row.not_after),
        )

    def _authority(self, purpose: Purpose) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = self._read_key(f"authority-{purpose}.pem")
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise KeyRingError("the authority's key is of another kind")
        return key, x509.load_der_x509_certificate(self._authority_certificate(purpose))

    def _authority_certificate(self, purpose: Purpose) -> bytes:
        return self._read_certificate(f"authority-{purpose}.der")

    def _read_certificate(self, name: str) -> bytes:
        return read_private(self._directory / name)

    def _write_key(self, name: str, key: SigningKey) -> None:
        encryption = serialization.BestAvailableEncryption(self._passphrase)
        pem = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        write_private(self._directory / name, pem)

    def _read_key(self, name: str) -> object:
        try:
            return serialization.load_pem_private_key(read_private(self._directory / name), self._passphrase)
        except (ValueError, TypeError) as error:
            raise KeyRingError(f"{name} cannot be decrypted with the passphrase given") from error


def _warn(allow_development: bool) -> None:
    if not allow_development:
        warnings.warn(
            "keys of a development CA: evidence signed with them convinces only those who were handed its anchors",
            DevelopmentKeyWarning,
            stacklevel=3,
        )


def _passphrase(directory: Path, passphrase_file: Path | None, *, create: bool) -> bytes:
    path = passphrase_file or directory.with_name(directory.name + ".passphrase")
    if create and not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    passphrase = read_private(path).strip()
    if not passphrase:
        raise KeyRingError("the passphrase file is empty")
    return passphrase


def _read_instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
