"""Code, Concept and the names of code lists, as values of CQL."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A code of a code system."""

    code: str | None
    system: str | None = None
    version: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """Codes that mean one thing."""

    codes: tuple[Code, ...]
    display: str | None = None


@dataclass(frozen=True, slots=True)
class ValueSet:
    """The name of a value set; its codes are looked up when they are needed."""

    id: str
    version: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """The name of a code system."""

    id: str
    version: str | None = None
    name: str | None = None


def equivalent_codes(left: Code, right: Code) -> bool:
    """Same code of the same system; version and display do not count (field case B13)."""
    return left.code == right.code and left.system == right.system


def equivalent_concepts(left: Concept, right: Concept) -> bool:
    """Whether any code of one is equivalent to any code of the other."""
    return any(equivalent_codes(one, two) for one in left.codes for two in right.codes)
