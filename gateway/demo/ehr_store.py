"""Versioned resources in memory, safe for many threads.

Each version keeps the exact bytes that were stored, so a decimal comes back digit for digit. Nothing
is ever deleted. A log of writes lets tests see what a client really did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from gateway.errors import Conflict, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One version of one resource."""

    kind: str
    """Resource type."""
    id: str
    version: int
    updated_at: datetime
    resource: Json
    body: bytes
    """The resource as it is served."""
    terms: dict[str, list[Any]] = field(default_factory=dict, compare=False, repr=False)
    """Search values by parameter, filled on first use."""

    @property
    def key(self) -> str:
        """`Type/id`."""
        return f"{self.kind}/{self.id}"

    @property
    def etag(self) -> str:
        """Weak ETag of the version."""
        return f'W/"{self.version}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One accepted write, for tests."""

    at: str
    method: str
    """POST or PUT."""
    kind: str
    id: str
    version: int
    status: int
    """HTTP status answered."""
    guarded: bool
    """Whether the client named the version it had read."""


class Store:
    """All resources of the server; every method may be called from any thread."""

    def __init__(self, now: Callable[[], datetime] | None = None, new_id: Callable[[], str] | None = None) -> None:
        self._now = now or (lambda: datetime.now(UTC))
        self._new_id = new_id or (lambda: str(uuid4()))
        self._lock = threading.RLock()
        self._versions: dict[str, list[Stored]] = {}
        self._kinds: dict[str, list[str]] = {}
        self.writes: list[Write] = []

    def load(self, bundles: Iterable[Json]) -> None:
        """Put the entries of chart Bundles in as version 1, dated by the Bundle; equal ids are loaded once."""
        with self._lock:
            for bundle in bundles:
                stamp = datetime.fromisoformat(str(bundle["timestamp"])).astimezone(UTC)
                for entry in bundle.get("entry", ()):
                    resource = entry["resource"]
                    if f"{resource['resourceType']}/{resource['id']}" not in self._versions:
                        self._append(str(resource["resourceType"]), str(resource["id"]), resource, stamp)

    def read(self, kind: str, id: str) -> Stored:
        """The current version. Raises NotFound."""
        versions = self._versions.get(f"{kind}/{id}")
        if not versions:
            raise NotFound(f"There is no such {kind} here.")
        return versions[-1]

    def has(self, key: str) -> bool:
        """Whether `Type/id` exists."""
        return key in self._versions

    def read_version(self, kind: str, id: str, version: str) -> Stored:
        """One version by its number. Raises NotFound."""
        versions = self._versions.get(f"{kind}/{id}", [])
        if not version.isdigit() or not 1 <= int(version) <= len(versions):
            raise NotFound(f"There is no such version of this {kind}.")
        return versions[int(version) - 1]

    def history(self, kind: str, id: str) -> list[Stored]:
        """All versions, newest first. Raises NotFound."""
        self.read(kind, id)
        return list(reversed(self._versions[f"{kind}/{id}"]))

    def of_kind(self, kind: str) -> list[Stored]:
        """Current versions of one type, by id: an order that says nothing about age."""
        with self._lock:
            keys = list(self._kinds.get(kind, ()))
        return sorted((self._versions[key][-1] for key in keys), key=lambda stored: stored.id)

    def create(self, kind: str, resource: Json, find: Callable[[], list[Stored]] | None = None) -> tuple[Stored, bool]:
        """Store under a new id. With `find` (If-None-Exist) a single match is returned instead, as (it, False).

        Several matches raise Conflict 412. Search and creation are one step, so that two equal
        requests at the same moment make one resource.
        """
        with self._lock:
            found = find() if find else []
            if len(found) > 1:
                raise Conflict("The condition matches more than one resource.", code="multiple-matches", status=412)
            if found:
                return found[0], False
            stored = self._append(kind, self._new_id(), resource, self._now())
            self._log("POST", stored, 201, guarded=bool(find))
            return stored, True

    def update(self, kind: str, id: str, resource: Json, expected: str | None) -> tuple[Stored, bool]:
        """Store a new version; (version, whether it was created). Equal content makes no new version.

        `expected` is the version the client read; another current version raises Conflict 412.
        """
        with self._lock:
            versions = self._versions.get(f"{kind}/{id}", [])
            if expected is not None and (not versions or str(versions[-1].version) != expected):
                raise Conflict("The resource was changed meanwhile; read it again.", code="stale-version", status=412)
            if versions and _content(versions[-1].resource) == _content(resource):
                self._log("PUT", versions[-1], 200, guarded=expected is not None)
                return versions[-1], False
            stored = self._append(kind, id, resource, self._now())
            self._log("PUT", stored, 200 if versions else 201, guarded=expected is not None)
            return stored, not versions

    def _append(self, kind: str, id: str, resource: Json, at: datetime) -> Stored:
        versions = self._versions.get(f"{kind}/{id}", [])
        meta = {**(resource.get("meta") or {}), "versionId": str(len(versions) + 1), "lastUpdated": instant(at)}
        rest = {key: value for key, value in resource.items() if key not in ("resourceType", "id", "meta")}
        stamped = {"resourceType": kind, "id": id, "meta": meta, **rest}
        stored = Stored(
            kind=kind, id=id, version=len(versions) + 1, updated_at=at, resource=stamped, body=dump_json(stamped)
        )
        if not versions:
            self._kinds.setdefault(kind, []).append(stored.key)
        self._versions[stored.key] = [*versions, stored]
        return stored

    def _log(self, method: str, stored: Stored, status: int, *, guarded: bool) -> None:
        write = Write(
            at=instant(self._now()),
            method=method,
            kind=stored.kind,
            id=stored.id,
            version=stored.version,
            status=status,
            guarded=guarded,
        )
        self.writes.append(write)


def instant(at: datetime) -> str:
    """FHIR instant in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _content(resource: Json) -> bytes:
    """What an update changes: everything but the server's own stamps."""
    own: Mapping[str, Any] = resource.get("meta") or {}
    meta = {key: value for key, value in own.items() if key not in ("versionId", "lastUpdated")}
    rest = {key: value for key, value in resource.items() if key not in ("id", "meta")}
    return dump_json({"meta": meta, **dict(sorted(rest.items()))})
