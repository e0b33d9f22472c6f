"""The entries of a request Bundle while it is built: addresses, references, reachability.

Sources come from an EHR and refer to each other in its way. Each resource that goes along gets one
`urn:uuid:` address, every reference to it becomes that address, and a reference to something that does
not go along loses its pointer (identifier and display stay): no relative reference may dangle
(pas:spec-13 to spec-17). Only what the root reaches is listed, so nothing travels by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.reading import text, walk
from gateway.fhir.references import read_reference

_GONE = object()
"""Marks an element that lost its only content."""


class EntryPool:
    """Resources that may become entries, by the names under which the EHR knows them."""

    def __init__(self, new_uuid: Callable[[], str], ehr_base: str = "", known: Mapping[str, str] | None = None) -> None:
        self._new_uuid = new_uuid
        self._base = ehr_base.rstrip("/")
        self._urls: dict[str, str] = dict(known or {})
        self._resources: dict[str, Json] = {}
        self._inner: set[str] = set()
        self._kept: set[str] = set()

    def reserve(self, *sources: Json) -> str:
        """The address for what these resources of the EHR become; the same source, the same address (pas:spec-14)."""
        names = [name for name in map(identity, sources) if name]
        url = next((self._urls[name] for name in names if name in self._urls), "") or self.new_url()
        self._urls.update(dict.fromkeys(names, url))
        return url

    def put(self, url: str, resource: Json) -> str:
        """Make `resource` the entry at an address; the first one put there stays."""
        self._resources.setdefault(url, resource)
        return url

    def add(self, resource: Json, *sources: Json) -> str:
        """Reserve an address for the sources (or the resource itself) and put the resource there."""
        return self.put(self.reserve(*(sources or (resource,))), resource)

    def add_inner(self, source: Json) -> str:
        """Name a resource that stands inside a nested Bundle: references find it, no entry is made of it."""
        url = self.reserve(source)
        self._inner.add(url)
        return url

    def keep(self, url: str, resource: Json) -> None:
        """Take over an entry of an earlier Bundle, as it was sent and under its old address (pas:spec-17)."""
        self._resources[url] = resource
        self._kept.add(url)
        name = identity(resource)
        if name:
            self._urls.setdefault(name, url)

    def new_url(self) -> str:
        """A fresh `urn:uuid:` address."""
        return f"urn:uuid:{self._new_uuid().lower().removeprefix('urn:uuid:')}"

    def find(self, reference: str) -> str:
        """The address behind a reference text; empty when what it names does not go along."""
        read = read_reference(reference)
        if read.urn:
            return read.urn if read.urn in self._resources or read.urn in self._inner else self._urls.get(read.urn, "")
        if read.base and self._base and read.base != self._base:
            return ""
        return self._urls.get(read.relative, "")

    def holds(self, source: Json) -> bool:
        """Whether an entry stands for this resource of the EHR already."""
        name = identity(source)
        return bool(name) and self._urls.get(name, "") in self._resources

    def close(self, *roots: str) -> list[tuple[str, Json]]:
        """The entries that the roots reach, roots first, each once, with rewritten references."""
        waiting, done = list(roots), dict[str, Json]()
        while waiting:
            url = waiting.pop(0)
            if url in done or url not in self._resources:
                continue
            resource = self._resources[url]
            done[url] = resource if url in self._kept else self.rewrite(resource)
            waiting += [named for named in _named(done[url]) if named not in done]
        return list(done.items())

    def rewrite(self, resource: Json) -> dict[str, Any]:
        """A copy with every reference pointing to an address of this pool, or to nothing."""
        written = self._rewrite(resource)
        return written if isinstance(written, dict) else {}

    def _rewrite(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._rewrite_object(value)
        if isinstance(value, list | tuple):
            items = [item for item in map(self._rewrite, value) if item is not _GONE]
            return items if items or not value else _GONE
        return value

    def _rewrite_object(self, value: Json) -> Any:
        if isinstance(value.get("reference"), str) and "resourceType" not in value:
            value = self._point(value)
        written = {key: self._rewrite(item) for key, item in value.items()}
        kept = {key: item for key, item in written.items() if item is not _GONE}
        is_hollow = not kept or (len(kept) < len(written) and set(kept) <= {"url", "id", "type"})
        return _GONE if is_hollow or value.get("\x00gone") else kept

    def _point(self, reference: Json) -> Json:
        named = text(reference.get("reference"))
        if named.startswith("#"):
            return reference
        url = self.find(named)
        if url:
            return {**reference, "reference": url}
        rest = {key: item for key, item in reference.items() if key in ("identifier", "display")}
        return rest or {"\x00gone": True}


def identity(resource: Json) -> str:
    """`Type/id` of a resource; empty without an id."""
    own = text(resource.get("id"))
    return f"{text(resource.get('resourceType'))}/{own}" if own else ""


def _named(resource: Json) -> Iterable[str]:
    """The urn references of a resource, nested Bundles included, in order of appearance."""
    found = (text(element.get("reference")) for _, element in walk(resource))
    return dict.fromkeys(reference for reference in found if reference.startswith("urn:"))


def require(condition: object, message: str, code: str, expression: str) -> None:
    """Raise `InputError` with the FHIRPath of what a person must repair in the EHR or the payer row."""
    if not condition:
        raise InputError(message, code=code, status=422, expression=expression)
