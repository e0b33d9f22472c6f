"""What the order-sign service says of itself and asks for, in both generations. Source: spec/crd.md §2–§6, §16."""

from __future__ import annotations

from typing import Any

from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.hook_checks import HookRules

SERVICE_ID = "order-sign-coverage"
_ORDERS = "context.draftOrders.entry.resource"
_BASICS = {
    "patient": "Patient/{{context.patientId}}",
    "encounter": "Encounter/{{context.encounterId}}",
    "coverage": "Coverage?patient={{context.patientId}}&status=active",
}
PREFETCH = {
    Guide.STU2_2: _BASICS
    | {
        "practitionerRoles": f"PractitionerRole?_id={{{{{_ORDERS}.ofType(ServiceRequest).requester.resolve()"
        f".ofType(PractitionerRole).id|{_ORDERS}.ofType(DeviceRequest).requester.resolve()"
        ".ofType(PractitionerRole).id}}",
        "practitioners": "Practitioner?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).practitioner"
        f".resolve().id|{_ORDERS}.ofType(ServiceRequest).requester.resolve().ofType(Practitioner).id}}}}",
        "organizations": "Organization?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).organization"
        ".resolve().id|%coverage.entry.resource.ofType(Coverage).payor.resolve().ofType(Organization).id}}",
    },
    Guide.STU2: _BASICS
    | {
        "user": "{{context.userId}}",
        "services": "ServiceRequest?_id={{context.draftOrders.ServiceRequest.id}}&_include=ServiceRequest:requester",
    },
}
"""Templates: 2.2 with simple FHIRPath tokens chained through earlier keys, 2.0.1 with its own comma-list tokens."""
_OPTIONS = (
    ("coverage-info", "Coverage information", "Whether the service is covered and what is needed for it."),
    ("unsolicited-determ", "Unsolicited determinations", "Authorizations given without being asked."),
    ("claim", "Claim", "Help with filling in claims."),
    ("cost", "Cost", "What the patient will pay."),
)


def options_of(guide: Guide) -> list[dict[str, Any]]:
    """Configuration options; unsolicited-determ came after 2.0.1."""
    return [
        {"code": code, "type": "boolean", "name": name, "description": text, "default": True}
        for code, name, text in _OPTIONS
        if guide is Guide.STU2_2 or code != "unsolicited-determ"
    ]


def rules_of(guide: Guide) -> HookRules:
    """What the checks ask for."""
    is_old = guide is Guide.STU2
    return HookRules(
        hook="order-sign",
        versions=() if is_old else ("2.2",),
        prefetch_keys=frozenset(PREFETCH[guide]),
        needs_access=not is_old,
        draft_only=is_old,
        identified_people=is_old,
        booleans=frozenset(option["code"] for option in options_of(guide)),
    )


def discovery(guide: Guide) -> dict[str, Any]:
    """The service list."""
    extension: dict[str, Any] = {"davinci-crd.configuration-options": options_of(guide)}
    if guide is Guide.STU2_2:
        extension = {"davinci-crd.version": ["2.2"], **extension}
    service = {
        "hook": "order-sign",
        "id": SERVICE_ID,
        "title": "Coverage requirements",
        "description": "Coverage, prior authorization and documentation needs of the orders being signed.",
        "prefetch": PREFETCH[guide],
        "extension": extension,
    }
    return {"services": [service]}
