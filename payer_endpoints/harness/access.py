"""Who may call: a token endpoint and the bearer check.

The token endpoint grants `client_credentials` to the configured client by secret, or to any client that shows a signed
assertion of the right shape. No signature is verified here: this is a fake, and it warns of nothing else.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from payer_endpoints.harness.config import HarnessConfig
from payer_endpoints.harness.reading import as_text, parse_body

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LEEWAY = timedelta(seconds=60)


class Access:
    """Issued tokens and the check of a caller's Authorization header."""

    def __init__(self, config: HarnessConfig) -> None:
        self._config = config
        self._issued: dict[str, tuple[str, datetime]] = {}

    def clear(self) -> None:
        """Forget every issued token."""
        self._issued.clear()

    def grant(self, payer: str, body: bytes, authorization: str, url: str) -> tuple[int, dict[str, Any]]:
        """(status, JSON) of one token request; form encoded, RFC 6749 §4.4, RFC 7523 §2.2."""
        form = dict(parse_qsl(body.decode("latin-1"), max_num_fields=50)) if body.count(b"&") < 50 else {}
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        if not (self._has_secret(form, authorization) or self._has_assertion(form, url)):
            return 401, {"error": "invalid_client"}
        token = secrets.token_urlsafe(24)
        lifetime = self._config.token_lifetime_seconds
        self._issued[token] = (payer, self._config.now() + timedelta(seconds=lifetime))
        granted: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime}
        return 200, granted | ({"scope": form["scope"]} if form.get("scope") else {})

    def allows(self, payer: str, authorization: str, url: str, *, hook: bool) -> bool:
        """Whether the header carries a token of this payer, or (hooks) a client JWT for exactly this url."""
        if not self._config.require_token:
            return True
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return False
        if self._config.token is not None and secrets.compare_digest(token.encode(), self._config.token.encode()):
            return True
        owner, until = self._issued.get(token, ("", self._config.now()))
        if owner == payer and self._config.now() < until:
            return True
        return hook and self._is_client_jwt(token, url)

    def _has_secret(self, form: Mapping[str, str], authorization: str) -> bool:
        expected = (self._config.client_id, self._config.client_secret)
        if authorization.lower().startswith("basic "):
            decoded = _decode(authorization[6:].strip()).decode("utf-8", "replace")
            return tuple(decoded.split(":", 1)) == expected
        return (form.get("client_id"), form.get("client_secret")) == expected

    def _has_assertion(self, form: Mapping[str, str], url: str) -> bool:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return False
        claims = self._claims(form.get("client_assertion", ""))
        return claims is not None and claims.get("iss") == claims.get("sub") and _names(claims.get("aud"), url)

    def _is_client_jwt(self, token: str, url: str) -> bool:
        """CDS Hooks client JWT: `iss`, `aud` naming the service url, `exp` ahead, `jti` (crd.md §11)."""
        claims = self._claims(token)
        return claims is not None and bool(as_text(claims.get("iss"))) and _names(claims.get("aud"), url)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Payload of a JWT with an asymmetric algorithm, a key id, an id and a lifetime; None otherwise."""
        parts = token.split(".")
        if len(parts) != 3 or not parts[2]:
            return None
        header, _ = parse_body(_decode(parts[0]))
        claims, _ = parse_body(_decode(parts[1]))
        if header is None or claims is None or not as_text(header.get("kid")) or not as_text(claims.get("jti")):
            return None
        asymmetric = as_text(header.get("alg"))[:2] in ("RS", "ES", "PS", "Ed")
        expiry = claims.get("exp")
        alive = isinstance(expiry, int) and expiry > (self._config.now() - _LEEWAY).timestamp()
        return claims if asymmetric and alive else None


def _names(audience: Any, url: str) -> bool:
    return url in audience if isinstance(audience, list) else audience == url


def _decode(text: str) -> bytes:
    """base64 or base64url with or without padding; b"" where it is neither."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return b""
