"""The Claim of a request: header, care team, supporting information, diagnoses, items (spec/pas.md §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.fhir.codes import ICD10_CM, normalise_icd10
from gateway.fhir.extensions import build_extension
from gateway.fhir.instants import write_instant
from gateway.fhir.reading import thaw
from gateway.profiles.pas_graph import require
from gateway.profiles.pas_input import PasCodes, PasDiagnosis, PasItem, PasRequest
from gateway.profiles.pas_order import MAX_DIAGNOSES, diagnoses_of, service_days, service_of
from gateway.profiles.pas_resources import pas_quantity, service_concept
from gateway.profiles.urls import CLAIM_TYPE, PAS_TEMP_CODES, PLACE_OF_SERVICE, PROCESS_PRIORITY, pas, x12


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamEntry:
    """A member of the care team whose entry stands already."""

    url: str
    """Address of the PractitionerRole or Organization."""
    item_sequences: tuple[int, ...]
    """Items it is for; empty = the whole claim."""
    role: str
    """Entity code; empty = not sent."""
    qualification: str = ""
    """Taxonomy code; empty = not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Addresses of the entries a Claim points to."""

    patient: str
    insurer: str
    requestor: str
    coverage: str
    services: Mapping[int, str]
    """Order entry by item sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemContext:
    """What an item takes from its claim."""

    codes: PasCodes
    claim_identifier: tuple[str, str]
    days: tuple[date | None, date | None] = (None, None)
    """Days of service where the item names none."""
    service: str = ""
    """Address of the order behind it; empty = none."""
    links: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """careTeamSequence, diagnosisSequence and informationSequence."""


def claim_items(request: PasRequest) -> tuple[PasItem, ...]:
    """The items asked for; without any, one made of the order with sequence 1."""
    if request.items:
        return request.items
    quantity = request.order.get("quantityQuantity")
    return (PasItem(sequence=1, product_or_service=service_of(request.order), quantity=quantity),)


def claim_header(request: PasRequest, profile: str, at: Addresses) -> dict[str, Any]:
    """The Claim without its lists: everything mandatory, nothing more."""
    system, value = request.claim_identifier
    priority = "stat" if request.is_expedited else "normal"
    extension = claim_extensions(request)
    return {
        "resourceType": "Claim",
        "meta": {"profile": [pas(profile)]},
        **({"extension": extension} if extension else {}),
        "identifier": [{"system": system, "value": value}],
        "status": "active",
        "type": {"coding": [{"system": CLAIM_TYPE, "code": request.claim_type}]},
        "use": "preauthorization",
        "patient": {"reference": at.patient},
        "created": write_instant(request.created_at),
        "insurer": {"reference": at.insurer},
        "provider": {"reference": at.requestor},
        "priority": {"coding": [{"system": PROCESS_PRIORITY, "code": priority}]},
    }


def claim_extensions(request: PasRequest) -> list[dict[str, Any]]:
    """Transmission identifiers (2.2.1) and level of service."""
    sent = request.transmission
    found = [transmission_identifiers(sent)] if sent else []
    urgency = request.codes.level_of_service_urgent if request.is_expedited else request.codes.level_of_service
    level = [coded_extension("extension-levelOfServiceCode", "1338", urgency)] if urgency else []
    return [*found, *level]


def transmission_identifiers(sent: Any) -> dict[str, Any]:
    """extension-TransmissionIdentifiers of sender and receiver codes."""
    parts = (
        ("applicationSenderCode", sent.application_sender_code),
        ("applicationReceiverCode", sent.application_receiver_code),
        ("interchangeSenderID", sent.interchange_sender_id),
        ("interchangeReceiverID", sent.interchange_receiver_id),
    )
    listed = [{"url": name, "valueString": value} for name, value in parts if value]
    return build_extension(pas("extension-TransmissionIdentifiers"), parts=listed)


def care_team(team: Sequence[TeamEntry]) -> list[dict[str, Any]]:
    """careTeam entries, members of the whole claim first; every one says its scope (B95)."""
    return [_team_member(number, member) for number, member in enumerate(team, start=1)]


def diagnosis_list(request: PasRequest) -> list[dict[str, Any]]:
    """diagnosis entries in order of importance, at most twelve."""
    listed = request.diagnoses or diagnoses_of(request.order, request.referenced)
    return [_diagnosis(number, item) for number, item in enumerate(listed[:MAX_DIAGNOSES], start=1)]


