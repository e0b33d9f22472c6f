"""The capability statement, made from the same tables that the server works by."""

from __future__ import annotations

from typing import Any

from gateway.demo.ehr_store import Store
from gateway.demo.ehr_types import Parameter, type_table

_INTERACTIONS = ("read", "vread", "history-instance", "search-type", "create", "update")


def build_capability(store: Store, base: str) -> dict[str, Any]:
    """CapabilityStatement of this running server; `base` is the address it was asked at."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "software": {"name": "Synthetic EHR of the prior-authorization gateway"},
        "implementation": {"description": "Invented patients in memory; nothing is kept.", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "Bearer token on everything but this statement."},
                "resource": [_resource(store, kind, parameters) for kind, parameters in type_table().items()],
            }
        ],
    }


def _resource(store: Store, kind: str, parameters: Any) -> dict[str, Any]:
    rows: list[Parameter] = list(parameters.values())
    profiles = {profile for item in store.of_kind(kind) for profile in item.resource["meta"].get("profile", ())}
    included = [f"{kind}:{row.name}" for row in rows if row.kind == "reference"]
    return {
        "type": kind,
        **({"supportedProfile": sorted(profiles)} if profiles else {}),
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        **({"searchInclude": included} if included else {}),
        "searchRevInclude": ["Provenance:target"],
        "searchParam": [{"name": row.name, "type": row.kind} for row in rows],
    }
