"""Request bodies: bounded while they stream, decompressed under the same bound, read strictly.

A body is never held beyond its limit, whether it came plain or compressed (security T3), and it is
turned into FHIR JSON by one reader per format (T4, T5).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from gateway.errors import InputError, TooLarge
from gateway.fhir.json import parse_json
from gateway.fhir.xml import parse_xml

JSON_TYPES = ("application/fhir+json", "application/json", "application/json+fhir")
XML_TYPES = ("application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request body as received and as read."""

    raw: bytes
    """Exact bytes after transport decoding; this is what is stored and digested."""
    media_type: str
    """Media type without parameters, lower case."""
    resource: Any
    """What the bytes mean as FHIR JSON."""


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """The body's bytes, decoded, at most `limit_bytes`.

    Raises TooLarge (413) as soon as the limit is passed, InputError for an unknown or broken
    Content-Encoding. A declared length over the limit is refused before anything is read.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip"):
        raise InputError(
            "This Content-Encoding is not taken; send the body plain or as gzip.",
            code="body.encoding",
            status=415,
        )
    return await _collect(request, limit_bytes, zlib.decompressobj(31) if encoding == "gzip" else None)


async def _collect(request: Request, limit: int, inflate: Any) -> bytes:
    parts: list[bytes] = []
    held = received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        piece = _inflate(inflate, chunk, limit - held) if inflate else chunk
        held += len(piece)
        parts.append(piece)
    if inflate and received and not inflate.eof:
        raise InputError("The gzip body ends too early; send it again.", code="body.encoding")
    return b"".join(parts)


def _inflate(inflate: Any, chunk: bytes, room: int) -> bytes:
    try:
        piece: bytes = inflate.decompress(chunk, room + 1)
    except zlib.error:
        raise InputError("The body is not valid gzip; send it again.", code="body.encoding") from None
    if len(piece) > room or inflate.unconsumed_tail:
        raise _too_large(room)
    return piece


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is over the limit of {limit} bytes. Leave out large attachments, or raise server.max_body_bytes."
    )


def read_fhir(raw: bytes, content_type: str) -> Body:
    """`raw` read as FHIR by its media type. Raises InputError: 415 for another type, 400 for content."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not raw.strip():
        raise InputError("The body is empty; send a FHIR resource.", code="body.empty")
    if media_type in XML_TYPES:
        resource: Any = parse_xml(raw)
    elif media_type in JSON_TYPES:
        resource = parse_json(raw)
    else:
        message = "Send application/fhir+json or application/fhir+xml and say so in Content-Type."
        raise InputError(message, code="body.media-type", status=415)
    if not isinstance(resource, dict):
        raise InputError("A FHIR resource (a JSON object) is expected.", code="body.object")
    return Body(raw=raw, media_type=media_type, resource=resource)
