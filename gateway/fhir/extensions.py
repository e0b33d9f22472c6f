"""Extensions and choice values, read and built without knowing what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.fhir import Json
from gateway.fhir.reading import objects


def extensions(element: Json, *urls: str, modifier: bool = False) -> tuple[Json, ...]:
    """The extensions of an element with one of `urls`, in their order; all of them when no url is given."""
    found = objects(element.get("modifierExtension" if modifier else "extension"))
    return tuple(item for item in found if not urls or item.get("url") in urls)


def value_of(extension: Json | None) -> Any:
    """The `value[x]` of an extension whatever its type; None when it has none or there is no extension."""
    if not extension:
        return None
    return next((value for key, value in extension.items() if key.startswith("value")), None)


def extension_value(element: Json, *urls: str, modifier: bool = False) -> Any:
    """The value of the first extension with one of `urls`; None when there is none."""
    found = extensions(element, *urls, modifier=modifier)
    return value_of(found[0]) if found else None


def extension_values(element: Json, *urls: str) -> tuple[Any, ...]:
    """The values of all extensions with one of `urls`, without the empty ones."""
    values = (value_of(item) for item in extensions(element, *urls))
    return tuple(value for value in values if value is not None)


def build_extension(url: str, type_name: str = "", value: Any = None, parts: Iterable[Json] = ()) -> dict[str, Any]:
    """A simple extension (`type_name` such as `String`, with its value) or a complex one (`parts`)."""
    built: dict[str, Any] = {"url": url}
    inner = [dict(part) for part in parts]
    if inner:
        built["extension"] = inner
    else:
        built[f"value{type_name}"] = dict(value) if isinstance(value, Mapping) else value
    return built


def without_extensions(element: Json, *urls: str) -> dict[str, Any]:
    """A copy of `element` without the extensions of these urls; an emptied list is removed."""
    kept = [item for item in objects(element.get("extension")) if item.get("url") not in urls]
    copied = {key: value for key, value in element.items() if key != "extension"}
    return {**copied, "extension": kept} if kept else copied
