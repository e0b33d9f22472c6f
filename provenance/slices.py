"""Cutting and splicing JSON text, so that what was received is never written anew.

Positions are offsets into the text. The text has passed `canonical.parse_strict` before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from provenance.canonical import parse_strict
from provenance.errors import StrictJsonError

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySlice:
    """One entry of a Bundle with the exact bytes of its resource."""

    full_url: str
    """`fullUrl`; empty where absent."""
    raw: bytes
    """The resource's own bytes; empty where the entry has none."""


def slice_entries(bundle: bytes) -> tuple[EntrySlice, ...]:
    """Every entry of a Bundle, in order, with the bytes of its resource. Errors: StrictJsonError."""
    if not isinstance(parse_strict(bundle), dict):
        raise StrictJsonError("not a JSON object")
    text = bundle.decode()
    slices: list[EntrySlice] = []
    for name, start, _end in _members(text, 0):
        if name == "entry" and text[start] == "[":
            slices.extend(_entry(text, at) for at, _ in _elements(text, start) if text[at] == "{")
    return tuple(slices)


def add_member(text: bytes, name: str, value: bytes) -> bytes:
    """`text` with one more member before the closing brace of its root object; every other byte stays.

    The root has at least one member already. Errors: StrictJsonError.
    """
    root = parse_strict(text)
    if not isinstance(root, dict) or not root or name in root:
        raise StrictJsonError(f"not an object that lacks {name}")
    end = text.rindex(b"}")
    return text[:end] + b"," + json.dumps(name).encode() + b":" + value + text[end:]


def _entry(text: str, at: int) -> EntrySlice:
    full_url, raw = "", b""
    for name, start, end in _members(text, at):
        if name == "fullUrl":
            value = json.loads(text[start:end])
            full_url = value if isinstance(value, str) else ""
        elif name == "resource":
            raw = text[start:end].encode()
    return EntrySlice(full_url=full_url, raw=raw)


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Name, begin and end of each member's value of the object that begins at `at`."""
    at = _skip(text, _skip(text, at) + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, start)
        yield name, start, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each element of the array that begins at `at`."""
    at = _skip(text, at + 1)
    while text[at] != "]":
        _, end = _DECODER.raw_decode(text, at)
        yield at, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()
