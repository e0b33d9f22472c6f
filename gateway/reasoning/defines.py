"""How forms ask for a CQL define, whatever engine answers.

The engine keeps its own types; callers see JSON values, a plain reason when there is none, and the
elements the value was read from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An element of the record that a result rests on."""

    reference: str
    """`Type/id`."""
    version: str = ""
    """`meta.versionId`, empty when the server gave none."""
    element: str = ""
    """Element path, e.g. `Condition.onset`; empty when the resource as a whole counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefineResult:
    """Result of one define."""

    value: Any = None
    """FHIR JSON, or JSON of a system value (dates as ISO text, quantities as FHIR Quantity); None is null."""
    error: str = ""
    """Why there is no value, without patient data; empty when it ran."""
    sources: tuple[Source, ...] = ()
    library: str = ""
    """`name|version` of the library that was run."""
    code: str = ""
    """Machine word of the error, e.g. `elm.operator`; empty when it ran."""
    lines: tuple[str, ...] = ()
    """Two plain lines on how it came to its value, or to none; empty where the engine does not tell."""


class DefineEvaluator(Protocol):
    """Runs defines over one frozen record."""

    def evaluate(self, define: str, library: str | None = None) -> DefineResult:
        """Value of a define; `library` is its CQL name, None when the form has only one. Never raises for logic."""


@runtime_checkable
class InlineEvaluator(Protocol):
    """An engine that also runs logic a form carries inline, compiled: a whole ELM library as JSON text."""

    def evaluate_elm(self, elm: str, name: str = "") -> DefineResult:
        """Value of the library's expression: the one called `name`, else its only or last one. Never raises."""
