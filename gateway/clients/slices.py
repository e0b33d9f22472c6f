"""Cutting resources out of a body as the text they came in.

What was received is kept byte for byte, and Bundles are built by splicing such slices; so a resource
is found by its place in the text and never written anew. Source: provenance §4 (1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Final

from gateway.errors import InputError

ANY: Final = "*"
"""In a path: every element of an array."""
BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def slice_entries(body: bytes) -> list[bytes]:
    """The exact text of each `Bundle.entry[i].resource`, position for position; `b""` for an entry without one.

    `body` is a JSON object as received; `InputError` (`json.syntax`) when it is none.
    """
    entries = slice_path(body, ("entry", ANY))
    resources = dict(slice_path(body, ("entry", ANY, "resource")))
    return [resources.get(place, b"") for place, _ in entries]


def slice_path(body: bytes, path: tuple[str, ...]) -> list[tuple[tuple[int, ...], bytes]]:
    """Every value that `path` leads to, as (array positions passed, exact text), in the order of the text.

    `path` holds object keys and `ANY`, e.g. `("systemActions", ANY, "resource")`. What is not there gives
    nothing. Raises `InputError` when the body is not UTF-8 JSON.
    """
    try:
        text = body.decode("utf-8")
        start = _skip(text, 0)
        if _skip(text, _end(text, start)) != len(text):
            raise ValueError("more than one value")
        return [(place, text[first:last].encode("utf-8")) for place, first, last in _walk(text, start, path, ())]
    except (ValueError, IndexError, RecursionError):
        raise InputError("The body is not JSON.", code="json.syntax") from None


def _walk(
    text: str, at: int, path: tuple[str, ...], place: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], int, int]]:
    if not path:
        yield place, at, _end(text, at)
    elif path[0] == ANY and text[at] == "[":
        for position, start in enumerate(_elements(text, at)):
            yield from _walk(text, start, path[1:], (*place, position))
    elif path[0] != ANY and text[at] == "{":
        starts = [start for key, start in _members(text, at) if key == path[0]]
        if len(starts) > 1:
            raise ValueError("a key twice")
        for start in starts:
            yield from _walk(text, start, path[1:], place)


def _elements(text: str, at: int) -> Iterator[int]:
    """Start of each element of the array that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        yield at
        at = _next(text, _end(text, at), "]")


def _members(text: str, at: int) -> Iterator[tuple[str, int]]:
    """Key and start of the value of each member of the object that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        if text[at] != '"':
            raise ValueError("a key is expected")
        key, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        if text[at] != ":":
            raise ValueError("a colon is expected")
        start = _skip(text, at + 1)
        yield key, start
        at = _next(text, _end(text, start), "}")


def _next(text: str, at: int, closing: str) -> int:
    """Start of what follows a value: the next one after a comma, or the closing bracket."""
    at = _skip(text, at)
    if text[at] == closing:
        return at
    if text[at] != ",":
        raise ValueError("a comma is expected")
    at = _skip(text, at + 1)
    if text[at] == closing:
        raise ValueError("a value is expected")
    return at


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _skip(text: str, at: int) -> int:
    match = BLANK.match(text, at)
    return match.end() if match else at
