"""The EHR client: reads, searches and writes at one registered FHIR base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.clients.ehr_chart import CHART_TYPES, follow, read_chart, read_one
from gateway.clients.ehr_records import ExchangeRecord, Extract, Fetched, Finding, Written
from gateway.clients.ehr_search import Search
from gateway.clients.ehr_session import EhrSession, read_resource
from gateway.clients.ehr_write import create, update
from gateway.clients.endpoint import Endpoint
from gateway.clients.retries import ReadRetries
from gateway.clients.search_query import Query, read_query, require_id, require_type
from gateway.clients.tokens import NoToken, TokenProvider
from gateway.clients.transport import EHR, Transport
from gateway.fhir import Json

__all__ = [
    "CHART_TYPES",
    "EhrClient",
    "ExchangeRecord",
    "Extract",
    "Fetched",
    "Finding",
    "Written",
]


class EhrClient:
    """One EHR. Safe for many threads; every call is its own run with its own list of exchanges.

    `token` goes to this EHR only. Errors: `NotFound` (404 `ehr.not-found`, 410 `ehr.gone`), `Conflict`,
    and `EhrUnreachable`, `EhrTimedOut`, `EhrRejected`, `EhrUnreadable`.
    """

    def __init__(
        self,
        endpoint: Endpoint | Transport,
        token: TokenProvider | None = None,
        *,
        retries: ReadRetries | None = None,
        page_size: int = 50,
    ) -> None:
        self._transport = endpoint if isinstance(endpoint, Transport) else Transport(endpoint, failures=EHR)
        self._token: TokenProvider = token or NoToken()
        self._retries = retries or ReadRetries()
        self._page_size = page_size

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint it speaks to."""
        return self._transport.endpoint

    def with_token(self, token: TokenProvider) -> EhrClient:
        """The same EHR with another token, e.g. the one of a hook; connections are shared."""
        return EhrClient(self._transport, token, retries=self._retries, page_size=self._page_size)

    def read(self, resource_type: str, resource_id: str) -> Fetched:
        """One resource."""
        return read_one(self._session(), resource_type, resource_id)

    def read_with_proof(self, resource_type: str, resource_id: str) -> Extract:
        """One resource with the exchange that brought it."""
        session = self._session()
        fetched = read_one(session, resource_type, resource_id)
        return Extract(fetched=(fetched,), exchanges=tuple(session.exchanges))

    def search(self, resource_type: str, query: Query = (), *, patient_id: str | None = None) -> Extract:
        """Every page of a search, checked again on our side.

        With `patient_id` the parameter `patient` is added where the query has none, and what belongs to
        another patient is dropped and reported. Iterating over the result gives matches, then includes.
        """
        pairs = read_query(query)
        if patient_id is not None:
            require_id(patient_id)
            names = {name for name, _ in pairs}
            if not names & {"patient", "subject", "beneficiary", "_id"} and resource_type != "Patient":
                pairs = [("patient", patient_id), *pairs]
        if all(name != "_count" for name, _ in pairs):
            pairs = [*pairs, ("_count", str(self._page_size))]
        session = self._session()
        found = Search(session, require_type(resource_type), pairs, patient_id).run()
        return Extract(fetched=found, exchanges=tuple(session.exchanges), findings=tuple(session.findings))

    def chart(self, patient_id: str, types: Sequence[str] = CHART_TYPES) -> Extract:
        """The whole chart of a patient; see `read_chart`."""
        return read_chart(self._session(), patient_id, types)

    def follow(self, resources: Iterable[Json], *, patient_id: str | None = None) -> Extract:
        """Practitioners, organizations, locations, medications and devices that `resources` point to."""
        session = self._session()
        found = follow(session, resources, {}, patient_id)
        return Extract(fetched=tuple(found), exchanges=tuple(session.exchanges), findings=tuple(session.findings))

    def create(self, resource: Json, *, if_none_identifier: tuple[str, str] | None = None) -> Written:
        """A new resource; with `if_none_identifier` (system, value) only if none has that identifier yet."""
        return create(self._session(), resource, if_none_identifier)

    def update(self, resource: Json, version: str) -> Written:
        """The resource in place of the one with that version or ETag; `Conflict` when it changed meanwhile."""
        return update(self._session(), resource, version)

    def capability(self) -> Mapping[str, Any]:
        """The CapabilityStatement: what could be done, not what this client may do."""
        return read_resource(self._session().fetch("metadata"), self.endpoint.id)

    def missing_scopes(self) -> tuple[str, ...]:
        """Scopes asked for and not granted; to be told before the first read."""
        return self._token.missing_scopes()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _session(self) -> EhrSession:
        return EhrSession(self._transport, self._token, self._retries, page_size=self._page_size)
