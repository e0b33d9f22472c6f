"""An order-sign request judged on its own terms. Source: spec/crd.md §2, §3, §5; CDS Hooks 2.0.

A check says which status it deserves: 400 for what breaks CDS Hooks, FHIR or the coverage rules, 412 where nothing was
prefetched, 422 for what breaks a CRD profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import (
    as_object,
    as_objects,
    as_text,
    at,
    entries,
    has_code,
    identifier_values,
    type_of,
)

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
VERSION_KEY, CONFIGURATION_KEY = "davinci-crd.requestedVersion", "davinci-crd.configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRules:
    """What one version of the guide asks for."""

    hook: str
    versions: tuple[str, ...]
    prefetch_keys: frozenset[str]
    needs_access: bool
    """Whether fhirServer and fhirAuthorization are mandatory."""
    draft_only: bool
    """Whether orders must be `draft`."""
    identified_people: bool
    """Whether patients need a medical record number and practitioners an NPI (2.0.1 profiles)."""
    booleans: frozenset[str]
    """Configuration options of type boolean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFault:
    """One thing wrong with the request."""

    status: int
    issue: Issue


def check_hook(body: Json, payer: Payer, rules: HookRules) -> list[HookFault]:
    """Everything wrong with the request; empty = it can be answered."""
    found = [HookFault(status=400, issue=issue) for issue in _check_shape(body, rules)]
    found += [HookFault(status=400, issue=issue) for issue in _check_access(body, rules)]
    found += [HookFault(status=400, issue=issue) for issue in _check_context(body)]
    found += [HookFault(status=400, issue=issue) for issue in _check_extension(body, rules)]
    if "prefetch" not in body:
        text = "No prefetch came and this payer does not query."
        found.append(HookFault(status=412, issue=Issue(text=text, at="prefetch", code="required", source="found-32")))
    else:
        found += [HookFault(status=400, issue=issue) for issue in _check_prefetch(body, payer, rules)]
    found += [HookFault(status=422, issue=issue) for issue in _check_orders(body, rules)]
    if rules.identified_people:
        found += [HookFault(status=422, issue=issue) for issue in _check_identifiers(body)]
    return found


def draft_orders(body: Json) -> list[Json]:
    """The resources of context.draftOrders."""
    return [resource for _, resource in entries(at(body, "context", "draftOrders"))]


def prefetched(body: Json) -> list[Json]:
    """Every resource that was prefetched, read or searched."""
    found: list[Json] = []
    for value in as_object(body.get("prefetch")).values():
        if type_of(value) == "Bundle":
            found += [resource for _, resource in entries(value) if type_of(resource)]
        elif type_of(value):
            found.append(value)
    return found


def coverages(body: Json) -> list[Json]:
    """Every Coverage that was prefetched."""
    return [resource for resource in prefetched(body) if type_of(resource) == "Coverage"]


def _check_shape(body: Json, rules: HookRules) -> Iterator[Issue]:
    if body.get("hook") != rules.hook:
        yield Issue(text=f"hook must be `{rules.hook}`.", at="hook")
    if not UUID.fullmatch(as_text(body.get("hookInstance"))):
        yield Issue(text="hookInstance must be a UUID.", at="hookInstance")
    for place in empty_members({key: value for key, value in body.items() if key != "prefetch"}):
        yield Issue(text="Leave empty members out.", at=place, source="crd.md §3")
    for key, value in as_object(body.get("prefetch")).items():
        if value is not None:
            for place in empty_members(value, f"prefetch.{key}"):
                yield Issue(text="Leave empty members out.", at=place, source="crd.md §3")


