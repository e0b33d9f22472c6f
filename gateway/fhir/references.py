"""References between resources, taken apart but not followed.

A reference text is relative (`Patient/1`), absolute (`https://ehr/fhir/Patient/1/_history/3`), a
fragment (`#p`), a `urn:uuid:`/`urn:oid:` name, or a foreign URL. Following one inside a Bundle is
the work of `gateway.fhir.bundle`. Source: FHIR R4, References and Bundle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from gateway.fhir.reading import one, text

_RESTFUL = re.compile(
    r"(?P<base>https?://[^\s#?]{1,1500}/)?"
    r"(?P<type>[A-Z][A-Za-z]{1,63})/(?P<id>[A-Za-z0-9.\-]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9.\-]{1,64}))?"
    r"(?:#(?P<fragment>[A-Za-z0-9.\-]{1,64}))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A reference text in its parts; parts that are not there are empty."""

    text: str
    """The text as it came."""
    type: str = ""
    """Resource type, for relative and RESTful absolute references."""
    id: str = ""
    """Logical id."""
    version: str = ""
    """Version after `_history`."""
    base: str = ""
    """Service base without the closing slash; empty when relative."""
    fragment: str = ""
    """Name after `#`: a contained resource, or a part of the target."""
    urn: str = ""
    """The whole `urn:…` name."""

    @property
    def relative(self) -> str:
        """`Type/id`, or empty when the text names none."""
        return f"{self.type}/{self.id}" if self.type else ""

    @property
    def url(self) -> str:
        """The target without version and fragment: what a Bundle's `fullUrl` says."""
        if self.urn or not self.type:
            return self.urn or self.text.partition("#")[0]
        return f"{self.base}/{self.relative}" if self.base else self.relative


def read_reference(reference: str) -> Reference:
    """Take a reference text apart. Any text is accepted; one that fits no form has only `text`."""
    if reference.startswith("#"):
        return Reference(text=reference, fragment=reference[1:])
    if reference.lower().startswith("urn:"):
        name, _, fragment = reference.partition("#")
        return Reference(text=reference, urn=name, fragment=fragment)
    match = _RESTFUL.fullmatch(reference)
    if match is None:
        return Reference(text=reference)
    parts = {key: value or "" for key, value in match.groupdict().items()}
    parts["base"] = parts["base"].rstrip("/")
    return Reference(text=reference, **parts)


def reference_text(element: Any) -> str:
    """The `reference` of a Reference element; empty when it has none or is not one."""
    return text(one(element).get("reference"))


def same_target(left: str, right: str) -> bool:
    """Whether two reference texts can name the same resource, versions aside.

    A relative text equals an absolute one with the same type and id, since the base of the relative
    one is not known here; two absolute texts must agree on their base.
    """
    first, second = read_reference(left), read_reference(right)
    if first.type and second.type:
        bases_agree = not first.base or not second.base or first.base == second.base
        return bases_agree and first.relative == second.relative
    return bool(left) and first.url == second.url


def full_url(base: str, resource: Json) -> str:
    """The RESTful fullUrl of a resource below a service base; empty when it has no id."""
    identity = text(resource.get("id"))
    return f"{base.rstrip('/')}/{text(resource.get('resourceType'))}/{identity}" if identity else ""
