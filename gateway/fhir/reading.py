"""Tolerant access to parsed JSON whose shape nobody has promised.

Answers of partners are read best effort: a string where a list was expected is not a crash but
"nothing there". What was skipped stays in the raw bytes; these functions never change their input.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from gateway.fhir import Json


def objects(value: Any) -> tuple[Json, ...]:
    """The JSON objects in a list; a lone object counts as a list of one, anything else as empty."""
    if isinstance(value, Mapping):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(item for item in value if isinstance(item, Mapping))
    return ()


def one(value: Any) -> Json:
    """The first JSON object found, or an empty object."""
    found = objects(value)
    return found[0] if found else {}


def text(value: Any) -> str:
    """A string as it is, a number as its digits; empty for everything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None or isinstance(value, Mapping | list | tuple):
        return ""
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)


def texts(value: Any) -> tuple[str, ...]:
    """The non-empty strings of a list; a lone string counts as a list of one."""
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(found for found in map(text, items) if found)


def whole_number(value: Any) -> int | None:
    """An integer, also when it came as a string of digits; None otherwise."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    digits = text(value).strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else None


def calendar_day(value: Any) -> date | None:
    """The day of a FHIR date or dateTime that names one; None for partial dates and for anything else."""
    candidate = text(value)[:10]
    try:
        return date.fromisoformat(candidate) if len(candidate) == 10 else None
    except ValueError:
        return None


def thaw(value: Any) -> Any:
    """A deep, mutable copy of JSON, so that builders never touch what they were given."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return copy.copy(value)


def codings(concept: Any) -> tuple[Json, ...]:
    """The codings of a CodeableConcept; a bare Coding counts as one."""
    found = one(concept)
    if "coding" in found:
        return objects(found["coding"])
    return (found,) if "code" in found else ()


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every JSON object inside `value`, itself included, with its path (`item[0].code`)."""
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from walk(item, f"{path}[{position}]")
