"""Reading foreign FHIR JSON without trusting its shape.

Each reader answers with an empty value where the element is absent or of another kind; the checks decide what that
means. Nothing here raises on hostile input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.fhir import Json
from gateway.fhir.json import parse_json


def parse_body(body: bytes) -> tuple[dict[str, Any] | None, str]:
    """The JSON object in `body` and "", or None and why it is not one. The reason repeats no input value."""
    try:
        value = parse_json(body)
    except Exception as error:  # Defensive: the reader's refusals are typed in a room this one does not import.
        return None, str(error)[:200]
    if not isinstance(value, dict):
        return None, "A JSON object is expected."
    return value, ""


def as_object(value: Any) -> Json:
    """`value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_objects(value: Any) -> list[Json]:
    """The objects of a JSON array; anything else is left out."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """`value` where it is a string, else ""."""
    return value if isinstance(value, str) else ""


def at(value: Any, *path: str) -> Any:
    """The value below object keys `path`, or None where the way ends."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def type_of(resource: Any) -> str:
    """resourceType, or ""."""
    return as_text(at(resource, "resourceType"))


def extensions(element: Any, url: str) -> list[Json]:
    """Extensions of `element` with exactly this url."""
    return [item for item in as_objects(at(element, "extension")) if item.get("url") == url]


def extension(element: Any, url: str) -> Json | None:
    """The first extension with this url, or None."""
    return next(iter(extensions(element, url)), None)


def codings(concept: Any) -> list[tuple[str, str]]:
    """(system, code) of a CodeableConcept's codings."""
    return [(as_text(item.get("system")), as_text(item.get("code"))) for item in as_objects(at(concept, "coding"))]


def has_code(concept: Any, code: str, system: str = "") -> bool:
    """Whether a coding of `concept` has this code, and this system where one is given."""
    return any(found == code and (not system or where == system) for where, found in codings(concept))


def identifier_key(identifier: Any) -> str:
    """`system|value` of an Identifier; "" where either is absent."""
    system, value = as_text(at(identifier, "system")), as_text(at(identifier, "value"))
    return f"{system}|{value}" if system and value else ""


def identifier_values(resource: Any, system: str = "") -> list[str]:
    """Values of a resource's identifiers, of one system where given."""
    found = as_objects(at(resource, "identifier"))
    return [as_text(item.get("value")) for item in found if not system or item.get("system") == system]


def profiles(resource: Any) -> list[str]:
    """meta.profile without versions."""
    found = at(resource, "meta", "profile")
    return [as_text(item).split("|")[0] for item in found] if isinstance(found, list) else []


def entries(bundle: Any) -> list[tuple[str, Json]]:
    """(fullUrl, resource) of a Bundle, in order; an entry without a resource gives an empty one."""
    return [(as_text(item.get("fullUrl")), as_object(item.get("resource"))) for item in as_objects(at(bundle, "entry"))]


def resources(bundle: Any, kind: str) -> list[tuple[str, Json]]:
    """(fullUrl, resource) of the entries of one resource type."""
    return [(url, resource) for url, resource in entries(bundle) if type_of(resource) == kind]


def references(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, reference text) of every literal reference inside, not descending into nested Bundles' entries."""
    if isinstance(value, Mapping):
        text = value.get("reference")
        if isinstance(text, str):
            yield path, text
        for key, item in value.items():
            if not (key == "entry" and value.get("resourceType") == "Bundle"):
                yield from references(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from references(item, f"{path}[{position}]")


def member_id(coverage: Any) -> str:
    """The member number of a Coverage: its identifier of type MB, else subscriberId, else ""."""
    for identifier in as_objects(at(coverage, "identifier")):
        if has_code(identifier.get("type"), "MB"):
            return as_text(identifier.get("value"))
    return as_text(at(coverage, "subscriberId"))