def empty_members(value: Any, place: str = "") -> Iterator[str]:
    """Places of null, "", [] and {} inside; nulls of FHIR's paired primitive arrays are left alone."""
    if value is None or value == "" or value == [] or value == {}:
        yield place or "(body)"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not (isinstance(item, list) and (f"_{key}" in value or str(key).startswith("_"))):
                yield from empty_members(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from empty_members(item, f"{place}[{position}]")


def _check_access(body: Json, rules: HookRules) -> Iterator[Issue]:
    server, access = body.get("fhirServer"), body.get("fhirAuthorization")
    if rules.needs_access and (server is None or access is None):
        yield Issue(text="fhirServer and fhirAuthorization are mandatory.", at="fhirServer", source="found-20")
    if server is not None and (not urlsplit(as_text(server)).netloc or urlsplit(as_text(server)).scheme[:4] != "http"):
        yield Issue(text="fhirServer must be an absolute url.", at="fhirServer")
    if access is None:
        return
    if server is None:
        yield Issue(text="fhirAuthorization without fhirServer.", at="fhirServer")
    granted = as_object(access)
    for key in ("access_token", "scope", "subject"):
        if not as_text(granted.get(key)):
            yield Issue(text=f"fhirAuthorization.{key} is required.", at=f"fhirAuthorization.{key}", code="required")
    if granted.get("token_type") != "Bearer":
        yield Issue(text="token_type must be `Bearer`.", at="fhirAuthorization.token_type")
    lifetime = granted.get("expires_in")
    if not isinstance(lifetime, int) or isinstance(lifetime, bool) or lifetime <= 0:
        yield Issue(text="expires_in must be a whole number of seconds.", at="fhirAuthorization.expires_in")
    elif lifetime > 30:
        text = "The token should live at most 30 seconds."
        yield Issue(text=text, at="fhirAuthorization.expires_in", severity="warning", source="found-22")
    if "patient/" in as_text(granted.get("scope")) and not as_text(granted.get("patient")):
        yield Issue(text="With patient scopes the patient is expected.", at="fhirAuthorization.patient")


def _check_context(body: Json) -> Iterator[Issue]:
    context = as_object(body.get("context"))
    if not re.fullmatch(r"Practitioner(Role)?/[A-Za-z0-9\-.]{1,64}", as_text(context.get("userId"))):
        yield Issue(text="userId must be Practitioner/x or PractitionerRole/x.", at="context.userId")
    if not _ID.fullmatch(as_text(context.get("patientId"))):
        yield Issue(text="patientId must be a bare id.", at="context.patientId")
    if "encounterId" in context and not _ID.fullmatch(as_text(context.get("encounterId"))):
        yield Issue(text="encounterId must be a bare id.", at="context.encounterId")
    orders = as_object(context.get("draftOrders"))
    if type_of(orders) != "Bundle" or orders.get("type") != "collection" or not as_objects(orders.get("entry")):
        yield Issue(text="draftOrders must be a Bundle of type collection with entries.", at="context.draftOrders")
    for position, entry in enumerate(as_objects(orders.get("entry"))):
        place = f"context.draftOrders.entry[{position}]"
        resource = as_object(entry.get("resource"))
        if not as_text(entry.get("fullUrl")) or not type_of(resource):
            yield Issue(text="Each entry has fullUrl and resource.", at=place)
        if not _ID.fullmatch(as_text(resource.get("id"))):
            yield Issue(text="Each context resource has an id.", at=f"{place}.resource.id", source="found-36")
        if {"search", "request", "response"} & set(entry):
            yield Issue(text="No search, request or response here.", at=place)
    if not any(type_of(order) in names.ORDER_TYPES for order in draft_orders(body)):
        yield Issue(text="draftOrders holds no order.", at="context.draftOrders")


def _check_extension(body: Json, rules: HookRules) -> Iterator[Issue]:
    asked = as_object(body.get("extension"))
    version = asked.get(VERSION_KEY)
    if not rules.versions:
        version = None
    if version is None and len(rules.versions) > 1:
        yield Issue(text="Say the version, several are served.", at=f"extension.{VERSION_KEY}", source="dev-3")
    elif version is not None and version not in rules.versions:
        yield Issue(text="This version is not served.", at=f"extension.{VERSION_KEY}", code="not-supported")
    for code, value in as_object(asked.get(CONFIGURATION_KEY)).items():
        if code in rules.booleans and not isinstance(value, bool):
            yield Issue(text="This option is a boolean.", at=f"extension.{CONFIGURATION_KEY}.{code}")


def _check_prefetch(body: Json, payer: Payer, rules: HookRules) -> Iterator[Issue]:
    prefetch = body.get("prefetch")
    if not isinstance(prefetch, Mapping):
        yield Issue(text="prefetch must be an object.", at="prefetch")
        return
    for key in prefetch:
        if key not in rules.prefetch_keys:
            yield Issue(text="A prefetch key nobody asked for.", at="prefetch", source="cdsh@46")
    found = coverages(body)
    if len(found) != 1:
        yield Issue(text="Exactly one Coverage, the primary one, is expected.", at="prefetch.coverage", source="dev-29")
        return
    known = payor_identifiers(found[0], prefetched(body))
    if known and payer.identifier not in known:
        text = "This payer does not answer for the coverage's payor."
        yield Issue(text=text, at="prefetch.coverage", code="business-rule", source="hook-12")
    elif not known:
        text = "The coverage's payor cannot be told from what was sent."
        yield Issue(text=text, at="prefetch.coverage", severity="warning")
    patient = as_text(at(body, "context", "patientId"))
    if as_text(at(found[0], "beneficiary", "reference")).rpartition("/")[2] != patient:
        yield Issue(text="The Coverage is not this patient's.", at="prefetch.coverage.beneficiary")


def payor_identifiers(coverage: Json, known: Sequence[Json]) -> list[str]:
    """Identifier values of the coverage's payor: beside the reference, contained, or among what was sent."""
    found: list[str] = []
    for payor in as_objects(coverage.get("payor")):
        value = as_text(at(payor, "identifier", "value"))
        found += [value] if value else []
        kind, _, key = as_text(payor.get("reference")).rpartition("/")
        pool = as_objects(coverage.get("contained")) if key.startswith("#") else known
        for resource in pool:
            if as_text(resource.get("id")) == key.lstrip("#") and (
                key.startswith("#") or kind.endswith(type_of(resource))
            ):
                found += identifier_values(resource)
    return found


def _check_identifiers(body: Json) -> Iterator[Issue]:
    for resource in prefetched(body):
        identifiers = as_objects(resource.get("identifier"))
        if type_of(resource) == "Patient" and not any(has_code(item.get("type"), "MR") for item in identifiers):
            yield Issue(text="The patient needs an identifier of type MR.", at="prefetch.patient", code="required")
        if type_of(resource) == "Practitioner" and not identifier_values(resource, names.NPI):
            yield Issue(text="The practitioner needs an NPI.", at="prefetch", code="required")


_REQUIRED = {
    "ServiceRequest": ("status", "intent", "code", "subject", "authoredOn", "requester"),
    "DeviceRequest": ("status", "intent", "codeCodeableConcept", "subject", "authoredOn", "requester"),
    "MedicationRequest": ("status", "intent", "medicationCodeableConcept", "subject", "authoredOn", "requester"),
    "NutritionOrder": ("status", "intent", "patient", "dateTime", "orderer"),
    "VisionPrescription": ("status", "created", "patient", "dateWritten", "prescriber", "lensSpecification"),
    "CommunicationRequest": ("status", "subject", "authoredOn", "requester"),
}
_INSTEAD = {"medicationCodeableConcept": "medicationReference", "codeCodeableConcept": "codeReference"}


def _check_orders(body: Json, rules: HookRules) -> Iterator[Issue]:
    for position, order in enumerate(draft_orders(body)):
        place = f"context.draftOrders.entry[{position}].resource"
        for key in _REQUIRED.get(type_of(order), ()):
            if not order.get(key) and not order.get(_INSTEAD.get(key, key)):
                yield Issue(text=f"{type_of(order)}.{key} is required.", at=f"{place}.{key}", code="required")
        if rules.draft_only and type_of(order) in names.ORDER_TYPES and order.get("status") != "draft":
            yield Issue(text="Orders are `draft` in this version of the guide.", at=f"{place}.status")
