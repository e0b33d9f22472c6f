"""Who is calling our CDS services: the check of an EHR's signed token.

The token proves the caller, not the body; so it counts once, for one service and for minutes.
Source: CDS Hooks 2.0 (trusting CDS clients); crd §11; security T8, T9; field case B81.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from gateway.clients.key_sets import KeySource
from gateway.errors import AccessError, InputError
from gateway.fhir.json import parse_object

LEEWAY = timedelta(seconds=60)
"""Clocks may differ by this much."""
LONGEST_LIFE = timedelta(minutes=5)
"""No token may live longer, however it is dated."""
MAX_TOKEN_CHARACTERS = 8192
MAX_JTI_CHARACTERS = 256
ALGORITHMS = ("ES384", "RS384")
FOREIGN_KEYS = ("jwk", "x5u", "x5c", "crit")
"""Header names by which a token would bring its own key or change the rules."""

UseOnce = Callable[[str, str, datetime], bool]
"""(issuer, jti, until): True when this is its first use. The memory is shared by all processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedCaller:
    """A CDS client as registered."""

    issuer: str
    """`iss` of its tokens, compared as it stands."""
    tenant: str
    """Tenant it belongs to."""
    ehr_id: str
    """Endpoint id of the EHR it speaks for."""
    keys: KeySource = field(repr=False)
    """Its public keys."""
    jwks_url: str = ""
    """The only `jku` its tokens may name; empty: none."""
    algorithms: tuple[str, ...] = ALGORITHMS
    """Algorithms accepted from it."""


def verify_hook_token(
    authorization: str | None, audience: str, callers: Sequence[TrustedCaller], now: datetime, use_once: UseOnce
) -> TrustedCaller:
    """The caller whose token the Authorization header holds.

    `audience` is the exact URL of the service called (of the service list, for discovery). Steps: (1) form,
    (2) header, (3) issuer and key, (4) signature, (5) times and audience, (6) first use. The last one is
    taken only by a token that passed the others. Raises `AccessError` with status 401.
    """
    token = _bearer(authorization)  # (1)
    header, claims = _read_part(token, 0), _read_part(token, 1)
    caller = next((item for item in callers if item.issuer == claims.get("iss")), None)
    if caller is None:
        raise _refused("hook.issuer", "The caller is not registered here.")
    _check_header(header, caller)  # (2)
    key = caller.keys.find(header["kid"])  # (3)
    if key is None:
        raise _refused("hook.key", "The token names a key that is not registered.")
    try:
        jwt.decode(token, key, algorithms=list(caller.algorithms))  # (4)
    except (JoseError, ValueError, TypeError):
        raise _refused("hook.signature", "The signature of the token does not verify.") from None
    _check_audience(claims, audience)  # (5)
    until = _check_times(claims, now)
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARACTERS:
        raise _refused("hook.jti", "The token has no usable jti.")
    if not use_once(caller.issuer, jti, until):  # (6)
        raise _refused("hook.replay", "The token was used before; make one for each call.")
    return caller


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    is_token = token.isascii() and token.count(".") == 2 and len(token) <= MAX_TOKEN_CHARACTERS
    if scheme.lower() != "bearer" or not is_token:
        raise _refused("hook.token", "A signed bearer token is needed.")
    return token


def _read_part(token: str, position: int) -> Mapping[str, Any]:
    """Header or claims, read strictly: libraries accept a key that stands there twice."""
    text = token.split(".")[position]
    try:
        body = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return parse_object(body)
    except (binascii.Error, ValueError, InputError):
        raise _refused("hook.token", "The token cannot be read.") from None


def _check_header(header: Mapping[str, Any], caller: TrustedCaller) -> None:
    if header.get("alg") not in caller.algorithms:
        raise _refused("hook.algorithm", "The token is signed in a way that is not accepted.")
    if str(header.get("typ", "")).upper() != "JWT" or any(name in header for name in FOREIGN_KEYS):
        raise _refused("hook.header", "The header of the token is not that of a CDS client.")
    if "jku" in header and (not caller.jwks_url or header["jku"] != caller.jwks_url):
        raise _refused("hook.jku", "The token names another key set than the registered one.")
    if not isinstance(header.get("kid"), str):
        raise _refused("hook.key", "The token names no key.")


def _check_audience(claims: Mapping[str, Any], audience: str) -> None:
    named = claims.get("aud")
    listed = named if isinstance(named, list) else [named]
    if audience not in listed:
        raise _refused("hook.audience", "The token is for another service than the one called.")


def _check_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """Until when the token could be used again: its end and the leeway."""
    expires, issued = _instant(claims.get("exp")), _instant(claims.get("iat"))
    if expires is None or issued is None:
        raise _refused("hook.times", "The token needs exp and iat.")
    not_before = _instant(claims["nbf"]) if "nbf" in claims else issued
    if now > expires + LEEWAY:
        raise _refused("hook.expired", "The token is no longer good.")
    if not_before is None or max(issued, not_before) > now + LEEWAY:
        raise _refused("hook.times", "The token is dated in the future; compare the clocks.")
    if expires - issued > LONGEST_LIFE:
        raise _refused("hook.times", "The token lives too long; five minutes are the most.")
    return expires + LEEWAY


def _instant(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**33:
        return None
    return datetime.fromtimestamp(value, UTC)


def _refused(code: str, message: str) -> AccessError:
    return AccessError(message, code=code, status=401)
