"""Short signed statements of who we are: client assertions at token endpoints and CDS Hooks tokens.

Each is made for one call: a fresh `jti`, minutes to live, and the exact URL it is for.
Source: SMART Backend Services; crd §11 (CDS Hooks trust); security T8, T9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.errors import SettingsError

Algorithm = Literal["ES384", "RS384"]
LIFE = timedelta(minutes=4)
"""Life of an assertion; SMART allows 5 minutes, the rest is for clocks that differ."""
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionKey:
    """A private key that signs assertions, and the name under which the partner knows its public half."""

    key_id: str
    """`kid` in the partner's copy of our key set."""
    algorithm: Algorithm
    """ES384 (P-384) or RS384."""
    key: ECKey | RSAKey = field(repr=False)
    """The private key."""

    @classmethod
    def from_pem(cls, pem: bytes, key_id: str, *, name: str = "key") -> AssertionKey:
        """Key from PEM text: EC P-384 or RSA of at least 2048 bits. `name` stands in the `SettingsError`."""
        if not key_id:
            raise SettingsError(f"{name}: a key id (kid) is needed.")
        for kind, algorithm in _KINDS:
            try:
                key = kind.import_key(pem)
            except (JoseError, ValueError, TypeError):
                continue
            return cls(key_id=key_id, algorithm=_require_strong(key, algorithm, name), key=key)
        raise SettingsError(f"{name}: a private key in PEM form is expected (EC P-384 or RSA).")

    @classmethod
    def from_file(cls, path: Path, key_id: str) -> AssertionKey:
        """As `from_pem`, from a file."""
        try:
            pem = path.read_bytes()
        except OSError:
            raise SettingsError(f"The key file {path.name} cannot be read.") from None
        return cls.from_pem(pem, key_id, name=path.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookIdentity:
    """Who we are as a CDS Hooks client."""

    issuer: str
    """`iss`: the URI under which the payer registered us."""
    key: AssertionKey
    """Key that signs."""
    jwks_url: str = ""
    """`jku`: where our key set is published; empty when the payer holds a copy."""
    tenant: str = ""
    """`tenant` claim, where the payer wants one."""


def sign_hook_token(
    identity: HookIdentity, url: str, now: datetime, new_id: Callable[[], str] = lambda: str(uuid4())
) -> str:
    """The token for one call of the service at `url`, which is its `aud`, character for character."""
    claims: dict[str, Any] = {"iss": identity.issuer, "aud": url, **_times(now), "jti": new_id()}
    if identity.tenant:
        claims["tenant"] = identity.tenant
    extra = {"jku": identity.jwks_url} if identity.jwks_url else {}
    return _sign(identity.key, claims, extra)


def sign_client_assertion(
    key: AssertionKey, client_id: str, token_url: str, now: datetime, new_id: Callable[[], str] = lambda: str(uuid4())
) -> str:
    """The `private_key_jwt` for one request to the token endpoint at `token_url`."""
    claims = {"iss": client_id, "sub": client_id, "aud": token_url, **_times(now), "jti": new_id()}
    return _sign(key, claims, {})


def _times(now: datetime) -> dict[str, int]:
    return {"iat": int(now.timestamp()), "exp": int((now + LIFE).timestamp())}


def _sign(key: AssertionKey, claims: dict[str, Any], extra: dict[str, str]) -> str:
    header = {"alg": key.algorithm, "kid": key.key_id, "typ": "JWT", **extra}
    return jwt.encode(header, claims, key.key, algorithms=[key.algorithm])


_KINDS: tuple[tuple[type[ECKey] | type[RSAKey], Algorithm], ...] = ((ECKey, "ES384"), (RSAKey, "RS384"))


def _require_strong(key: ECKey | RSAKey, algorithm: Algorithm, name: str) -> Algorithm:
    if not key.is_private:
        raise SettingsError(f"{name}: this is a public key; the private one is needed.")
    if isinstance(key, ECKey) and key.curve_name != "P-384":
        raise SettingsError(f"{name}: the curve must be P-384, which ES384 needs.")
    if isinstance(key, RSAKey) and key.raw_value.key_size < MIN_RSA_BITS:
        raise SettingsError(f"{name}: an RSA key needs at least {MIN_RSA_BITS} bits.")
    return algorithm
