"""One run of requests to an EHR: token, retries, status codes turned into errors, exchanges noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import httpx

from gateway.clients.ehr_records import ExchangeRecord, Finding, FindingKind
from gateway.clients.endpoint import encode_query
from gateway.clients.retries import ReadRetries
from gateway.clients.search_query import template
from gateway.clients.tokens import FORM, TokenProvider
from gateway.clients.transport import Reply, Transport
from gateway.errors import Conflict, EhrRejected, EhrUnreadable, GatewayError, InputError, NotFound
from gateway.fhir.json import parse_json

CHANGED = frozenset({409, 412})
"""Statuses of a write that met another version: HAPI answers 409 where FHIR says 412."""


class EhrSession:
    """Requests that belong together and share one list of exchanges and findings. For one thread."""

    def __init__(
        self, transport: Transport, token: TokenProvider, retries: ReadRetries, *, page_size: int = 50
    ) -> None:
        self.transport = transport
        self.token = token
        self.retries = retries
        self.page_size = page_size
        self.exchanges: list[ExchangeRecord] = []
        self.findings: list[Finding] = []

    def note(self, kind: FindingKind, resource_type: str = "", reference: str = "", text: str = "") -> None:
        """Keep one finding."""
        self.findings.append(Finding(kind=kind, resource_type=resource_type, reference=reference, text=text))

    def fetch(
        self, path: str, query: Sequence[tuple[str, str]] = (), headers: Mapping[str, str] | None = None
    ) -> Reply:
        """GET with retries; 2xx or an error. `Cache-Control: no-cache` keeps a server's older answer away."""
        asked = {"cache-control": "no-cache", **(headers or {})}
        return self.retries.run(lambda: self._ask("GET", path, query=query, headers=asked))

    def fetch_by_body(self, path: str, query: Sequence[tuple[str, str]]) -> Reply:
        """A search by POST: the same, with its parameters in the body."""
        body = encode_query(query).encode("ascii")
        headers = {"content-type": FORM, "cache-control": "no-cache"}
        return self.retries.run(lambda: self._ask("POST", path, noted=query, body=body, headers=headers))

    def fetch_next(self, link: str, asked: httpx.URL, resource_type: str) -> Reply:
        """The page that a `next` link names, as given; with retries."""
        return self.retries.run(
            lambda: self._settle(
                "GET", f"{resource_type}?(next page)", lambda h: self.transport.follow(link, asked, headers=h)
            )
        )

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """A write, once; `Conflict` for 409 and 412, the EHR's errors otherwise."""
        return self._ask(method, path, body=body, headers=headers)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        noted: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        headers: Mapping[str, str],
    ) -> Reply:
        label = template(path, query or noted)

        def once(credentials: Mapping[str, str]) -> Reply:
            return self.transport.send(method, path, query=query, body=body, headers={**headers, **credentials})

        return self._settle(method, label, once)

    def _settle(self, method: str, label: str, once: Callable[[Mapping[str, str]], Reply]) -> Reply:
        """Send with the token; a 401 renews it once, because nothing was done with the request."""
        reply = self._record(method, label, once(self._credentials()))
        if reply.status == 401 and self.token.renew():
            reply = self._record(method, label, once(self._credentials()))
        if not reply.is_success:
            raise self._refusal(reply)
        return reply

    def _credentials(self) -> Mapping[str, str]:
        value = self.token.authorization()
        return {"authorization": value} if value else {}

    def _record(self, method: str, label: str, reply: Reply) -> Reply:
        record = ExchangeRecord(
            method=method,
            url_path_template=label,
            status=reply.status,
            etag=reply.headers.get("etag", ""),
            response_digest=sha256(reply.body).hexdigest(),
            at=reply.answered_at,
            body=reply.body,
        )
        self.exchanges.append(record)
        return reply

    def _refusal(self, reply: Reply) -> GatewayError:
        name = f"EHR {self.transport.endpoint.id}"
        if reply.status == 404:
            return NotFound(f"{name} does not know this resource.", code="ehr.not-found")
        if reply.status == 410:
            return NotFound(f"{name} has deleted this resource, or its page is no longer kept.", code="ehr.gone")
        if reply.status in CHANGED:
            message = f"{name} holds another version by now; read it again and decide again."
            return Conflict(message, code="ehr.changed", status=reply.status)
        message, code = _explain(name, reply.status)
        return EhrRejected(
            message,
            code=code,
            http_answer=reply.status,
            body=reply.body,
            retry_after_seconds=reply.retry_after_seconds,
        )


def _explain(name: str, status: int) -> tuple[str, str]:
    if status == 401:
        return f"{name} does not accept our token; check its registration.", "ehr.login"
    if status == 403:
        return f"{name} does not let us do this; check the granted scopes.", "ehr.forbidden"
    if status in (429, 503):
        return f"{name} is busy; it is asked again later.", "ehr.busy"
    if 300 <= status < 400:
        return f"{name} answered with a redirect, which is not followed; correct its base address.", "ehr.redirect"
    return f"{name} refused with status {status}.", "ehr.rejected"


def read_resource(reply: Reply, name: str) -> dict[str, Any]:
    """The JSON object in an answer; `EhrUnreadable` for another media type, broken JSON or another shape."""
    if not reply.is_json:
        message = f"EHR {name} answered with another media type than FHIR JSON."
        raise EhrUnreadable(message, code="ehr.media-type", http_answer=reply.status, body=reply.body)
    try:
        value = parse_json(reply.body)
    except InputError as error:
        message = f"EHR {name} sent JSON that cannot be read: {error.message}"
        raise EhrUnreadable(message, code="ehr.json", http_answer=reply.status, body=reply.body) from None
    if not isinstance(value, dict) or not isinstance(value.get("resourceType"), str):
        message = f"EHR {name} sent JSON that is no FHIR resource."
        raise EhrUnreadable(message, code="ehr.json", http_answer=reply.status, body=reply.body)
    return value
