"""Bundles: their entries, and the rule by which references inside them are resolved.

The rule is applied as written (FHIR R4, Bundle, "Resolving references in Bundles"): the base of a
relative reference comes from the fullUrl of the entry that holds it. An entry known by `urn:uuid:`
gives no base, and nothing is guessed from an id that happens to match; `resolve_loosely` is the
separate, named way to do that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import Reference, read_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a Bundle that carries a resource."""

    full_url: str
    """The entry's fullUrl; empty when it has none."""
    resource: Json
    """The resource, as parsed."""


def entries(bundle: Json) -> Iterator[Entry]:
    """The entries that carry a resource, in their order; malformed ones are passed over."""
    for entry in objects(bundle.get("entry")):
        resource = one(entry.get("resource"))
        if resource:
            yield Entry(full_url=text(entry.get("fullUrl")), resource=resource)


def resources(bundle: Json, resource_type: str = "") -> tuple[Json, ...]:
    """The resources of a Bundle, all or of one type, in their order."""
    found = (entry.resource for entry in entries(bundle))
    return tuple(item for item in found if not resource_type or item.get("resourceType") == resource_type)


class BundleIndex:
    """The entries of one Bundle, found by reference."""

    def __init__(self, bundle: Json) -> None:
        self.entries = tuple(entries(bundle))
        self._by_url: dict[str, list[Entry]] = {}
        self._by_identity: dict[str, list[Entry]] = {}
        self._url_of = {id(entry.resource): entry.full_url for entry in self.entries}
        for entry in self.entries:
            self._by_url.setdefault(entry.full_url, []).append(entry)
            for name in _identities(entry):
                self._by_identity.setdefault(name, []).append(entry)

    def resolve(self, reference: str, from_full_url: str | None = None, holder: Json | None = None) -> Json | None:
        """The resource that `reference` names, or None when the rule finds none.

        `from_full_url` is the fullUrl of the entry that holds the reference, and `holder` the resource
        that does; for an entry of this Bundle, `holder` alone is enough. `#id` looks inside `holder` only.
        """
        read = read_reference(reference)
        if reference.startswith("#"):
            return _contained(holder, read.fragment)
        if from_full_url is None and holder is not None:
            from_full_url = self._url_of.get(id(holder))
        return self._latest(self._absolute(read, from_full_url), read.version)

    def resolve_loosely(
        self, reference: str, from_full_url: str | None = None, holder: Json | None = None
    ) -> Json | None:
        """As `resolve`, else the only entry with that type and id, for partners that mix the forms.

        Two candidates are no answer. Use where a wrong guess only costs a display, never a decision.
        """
        found = self.resolve(reference, from_full_url, holder)
        relative = read_reference(reference).relative
        if found is not None or not relative:
            return found
        candidates = self._by_identity.get(relative, [])
        return candidates[0].resource if len(candidates) == 1 else None

    def full_url_of(self, resource: Json) -> str:
        """The fullUrl under which this very object stands in the Bundle; empty when it does not."""
        return self._url_of.get(id(resource), "")

    def _absolute(self, read: Reference, from_full_url: str | None) -> str:
        if read.base or not read.type:
            return read.url
        holder = read_reference(from_full_url or "")
        return f"{holder.base}/{read.relative}" if holder.base else ""

    def _latest(self, url: str, version: str) -> Json | None:
        """The entry of that fullUrl; of several versions the one asked for, else the only one, else none."""
        found = self._by_url.get(url, []) if url else []
        if version:
            found = [entry for entry in found if one(entry.resource.get("meta")).get("versionId") in (version, None)]
        return found[0].resource if len(found) == 1 else None


def _identities(entry: Entry) -> set[str]:
    """Names of an entry as `Type/id`: by its resource and by its fullUrl."""
    own = f"{text(entry.resource.get('resourceType'))}/{text(entry.resource.get('id'))}"
    names = {own} if entry.resource.get("id") else set()
    from_url = read_reference(entry.full_url).relative
    return names | ({from_url} if from_url else set())


def _contained(holder: Json | None, name: str) -> Json | None:
    """A contained resource of `holder`; `#` alone is the holder itself."""
    if holder is None or not name:
        return holder
    inside = objects(holder.get("contained"))
    return next((item for item in inside if item.get("id") == name), None)


def build_bundle(bundle_type: str, members: Iterable[tuple[str, Json]], **elements: Any) -> dict[str, Any]:
    """A Bundle of `bundle_type` with (fullUrl, resource) members; `elements` come before `entry`."""
    listed = [{"fullUrl": url, "resource": resource} if url else {"resource": resource} for url, resource in members]
    return {"resourceType": "Bundle", **elements, "type": bundle_type, "entry": listed}
