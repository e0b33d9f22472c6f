"""Certificates of the development CA: one issuing authority per purpose, and what a leaf may be used for.

A key serves one purpose. The purpose of a leaf is the purpose of the authority that issued it, so sealing
and event keys never share an issuer. Source: spec/provenance.md §8.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.canonical import b64u, digest
from provenance.identifiers import Identifier, san_names

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
AUTHORITY_LIFETIME: Final = timedelta(days=3653)
CRL_LIFETIME: Final = timedelta(days=30)
_CLOCK_ALLOWANCE: Final = timedelta(hours=1)
"""Certificates begin a little early, so that a host whose clock is behind can use them."""
_FOREIGN_USES: Final = frozenset(
    {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.TIME_STAMPING}
)


class Purpose(StrEnum):
    """What a key is made for."""

    SEAL = "seal"
    """Bundle signatures and package manifests, by the organization."""
    EVENT = "event"
    """Signatures of Provenance resources, by the organization."""
    PERSON = "person"
    """Signatures by a person with a key of their own."""


LIFETIME: Final = {
    Purpose.SEAL: timedelta(days=365),
    Purpose.EVENT: timedelta(days=90),
    Purpose.PERSON: timedelta(days=365),
}
ALGORITHM: Final = {Purpose.SEAL: "RS256", Purpose.EVENT: "ES256", Purpose.PERSON: "ES256"}


def x5t(der: bytes) -> str:
    """base64url SHA-256 of a DER certificate: how headers and file names call it."""
    return b64u(digest(der))


def make_key(purpose: Purpose) -> SigningKey:
    """A fresh private key of the algorithm of this purpose."""
    if ALGORITHM[purpose] == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=3072)
    return ec.generate_private_key(ec.SECP256R1())


def issue_authority(
    purpose: Purpose, holder: str, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A self-signed development authority for one purpose, named after the tenant `holder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, holder[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Development CA, {purpose} keys"),
        ]
    )
    builder = _begin(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(issues=True), critical=True)
    return key, builder.sign(key, hashes.SHA256())


def issue_leaf(
    purpose: Purpose,
    holder: str,
    identifier: Identifier,
    key: SigningKey,
    authority: tuple[ec.EllipticCurvePrivateKey, x509.Certificate],
    now: datetime,
) -> x509.Certificate:
    """A leaf for `key`, issued to the holder of `identifier`. Errors: ValueError (system without OID)."""
    issuer_key, issuer = authority
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, holder[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{holder[:40]}, {purpose} key"),
        ]
    )
    builder = _begin(name, issuer.subject, key.public_key(), now, LIFETIME[purpose])
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(commits=purpose is Purpose.SEAL), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(san_names(identifier)), critical=False)
    # An EC authority key always has an identifier; the leaf points back at it.
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(authority_id, critical=False).sign(issuer_key, hashes.SHA256())


def issue_crl(
    authority: tuple[ec.EllipticCurvePrivateKey, x509.Certificate],
    revoked: Iterable[tuple[int, datetime]],
    now: datetime,
) -> bytes:
    """DER revocation list of an authority. `revoked` pairs serial numbers with the instant of revocation."""
    issuer_key, issuer = authority
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(now).next_update(now + CRL_LIFETIME)
    for serial, revoked_at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked_at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.DER)


def misuse(certificate: x509.Certificate, purpose: Purpose) -> str:
    """Why this leaf may not sign for `purpose`; empty when it may. Looks at the leaf alone, not its issuer."""
    try:
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "an authority's certificate"
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return "no basic constraints or no key usage"
    if not usage.digital_signature or usage.key_encipherment or usage.key_cert_sign:
        return "its key usage is not signing alone"
    if purpose is Purpose.SEAL and not usage.content_commitment:
        return "a sealing key needs content commitment"
    return _foreign_use(certificate)


def _foreign_use(certificate: x509.Certificate) -> str:
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    return "made for connections or time stamps" if _FOREIGN_USES.intersection(uses) else ""


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificateIssuerPublicKeyTypes,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    start = now.replace(microsecond=0) - _CLOCK_ALLOWANCE
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + lifetime)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def _usage(*, issues: bool = False, commits: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issues,
        content_commitment=commits,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )
