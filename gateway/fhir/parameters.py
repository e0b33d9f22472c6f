"""Parameters: named values in and out of operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.fhir import Json
from gateway.fhir.extensions import value_of
from gateway.fhir.reading import objects, one


def parameters(resource: Json, name: str = "") -> tuple[Json, ...]:
    """The parameters of a Parameters resource, or the parts of one parameter; all, or those of one name."""
    listed = objects(resource.get("parameter")) or objects(resource.get("part"))
    return tuple(item for item in listed if not name or item.get("name") == name)


def parameter_value(resource: Json, name: str) -> Any:
    """The `value[x]` of the first parameter or part of that name; None when it is absent or has none."""
    found = parameters(resource, name)
    return value_of(found[0]) if found else None


def parameter_resources(resource: Json, name: str = "") -> tuple[Json, ...]:
    """The resources that parameters of that name carry (any name when empty)."""
    return tuple(item for item in (one(found.get("resource")) for found in parameters(resource, name)) if item)


def build_parameter(name: str, type_name: str, value: Any) -> dict[str, Any]:
    """One parameter with a value: `build_parameter("Final", "Boolean", True)`."""
    return {"name": name, f"value{type_name}": value}


def build_parameters(listed: Iterable[Json]) -> dict[str, Any]:
    """A Parameters resource; an empty one has no `parameter` member, since FHIR knows no empty arrays."""
    members = [dict(item) for item in listed]
    return {"resourceType": "Parameters", "parameter": members} if members else {"resourceType": "Parameters"}
