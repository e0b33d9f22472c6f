"""Readers and builders of `information-origin` that all versions share; the codes are the versions' own.

Source: spec/dtr.md §10.1 (dtr:spec-137, spec-138; invariant dtrx-1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.fhir import Json
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_guide import Origin, OriginAuthor
from gateway.profiles.dtr_sdc import extension_value, extensions, value_of

MACHINE_CODES: Final = frozenset({"auto", "auto-client", "auto-server"})
PERSON_CODES: Final = frozenset({"override", "manual"})


def build_origin(source: str, author: OriginAuthor | None) -> dict[str, Any]:
    """The extension. Raises ValueError when author and source disagree: author present iff a person set it."""
    known = author is not None and author.is_known
    if known != (source in PERSON_CODES):
        raise ValueError("information-origin needs an author exactly when a person set the answer")
    parts: list[dict[str, Any]] = [{"url": "source", "valueCode": source}]
    if author is not None and known:
        parts.append({"url": "author", "extension": _author(author)})
    return {"url": urls.INFORMATION_ORIGIN, "extension": parts}


def _author(author: OriginAuthor) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"url": "role", "valueCodeableConcept": role} for role in author.roles]
    if author.practitioner:
        parts.append({"url": "practitioner", "valueReference": {"reference": author.practitioner}})
    return parts


def read_answer_origin(answer: Json) -> Origin | None:
    """Origin of an answer; None when it has none or it has no source code."""
    for extension in extensions(answer, urls.INFORMATION_ORIGIN):
        source = extension_value(extension, "source")
        if isinstance(source, str) and source:
            return Origin(source=source, author=_read_author(extension))
    return None


def _read_author(extension: Json) -> OriginAuthor | None:
    for part in extensions(extension, "author"):
        reference = extension_value(part, "practitioner")
        roles = tuple(value_of(role) for role in extensions(part, "role"))
        return OriginAuthor(
            practitioner=str(reference.get("reference", "")) if isinstance(reference, Mapping) else "",
            roles=tuple(role for role in roles if isinstance(role, Mapping)),
        )
    return None


def intended_use(codes: tuple[str, ...], system: str) -> list[dict[str, Any]]:
    """`intendedUse` repetitions; `OTH` comes from the null flavours."""
    null_flavor = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
    return [
        {
            "url": urls.INTENDED_USE,
            "valueCodeableConcept": {"coding": [{"system": null_flavor if code == "OTH" else system, "code": code}]},
        }
        for code in codes
    ]


def references(url: str, targets: tuple[str, ...]) -> list[dict[str, Any]]:
    """Extensions holding one Reference each."""
    return [{"url": url, "valueReference": {"reference": target}} for target in targets]
