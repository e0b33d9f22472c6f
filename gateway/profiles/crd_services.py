"""What our CDS services offer an EHR: discovery with prefetch templates, and the cards they answer with.

Templates use the grammar of CDS Hooks 2.0 wherever that is enough, so that every EHR can fill the chart; only the
people and places around an order need the simple FHIRPath of CRD 2.2. Source: spec/crd.md §4–§7, §14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.profiles.crd_discovery import OPTIONS_KEY, VERSION_KEY
from gateway.profiles.urls import CARD_TYPES

HOOKS: Mapping[str, tuple[str, str]] = {
    "order-select": (
        "Prior-authorization advice while ordering",
        "Says at once what a payer may miss for the orders just selected. Writes nothing.",
    ),
    "order-sign": (
        "Prior-authorization advice and coverage at signing",
        (
            "Says what a payer may miss, asks the payer what the orders need, and prepares the authorization. "
            "No request leaves before the order is seen signed."
        ),
    ),
}
"""Our services: id and hook are the same word → title, description."""
VERSIONS = ("2.0", "2.1", "2.2")
"""CRD versions in which an EHR may call us; readers know them all."""
COVERAGE_INFO = "coverage-info"
"""Card type of coverage-information, which comes as a system action."""
GUIDELINE = "guideline"
"""Card type of our own panel."""
CHART_KEYS: Mapping[str, str] = {
    "conditions": "Condition",
    "serviceRequests": "ServiceRequest",
    "medicationRequests": "MedicationRequest",
    "medicationStatements": "MedicationStatement",
    "medicationDispenses": "MedicationDispense",
    "procedures": "Procedure",
    "observations": "Observation",
    "questionnaireResponses": "QuestionnaireResponse",
    "encounters": "Encounter",
    "carePlans": "CarePlan",
    "communications": "Communication",
    "allergies": "AllergyIntolerance",
    "clinicalImpressions": "ClinicalImpression",
    "documents": "DocumentReference",
    "reports": "DiagnosticReport",
}
"""Prefetch key → type of the chart that is searched by patient."""
_ORDERS = "context.draftOrders.entry.resource"
ROLES_KEY = "requesterRoles"
"""Prefetch key of the roles of those who order, where an order names the person alone."""
_PEOPLE = {
    "practitionerRoles": f"PractitionerRole?_id={{{{{_ORDERS}.ofType(ServiceRequest).requester.resolve()"
    f".ofType(PractitionerRole).id|{_ORDERS}.ofType(DeviceRequest).requester.resolve().ofType(PractitionerRole).id}}}}",
    "practitioners": "Practitioner?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).practitioner"
    f".resolve().id|{_ORDERS}.ofType(ServiceRequest).requester.resolve().ofType(Practitioner).id}}}}",
    "organizations": "Organization?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).organization"
    ".resolve().id|%coverage.entry.resource.ofType(Coverage).payor.resolve().ofType(Organization).id}}",
    ROLES_KEY: f"PractitionerRole?practitioner={{{{{_ORDERS}.ofType(ServiceRequest).requester.resolve()"
    ".ofType(Practitioner).id}}&_include=PractitionerRole:organization&_include=PractitionerRole:location",
    "locations": "Location?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).location.resolve().id}}",
}
PREFETCH: Mapping[str, str] = {
    "patient": "Patient/{{context.patientId}}",
    "coverage": "Coverage?patient={{context.patientId}}&status=active",
    **{key: f"{kind}?patient={{{{context.patientId}}}}" for key, kind in CHART_KEYS.items()},
    "clinicalImpressions": "ClinicalImpression?patient={{context.patientId}}&_revinclude=Provenance:target",
    **_PEOPLE,
}
"""Prefetch templates by key. Who attested an impression stands in its Provenance, so that comes along."""
MAX_SUMMARY = 139
"""Longest summary of a card: below 140 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """One thing the clinician may choose on a card."""

    uuid: str
    """Names it in feedback."""
    label: str
    """Label of the button."""
    actions: tuple[Mapping[str, Any], ...] = ()
    """What the EHR does when it is chosen: drafts, never anything final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card of our own."""

    uuid: str
    """Names it in feedback."""
    summary: str
    """First line."""
    detail: str
    """Markdown below it."""
    indicator: str
    """info or warning."""
    label: str
    """Who says so."""
    suggestions: tuple[Suggestion, ...] = ()
    """Choices."""
    links: tuple[tuple[str, str], ...] = ()
    """(label, absolute address) of pages."""
    overrides: tuple[Mapping[str, str], ...] = ()
    """Codings of the reasons for going on anyway."""
    orders: tuple[str, ...] = ()
    """`Type/id` of the orders it is about."""


