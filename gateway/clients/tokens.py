"""Bearer tokens: none, a fixed one, or one asked of a token endpoint and kept until it runs out.

A token goes to the endpoint it was made for and nowhere else; the clients see to that. Nothing
here prints one.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from gateway.clients.assertions import AssertionKey, sign_client_assertion
from gateway.clients.scopes import has_data_scope, may_read, missing_scopes, read_scopes
from gateway.clients.transport import Reply, Transport
from gateway.errors import InputError, PartnerError, SettingsError
from gateway.fhir.json import parse_json

EARLY = timedelta(seconds=30)
"""A token is renewed this long before it runs out."""
SHORT_LIFE = timedelta(seconds=60)
"""Life assumed where the answer names none."""
FORM = "application/x-www-form-urlencoded"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenProvider(Protocol):
    """Gives the Authorization header of one endpoint. Safe for many threads."""

    def authorization(self) -> str | None:
        """Header value, or None where the endpoint wants none; raises the partner's errors."""
        ...

    def renew(self) -> bool:
        """Forget the present token after a 401; False when asking again can bring no other."""
        ...

    def missing_scopes(self) -> tuple[str, ...]:
        """Scopes asked for and not granted; empty when all are, or when nothing is known."""
        ...

    def may_read(self, resource_type: str) -> bool:
        """False when the granted scopes are known and do not let this type be read."""
        ...


class NoToken:
    """An endpoint that asks for none."""

    def authorization(self) -> str | None:
        """None."""
        return None

    def renew(self) -> bool:
        """False."""
        return False

    def missing_scopes(self) -> tuple[str, ...]:
        """Empty."""
        return ()

    def may_read(self, resource_type: str) -> bool:
        """True."""
        return True


class StaticToken(NoToken):
    """A bearer token given in the settings, as text or as a file that may be replaced while we run."""

    def __init__(self, token: str = "", *, file: Path | None = None) -> None:
        self._file = file
        self._token = _require_token(token) if file is None else _read_token(file)

    def authorization(self) -> str:
        """`Bearer` and the token."""
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        """True when the file holds another token by now."""
        if self._file is None:
            return False
        before, self._token = self._token, _read_token(self._file)
        return before != self._token

    def __repr__(self) -> str:
        return "StaticToken()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A token as it was granted."""

    token: str = field(repr=False)
    """The access token."""
    until: datetime
    """Instant after which another is asked for."""
    scopes: tuple[str, ...] | None
    """Scopes granted; None when the answer named none, which means those asked for."""


class ClientCredentials:
    """Tokens by `client_credentials` with a signed assertion, or with a secret where nothing better is offered.

    `transport` leads to the token endpoint itself. Scopes with commas are refused here, at start.
    """

    def __init__(
        self,
        transport: Transport,
        client_id: str,
        *,
        key: AssertionKey | None = None,
        secret: str = "",
        scopes: tuple[str, ...] | str = (),
    ) -> None:
        if (key is None) == (not secret):
            raise SettingsError("client credentials need either a key or a secret.")
        self._transport = transport
        self._client_id = client_id
        self._key = key
        self._secret = secret
        self._scopes = read_scopes(scopes)
        self._grant: Grant | None = None
        self._lock = threading.Lock()

    def authorization(self) -> str:
        """`Bearer` and a token that is good for at least some seconds more."""
        return f"Bearer {self._current().token}"

    def renew(self) -> bool:
        """Forget the token; the next call asks for another."""
        with self._lock:
            self._grant = None
        return True

    def missing_scopes(self) -> tuple[str, ...]:
        """Scopes asked for and not granted; asks for a token if there is none yet."""
        granted = self._current().scopes
        return () if granted is None else missing_scopes(self._scopes, granted)

    def may_read(self, resource_type: str) -> bool:
        """Whether the granted scopes let this type be read; True where nothing is known of data scopes."""
        granted = self._current().scopes
        return granted is None or not has_data_scope(self._scopes) or may_read(resource_type, granted)

    def _current(self) -> Grant:
        with self._lock:
            now = self._transport.clock.now()
            if self._grant is None or self._grant.until <= now:
                self._grant = self._ask(now)
            return self._grant

    def _ask(self, now: datetime) -> Grant:
        form = {"grant_type": "client_credentials"}
        if self._scopes:
            form["scope"] = " ".join(self._scopes)
        headers = {"accept": "application/json", "content-type": FORM}
        url = self._transport.endpoint.base_url
        if self._key is not None:
            form["client_assertion_type"] = ASSERTION_TYPE
            form["client_assertion"] = sign_client_assertion(self._key, self._client_id, url, now)
        else:
            headers["authorization"] = _basic(self._client_id, self._secret)
        body = urlencode(form, quote_via=quote, safe="").encode("ascii")
        return self._read(self._transport.send("POST", "", body=body, headers=headers))

    def _read(self, reply: Reply) -> Grant:
        if not reply.is_success:
            raise self._refusal(reply)
        try:
            answer = parse_json(reply.body)
            return _read_grant(answer, reply.answered_at)
        except (InputError, SettingsError, TypeError, ValueError, KeyError, AttributeError):
            message = f"Endpoint {self._transport.endpoint.id} gave no readable token."
            raise self._transport.failures.unreadable(message, http_answer=reply.status) from None

    def _refusal(self, reply: Reply) -> PartnerError:
        failures = self._transport.failures
        return failures.rejected(
            f"Endpoint {self._transport.endpoint.id} gave no token; check client id, key and scopes there.",
            code=f"{failures.prefix}.token-refused",
            http_answer=reply.status,
            body=reply.body,
            retry_after_seconds=reply.retry_after_seconds,
        )

    def __repr__(self) -> str:
        return f"ClientCredentials({self._transport.endpoint.id!r})"


def _read_grant(answer: Any, now: datetime) -> Grant:
    """The grant in a token answer; ValueError, KeyError or TypeError when it is none."""
    if str(answer["token_type"]).lower() != "bearer":
        raise ValueError("not a bearer token")
    seconds = answer.get("expires_in")
    life = timedelta(seconds=min(int(seconds), 86_400)) if seconds is not None else SHORT_LIFE
    scope = answer.get("scope")
    return Grant(
        token=_require_token(answer["access_token"]),
        until=now + max(life - EARLY, life / 2),
        scopes=tuple(str(scope).split()) if scope else None,
    )


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749 §2.3.1: both halves form-encoded, then Basic."""
    pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")


def _require_token(token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("a bearer token is one word of visible ASCII.")
    return token


def _read_token(file: Path) -> str:
    try:
        return _require_token(file.read_text(encoding="ascii").strip())
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"The token file {file.name} cannot be read.") from None
