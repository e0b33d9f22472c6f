"""Writing to an EHR without overwriting anybody and without believing more than it answers.

An update always names the version it rests on. What came back is compared with what was sent,
because servers drop what they do not know without a word. Source: FHIR R4 http; tools/hapi-ehr.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gateway.clients.ehr_chart import read_one
from gateway.clients.ehr_records import Fetched, Written, is_subsetted, reference_of, version_of
from gateway.clients.ehr_session import EhrSession, read_resource
from gateway.clients.search_query import RESOURCE_ID, escape_value, require_id, require_type
from gateway.clients.transport import Reply
from gateway.errors import EhrUnreadable, InputError
from gateway.fhir import Json
from gateway.fhir.json import dump_json

LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-._]{1,128})(?:/_history/([^/?#]+))?$")
"""Type, id and version at the end of Location or Content-Location, relative or absolute."""
SERVER_OWNED = frozenset({"id", "meta", "text"})
"""Elements of the root that the server sets or rewrites: not compared."""
WEAK_OR_QUOTED = re.compile(r'(W/)?"[^"]*"')


def create(session: EhrSession, resource: Json, identifier: tuple[str, str] | None = None) -> Written:
    """A new resource. With `identifier` (system, value) only if none has it: the one there is given back.

    The server chooses the id. Raises `Conflict` when several have the identifier, the EHR's errors
    otherwise; after `EhrTimedOut` it is unknown whether it was made, which `identifier` makes safe to repeat.
    """
    resource_type = require_type(str(resource.get("resourceType", "")))
    headers = dict(_PREFER)
    if identifier is not None:
        headers["if-none-exist"] = _condition(identifier)
    body = dump_json(_prepared(session, resource))
    reply = session.send("POST", resource_type, body, headers)
    fetched = _what_is_there(session, reply, resource_type, None)
    is_created = reply.status == 201
    return _written(session, resource, fetched, is_created=is_created)


def update(session: EhrSession, resource: Json, version: str) -> Written:
    """The resource in place of the one whose version (or ETag, as it came) is `version`.

    Raises `Conflict` when it has changed meanwhile: read it and decide again. Refuses a resource that
    is only a part of itself, and one without a version: nothing is overwritten blindly.
    """
    resource_type = require_type(str(resource.get("resourceType", "")))
    resource_id = require_id(str(resource.get("id", "")))
    if is_subsetted(resource):
        raise InputError("A part of a resource is not written back.", code="client.partial-resource")
    headers = {**_PREFER, "if-match": build_if_match(version)}
    body = dump_json(_prepared(session, resource))
    reply = session.send("PUT", f"{resource_type}/{resource_id}", body, headers)
    fetched = _what_is_there(session, reply, resource_type, resource_id)
    return _written(session, resource, fetched, is_created=reply.status == 201)


def build_if_match(version: str) -> str:
    """`W/"3"` for version 3; an ETag is given back as it came. `InputError` for none and for `*`."""
    if not version or version == "*" or not version.isprintable() or not version.isascii():
        raise InputError("An update needs the version it rests on.", code="client.version")
    return version if WEAK_OR_QUOTED.fullmatch(version) else f'W/"{version}"'


def lost_elements(sent: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Paths of what is in `sent` and not in `kept`, shortest first; array elements are compared by place."""
    if isinstance(sent, Mapping):
        for name, value in sent.items():
            if path or name not in SERVER_OWNED:
                inner = kept.get(name) if isinstance(kept, Mapping) else None
                yield from _lost(value, inner, f"{path}.{name}" if path else name)
    elif isinstance(sent, list):
        for position, value in enumerate(sent):
            inner = kept[position] if isinstance(kept, list) and position < len(kept) else None
            yield from _lost(value, inner, f"{path}[{position}]")
    elif sent != kept:
        yield path


def _lost(value: Any, kept: Any, path: str) -> Iterator[str]:
    if kept is None and value is not None:
        yield path
    else:
        yield from lost_elements(value, kept, path)


_PREFER = {"prefer": "return=representation"}


def _condition(identifier: tuple[str, str]) -> str:
    system, value = identifier
    if not system or not value:
        raise InputError("A conditional create needs system and value.", code="client.empty-parameter")
    return f"identifier={quote(system, safe='')}%7C{quote(escape_value(value), safe='')}"


def _prepared(session: EhrSession, value: Any) -> Any:
    """The resource with absolute references to this same server made relative: servers refuse them."""
    if isinstance(value, Mapping):
        made = {name: _prepared(session, item) for name, item in value.items()}
        reference = made.get("reference")
        base = session.transport.endpoint.base_url.rstrip("/") + "/"
        if isinstance(reference, str) and reference.startswith(base):
            made["reference"] = reference[len(base) :]
        return made
    return [_prepared(session, item) for item in value] if isinstance(value, list) else value


def _what_is_there(session: EhrSession, reply: Reply, resource_type: str, resource_id: str | None) -> Fetched:
    """The resource as the EHR holds it: from the answer where it is that, read back otherwise."""
    answer = _resource_in(session, reply)
    place = _place(reply)
    known_id = resource_id or place.get("id") or (str(answer.get("id", "")) if answer else "")
    if not RESOURCE_ID.fullmatch(known_id):
        message = f"EHR {session.transport.endpoint.id} did not say where it put the resource."
        raise EhrUnreadable(message, code="ehr.location", http_answer=reply.status, body=reply.body)
    if answer is None or reference_of(answer) != f"{resource_type}/{known_id}":
        return read_one(session, resource_type, known_id)
    version = version_of(answer) or place.get("version", "")
    etag = reply.headers.get("etag") or (f'W/"{version}"' if version else "")
    url = session.transport.endpoint.locate(f"{resource_type}/{known_id}")
    return Fetched(resource=answer, raw=reply.body, version=version, etag=etag, full_url=str(url))


def _resource_in(session: EhrSession, reply: Reply) -> dict[str, Any] | None:
    """The resource in a write's answer; None for an empty body, an OperationOutcome or anything unreadable."""
    if not reply.body.strip():
        return None
    try:
        resource = read_resource(reply, session.transport.endpoint.id)
    except EhrUnreadable:
        return None
    return None if resource["resourceType"] == "OperationOutcome" else resource


def _place(reply: Reply) -> dict[str, str]:
    """Id and version from Location, else Content-Location; empty when neither says."""
    for name in ("location", "content-location"):
        match = LOCATION.search(reply.headers.get(name, ""))
        if match:
            return {"id": match[2], "version": match[3] or ""}
    return {}


def _written(session: EhrSession, sent: Json, fetched: Fetched, *, is_created: bool) -> Written:
    return Written(
        fetched=fetched,
        is_created=is_created,
        lost_elements=tuple(lost_elements(_prepared(session, sent), fetched.resource)),
        exchanges=tuple(session.exchanges),
    )
