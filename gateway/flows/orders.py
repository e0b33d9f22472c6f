"""Reading what an EHR posted: which orders it holds, and of each its patient and coverage references.

Pure part of the intake. Accepted shapes (design.md §5): a FHIR Bundle with orders and whatever the
EHR sends along, one order resource, or `{fhirServer, order}`. Every shape of JSON may come here; what
does not fit is refused or not there, never a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.bundle import BundleIndex
from gateway.fhir.reading import codings, objects, one, text
from gateway.fhir.references import read_reference, reference_text

ORDER_TYPES = (
    "ServiceRequest",
    "DeviceRequest",
    "MedicationRequest",
    "NutritionOrder",
    "VisionPrescription",
    "CommunicationRequest",
)
"""Resource types that CRD calls orders (spec/crd.md §2)."""
CLOSED_STATUSES = frozenset({"entered-in-error", "revoked", "cancelled", "completed", "stopped"})
"""Order statuses for which nothing can be authorized any more."""
MAX_ORDERS = 50
"""Orders accepted in one post."""
MAX_COVERAGES = 10
"""Coverages one order may name."""
MAX_IDENTIFIER = 255
"""Longest business identifier that names an order; a longer one is no identifier."""
MAX_WORDS = 200
"""Longest text of a service that lists show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedOrder:
    """One order as posted."""

    resource: Json
    """The order."""
    reference: str
    """`Type/id` in the EHR."""
    expression: str
    """FHIRPath of the order inside the body, for error messages."""
    index: BundleIndex = field(repr=False)
    """The other resources of the same post."""


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
        return (_posted(body, BundleIndex({}), text(kind)),)
    if not isinstance(kind, str) or not kind:
        raise InputError(
            "The body has no resourceType; send a FHIR resource.", code="order.resource-type", expression="resourceType"
        )
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
    named = reference_text(order) if isinstance(order, dict) else order
    if not isinstance(server, str) or not isinstance(named, str) or not server.strip():
        raise InputError(
            "Send {fhirServer: base address, order: Type/id}; both are text.", code="order.pointer", status=422
        )
    base = server.strip().rstrip("/")
    read = read_reference(named)
    if read.base not in ("", base) or read.type not in ORDER_TYPES or not is_id(read.id):
        raise InputError(
            "`order` must be a reference below fhirServer to an order, such as ServiceRequest/1.",
            code="order.pointer",
            expression="order",
            status=422,
        )
    return OrderPointer(server=base, reference=read.relative)


def _from_bundle(bundle: Json) -> tuple[PostedOrder, ...]:
    entries = bundle.get("entry")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError("The Bundle has no entries.", code="order.missing", expression="Bundle.entry", status=422)
    for position, entry in enumerate(entries):
        if not text(one(entry.get("resource")).get("resourceType")) or not isinstance(entry["resource"], dict):
            where = f"Bundle.entry[{position}]"
            raise InputError(f"{where} holds no resource.", code="order.entry", expression=where, status=422)
    asked = _asked([(position, entry["resource"]) for position, entry in enumerate(entries)])
    if not asked:
        message = "The Bundle holds no order; add the ServiceRequest (or another order) that needs authorization."
        raise InputError(message, code="order.missing", expression="Bundle.entry", status=422)
    if len(asked) > MAX_ORDERS:
        message = f"Send at most {MAX_ORDERS} orders in one post."
        raise InputError(message, code="order.too-many", expression="Bundle.entry", status=422)
    index = BundleIndex(bundle)
    return _each_once([_posted(order, index, f"Bundle.entry[{position}].resource") for position, order in asked])


def _asked(resources: Sequence[tuple[int, Json]]) -> list[tuple[int, Json]]:
    """Orders that ask for something; a medication or therapy order without insurance came along as evidence."""
    found = [(position, item) for position, item in resources if item["resourceType"] in ORDER_TYPES]
    live = [(position, item) for position, item in found if text(item.get("status")) not in CLOSED_STATUSES] or found
    return [(position, item) for position, item in live if item.get("insurance")] or live


def _each_once(orders: Sequence[PostedOrder]) -> tuple[PostedOrder, ...]:
    """The orders, one that came twice alike only once. Raises InputError where the two differ."""
    kept: dict[str, PostedOrder] = {}
    for order in orders:
        first = kept.setdefault(order.reference, order)
        if first.resource != order.resource:
            message = "The Bundle holds the same order twice with different content; send it as it stands in the EHR."
            raise InputError(message, code="order.duplicate", expression=order.expression, status=422)
    return tuple(kept.values())


def _posted(order: Json, index: BundleIndex, expression: str) -> PostedOrder:
    if not is_id(order.get("id")):
        message = "The order has no id; post it as it is stored in the EHR, so that the answer finds it again."
        raise InputError(message, code="order.id", expression=f"{expression}.id", status=422)
    if text(order.get("status")) in CLOSED_STATUSES:
        message = "The order is closed (completed, revoked or entered in error); nothing can be authorized for it."
        raise InputError(message, code="order.status", expression=f"{expression}.status", status=422)
    reference = f"{order['resourceType']}/{order['id']}"
    return PostedOrder(resource=order, reference=reference, index=index, expression=expression)


def is_id(value: object) -> bool:
    """Whether `value` is a FHIR id: 1 to 64 letters, digits, `-` or `.`; `.` and `..` are paths, not ids."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= 64
        and value.isascii()
        and value not in (".", "..")
        and all(character.isalnum() or character in "-." for character in value)
    )


def patient_reference(order: Json) -> str:
    """Reference of the patient an order is for (`subject`, or `patient` of the older types); empty when absent."""
    return reference_text(order.get("subject")) or reference_text(order.get("patient"))


def coverage_references(order: Json) -> tuple[str, ...]:
    """References of `insurance`, in order; empty when the order names none.

    A ClaimResponse, which may stand there too, is passed over. Raises InputError for more than can be meant.
    """
    found = tuple(filter(None, map(reference_text, objects(order.get("insurance")))))
    named = tuple(dict.fromkeys(item for item in found if read_reference(item).type != "ClaimResponse"))
    if len(named) > MAX_COVERAGES:
        raise InputError(f"An order may name at most {MAX_COVERAGES} coverages.", code="coverage.too-many", status=422)
    return named


def order_identity(order: Json, ehr_id: str) -> str:
    """What makes the order this order: its first business identifier, else its id at the EHR."""
    for identifier in objects(order.get("identifier")):
        system, value = identifier.get("system"), identifier.get("value")
        named = isinstance(system, str) and isinstance(value, str) and system and value
        if named and len(f"{system}|{value}") <= MAX_IDENTIFIER:
            return f"{system}|{value}"
    return f"{ehr_id}|{order['resourceType']}/{order['id']}"


def is_expedited(order: Json) -> bool:
    """Whether the order is urgent: the payer then has the shorter time to decide."""
    return order.get("priority") in ("urgent", "asap", "stat")


def service_of(order: Json) -> tuple[str, str]:
    """(code, words) of what is ordered, for lists; empty where the order has none. Never longer than a line."""
    names = ("code", "codeCodeableConcept", "medicationCodeableConcept")
    concept = next((one(order.get(name)) for name in names if one(order.get(name))), {})
    coding = next(iter(codings(concept)), {})
    words = _line(text(concept.get("text")) or text(coding.get("display")))
    return _line(text(coding.get("code")))[:64], words[:MAX_WORDS]


def _line(words: str) -> str:
    return " ".join(words[: 4 * MAX_WORDS].split())
