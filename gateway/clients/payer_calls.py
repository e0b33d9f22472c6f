"""The payer client: one method for each call of the three guides, each giving back the exchange as bytes.

It decides nothing: a refusal, an empty answer and an answer in the wrong language are exchanges like any
other, and policy reads them. Only what has no answer is an error: `PayerUnreachable` (nothing was sent),
`PayerTimedOut` (outcome unknown), `PayerUnreadable` (over a limit, broken encoding, not HTTP).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.clients.addresses import Resolver, resolve_host
from gateway.clients.assertions import HookIdentity, sign_hook_token
from gateway.clients.endpoint import Endpoint
from gateway.clients.limits import Limits, read_retry_after
from gateway.clients.payer_row import PayerEndpoints
from gateway.clients.search_query import require_id
from gateway.clients.tokens import NoToken, TokenProvider
from gateway.clients.transport import FHIR_JSON, PAYER, Reply, Transport
from gateway.clock import Clock, SystemClock
from gateway.errors import InputError, SettingsError

KEPT_HEADERS = ("date", "retry-after", "etag", "location", "content-location")
"""Answer headers that are kept, by lower-case name."""
DISCOVERY_LIFE = timedelta(days=1)
"""Discovery is repeated at least daily (crd:found-16)."""
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call and its answer, as bytes."""

    request_bytes: bytes = field(repr=False)
    """Body sent; empty for GET and DELETE."""
    response_bytes: bytes = field(repr=False)
    """Body that came, decompressed and otherwise untouched."""
    status: int
    """HTTP status."""
    media_type: str
    """Lower-case media type of the answer without parameters; empty when it named none."""
    headers: Mapping[str, str] = field(repr=False)
    """`KEPT_HEADERS` that the answer had, by lower-case name."""
    sent_at: datetime
    """Instant just before sending."""
    answered_at: datetime
    """Instant when the whole answer was here."""
    endpoint_id: str
    """Endpoint called."""
    tls_peer_sha256: str | None
    """Hex SHA-256 of the server's certificate; None without TLS."""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def elapsed(self) -> timedelta:
        """From sending to the whole answer."""
        return self.answered_at - self.sent_at

    @property
    def retry_after_seconds(self) -> int | None:
        """Seconds that Retry-After asks to wait, or None."""
        return read_retry_after(self.headers.get("retry-after"), self.answered_at)


