"""What reading from an EHR gives: resources with their own bytes, the exchanges, and what was noticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from gateway.fhir import Json

FindingKind = Literal[
    "filtered",
    "foreign-patient",
    "foreign-reference",
    "ignored-parameter",
    "merged-patient",
    "no-subject",
    "not-found",
    "not-readable",
    "outcome",
    "restarted",
    "scope-missing",
    "subsetted",
    "unnamed",
]
"""`not-readable` and `scope-missing` mean that evidence may exist and was not seen: never read them as absence."""
BLIND: frozenset[str] = frozenset({"not-readable", "scope-missing"})
"""Kinds after which a type counts as unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One resource as the EHR gave it."""

    resource: Json = field(repr=False)
    """Parsed with exact decimals."""
    raw: bytes = field(repr=False)
    """Its own text in the answer, byte for byte."""
    version: str = field(repr=False)
    """`meta.versionId`; empty when the server keeps none."""
    etag: str = field(repr=False)
    """ETag to send back in If-Match, as it came or built from the version; empty without either."""
    full_url: str = field(repr=False, default="")
    """`Bundle.entry.fullUrl`, or the address it was read from."""
    mode: Literal["match", "include"] = "match"
    """Whether it was asked for or came along."""

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return reference_of(self.resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRecord:
    """One request and its answer, without anything that names a patient except the kept body."""

    method: str
    """HTTP method."""
    url_path_template: str
    """Type and parameter names, no values: `Observation?patient&code`."""
    status: int
    """HTTP status."""
    etag: str = field(repr=False)
    """ETag of the answer, or empty."""
    response_digest: str
    """Hex SHA-256 of the body as it came, after content decoding."""
    at: datetime
    """Instant of the answer."""
    body: bytes = field(repr=False, default=b"")
    """The body itself, for the evidence store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something noticed while reading that whoever judges the chart must know."""

    kind: FindingKind
    """What was noticed."""
    resource_type: str = field(repr=False, default="")
    """Type concerned, or empty."""
    reference: str = field(repr=False, default="")
    """Resource or parameter concerned, or empty."""
    text: str = field(repr=False, default="")
    """Detail for staff; may hold the server's own words, so it is never logged."""

    @property
    def line(self) -> str:
        """One line for the manifest of a chart: kind, what it concerns, detail."""
        concerned = self.reference or self.resource_type
        return ": ".join(part for part in (f"{self.kind} {concerned}".strip(), self.text) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """A set of resources with the proof of where they came from. Iterating gives the resources fetched."""

    fetched: tuple[Fetched, ...] = ()
    """Each resource once, in the order of arrival."""
    exchanges: tuple[ExchangeRecord, ...] = ()
    """Every request made."""
    findings: tuple[Finding, ...] = ()
    """What was noticed."""

    def __iter__(self) -> Iterator[Fetched]:
        return iter(self.fetched)

    def __len__(self) -> int:
        return len(self.fetched)

    def __add__(self, other: Extract) -> Extract:
        """Both together; a resource of both is kept once, as it came first."""
        known = {item.reference for item in self.fetched}
        return Extract(
            fetched=self.fetched + tuple(item for item in other.fetched if item.reference not in known),
            exchanges=self.exchanges + other.exchanges,
            findings=self.findings + other.findings,
        )

    @property
    def resources(self) -> tuple[Json, ...]:
        """The parsed resources."""
        return tuple(item.resource for item in self.fetched)

    @property
    def matches(self) -> tuple[Fetched, ...]:
        """Those asked for, without what came along."""
        return tuple(item for item in self.fetched if item.mode == "match")

    @property
    def unseen_types(self) -> tuple[str, ...]:
        """Types whose evidence could not be read: absence there proves nothing."""
        return tuple(sorted({item.resource_type for item in self.findings if item.kind in BLIND}))

    def find(self, reference: str) -> Fetched | None:
        """The resource of that `Type/id`, or None."""
        return next((item for item in self.fetched if item.reference == reference), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a create or update left in the EHR."""

    fetched: Fetched
    """The resource as the EHR holds it now: from its answer, or read back where it sent none."""
    is_created: bool
    """A new resource came to be; False for an update, and where If-None-Exist found one."""
    lost_elements: tuple[str, ...]
    """Paths of elements that we sent and the EHR did not keep; empty when nothing is missing."""
    exchanges: tuple[ExchangeRecord, ...]
    """Every request made."""

    @property
    def resource(self) -> Json:
        """The resource as the EHR holds it now."""
        return self.fetched.resource

    @property
    def version(self) -> str:
        """Its version."""
        return self.fetched.version

    @property
    def reference(self) -> str:
        """`Type/id`."""
        return self.fetched.reference


def reference_of(resource: Json) -> str:
    """`Type/id` of a resource."""
    return f"{resource.get('resourceType', '')}/{resource.get('id', '')}"


def version_of(resource: Json) -> str:
    """`meta.versionId`, or empty."""
    meta = resource.get("meta")
    return str(meta.get("versionId", "")) if isinstance(meta, Mapping) else ""


def is_subsetted(resource: Json) -> bool:
    """Whether the resource is marked as a part of itself: no evidence, and never to be written back."""
    return any(tag.get("code") == "SUBSETTED" for tag in _tags(resource))


def _tags(resource: Json) -> list[Mapping[str, Any]]:
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, Mapping) else None
    return [tag for tag in tags if isinstance(tag, Mapping)] if isinstance(tags, list) else []
