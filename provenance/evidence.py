"""A package as the checks see it: files, manifest, events and contents, read but not yet believed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provenance.canonical import canonicalise, digest, digest_hex, ni_uri, parse_strict, read_ni
from provenance.document import signature_jws
from provenance.errors import JwsError, StrictJsonError
from provenance.identifiers import Identifier
from provenance.jws import DetachedJws, read_detached
from provenance.package import MANIFEST
from provenance.statement import BODY_TYPE
from provenance.urls import ACTIVITY, BINDING

_EVENT: Final = re.compile(r"events/([0-9]{6})\.json")
_OBJECT: Final = "objects/sha256/"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """One target as an event names it."""

    reference: str
    type: str
    ni: str
    """Its content address; empty when the event gives none."""

    @property
    def is_body(self) -> bool:
        """Signed as bytes, not as a resource."""
        return self.type == BODY_TYPE

    @property
    def base(self) -> str:
        """The reference without its version."""
        return self.reference.partition("/_history/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event file."""

    path: str
    seq: int
    """Its number, from the name of the file."""
    provenance: Mapping[str, Any] | None
    """None when the file is not a Provenance in strict JSON."""
    trouble: str
    """Why `provenance` is None."""
    signature: Mapping[str, Any]
    """Its one signature; empty when there is not exactly one."""
    compact: str
    """The compact JWS; empty when unreadable."""
    jws: DetachedJws | None
    jws_trouble: str
    """Why `jws` is None."""
    targets: tuple[TargetRecord, ...]

    @property
    def binding(self) -> Mapping[str, Any]:
        """The private header member; empty when absent."""
        value = {} if self.jws is None else self.jws.header.get(BINDING)
        return value if isinstance(value, dict) else {}

    @property
    def activity(self) -> str:
        """Our code of the activity; empty when there is none."""
        codings = _list(_dict((self.provenance or {}).get("activity")).get("coding"))
        return next((str(c.get("code")) for c in codings if isinstance(c, dict) and c.get("system") == ACTIVITY), "")

    @property
    def entities(self) -> tuple[TargetRecord, ...]:
        """Its inputs."""
        rows = _list((self.provenance or {}).get("entity"))
        return tuple(read_target(_dict(row).get("what")) for row in rows)


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Everything in a package."""

    files: Mapping[str, bytes]
    manifest: Mapping[str, Any]
    """The manifest; empty when unreadable."""
    events: tuple[EventRecord, ...]
    _by_digest: dict[str, bytes] = field(default_factory=dict)
    _canonical: dict[str, tuple[Any, bytes]] = field(default_factory=dict)
    _ni_of_objects: frozenset[str] | None = None
    _certificates: tuple[bytes, ...] | None = None

    @property
    def tenant(self) -> Identifier | None:
        """The organization that the manifest names."""
        return Identifier.read(self.manifest.get("tenant"))

    @property
    def case_tag(self) -> str:
        """The case that the manifest names; empty when it names none."""
        tag = self.manifest.get("case")
        return tag if isinstance(tag, str) else ""

    def certificates(self) -> tuple[bytes, ...]:
        """DER of every certificate in the package, in the order of their names."""
        if self._certificates is None:
            paths = sorted(path for path in self.files if path.startswith("certs/"))
            self._certificates = tuple(self.files[path] for path in paths)
        return self._certificates

    def content(self, sha256_hex: str) -> bytes | None:
        """Bytes listed under this digest: an object by its name, or a Bundle by its content."""
        named = self.files.get(_OBJECT + sha256_hex)
        if named is not None:
            return named
        if not self._by_digest:
            bundles = [body for path, body in self.files.items() if path.startswith("bundle/")]
            self._by_digest = {digest_hex(body): body for body in bundles} or {"": b""}
        return self._by_digest.get(sha256_hex)

    def canonical(self, sha256_hex: str, body: bytes) -> tuple[Any, bytes]:
        """Value and canonical bytes of content, worked out once. Errors: StrictJsonError."""
        if sha256_hex not in self._canonical:
            self._canonical[sha256_hex] = canonicalise(body)
        return self._canonical[sha256_hex]

    def holds(self, ni: str) -> bool:
        """Whether an object has this content address, by its bytes or by its canonical form."""
        sha256 = read_ni(ni)
        if sha256 is not None and self.content(sha256.hex()) is not None:
            return True
        if self._ni_of_objects is None:
            self._ni_of_objects = frozenset(self._canonical_names())
        return ni in self._ni_of_objects

    def _canonical_names(self) -> Iterator[str]:
        for path, body in self.files.items():
            if path.startswith(_OBJECT):
                try:
                    yield ni_uri(digest(self.canonical(path.removeprefix(_OBJECT), body)[1]))
                except StrictJsonError:
                    continue


def read_evidence(files: Mapping[str, bytes]) -> Evidence:
    """The package's parts; what cannot be read is left empty for the checks to report."""
    try:
        manifest = parse_strict(files.get(MANIFEST, b""))
    except StrictJsonError:
        manifest = {}
    events = [
        _event(path, int(match.group(1)), body)
        for path, body in sorted(files.items())
        if (match := _EVENT.fullmatch(path))
    ]
    return Evidence(files=files, manifest=manifest if isinstance(manifest, dict) else {}, events=tuple(events))


def read_target(value: Any) -> TargetRecord:
    """A Reference with a content address; absent parts are empty."""
    reference = _dict(value)
    named = Identifier.read(reference.get("identifier"))
    ni = named.value if named is not None and read_ni(named.value) is not None else ""
    return TargetRecord(reference=_text(reference.get("reference")), type=_text(reference.get("type")), ni=ni)


def _event(path: str, seq: int, body: bytes) -> EventRecord:
    provenance, trouble = _provenance(body)
    signatures = _list((provenance or {}).get("signature"))
    signature = _dict(signatures[0]) if len(signatures) == 1 else {}
    compact, jws, jws_trouble = "", None, "not exactly one signature"
    if signature:
        try:
            compact = signature_jws(signature)
            jws, jws_trouble = read_detached(compact), ""
        except JwsError as error:
            jws_trouble = str(error)
    return EventRecord(
        path=path,
        seq=seq,
        provenance=provenance,
        trouble=trouble,
        signature=signature,
        compact=compact,
        jws=jws,
        jws_trouble=jws_trouble,
        targets=tuple(read_target(target) for target in _list((provenance or {}).get("target"))),
    )


def _provenance(body: bytes) -> tuple[Mapping[str, Any] | None, str]:
    try:
        value = parse_strict(body)
    except StrictJsonError as error:
        return None, str(error)
    if not isinstance(value, dict) or value.get("resourceType") != "Provenance":
        return None, "not a Provenance"
    return value, ""


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
