"""One search, read to its end: every page, every match checked, nothing twice.

Every rule here answers something a real server does: see the list in tools/hapi-ehr and field cases
B63, B67 and B73.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from gateway.clients.ehr_records import Fetched, is_subsetted, reference_of, version_of
from gateway.clients.ehr_session import EhrSession, read_resource
from gateway.clients.ehr_subject import whose
from gateway.clients.search_filter import check_match, is_checked
from gateway.clients.search_query import RESOURCE_ID, RESULT_PARAMETERS, belongs_in_body
from gateway.clients.slices import slice_entries
from gateway.clients.transport import Reply
from gateway.errors import EhrUnreadable, NotFound
from gateway.fhir import Json

MAX_PAGES = 2000
"""Most pages of one search; a chart read one resource at a time stays below."""
MAX_RESOURCES = 20_000
"""Most resources of one search."""
JUDGED_HERE = frozenset({"questionnaire"})
"""Parameters not sent when the patient is known: servers find no `urn:oid:` canonical that is there."""
RESTARTS = 2
"""How often a search begins anew because its pages were no longer kept."""


class Search:
    """One search of one type; `patient_id` makes every match prove whose it is."""

    def __init__(
        self, session: EhrSession, resource_type: str, pairs: Sequence[tuple[str, str]], patient_id: str | None
    ) -> None:
        self._session = session
        self._type = resource_type
        self._pairs = pairs
        """What each match must meet."""
        self._sent = [pair for pair in pairs if patient_id is None or pair[0] not in JUDGED_HERE]
        """What the server is asked for."""
        self._patient_id = patient_id
        self._found: dict[str, Fetched] = {}

    def run(self) -> tuple[Fetched, ...]:
        """Every match, then everything included, each once. Findings go to the session.

        A page that is no longer kept (410) starts the search again: a part is never taken for the whole.
        """
        for _ in range(RESTARTS + 1):
            self._found = {}
            try:
                self._read_pages()
            except _PageGone:
                self._session.note("restarted", self._type)
                continue
            found = list(self._found.values())
            return tuple(sorted(found, key=lambda item: item.mode != "match"))
        raise self._unreadable("its pages expire before they can be read", "paging")

    def _read_pages(self) -> None:
        reply = self._first()
        links: set[str] = set()
        for page in range(MAX_PAGES):
            bundle = self._read(reply)
            if page == 0:
                self._note_ignored(bundle)
            self._keep(bundle, reply)
            link = _link(bundle, "next")
            if link is None:
                return
            if link in links:
                raise self._unreadable("its paging links repeat", "paging")
            links.add(link)
            reply = self._next(link, reply.url)
        raise self._unreadable("the search has more pages than are read", "paging")

    def _first(self) -> Reply:
        if belongs_in_body(self._sent):
            return self._session.fetch_by_body(f"{self._type}/_search", self._sent)
        return self._session.fetch(self._type, self._sent)

    def _next(self, link: str, asked: httpx.URL) -> Reply:
        try:
            return self._session.fetch_next(link, asked, self._type)
        except NotFound as error:
            if error.reason == "ehr.gone":
                raise _PageGone from None
            raise

    def _read(self, reply: Reply) -> dict[str, Any]:
        bundle = read_resource(reply, self._session.transport.endpoint.id)
        if bundle["resourceType"] != "Bundle" or not isinstance(bundle.get("entry", []), list):
            raise self._unreadable("the answer to a search is no Bundle", "json")
        return bundle

    def _keep(self, bundle: Json, reply: Reply) -> None:
        raws = slice_entries(reply.body)
        for entry, raw in zip(bundle.get("entry") or (), raws, strict=True):
            resource = entry.get("resource") if isinstance(entry, Mapping) else None
            if isinstance(resource, Mapping):
                self._keep_entry(entry, resource, raw)
        if len(self._found) > MAX_RESOURCES:
            raise self._unreadable("the search finds more than is read", "too-many")

    def _keep_entry(self, entry: Json, resource: Json, raw: bytes) -> None:
        if resource.get("resourceType") == "OperationOutcome":
            self._note_outcome(resource)
            return
        mode = "match" if _is_match(entry, resource, self._type) else "include"
        if self._is_usable(resource, is_match=mode == "match"):
            version = version_of(resource)
            fetched = Fetched(
                resource=resource,
                raw=raw,
                version=version,
                etag=f'W/"{version}"' if version else "",
                full_url=str(entry.get("fullUrl", "")),
                mode="match" if mode == "match" else "include",
            )
            known = self._found.setdefault(fetched.reference, fetched)
            if known.mode == "include" and mode == "match":
                self._found[fetched.reference] = fetched

    def _is_usable(self, resource: Json, *, is_match: bool) -> bool:
        reference = reference_of(resource)
        kind = str(resource.get("resourceType", ""))
        if not RESOURCE_ID.fullmatch(str(resource.get("id", ""))):
            self._session.note("unnamed", kind)
            return False
        if is_subsetted(resource):
            self._session.note("subsetted", kind, reference)
            return False
        return self._belongs(resource, kind, reference) and (not is_match or self._meets(resource, kind, reference))

    def _belongs(self, resource: Json, kind: str, reference: str) -> bool:
        if self._patient_id is None:
            return True
        verdict = whose(resource, self._patient_id, self._session.transport.endpoint)
        if verdict != "own":
            self._session.note("foreign-patient" if verdict == "foreign" else "no-subject", kind, reference)
        return verdict == "own"

    def _meets(self, resource: Json, kind: str, reference: str) -> bool:
        failed = check_match(resource, self._pairs)
        if failed:
            self._session.note("filtered", kind, reference, failed)
        return failed is None

    def _note_ignored(self, bundle: Json) -> None:
        """Parameters that the self link says were not used and that cannot be checked here either.

        Only the first page can tell: the self link of a later one is the opaque link of that page. A self
        link without any parameter says nothing either: after POST it has none.
        """
        link = _link(bundle, "self")
        used = httpx.QueryParams(link.partition("?")[2]).keys() if link and "?" in link else ()
        if not used:
            return
        for name in dict.fromkeys(name for name, _ in self._sent):
            if name not in used and name not in RESULT_PARAMETERS:
                detail = "checked here" if is_checked(name) else "not checked"
                self._session.note("ignored-parameter", self._type, name, detail)

    def _note_outcome(self, outcome: Json) -> None:
        for text in issue_lines(outcome):
            self._session.note("outcome", self._type, "", text)

    def _unreadable(self, why: str, word: str) -> EhrUnreadable:
        return EhrUnreadable(f"EHR {self._session.transport.endpoint.id}: {why}.", code=f"ehr.{word}")


class _PageGone(Exception):
    """A page is no longer kept."""


def issue_lines(outcome: Json) -> Iterator[str]:
    """`code: text` of each issue of an OperationOutcome."""
    for issue in outcome.get("issue") or ():
        if isinstance(issue, Mapping):
            details = issue.get("details")
            text = details.get("text") if isinstance(details, Mapping) else None
            yield f"{issue.get('code', 'unknown')}: {text or issue.get('diagnostics') or ''}".rstrip(": ")


def _is_match(entry: Json, resource: Json, resource_type: str) -> bool:
    """By `search.mode`; without one, by type."""
    search = entry.get("search")
    mode = search.get("mode") if isinstance(search, Mapping) else None
    return mode == "match" if mode in ("match", "include") else resource.get("resourceType") == resource_type


def _link(bundle: Json, relation: str) -> str | None:
    for link in bundle.get("link") or ():
        if isinstance(link, Mapping) and link.get("relation") == relation and isinstance(link.get("url"), str):
            return str(link["url"])
    return None
