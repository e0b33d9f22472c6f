"""`ValueSet/$expand` as DTR has it: a canonical in, an expanded ValueSet out (spec/dtr.md §7; dtr:oper-4, oper-5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.fhir import Json


def build_expand_parameters(canonical: str) -> dict[str, Any]:
    """Input Parameters. No filter: what a person types never leaves the house this way."""
    return {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": canonical}]}


def read_expansion(body: Any, canonical: str) -> Json | None:
    """The expanded ValueSet of an answer, alone or in Parameters; None for anything else, or another value set.

    A version that was asked for has to be the one that came.
    """
    if isinstance(body, Mapping) and body.get("resourceType") == "Parameters":
        parts = [part for part in body.get("parameter") or () if isinstance(part, Mapping)]
        body = next((part["resource"] for part in parts if isinstance(part.get("resource"), Mapping)), None)
    if not isinstance(body, Mapping) or body.get("resourceType") != "ValueSet":
        return None
    url, _, version = canonical.partition("|")
    expansion = body.get("expansion")
    is_same = body.get("url") == url and version in ("", body.get("version"))
    return body if is_same and isinstance(expansion, Mapping) else None
