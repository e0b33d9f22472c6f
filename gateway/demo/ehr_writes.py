"""Create and update: what is checked before a resource is stored, and how the answer looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from fastapi import Request, Response

from gateway.demo.ehr_answers import done_response, resource_response, version_headers
from gateway.demo.ehr_search import find_matches, read_query
from gateway.demo.ehr_store import Store, Stored
from gateway.demo.ehr_types import require_type, type_table
from gateway.errors import InputError, TooLarge
from gateway.fhir.json import parse_object

MAX_BODY_BYTES = 10 * 1024 * 1024
"""Largest body accepted."""
_JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
_ETAG = re.compile(r'(W/)?"([^"]*)"$')
_RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?$")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}$")


async def create(request: Request, store: Store, base: str, kind: str) -> Response:
    """POST: 201 with Location, or 200 when If-None-Exist found one. An id in the body is ignored."""
    resource = await _read_resource(request, kind)
    _require_targets(store, resource, own_key="")
    stored, is_new = store.create(kind, resource, _condition(store, kind, request.headers.get("if-none-exist")))
    location = {"Location": f"{base}/{stored.key}/_history/{stored.version}"}
    return _written(request, stored, 201 if is_new else 200, location)


async def update(request: Request, store: Store, base: str, kind: str, id: str) -> Response:
    """PUT: 200, or 201 for an id that was free. If-Match is compared with the current version, 412 when stale."""
    resource = await _read_resource(request, kind)
    if not _ID.match(id) or resource.get("id") != id:
        raise InputError("The id in the body must be the one in the address.", code="id-mismatch")
    _require_targets(store, resource, own_key=f"{kind}/{id}")
    stored, is_new = store.update(kind, id, resource, _expected_version(request))
    location = {"Content-Location": f"{base}/{stored.key}/_history/{stored.version}"}
    return _written(request, stored, 201 if is_new else 200, location)


def _condition(store: Store, kind: str, text: str | None) -> Callable[[], list[Stored]] | None:
    """The search that If-None-Exist asks for. InputError when it says nothing."""
    if text is None:
        return None
    query = read_query(kind, text)
    if not query.criteria:
        raise InputError("If-None-Exist needs at least one parameter with a value.")
    return partial(find_matches, store, query)


async def _read_resource(request: Request, kind: str) -> dict[str, Any]:
    require_type(kind)
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in _JSON_TYPES:
        raise InputError("Send the resource as application/fhir+json.", code="media-type", status=415)
    resource = parse_object(await read_body(request))
    if resource.get("resourceType") != kind:
        raise InputError("The resource in the body is of another type than the address.", code="type-mismatch")
    if not isinstance(resource.get("meta", {}), Mapping):
        raise InputError("meta must be an object.", expression="meta")
    return resource


async def read_body(request: Request) -> bytes:
    """The body as sent. Raises TooLarge (413)."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge("The body is larger than this server takes.")
    return bytes(body)


def _expected_version(request: Request) -> str | None:
    text = request.headers.get("if-match")
    if text is None:
        return None
    found = _ETAG.match(text.strip())
    if not found:
        raise InputError('If-Match must be a version such as W/"3".', code="bad-etag")
    return found.group(2)


def _require_targets(store: Store, resource: Any, own_key: str) -> None:
    """Referential integrity, as EHRs keep it: a relative reference must name something that is here."""
    for text in _references(resource):
        found = _RELATIVE.match(text)
        if not found:
            continue
        key = f"{found.group(1)}/{found.group(2)}"
        if key != own_key and (found.group(1) not in type_table() or not store.has(key)):
            raise InputError("A reference names a resource that is not here.", code="dangling-reference")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "reference" and isinstance(item, str):
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _written(request: Request, stored: Stored, status: int, location: Mapping[str, str]) -> Response:
    """The answer in the shape that `Prefer` asks for."""
    prefer = request.headers.get("prefer", "")
    headers = {**version_headers(stored), **location}
    if "return=minimal" in prefer:
        return Response(None, status, headers)
    if "return=OperationOutcome" in prefer:
        return done_response(status, headers)
    return resource_response(stored, status, location)
