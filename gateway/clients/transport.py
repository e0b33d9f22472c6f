"""One request to one registered endpoint, within limits, and what came of it.

Every failure is told as one of the house's errors in the flavour of the partner: nothing was sent
(`Unreachable`), the outcome is unknown (`TimedOut`), the answer cannot be read (`Unreadable`).
A status code is no failure here; the caller decides. Messages name the endpoint and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, cast

import httpcore
import httpx

from gateway.clients.addresses import AddressRefused, Resolver, resolve_host
from gateway.clients.decoding import BodyTooLarge, BodyUndecodable, read_body
from gateway.clients.endpoint import Endpoint
from gateway.clients.limits import Limits, read_retry_after
from gateway.clients.wire import CURRENT, Attempt, PinnedWire
from gateway.clock import Clock, SystemClock
from gateway.errors import (
    EhrRejected,
    EhrTimedOut,
    EhrUnreachable,
    EhrUnreadable,
    InputError,
    PartnerError,
    PayerRejected,
    PayerTimedOut,
    PayerUnreachable,
    PayerUnreadable,
)

FHIR_JSON = "application/fhir+json"
JSON_TYPES = frozenset({FHIR_JSON, "application/json+fhir", "application/json", "text/json", ""})
"""Media types read as JSON: the right one, the one of old servers, and the plain ones; empty means none was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """The error classes of one kind of partner."""

    unreachable: type[PartnerError]
    timed_out: type[PartnerError]
    rejected: type[PartnerError]
    unreadable: type[PartnerError]
    prefix: str
    """First part of the reason codes, `ehr` or `payer`."""