def claim_item(item: PasItem, context: ItemContext) -> dict[str, Any]:
    """One item under the profile's rules; its codes are the item's own, else the payer's usual ones."""
    codes = context.codes
    place = item.place_of_service or codes.place_of_service
    quantity = pas_quantity(item.quantity)
    days = (item.starts_on, item.ends_on) if item.starts_on else context.days
    return {
        "extension": item_extensions(item, context),
        "sequence": item.sequence,
        **{name: list(numbers) for name, numbers in context.links.items() if numbers},
        "category": coded("1365", item.category or codes.category),
        "productOrService": service_concept(item.product_or_service, "Claim.item.productOrService"),
        **({"modifier": thaw(item.modifiers)} if item.modifiers else {}),
        **serviced(*days),
        "locationCodeableConcept": {"coding": [{"system": PLACE_OF_SERVICE, "code": place}]},
        **({"quantity": quantity} if quantity else {}),
    }


def item_extensions(item: PasItem, context: ItemContext) -> list[dict[str, Any]]:
    """Trace number, kind of request, certification type, and the order behind the item."""
    system, value = context.claim_identifier
    trace = {"system": system, "value": item_trace_number(value, item.sequence)}
    found = [
        build_extension(pas("extension-itemTraceNumber"), "Identifier", trace),
        coded_extension("extension-serviceItemRequestType", "1525", context.codes.request_type),
        coded_extension("extension-certificationType", "1322", context.codes.certification_type),
    ]
    if context.service:
        found.append(build_extension(pas("extension-requestedService"), "Reference", {"reference": context.service}))
    return found


def item_trace_number(claim_value: str, sequence: int) -> str:
    """Trace number of an item: the claim's own, a dash, the sequence."""
    return f"{claim_value}-{sequence}"


def request_days(request: PasRequest) -> tuple[date | None, date | None]:
    """Days of service: the request's, else those of the order's occurrence; (None, None) when none are known."""
    if request.service_starts_on:
        return request.service_starts_on, request.service_ends_on
    return service_days(request.order)


def coded(list_number: str, code: str) -> dict[str, Any]:
    """A CodeableConcept of one X12 code."""
    return {"coding": [{"system": x12(list_number), "code": code}]}


def coded_extension(name: str, list_number: str, code: str) -> dict[str, Any]:
    """A PAS extension whose value is one X12 code."""
    return build_extension(pas(name), "CodeableConcept", coded(list_number, code))


def check_sequences(items: Iterable[PasItem]) -> None:
    """`InputError` unless the item sequences are positive and unique (pas:spec-34)."""
    numbers = [item.sequence for item in items]
    is_sound = bool(numbers) and len(set(numbers)) == len(numbers) and min(numbers) > 0
    require(is_sound, "Items need positive sequences, each once.", "pas.sequence", "Claim.item.sequence")


def _team_member(number: int, member: TeamEntry) -> dict[str, Any]:
    scope = build_extension(pas("extension-careTeamClaimScope"), "Boolean", not member.item_sequences)
    built: dict[str, Any] = {"extension": [scope], "sequence": number, "provider": {"reference": member.url}}
    if member.role:
        built["role"] = coded("98", member.role)
    if member.qualification:
        built["qualification"] = coded("127", member.qualification)
    return built


def _diagnosis(number: int, item: PasDiagnosis) -> dict[str, Any]:
    code = normalise_icd10(item.code) if item.system == ICD10_CM else item.code
    coding = {"system": item.system, "code": code, **({"display": item.display} if item.display else {})}
    built: dict[str, Any] = {"sequence": number, "diagnosisCodeableConcept": {"coding": [coding]}}
    if item.type:
        built["type"] = [{"coding": [{"system": PAS_TEMP_CODES, "code": item.type}]}]
    if item.recorded_on:
        url = pas("extension-diagnosisRecordedDate")
        built = {"extension": [build_extension(url, "Date", item.recorded_on.isoformat())], **built}
    return built


def serviced(first: date | None, last: date | None) -> dict[str, Any]:
    """servicedDate for one day, servicedPeriod for more, empty for none."""
    if first is None:
        return {}
    if last is None or last == first:
        return {"servicedDate": first.isoformat()}
    return {"servicedPeriod": {"start": first.isoformat(), "end": last.isoformat()}}