def build_discovery() -> dict[str, Any]:
    """The service list."""
    extension = {VERSION_KEY: list(VERSIONS), OPTIONS_KEY: [dict(option) for option in _OPTIONS]}
    services = [
        {
            "hook": hook,
            "id": hook,
            "title": title,
            "description": description,
            "prefetch": dict(PREFETCH),
            "usageRequirements": "Calls name the FHIR server that is registered for the caller; without one, or where "
            "prefetch is left out, the chart is read there with the token of the call, as far as time allows.",
            "extension": extension,
        }
        for hook, (title, description) in HOOKS.items()
    ]
    return {"services": services}


def build_card(card: Card) -> dict[str, Any]:
    """The card as CDS Hooks writes it; members that would be empty are left out."""
    body: dict[str, Any] = {
        "uuid": card.uuid,
        "summary": card.summary[:MAX_SUMMARY],
        "detail": card.detail,
        "indicator": card.indicator,
        "source": {
            "label": card.label,
            "topic": {"system": CARD_TYPES, "code": GUIDELINE, "display": "Guideline"},
        },
    }
    if card.suggestions:
        body["suggestions"] = [_suggestion(item) for item in card.suggestions]
        body["selectionBehavior"] = "at-most-one"
    if card.overrides:
        body["overrideReasons"] = [dict(item) for item in card.overrides]
    if card.links:
        body["links"] = [{"label": label, "url": url, "type": "absolute"} for label, url in card.links]
    if card.orders:
        body["extension"] = {"davinci-crd.associated-resource": list(card.orders)}
    return body


def build_create_action(resource: Mapping[str, Any], description: str) -> dict[str, Any]:
    """The action that makes a draft in the EHR when its suggestion is chosen."""
    return {"type": "create", "description": description, "resource": dict(resource)}


def build_draft_task(
    *, code: tuple[str, str], words: str, description: str, patient_id: str, order: str, user: str
) -> dict[str, Any]:
    """A draft Task about an order: what the clinician chose, for somebody to take up. Nothing in it is final."""
    system, value = code
    task: dict[str, Any] = {
        "resourceType": "Task",
        "status": "draft",
        "intent": "proposal",
        "code": {"coding": [{"system": system, "code": value}], "text": words},
        "description": description,
        "focus": {"reference": order},
        "for": {"reference": f"Patient/{patient_id}"},
    }
    return {**task, "requester": {"reference": user}} if user else task


def _suggestion(item: Suggestion) -> dict[str, Any]:
    body: dict[str, Any] = {"uuid": item.uuid, "label": item.label}
    return {**body, "actions": [dict(action) for action in item.actions]} if item.actions else body


def _option(code: str, name: str, description: str) -> Mapping[str, Any]:
    return {"code": code, "type": "boolean", "name": name, "description": description, "default": True}


_OPTIONS: Sequence[Mapping[str, Any]] = (
    _option(COVERAGE_INFO, "Coverage information", "What the payer says of coverage, authorization and documents."),
    _option("unsolicited-determ", "Unsolicited determinations", "Authorizations that a payer gives without request."),
    _option(GUIDELINE, "Advice", "The panel that says which documentation a payer may miss."),
)
