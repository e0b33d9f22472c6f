"""CRD hook requests as a client without a screen sends them.

Source: spec/crd.md §2, §3, §6, §15. The payer gets our own token and our own façade's address, never
those of the EHR (crd:sec-9); both come from the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.bundle import build_bundle
from gateway.fhir.reading import text, thaw
from gateway.fhir.references import full_url, read_reference
from gateway.profiles.crd_discovery import CdsService

ORDER_TYPES = frozenset(
    {
        "CommunicationRequest",
        "DeviceRequest",
        "MedicationRequest",
        "NutritionOrder",
        "ServiceRequest",
        "VisionPrescription",
    }
)
ALWAYS_ON = ("coverage-info", "unsolicited-determ")
"""Switches kept on: with unsolicited-determ off, satisfied decisions and their number would be lost."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAuthorization:
    """The short-lived token with which the payer may read our façade."""

    access_token: str = field(repr=False)
    """Bearer token; never logged."""
    expires_in_seconds: int
    """Lifetime; the guide wants 30 s or less (crd:found-22)."""
    scope: str
    """Narrowest scopes (crd:found-21)."""
    subject: str
    """The payer service's client id at our authorization server."""
    patient: str = ""
    """Patient id, expected with `patient/` scopes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRequest:
    """What every hook request needs besides its context."""

    hook_instance: str
    """UUID of this call."""
    fhir_server: str
    """Base address of our façade."""
    authorization: HookAuthorization
    """Token for the façade."""
    service: CdsService
    """The service called, from discovery."""
    requested_version: str = "2.2"
    """First two parts of the guide's version; empty for payers on 2.0 and 2.1, which know no such member."""
    configuration: Mapping[str, bool | int] = field(default_factory=dict)
    """Switches, as `build_configuration` makes them."""


def build_configuration(service: CdsService, wanted: Iterable[str] = ALWAYS_ON) -> dict[str, bool | int]:
    """The switches to send: wanted boolean types on, every other advertised boolean off, integers left alone."""
    on = frozenset(wanted)
    return {option.code: option.code in on for option in service.options if option.type == "boolean"}


def build_order_sign_request(
    request: HookRequest,
    *,
    user: str,
    patient_id: str,
    orders: Sequence[Json],
    encounter_id: str = "",
    prefetch: Mapping[str, Any] | None = None,
    draft: bool = False,
) -> dict[str, Any]:
    """An order-sign request for stored orders.

    `user` is a reference to the Practitioner or PractitionerRole; `draft` sends copies with status
    `draft` (strict 2.0.1 payers) and leaves the given orders alone. No member is null or empty except
    values inside `prefetch`. `InputError` (`crd.*`) when something the guide demands is missing.
    """
    context: dict[str, Any] = {"userId": _require_user(user), "patientId": _require_id(patient_id)}
    if encounter_id:
        context["encounterId"] = _require_id(encounter_id)
    context["draftOrders"] = build_orders_bundle(request.fhir_server, orders, draft=draft)
    return build_hook_request(request, "order-sign", context, prefetch)


def build_order_dispatch_request(
    request: HookRequest,
    *,
    patient_id: str,
    orders: Sequence[str],
    performer: str,
    prefetch: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An order-dispatch request: `orders` and `performer` are `Type/id` texts; there is no user in its context."""
    dispatched = [read_reference(order).relative for order in orders]
    target = read_reference(performer).relative
    if not all(dispatched) or not dispatched or not target:
        raise InputError("Orders and performer must be named as Type/id.", code="crd.reference")
    context: dict[str, Any] = {"patientId": _require_id(patient_id)}
    if request.requested_version:
        context["dispatchedOrders"] = dispatched
    else:
        context["order"] = dispatched[0]
    return build_hook_request(request, "order-dispatch", {**context, "performer": target}, prefetch)


def build_hook_request(
    request: HookRequest, hook: str, context: Mapping[str, Any], prefetch: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The envelope of a hook request around its context; see `build_order_sign_request`."""
    if not _UUID.fullmatch(request.hook_instance.lower()):
        raise InputError("hookInstance must be a UUID.", code="crd.hook-instance")
    body: dict[str, Any] = {
        "hook": hook,
        "hookInstance": request.hook_instance,
        "fhirServer": request.fhir_server.rstrip("/"),
        "fhirAuthorization": _authorization(request.authorization),
        "context": dict(context),
    }
    if prefetch:
        body["prefetch"] = dict(prefetch)
    extension = _extension(request)
    return {**body, "extension": extension} if extension else body


def build_orders_bundle(base: str, orders: Sequence[Json], *, draft: bool = False) -> dict[str, Any]:
    """The collection Bundle of orders in a hook's context; every order must keep its id (crd:found-36)."""
    if not orders:
        raise InputError("At least one order is needed.", code="crd.order")
    members = []
    for order in orders:
        if text(order.get("resourceType")) not in ORDER_TYPES or not order.get("id"):
            raise InputError("An order needs an id and must be of a type that CRD knows.", code="crd.order")
        copied = thaw(order)
        if draft:
            copied["status"] = "draft"
        members.append((full_url(base, order), copied))
    return build_bundle("collection", members)


def _authorization(granted: HookAuthorization) -> dict[str, Any]:
    body: dict[str, Any] = {
        "access_token": granted.access_token,
        "token_type": "Bearer",
        "expires_in": granted.expires_in_seconds,
        "scope": granted.scope,
        "subject": granted.subject,
    }
    return {**body, "patient": granted.patient} if granted.patient else body


def _extension(request: HookRequest) -> dict[str, Any]:
    extension: dict[str, Any] = {}
    if request.requested_version:
        extension["davinci-crd.requestedVersion"] = request.requested_version
    if request.configuration:
        extension["davinci-crd.configuration"] = dict(request.configuration)
    return extension


def _require_user(user: str) -> str:
    read = read_reference(user)
    if read.type not in ("Practitioner", "PractitionerRole"):
        raise InputError("The user of a hook must be a Practitioner or a PractitionerRole.", code="crd.user")
    return read.relative


def _require_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.\-]{1,64}", value):
        raise InputError("Patient and encounter are named by their bare id.", code="crd.id")
    return value
