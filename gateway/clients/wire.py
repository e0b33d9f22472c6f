"""The connection itself: checked address, one deadline, and the knowledge whether anything was sent.

`PinnedWire` is an httpx transport. It keeps connections open for reuse, follows no redirect, keeps
no cookie, reads no environment, and writes no log. Tests put `httpx.MockTransport` in its place.
"""

from __future__ import annotations

import logging
import select
import ssl
import time
import weakref
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import certifi
import httpcore
import httpx

from gateway.clients.addresses import Address, AddressRefused, Resolver, find_addresses, resolve_host
from gateway.clients.endpoint import Endpoint
from gateway.clients.limits import Limits
from gateway.errors import SettingsError

WRITE_BYTES = 16 * 1024
"""Most that is written in one step, so that the deadline is looked at often."""

for _name in ("httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    # Their debug lines hold URLs and headers, and with them tokens and patients (security T17). A filter, because
    # whoever configures logging later (uvicorn does) sets `disabled` back.
    logging.getLogger(_name).addFilter(lambda _: False)


@dataclass(slots=True)
class Attempt:
    """What is known of one request while it is under way."""

    until: float
    """Monotonic instant of the deadline."""
    connect_seconds: float
    """Longest wait for the connection."""
    is_watched: bool = False
    """The wire reports what was sent; a stand-in does not."""
    is_sent: bool = False
    """At least one byte of the request was handed to the network."""

    def remaining(self) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self.until - time.monotonic())


CURRENT: ContextVar[Attempt | None] = ContextVar("attempt", default=None)
"""The attempt of this thread; connections outlive attempts and look here."""


class PinnedWire(httpx.BaseTransport):
    """Sends requests of one endpoint over connections to its checked addresses. Safe for many threads."""

    def __init__(self, endpoint: Endpoint, limits: Limits, resolver: Resolver = resolve_host) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=build_tls(endpoint) if endpoint.url.scheme == "https" else None,
            max_connections=limits.connections,
            max_keepalive_connections=limits.connections,
            keepalive_expiry=limits.idle_seconds,
            network_backend=_PinnedBackend(endpoint, resolver),
        )
        weakref.finalize(self, self._pool.close)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; raises httpcore's errors."""
        attempt = _attempt()
        attempt.is_watched = True
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=request.headers.raw,
                content=request.read(),
                # The other waits end in `_DeadlineStream`; this one is for a free connection.
                extensions={"timeout": {"pool": attempt.remaining()}},
            )
        )
        stream = _Stream(answer)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def build_tls(endpoint: Endpoint) -> ssl.SSLContext:
    """TLS 1.2 or newer, host name and chain checked against the endpoint's CAs; `SettingsError` for bad files."""
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file or certifi.where())
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if endpoint.certificate_file:
            context.load_cert_chain(endpoint.certificate_file, endpoint.key_file)
    except (OSError, ssl.SSLError):
        raise SettingsError(f"Endpoint {endpoint.id}: a certificate or key file cannot be read as PEM.") from None
    return context


class _Stream(httpx.SyncByteStream):
    """The answer's raw bytes; closing gives the connection back."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class _PinnedBackend(httpcore.NetworkBackend):
    """Connects to a checked address of the endpoint's host; the name stays for SNI and Host."""

    def __init__(self, endpoint: Endpoint, resolver: Resolver) -> None:
        self._endpoint = endpoint
        self._resolver = resolver
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        attempt = _attempt()
        until = time.monotonic() + min(attempt.remaining(), attempt.connect_seconds)
        try:
            addresses = find_addresses(host, port, self._endpoint.cidrs, self._resolver, attempt.connect_seconds)
        except AddressRefused:
            raise
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from None
        return self._first_that_answers(addresses, port, until)

    def _first_that_answers(self, addresses: tuple[Address, ...], port: int, until: float) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectTimeout("no time left")
        for address in addresses:
            seconds = until - time.monotonic()
            if seconds <= 0:
                break
            try:
                return _DeadlineStream(self._sockets.connect_tcp(str(address), port, seconds))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every wait ends with the deadline of the attempt that uses it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _seconds_left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        attempt = _attempt()
        for start in range(0, len(buffer), WRITE_BYTES):
            seconds = _seconds_left(httpcore.WriteTimeout)
            attempt.is_sent = True
            self._inner.write(buffer[start : start + WRITE_BYTES], seconds)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = min(_seconds_left(httpcore.ConnectTimeout), _attempt().connect_seconds)
        return _DeadlineStream(self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._inner.get_extra_info("socket"))
        return self._inner.get_extra_info(info)


def _attempt() -> Attempt:
    attempt = CURRENT.get()
    if attempt is None:
        raise RuntimeError("a wire is used through Transport.send only")
    return attempt


def _seconds_left(error: type[Exception]) -> float:
    seconds = _attempt().remaining()
    if seconds <= 0:
        raise error("deadline passed")
    return seconds


def _is_readable(sock: Any) -> bool:
    """Whether an idle connection has something to read, which then is its end; also true when it is gone."""
    if sock is None or sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))
