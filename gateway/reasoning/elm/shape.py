"""ELM JSON as it comes: what every reader of it needs, and the limits on its size.

Translators differ: a list of one may be a plain object, names may be qualified or not. Readers here take both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.failures import failure, limit

MAX_BYTES: Final = 8 * 1024 * 1024
"""Size of one library."""
MAX_NODES: Final = 400_000
"""Objects and lists of one library."""
MAX_NESTING: Final = 240
"""Levels of JSON in one library; real ones have fewer than 100."""


def listed(value: Any) -> list[Any]:
    """A list as it is, an object or text as a list of one, None as empty."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def definitions(library: Json, section: str) -> list[Json]:
    """Objects under `section.def`."""
    part = library.get(section)
    found = part.get("def") if isinstance(part, Mapping) else None
    return [one for one in listed(found) if isinstance(one, Mapping)]


def operands(node: Json) -> list[Json]:
    """Operands of an operator, in order."""
    found = listed(node.get("operand"))
    if not all(isinstance(one, Mapping) for one in found):
        raise failure("library", "An operator of the library has an operand that is not an expression.")
    return found


def local_name(name: Any) -> str:
    """`Integer` of `{urn:hl7-org:elm-types:r1}Integer`."""
    return str(name).rpartition("}")[2]


def require_library(body: Any) -> Json:
    """The `library` object of ELM JSON. Raises `elm.library` when it is none, `elm.limit` when it is too large."""
    library = body.get("library") if isinstance(body, Mapping) else None
    if not isinstance(library, Mapping):
        raise failure("library", "The library is not ELM.")
    require_size(library)
    if not isinstance(library.get("statements", {}), Mapping):
        raise failure("library", "The library has no statements that can be read.")
    return library


def require_size(root: Any) -> None:
    """Raise `elm.limit` when JSON has too many parts or levels; never recurses."""
    count = 0
    waiting: list[tuple[Any, int]] = [(root, 1)]
    while waiting:
        value, level = waiting.pop()
        count += 1
        if count > MAX_NODES:
            raise limit("The library is too large.")
        if level > MAX_NESTING:
            raise failure("depth", "The library is nested too deeply.")
        kids = value.values() if isinstance(value, Mapping) else value
        waiting.extend((kid, level + 1) for kid in kids if isinstance(kid, Mapping | list))


def walk(root: Any) -> Iterator[Json]:
    """Every object below a node, itself included."""
    waiting = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
