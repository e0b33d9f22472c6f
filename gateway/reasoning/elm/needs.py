"""What of a record logic will ask for, told before it runs: the types that its retrieves name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.errors import ReasoningError
from gateway.reasoning.elm.library import CompiledLibrary, Define, LibrarySet
from gateway.reasoning.elm.model import FHIR


def retrieved_types(libraries: LibrarySet, wanted: Iterable[Define]) -> tuple[str, ...]:
    """Resource types that these defines, and all that they use, retrieve; each once, in alphabetical order.

    What cannot be resolved is left out: it fails when it is run.
    """
    found: set[str] = set()
    seen: set[Define] = set()
    waiting = list(wanted)
    while waiting:
        define = waiting.pop()
        if define in seen:
            continue
        seen.add(define)
        for node in _nodes(define.node.get("expression")):
            kind = node.get("type")
            if kind == "Retrieve":
                found.add(str(node.get("dataType", "")).removeprefix(FHIR))
            elif kind in ("ExpressionRef", "FunctionRef"):
                waiting.extend(_named(libraries, define.library, node))
    return tuple(sorted(found - {""}))


def _nodes(root: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _named(libraries: LibrarySet, library: CompiledLibrary, node: Mapping[str, Any]) -> list[Define]:
    name, alias = str(node.get("name")), str(node.get("libraryName") or "")
    try:
        target = libraries.included(library, alias) if alias else library
    except ReasoningError:
        return []
    if node.get("type") == "FunctionRef":
        return target.functions.get(name, [])
    return [target.defines[name]] if name in target.defines else []
