"""How the resources of one timer name each other before and after the EHR has given them its own ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

IDENTIFIERS = "urn:ietf:rfc:3986"
"""Identifier system of urn values."""


def urn_of(timer_id: str, key: str) -> str:
    """`urn:uuid:` of one resource of a timer: always the same, so that a repeat finds it again."""
    return f"urn:uuid:{uuid5(UUID(timer_id), key)}"


def resolved(resource: Any, written: Mapping[str, str]) -> Any:
    """The resource with `urn:uuid:` references replaced by what the EHR calls them; `written` maps urn → `Type/id`."""
    if isinstance(resource, dict):
        return {
            name: written.get(value, value)
            if name == "reference" and isinstance(value, str)
            else resolved(value, written)
            for name, value in resource.items()
        }
    return [resolved(item, written) for item in resource] if isinstance(resource, list) else resource
