"""Request bodies: bounded while they stream, decompressed under the same bound, read strictly.

A body is never held beyond its limit, whether it came plain or compressed (security T3), and it is
turned into FHIR JSON by one reader per format (T4, T5).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from gateway.errors import InputError, TooLarge
from gateway.fhir.json import parse_json
from gateway.fhir.xml import MAX_BYTES as MAX_XML_BYTES
from gateway.fhir.xml import parse_xml

JSON_TYPES = ("application/fhir+json", "application/json", "application/json+fhir")
XML_TYPES = ("application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir")
PIECE_BYTES = 64 * 1024
"""Most bytes inflated at one go."""
FREE_BYTES = 4 * 1024 * 1024
"""Inflated bytes below which the ratio is not looked at."""
MAX_RATIO = 100
"""Largest ratio of inflated to received bytes; FHIR JSON reaches 10 to 30, a bomb 1,000."""


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
    return await (_collect_gzip if encoding == "gzip" else _collect)(request, limit_bytes)


async def _collect(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    held = 0
    async for chunk in request.stream():
        held += len(chunk)
        if held > limit:
            raise _too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


async def _collect_gzip(request: Request, limit: int) -> bytes:
    inflater = Inflater(limit)
    async for chunk in request.stream():
        inflater.feed(chunk)
    return inflater.finish()


class Inflater:
    """One gzip member, inflated in small pieces and given up as soon as it is a bomb."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._stream = zlib.decompressobj(31)
        self._parts: list[bytes] = []
        self._received = 0
        self._held = 0

    def feed(self, chunk: bytes) -> None:
        """Take more compressed bytes. Raises TooLarge over the limit or the ratio, InputError for other bytes."""
        self._received += len(chunk)
        while chunk:
            try:
                piece = self._stream.decompress(chunk, PIECE_BYTES)
            except zlib.error:
                raise InputError("The body is not valid gzip; send it again.", code="body.encoding") from None
            self._keep(piece)
            chunk = self._stream.unconsumed_tail
        if self._stream.unused_data:
            raise InputError("The gzip body has something behind its end; send one member.", code="body.encoding")

    def finish(self) -> bytes:
        """Everything inflated; empty for no bytes at all. Raises InputError where the end is missing."""
        while self._received and not self._stream.eof and (piece := self._stream.decompress(b"", PIECE_BYTES)):
            self._keep(piece)
        if self._received and not self._stream.eof:
            raise InputError("The gzip body ends too early; send it again.", code="body.encoding")
        return b"".join(self._parts)

    def _keep(self, piece: bytes) -> None:
        self._held += len(piece)
        if self._held > self._limit or (self._held > FREE_BYTES and self._held > MAX_RATIO * self._received):
            raise _too_large(self._limit)
        self._parts.append(piece)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is over the limit of {limit} bytes once it is unpacked, or packed beyond reason. "
        "Leave out large attachments, send it plain, or have server.max_body_bytes raised."
    )


def read_fhir(raw: bytes, content_type: str) -> Body:
    """`raw` read as FHIR by its media type. Raises InputError: 415 for another type, 400 for content."""
    media_type = media_type_of(content_type)
    if not raw.strip():
        raise InputError("The body is empty; send a FHIR resource.", code="body.empty")
    if media_type in XML_TYPES:
        resource: Any = _read_xml(raw)
    elif media_type in JSON_TYPES:
        resource = read_json(raw)
    else:
        message = "Send application/fhir+json or application/fhir+xml and say so in Content-Type."
        raise InputError(message, code="body.media-type", status=415)
    if not isinstance(resource, dict):
        raise InputError("A FHIR resource (a JSON object) is expected.", code="body.object")
    return Body(raw=raw, media_type=media_type, resource=resource)


def media_type_of(content_type: str) -> str:
    """Media type of a Content-Type header without its parameters, lower case."""
    return content_type.partition(";")[0].strip().lower()


def read_json(raw: bytes) -> Any:
    """Strict JSON without NUL characters, which no FHIR string and no database text may hold."""
    value = parse_json(raw)
    if b"\\u0000" in raw and _holds_nul(value):
        raise InputError("A text in the body holds a NUL character; leave it out.", code="json.control-character")
    return value


def _read_xml(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_XML_BYTES:
        raise TooLarge(f"The XML body is over the limit of {MAX_XML_BYTES} bytes; send it as FHIR JSON.")
    return parse_xml(raw)


def _holds_nul(value: Any) -> bool:
    """Whether a text inside `value` has a NUL character; depth was bounded by the reader."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any("\x00" in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))
