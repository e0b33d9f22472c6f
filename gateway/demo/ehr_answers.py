"""Answers of the server as bytes: resources, Bundles, outcomes, and the snapshots that paging needs."""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import format_datetime

from fastapi import Response

from gateway.demo.ehr_search import Query, find_included
from gateway.demo.ehr_store import Store, Stored
from gateway.errors import GatewayError, NotFound
from gateway.fhir.json import dump_json

MEDIA_TYPE = "application/fhir+json;charset=utf-8"
MAX_SNAPSHOTS = 200
"""Searches that can still be paged through; older ones answer 410."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A place in the snapshot of a search."""

    query: Query
    matches: tuple[Stored, ...]
    offset: int


class Pages:
    """Snapshots of searches by opaque token; the oldest are forgotten."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, page: Page) -> str:
        """Remember a page and return its token."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._pages[token] = page
            while len(self._pages) > MAX_SNAPSHOTS:
                self._pages.popitem(last=False)
        return token

    def take(self, token: str) -> Page:
        """The page of a token; it can be asked for again. Raises NotFound with status 410."""
        with self._lock:
            page = self._pages.get(token)
        if page is None:
            raise NotFound("This page is no longer kept; start the search again.", code="page-expired", status=410)
        return page


def resource_response(stored: Stored, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """One resource with its version headers."""
    return Response(stored.body, status, {**version_headers(stored), **(headers or {})}, MEDIA_TYPE)


def version_headers(stored: Stored) -> dict[str, str]:
    """ETag and Last-Modified."""
    return {"ETag": stored.etag, "Last-Modified": format_datetime(stored.updated_at, usegmt=True)}


def outcome_response(error: GatewayError, headers: Mapping[str, str] | None = None) -> Response:
    """An error as OperationOutcome."""
    issue = {
        "severity": "error",
        "code": error.issue_type,
        "details": {"text": error.reason},
        "diagnostics": error.diagnostics(),
    }
    body = dump_json({"resourceType": "OperationOutcome", "issue": [issue]})
    return Response(body, error.http_status, dict(headers or {}), MEDIA_TYPE)


def done_response(status: int, headers: Mapping[str, str]) -> Response:
    """What `Prefer: return=OperationOutcome` gets after a write."""
    issue = {"severity": "information", "code": "informational", "diagnostics": "Stored."}
    return Response(
        dump_json({"resourceType": "OperationOutcome", "issue": [issue]}), status, dict(headers), MEDIA_TYPE
    )


def page_response(store: Store, pages: Pages, base: str, self_url: str, page: Page) -> Response:
    """One page of a search as a searchset Bundle.

    A first page that has a next one carries no `total` unless the client asked for it; links to
    further pages are opaque and stand at the base of the server.
    """
    end = page.offset + page.query.count
    shown: Sequence[Stored] = () if page.query.wants_count_only else page.matches[page.offset : end]
    links = [{"relation": "self", "url": self_url}]
    has_next = end < len(page.matches) and not page.query.wants_count_only
    if has_next:
        token = pages.keep(Page(query=page.query, matches=page.matches, offset=end))
        links.append({"relation": "next", "url": f"{base}?_page={token}"})
    says_total = page.query.wants_total or page.offset > 0 or not has_next
    entries = [_entry(base, stored, "match") for stored in shown]
    entries += [_entry(base, stored, "include") for stored in find_included(store, page.query, shown)]
    head: dict[str, object] = {"resourceType": "Bundle", "id": secrets.token_hex(16), "type": "searchset"}
    return bundle_response({**head, **({"total": len(page.matches)} if says_total else {}), "link": links}, entries)


def history_response(base: str, versions: Sequence[Stored]) -> Response:
    """All versions of a resource, newest first."""
    entries = [
        b'{"fullUrl":%s,"resource":%s,"request":%s,"response":%s}'
        % (
            _text(f"{base}/{item.key}"),
            item.body,
            dump_json({"method": "PUT" if item.version > 1 else "POST", "url": item.key}),
            dump_json({"status": "200" if item.version > 1 else "201", "etag": item.etag}),
        )
        for item in versions
    ]
    return bundle_response({"resourceType": "Bundle", "type": "history", "total": len(versions)}, entries)


def bundle_response(head: Mapping[str, object], entries: Sequence[bytes]) -> Response:
    """A Bundle whose entries are ready bytes; without entries the element is left out."""
    opening = dump_json(head)[:-1]
    tail = b',"entry":[%s]}' % b",".join(entries) if entries else b"}"
    return Response(opening + tail, 200, media_type=MEDIA_TYPE)


def _entry(base: str, stored: Stored, mode: str) -> bytes:
    return b'{"fullUrl":%s,"resource":%s,"search":{"mode":"%s"}}' % (
        _text(f"{base}/{stored.key}"),
        stored.body,
        mode.encode(),
    )


def _text(value: str) -> bytes:
    return json.dumps(value).encode()
