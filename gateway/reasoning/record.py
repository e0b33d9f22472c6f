"""The record snapshot that rules and forms are evaluated over.

A snapshot is a frozen set of resources of one patient, fetched beforehand. It is indexed once, so
that a rule may ask often; it never fetches, and it knows its own digest, so that an answer can name
what it was computed from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

from gateway.fhir import Json
from gateway.fhir.json import dump_json

_Made = TypeVar("_Made")


class RecordSnapshot:
    """Resources of one patient by type and by reference.

    `resources` are FHIR JSON objects; a later one with the same type and id is ignored. `full_urls`
    optionally gives each resource's fullUrl at the same position, so that absolute and `urn:uuid:`
    references find it too.
    """

    def __init__(self, resources: Iterable[Json], full_urls: Iterable[str | None] = ()) -> None:
        self._by_type: dict[str, list[Json]] = {}
        self._by_reference: dict[str, Json] = {}
        self._derived: dict[Hashable, Any] = {}
        urls = list(full_urls)
        for position, resource in enumerate(resources):
            self._add(resource, urls[position] if position < len(urls) else None)

    def _add(self, resource: Json, full_url: str | None) -> None:
        key = f"{resource.get('resourceType', '')}/{resource.get('id', '')}"
        if resource.get("id") and key in self._by_reference:
            return
        self._by_type.setdefault(str(resource.get("resourceType", "")), []).append(resource)
        if resource.get("id"):
            self._by_reference[key] = resource
        if full_url:
            self._by_reference[full_url] = resource

    @classmethod
    def from_bundle(cls, bundle: Json) -> RecordSnapshot:
        """Snapshot of a Bundle's entries, each known by its fullUrl and by its type and id."""
        entries = [entry for entry in bundle.get("entry") or () if isinstance(entry.get("resource"), Mapping)]
        return cls([entry["resource"] for entry in entries], [entry.get("fullUrl") for entry in entries])

    def of_type(self, resource_type: str) -> tuple[Json, ...]:
        """All resources of one type, in the order given; empty when there are none."""
        return tuple(self._by_type.get(resource_type, ()))

    def all(self) -> tuple[Json, ...]:
        """Every resource, grouped by type."""
        return tuple(resource for group in self._by_type.values() for resource in group)

    def find(self, reference: str | None) -> Json | None:
        """The resource that a reference text names: relative, absolute, versioned or urn; None when absent."""
        if not reference:
            return None
        plain = reference.split("/_history/")[0]
        if plain in self._by_reference:
            return self._by_reference[plain]
        parts = plain.rsplit("/", 2)
        return self._by_reference.get("/".join(parts[-2:])) if len(parts) >= 2 and "://" in plain else None

    def derived(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What `make` computes from the snapshot, once per key, and kept as long as the snapshot lives."""
        if key not in self._derived:
            self._derived[key] = make()
        found: _Made = self._derived[key]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Without what was derived: another process derives its own."""
        return {**self.__dict__, "_derived": {}}

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over the sorted resources; equal for equal content, whatever the order."""
        whole = hashlib.sha256()
        for line in sorted(dump_json(resource) for resource in self.all()):
            whole.update(hashlib.sha256(line).digest())
        return whole.hexdigest()


def reference_of(resource: Json) -> str:
    """`Type/id` of a resource, the form used as evidence reference everywhere."""
    return f"{resource.get('resourceType', '')}/{resource.get('id', '')}"


def version_of(resource: Mapping[str, Any]) -> str:
    """`meta.versionId` of a resource, or empty when the server gave none."""
    return str((resource.get("meta") or {}).get("versionId", ""))