EHR = Failures(
    unreachable=EhrUnreachable, timed_out=EhrTimedOut, rejected=EhrRejected, unreadable=EhrUnreadable, prefix="ehr"
)
PAYER = Failures(
    unreachable=PayerUnreachable,
    timed_out=PayerTimedOut,
    rejected=PayerRejected,
    unreadable=PayerUnreadable,
    prefix="payer",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it came, decompressed and otherwise untouched."""

    status: int
    """HTTP status code."""
    headers: Mapping[str, str] = field(repr=False)
    """Headers by lower-case name."""
    body: bytes = field(repr=False)
    """Body after content decoding."""
    media_type: str
    """Lower-case type without parameters; empty when the answer named none."""
    sent_at: datetime
    """Instant just before the request."""
    answered_at: datetime
    """Instant when the whole answer was here."""
    url: httpx.URL = field(repr=False)
    """URL asked; relative links resolve against it."""
    tls_peer_sha256: str | None = None
    """Hex SHA-256 of the server's certificate; None without TLS."""
    is_coding_undeclared: bool = False
    """The body was gzip although no header said so."""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def is_json(self) -> bool:
        """Whether the media type, read leniently, is JSON."""
        return self.media_type in JSON_TYPES

    @property
    def retry_after_seconds(self) -> int | None:
        """Seconds that Retry-After asks to wait, or None."""
        return read_retry_after(self.headers.get("retry-after"), self.answered_at)


class Transport:
    """Sends requests to one endpoint. Safe for many threads; connections are reused.

    `wire` replaces the network in tests. `failures` chooses the flavour of errors.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        failures: Failures = EHR,
        limits: Limits | None = None,
        resolver: Resolver = resolve_host,
        clock: Clock | None = None,
        wire: httpx.BaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.failures = failures
        self.limits = limits or Limits()
        self.clock: Clock = clock or SystemClock()
        self._wire = wire or PinnedWire(endpoint, self.limits, resolver)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Reply:
        """One exchange with `path` under the endpoint's base; `timeout_seconds` replaces the usual deadline."""
        url = self.endpoint.locate(path, query)
        return self._exchange(method, url, body, headers or {}, timeout_seconds)

    def follow(self, link: str, asked: httpx.URL, *, headers: Mapping[str, str] | None = None) -> Reply:
        """GET what `link` names, as the server of `asked` gave it. A link elsewhere is `Unreadable`: the answer
        cannot be read to its end, and a part must not pass for the whole."""
        try:
            url = self.endpoint.follow(link, asked)
        except InputError as error:
            message = f"{self._name()} gave a link that leads outside its registered address; it was not followed."
            raise self.failures.unreadable(message, code=self._code("foreign-link")) from error
        return self._exchange("GET", url, None, headers or {}, None)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def _exchange(
        self, method: str, url: httpx.URL, body: bytes | None, headers: Mapping[str, str], seconds: float | None
    ) -> Reply:
        request = self._build(method, url, body, headers)
        allowed = self.limits.total_seconds if seconds is None else seconds
        attempt = Attempt(until=time.monotonic() + allowed, connect_seconds=min(allowed, self.limits.connect_seconds))
        token = CURRENT.set(attempt)
        sent_at = self.clock.now()
        try:
            return self._receive(request, sent_at)
        except AddressRefused:
            message = f"{self._name()} has an address outside the networks its settings allow; check them."
            raise self.failures.unreachable(message, code=self._code("address-refused")) from None
        except (httpcore.LocalProtocolError, httpx.LocalProtocolError):
            raise InputError("A header holds characters that cannot be sent.", code="client.header") from None
        except (BodyTooLarge, BodyUndecodable) as error:
            raise self._unreadable(error) from None
        except _WIRE_ERRORS as error:
            raise self._failure(error, attempt) from None
        finally:
            CURRENT.reset(token)

    def _build(self, method: str, url: httpx.URL, body: bytes | None, headers: Mapping[str, str]) -> httpx.Request:
        # Defensive: the base is checked again here, so that no other way to a URL can leave it.
        if not self.endpoint.owns(url):
            raise InputError("The address does not belong to the endpoint.", code="client.foreign-link")
        fixed = {"accept": FHIR_JSON, "accept-encoding": "gzip", "user-agent": "pa-gateway"}
        if body is not None:
            fixed["content-type"] = FHIR_JSON
        chosen = fixed | {name.lower(): value for name, value in headers.items()}
        if any(not value.isprintable() or not value.isascii() for value in chosen.values()):
            raise InputError("A header holds characters that cannot be sent.", code="client.header")
        return httpx.Request(method, url, headers=chosen, content=body)

    def _receive(self, request: httpx.Request, sent_at: datetime) -> Reply:
        response = self._wire.handle_request(request)
        try:
            coding = response.headers.get("content-encoding", "")
            body, is_undeclared = read_body(
                cast(Iterable[bytes], response.stream),
                coding,
                raw_bytes=self.limits.raw_bytes,
                body_bytes=self.limits.body_bytes,
            )
        finally:
            response.close()
        return Reply(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            media_type=_media_type(response.headers.get("content-type", "")),
            sent_at=sent_at,
            answered_at=self.clock.now(),
            url=request.url,
            tls_peer_sha256=_peer_digest(response),
            is_coding_undeclared=is_undeclared,
        )

    def _failure(self, error: Exception, attempt: Attempt) -> PartnerError:
        if isinstance(error, _BEFORE_SENDING) or (attempt.is_watched and not attempt.is_sent):
            message = f"{self._name()} cannot be reached; nothing was sent. Check the network and its address."
            return self.failures.unreachable(message)
        if isinstance(error, _NOT_HTTP) and not _was_cut_off(error):
            message = f"{self._name()} answered with something that is not HTTP."
            return self.failures.unreadable(message, code=self._code("not-http"))
        message = f"{self._name()} gave no complete answer in time; whether it acted is unknown."
        return self.failures.timed_out(message)

    def _unreadable(self, error: Exception) -> PartnerError:
        if isinstance(error, BodyTooLarge):
            message = f"{self._name()} sent more than the configured limit; reading stopped there."
            return self.failures.unreadable(message, code=self._code("too-large"))
        message = f"{self._name()} sent a body whose Content-Encoding cannot be undone."
        return self.failures.unreadable(message, code=self._code("encoding"))

    def _name(self) -> str:
        return f"Endpoint {self.endpoint.id}"

    def _code(self, word: str) -> str:
        return f"{self.failures.prefix}.{word}"


_BEFORE_SENDING = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
)
_NOT_HTTP = (httpcore.RemoteProtocolError, httpx.RemoteProtocolError)
_WIRE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpx.TransportError,
    OSError,
)


def _was_cut_off(error: Exception) -> bool:
    """Whether the connection ended before the answer did, as opposed to an answer that is no HTTP."""
    text = str(error)
    return text.startswith(("Server disconnected", "peer closed connection"))


def _media_type(header: str) -> str:
    """The type without parameters; the first one where proxies doubled the header."""
    return header.partition(";")[0].partition(",")[0].strip().lower()


def _peer_digest(response: httpx.Response) -> str | None:
    stream = response.extensions.get("network_stream")
    tls: Any = stream.get_extra_info("ssl_object") if stream is not None else None
    certificate = tls.getpeercert(True) if tls is not None else None
    return sha256(certificate).hexdigest() if certificate else None
