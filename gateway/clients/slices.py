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
Span = tuple[int, int]
"""First character and the one after the last."""
BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def slice_entries(body: bytes) -> list[bytes]:
    """The exact text of each `Bundle.entry[i].resource`, position for position; `b""` for an entry without one.

    `body` is a JSON object as received; `InputError` (`json.syntax`) when it is none.
    """
    text, whole = _read(body)
    try:
        entries = [span for _, span in _walk(text, whole, ("entry", ANY), ())]
        resources = [next((span for _, span in _walk(text, entry, ("resource",), ())), None) for entry in entries]
    except (ValueError, IndexError):
        raise _no_json() from None
    return [text[slice(*span)].encode("utf-8") if span else b"" for span in resources]


def slice_path(body: bytes, path: tuple[str, ...]) -> list[tuple[tuple[int, ...], bytes]]:
    """Every value that `path` leads to, as (array positions passed, exact text), in the order of the text.

    `path` holds object keys and `ANY`, e.g. `("systemActions", ANY, "resource")`. What is not there gives
    nothing. Raises `InputError` when the body is not UTF-8 JSON, or has a key of the path twice.
    """
    text, whole = _read(body)
    try:
        return [(place, text[slice(*span)].encode("utf-8")) for place, span in _walk(text, whole, path, ())]
    except (ValueError, IndexError):
        raise _no_json() from None


def _read(body: bytes) -> tuple[str, Span]:
    """The text and the span of its one value; checks the whole, so that walking may trust the syntax."""
    try:
        text = body.decode("utf-8")
        start = _skip(text, 0)
        end = _end(text, start)
        if _skip(text, end) != len(text):
            raise ValueError("more than one value")
    except (ValueError, IndexError, RecursionError):
        raise _no_json() from None
    return text, (start, end)


def _walk(
    text: str, span: Span, path: tuple[str, ...], place: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Span]]:
    opening = text[span[0]]
    if not path:
        yield place, span
    elif path[0] == ANY and opening == "[":
        for position, element in enumerate(_elements(text, span[0])):
            yield from _walk(text, element, path[1:], (*place, position))
    elif path[0] != ANY and opening == "{":
        values = [value for key, value in _members(text, span[0]) if key == path[0]]
        if len(values) > 1:
            raise ValueError("a key twice")
        for value in values:
            yield from _walk(text, value, path[1:], place)


def _elements(text: str, at: int) -> Iterator[Span]:
    """Each element of the array that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        end = _end(text, at)
        yield at, end
        at = _next(text, end, "]")


def _members(text: str, at: int) -> Iterator[tuple[str, Span]]:
    """Key and value of each member of the object that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = scanstring(text, at + 1, True)
        start = _skip(text, _skip(text, at) + 1)
        end = _end(text, start)
        yield key, (start, end)
        at = _next(text, end, "}")


def _next(text: str, at: int, closing: str) -> int:
    """Start of what follows a value: the closing bracket, or the next one after the comma."""
    at = _skip(text, at)
    return at if text[at] == closing else _skip(text, at + 1)


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _skip(text: str, at: int) -> int:
    match = BLANK.match(text, at)
    return match.end() if match else at


def _no_json() -> InputError:
    return InputError("The body is not JSON.", code="json.syntax")
