"""Reading what an EHR posted: which orders it holds, and of each its patient and coverage references.

Pure part of the intake. Accepted shapes (design.md §5): a FHIR Bundle with orders and whatever the
EHR sends along, one order resource, or `{fhirServer, order}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json

ORDER_TYPES = (
    "ServiceRequest",
    "DeviceRequest",
    "MedicationRequest",
    "NutritionOrder",
    "VisionPrescription",
    "CommunicationRequest",
)
"""Resource types that CRD calls orders (spec/crd.md §2)."""
CLOSED_STATUSES = ("entered-in-error", "revoked", "cancelled", "completed", "stopped")
"""Order statuses for which nothing can be authorized any more."""
MAX_ORDERS = 50
"""Orders accepted in one post."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedOrder:
    """One order as posted."""

    resource: Json
    """The order."""
    reference: str
    """`Type/id` in the EHR."""
    companions: tuple[Json, ...]
    """Other resources of the same post."""
    expression: str
    """FHIRPath of the order inside the body, for error messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPointer:
    """An order that has to be read from a registered EHR."""

    server: str
    """FHIR base the caller named; must be a registered one."""
    reference: str
    """`Type/id` there."""


def read_posted(body: Json) -> tuple[PostedOrder, ...] | OrderPointer:
    """The orders in a posted body, or where to read the one order.

    Raises InputError with a reason `order.*` that says what to send instead.
    """
    if "resourceType" not in body and ("fhirServer" in body or "order" in body):
        return _pointer(body)
    kind = body.get("resourceType")
    if kind == "Bundle":
        return _from_bundle(body)
    if kind in ORDER_TYPES:
        return (_posted(body, (), str(kind)),)
    if not isinstance(kind, str) or not kind:
        raise InputError("The body has no resourceType; send a FHIR resource.", code="order.resource-type")
    raise InputError(
        "This resource type is not an order. Send a Bundle, one of "
        + ", ".join(ORDER_TYPES)
        + ", or {fhirServer, order}.",
        code="order.resource-type",
        expression="resourceType",
        status=422,
    )


def _pointer(body: Json) -> OrderPointer:
    server, order = body.get("fhirServer"), body.get("order")
    reference = order.get("reference") if isinstance(order, dict) else order
    if not isinstance(server, str) or not isinstance(reference, str):
        raise InputError(
            "Send {fhirServer: base address, order: Type/id}; both are text.", code="order.pointer", status=422
        )
    plain = reference.removeprefix(server.rstrip("/") + "/").split("/_history/")[0]
    kind, _, order_id = plain.partition("/")
    if kind not in ORDER_TYPES or not is_id(order_id):
        raise InputError("`order` must be a relative reference such as ServiceRequest/1.", code="order.pointer")
    return OrderPointer(server=server.rstrip("/"), reference=plain)


def _from_bundle(bundle: Json) -> tuple[PostedOrder, ...]:
    entries = bundle.get("entry")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("The Bundle has no entries.", code="order.missing", expression="Bundle.entry", status=422)
    resources = [entry.get("resource") for entry in entries]
    for position, resource in enumerate(resources):
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            where = f"Bundle.entry[{position}]"
            raise InputError(f"{where} holds no resource.", code="order.entry", expression=where, status=422)
    orders = tuple(_orders(resources))
    if not orders:
        message = "The Bundle holds no order; add the ServiceRequest (or another order) that needs authorization."
        raise InputError(message, code="order.missing", expression="Bundle.entry", status=422)
    if len(orders) > MAX_ORDERS:
        raise InputError(f"Send at most {MAX_ORDERS} orders in one post.", code="order.too-many", status=422)
    return orders


def _orders(resources: list[Any]) -> Iterator[PostedOrder]:
    """Orders that ask for something; a medication or therapy order without insurance is a companion."""
    found = [resource for resource in resources if resource["resourceType"] in ORDER_TYPES]
    live = [order for order in found if order.get("status") not in CLOSED_STATUSES] or found
    asked = [order for order in live if order.get("insurance")] or live
    for position, resource in enumerate(resources):
        if any(resource is order for order in asked):
            others = tuple(other for other in resources if other is not resource)
            yield _posted(resource, others, f"Bundle.entry[{position}].resource")


def _posted(order: Json, companions: tuple[Json, ...], expression: str) -> PostedOrder:
    if not is_id(order.get("id")):
        message = "The order has no id; post it as it is stored in the EHR, so that the answer finds it again."
        raise InputError(message, code="order.id", expression=f"{expression}.id", status=422)
    if order.get("status") in CLOSED_STATUSES:
        message = "The order is closed (completed, revoked or entered in error); nothing can be authorized for it."
        raise InputError(message, code="order.status", expression=f"{expression}.status", status=422)
    reference = f"{order['resourceType']}/{order['id']}"
    return PostedOrder(resource=order, reference=reference, companions=companions, expression=expression)


def is_id(text: Any) -> bool:
    """Whether `text` is a FHIR id: 1 to 64 letters, digits, `-` or `.`."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= 64
        and text.isascii()
        and all(character.isalnum() or character in "-." for character in text)
    )


def patient_reference(order: Json) -> str:
    """Reference of the patient an order is for (`subject`, or `patient` of the older types); empty when absent."""
    for name in ("subject", "patient"):
        reference = order.get(name)
        if isinstance(reference, dict) and isinstance(reference.get("reference"), str):
            return str(reference["reference"])
    return ""


def coverage_references(order: Json) -> tuple[str, ...]:
    """References of `insurance`, in order; empty when the order names none."""
    found = order.get("insurance")
    items = found if isinstance(found, list) else []
    return tuple(
        item["reference"]
        for item in items
        if isinstance(item, dict) and isinstance(item.get("reference"), str) and "Coverage/" in item["reference"]
    )


def order_identity(order: Json, ehr_id: str) -> str:
    """What makes the order this order: its first business identifier, else its id at the EHR."""
    for identifier in order.get("identifier") or ():
        if isinstance(identifier, dict) and identifier.get("system") and identifier.get("value"):
            return f"{identifier['system']}|{identifier['value']}"
    return f"{ehr_id}|{order['resourceType']}/{order['id']}"


def service_of(order: Json) -> tuple[str, str]:
    """(code, words) of what is ordered, for lists; empty where the order has none."""
    concept = order.get("code") or order.get("codeCodeableConcept") or order.get("medicationCodeableConcept") or {}
    codings = concept.get("coding") or [{}] if isinstance(concept, dict) else [{}]
    words = concept.get("text") or codings[0].get("display") or "" if isinstance(concept, dict) else ""
    return str(codings[0].get("code", "")), str(words)
