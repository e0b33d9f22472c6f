"""Detached JSON Web Signatures, read as strictly as the standard allows.

Common libraries accept a header member given twice, a padded or non-canonical base64url tail and an empty
`crit`; each of these would let one signature be read in two ways. Here a header is strict JSON, every
segment must re-encode to itself, and the algorithm comes from a list of the caller's.
Source: spec/provenance.md §5.2, §6, §13; RFC 7515.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from provenance.canonical import b64u, jcs_of_value, parse_strict, unb64u
from provenance.codes import Code
from provenance.errors import JwsError, StrictJsonError

SMALLEST_RSA_BITS: Final = 3072
LARGEST_HEADER_BYTES: Final = 64 * 1024
FORBIDDEN_MEMBERS: Final = frozenset({"crit", "jku", "jwk", "x5u", "b64"})
"""Members that would let a message choose its own key or change the rules of the signature."""
_CURVES: Final[dict[str, tuple[type[ec.EllipticCurve], hashes.HashAlgorithm, int]]] = {
    "ES256": (ec.SECP256R1, hashes.SHA256(), 32),
    "ES384": (ec.SECP384R1, hashes.SHA384(), 48),
}
ALGORITHMS: Final = frozenset({"RS256", *_CURVES})


class Signer(Protocol):
    """Holder of one private key, wherever that key lives (file, KMS, smart card)."""

    @property
    def alg(self) -> str:
        """JOSE name of the algorithm."""

    @property
    def x5t(self) -> str:
        """base64url SHA-256 of the leaf certificate's DER bytes."""

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER certificates: leaf first, then intermediates, no root."""

    @property
    def valid_from(self) -> datetime:
        """Begin of the leaf's validity, aware UTC."""

    @property
    def valid_until(self) -> datetime:
        """End of the leaf's validity, aware UTC."""

    def sign(self, signing_input: bytes) -> bytes:
        """JWS signature value over these bytes (for ECDSA: r and s side by side)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedJws:
    """A detached compact JWS whose encoding has been checked; its signature has not."""

    header: Mapping[str, Any]
    """The protected header."""
    header_bytes: bytes
    """The header exactly as it was encoded."""
    protected: str
    """The header's segment as received: what was signed."""
    signature: bytes

    @property
    def alg(self) -> str:
        """JOSE name of the algorithm, one of the permitted."""
        return str(self.header["alg"])


def sign_detached(header: Mapping[str, Any], payload: bytes, signer: Signer) -> str:
    """`header..signature` over the payload. `alg` is set from the signer; the header is written canonically."""
    protected = b64u(jcs_of_value({**header, "alg": signer.alg}))
    return f"{protected}..{b64u(signer.sign(_signing_input(protected, payload)))}"


def read_detached(text: str, algorithms: Collection[str] = ALGORITHMS) -> DetachedJws:
    """A detached compact JWS with every rule of form checked.

    Errors: JwsError HEADER_POLICY for another form, a non-canonical encoding, a header that is not a strict
    JSON object, an algorithm not in `algorithms`, or a member that may not be there.
    """
    parts = text.split(".")
    if len(parts) != 3 or parts[1] or not parts[0] or not parts[2]:
        raise JwsError(Code.HEADER_POLICY, "not a detached compact JWS")
    header_bytes, signature = _segment(parts[0]), _segment(parts[2])
    try:
        header = parse_strict(header_bytes, max_bytes=LARGEST_HEADER_BYTES)
    except StrictJsonError as error:
        raise JwsError(Code.HEADER_POLICY, f"header: {error}") from error
    _require_policy(header, algorithms)
    return DetachedJws(header=header, header_bytes=header_bytes, protected=parts[0], signature=signature)


def fits(jws: DetachedJws, payload: bytes, key: PublicKeyTypes) -> bool:
    """Whether the signature is by `key` over the header as received and this payload."""
    return _fits(jws.alg, _signing_input(jws.protected, payload), jws.signature, key)


def raw_ecdsa(der: bytes, alg: str) -> bytes:
    """The JWS form (r and s side by side) of an ECDSA signature in DER."""
    size = _CURVES[alg][2]
    r, s = decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _require_policy(header: Any, algorithms: Collection[str]) -> None:
    if not isinstance(header, dict):
        raise JwsError(Code.HEADER_POLICY, "the header is not an object")
    if header.get("alg") not in algorithms:
        raise JwsError(Code.HEADER_POLICY, "algorithm not permitted here")
    if forbidden := FORBIDDEN_MEMBERS & header.keys():
        raise JwsError(Code.HEADER_POLICY, f"header member not permitted: {', '.join(sorted(forbidden))}")


def _segment(text: str) -> bytes:
    try:
        return unb64u(text)
    except ValueError as error:
        raise JwsError(Code.HEADER_POLICY, "a segment is not canonical base64url") from error


def _signing_input(protected: str, payload: bytes) -> bytes:
    # Bytes all along: a large scan is in memory often enough without copies of it as text.
    return b"".join((protected.encode("ascii"), b".", base64.urlsafe_b64encode(payload).rstrip(b"=")))


def _fits(alg: str, signing_input: bytes, signature: bytes, key: PublicKeyTypes) -> bool:
    try:
        if alg in _CURVES:
            return _fits_ecdsa(alg, signing_input, signature, key)
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SMALLEST_RSA_BITS:
            return False
        key.verify(signature, signing_input, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _fits_ecdsa(alg: str, signing_input: bytes, signature: bytes, key: PublicKeyTypes) -> bool:
    curve, hash_algorithm, size = _CURVES[alg]
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curve):
        return False
    if len(signature) != 2 * size:
        return False
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    key.verify(encode_dss_signature(r, s), signing_input, ec.ECDSA(hash_algorithm))
    return True
