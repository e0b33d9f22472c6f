"""What decided a value: resources, elements and the defines in between.

While a define runs, every primitive that is read, every search of the record and every use of another define is
noted; rows that a query drops take their notes with them, and picking one row keeps only its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.reasoning.defines import Source
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.state import Outcome, Search, Used
from gateway.reasoning.record import reference_of, version_of

_MAX_SOURCES = 200
"""Sources named at most; a value that rests on more is not explained by a longer list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a define has its value."""

    define: str
    library: str
    sources: tuple[Source, ...]
    """Elements of the record, nearest first."""
    defines: tuple[str, ...]
    """Other defines that took part, `Library.Define`."""
    searches: tuple[tuple[str, int], ...]
    """Types looked for and how many were found, those without a find included."""

    def lines(self) -> tuple[str, str]:
        """Two plain lines: what it was read from, and how it was found."""
        return _read_line(self.sources, self.searches), _found_line(self)


def sources_of(outcome: Outcome) -> tuple[Source, ...]:
    """Elements that an outcome rests on, each once; whole resources give way to their elements."""
    found: dict[Source, None] = {}
    for node in _nodes(outcome):
        found.setdefault(_source(node))
        if len(found) >= _MAX_SOURCES:
            break
    detailed = {one.reference for one in found if one.element}
    return tuple(one for one in found if one.element or one.reference not in detailed)


def _nodes(outcome: Outcome) -> Iterator[Node]:
    yield from _value_nodes(outcome.value)
    yield from _entry_nodes(outcome.entries)


def _value_nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _value_nodes(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _value_nodes(one)


def _entry_nodes(entries: Iterable[Any]) -> Iterator[Node]:
    seen: set[int] = set()
    waiting = [iter(entries)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
        elif isinstance(entry, Node):
            yield entry
        elif isinstance(entry, Used) and id(entry.entries) not in seen:
            seen.add(id(entry.entries))
            waiting.append(iter(entry.entries))


def _source(node: Node) -> Source:
    resource = node.resource
    reference = reference_of(resource) if resource.get("id") else str(resource.get("resourceType", ""))
    element = node.path if node.parent is not None else ""
    return Source(reference=reference, version=version_of(resource), element=element)


def explain(outcome: Outcome) -> Explanation:
    """Explanation of an outcome."""
    defines: dict[str, None] = {}
    searches: dict[tuple[str, int], None] = {}
    seen: set[int] = set()
    waiting = list(reversed(outcome.entries))
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, Search):
            searches.setdefault((entry.type, entry.found))
        elif isinstance(entry, Used) and id(entry.outcome) not in seen:
            seen.add(id(entry.outcome))
            define = entry.outcome.define
            defines.setdefault(f"{define.library.name}.{define.name}")
            waiting.extend(reversed(entry.outcome.entries))
    return Explanation(
        define=outcome.define.name,
        library=outcome.define.library.label,
        sources=sources_of(outcome),
        defines=tuple(name for name in defines if not name.endswith(".Patient")),
        searches=tuple(searches),
    )


def _read_line(sources: tuple[Source, ...], searches: tuple[tuple[str, int], ...]) -> str:
    if sources:
        shown = ", ".join(_named(one) for one in sources[:4])
        more = f" and {len(sources) - 4} more" if len(sources) > 4 else ""
        return f"Read from {shown}{more}."
    missing = [name for name, count in searches if not count]
    if missing:
        return f"The chart has no {', '.join(missing[:4])} that fits."
    return "Nothing of the chart was needed."


def _named(source: Source) -> str:
    version = f" version {source.version}" if source.version else ""
    return f"{source.reference}{version}" + (f" ({source.element})" if source.element else "")


def _found_line(explanation: Explanation) -> str:
    through = f" through {', '.join(explanation.defines[:4])}" if explanation.defines else ""
    return f"Computed by {explanation.define} of {explanation.library}{through}."