class PayerClient:
    """One payer. Safe for many threads.

    `tokens` gives the token of each guide (`crd`, `dtr`, `pas`, `attachment`); one provider serves all.
    `hook_identity` signs hook calls in place of a token. `transports` replaces the network in tests, by guide.
    """

    def __init__(
        self,
        endpoints: PayerEndpoints,
        tokens: TokenProvider | Mapping[str, TokenProvider] | None = None,
        *,
        limits: Limits | None = None,
        hook_identity: HookIdentity | None = None,
        clock: Clock | None = None,
        transports: Mapping[str, Transport] | None = None,
        resolver: Resolver = resolve_host,
    ) -> None:
        self.slug = endpoints.slug
        self._timeouts = endpoints.timeouts
        self._tokens = tokens
        self._identity = hook_identity
        self._clock: Clock = clock or SystemClock()
        self._limits = limits or Limits(connect_seconds=endpoints.timeouts.connect)
        self._transports = dict(transports or {})
        self._add_transports(endpoints, resolver)
        self._discovery: Exchange | None = None
        self._lock = threading.Lock()

    def discover(self, *, again: bool = False) -> Exchange:
        """The service list; a successful one is kept for a day. `again` asks anew, as after a hook error (found-17)."""
        with self._lock:
            known = self._discovery
        if known and not again and self._clock.now() - known.answered_at < DISCOVERY_LIFE:
            return known
        exchange = self._call("crd", "GET", "", None, self._timeouts.discovery, media_type=JSON, is_hook=True)
        if exchange.is_success:
            with self._lock:
                self._discovery = exchange
        return exchange

    def call_hook(self, service_id: str, body: bytes, timeout_seconds: float | None = None) -> Exchange:
        """One hook call, with a token of its own where we have a hook identity."""
        if not service_id or "/" in service_id:
            raise InputError("This is no service id.", code="client.path")
        seconds = timeout_seconds or self._timeouts.hook
        return self._call("crd", "POST", service_id, body, seconds, media_type=JSON, is_hook=True)

    def questionnaire_package(self, parameters: bytes, timeout_seconds: float | None = None) -> Exchange:
        """`Questionnaire/$questionnaire-package` with a Parameters resource."""
        path = "Questionnaire/$questionnaire-package"
        return self._call("dtr", "POST", path, parameters, timeout_seconds or self._timeouts.package)

    def next_question(
        self, body: bytes, timeout_seconds: float | None = None, path: str = "Questionnaire/$next-question"
    ) -> Exchange:
        """`$next-question` of an adaptive form; `path` is where below the payer's base its service is."""
        return self._call("dtr", "POST", path, body, timeout_seconds or self._timeouts.package)

    def log_errors(self, parameters: bytes) -> Exchange:
        """`Questionnaire/$log-questionnaire-errors`: faults of a form, without patient data."""
        return self._call("dtr", "POST", "Questionnaire/$log-questionnaire-errors", parameters, self._timeouts.package)

    def expand(self, parameters: bytes) -> Exchange:
        """`ValueSet/$expand` with `url` and perhaps `filter`."""
        return self._call("dtr", "POST", "ValueSet/$expand", parameters, self._timeouts.package)

    def submit(self, bundle: bytes, deadline_seconds: float | None = None) -> Exchange:
        """`Claim/$submit` with exactly these bytes, once. Without `deadline_seconds` the socket stays open for as
        long as the payer's row says, which is longer than people wait, so that a late answer is not lost."""
        seconds = deadline_seconds or self._timeouts.submit
        return self._call("pas", "POST", "Claim/$submit", bundle, seconds)

    def inquire(self, bundle: bytes) -> Exchange:
        """`Claim/$inquire` with exactly these bytes."""
        return self._call("pas", "POST", "Claim/$inquire", bundle, self._timeouts.inquire)

    def create_subscription(self, subscription: bytes) -> Exchange:
        """POST of a Subscription; the notification handshake may come before the answer."""
        return self._call("pas", "POST", "Subscription", subscription, self._timeouts.subscription)

    def update_subscription(self, subscription_id: str, subscription: bytes) -> Exchange:
        """PUT of a Subscription, as to ask for it to be active again."""
        path = f"Subscription/{require_id(subscription_id)}"
        return self._call("pas", "PUT", path, subscription, self._timeouts.subscription)

    def delete_subscription(self, subscription_id: str) -> Exchange:
        """DELETE of a Subscription."""
        path = f"Subscription/{require_id(subscription_id)}"
        return self._call("pas", "DELETE", path, None, self._timeouts.subscription)

    def subscription_status(self, subscription_id: str) -> Exchange:
        """`Subscription/{id}/$status`."""
        path = f"Subscription/{require_id(subscription_id)}/$status"
        return self._call("pas", "GET", path, None, self._timeouts.subscription)

    def submit_attachment(self, parameters: bytes) -> Exchange:
        """CDex `$submit-attachment` with exactly these bytes."""
        if "attachment" in self._transports:
            return self._call("attachment", "POST", "", parameters, self._timeouts.attachment)
        return self._call("pas", "POST", "$submit-attachment", parameters, self._timeouts.attachment)

    def capability(self) -> Exchange:
        """`metadata` of the submission endpoint."""
        return self._call("pas", "GET", "metadata", None, self._timeouts.discovery)

    def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            transport.close()

    def _add_transports(self, endpoints: PayerEndpoints, resolver: Resolver) -> None:
        offered: dict[str, Endpoint | None] = {
            "crd": endpoints.crd,
            "dtr": endpoints.dtr,
            "pas": endpoints.pas,
            "attachment": endpoints.attachment,
        }
        for guide, endpoint in offered.items():
            if endpoint is not None and guide not in self._transports:
                self._transports[guide] = Transport(
                    endpoint, failures=PAYER, limits=self._limits, clock=self._clock, resolver=resolver
                )

    def _call(
        self,
        guide: str,
        method: str,
        path: str,
        body: bytes | None,
        seconds: float,
        *,
        media_type: str = FHIR_JSON,
        is_hook: bool = False,
    ) -> Exchange:
        transport = self._transports.get(guide)
        if transport is None:
            raise SettingsError(f"Payer {self.slug}: the row has no [{guide}] endpoint.")
        headers = {"accept": media_type, "content-type": media_type} if body is not None else {"accept": media_type}

        def once() -> Reply:
            credentials = self._credentials(guide, transport, path, is_hook=is_hook)
            return transport.send(method, path, body=body, headers=headers | credentials, timeout_seconds=seconds)

        reply = once()
        # A 401 means that nothing was done with the request: one more try with a new token, where there is one.
        if reply.status == 401 and not (is_hook and self._identity) and self._provider(guide).renew():
            reply = once()
        return _exchange(body or b"", reply, transport.endpoint.id)

    def _credentials(self, guide: str, transport: Transport, path: str, *, is_hook: bool) -> dict[str, str]:
        if is_hook and self._identity:
            url = str(transport.endpoint.locate(path))
            return {"authorization": f"Bearer {sign_hook_token(self._identity, url, self._clock.now())}"}
        value = self._provider(guide).authorization()
        return {"authorization": value} if value else {}

    def _provider(self, guide: str) -> TokenProvider:
        if isinstance(self._tokens, Mapping):
            return self._tokens.get(guide) or NoToken()
        return self._tokens or NoToken()


def _exchange(body: bytes, reply: Reply, endpoint_id: str) -> Exchange:
    return Exchange(
        request_bytes=body,
        response_bytes=reply.body,
        status=reply.status,
        media_type=reply.media_type,
        headers={name: reply.headers[name] for name in KEPT_HEADERS if name in reply.headers},
        sent_at=reply.sent_at,
        answered_at=reply.answered_at,
        endpoint_id=endpoint_id,
        tls_peer_sha256=reply.tls_peer_sha256,
    )
