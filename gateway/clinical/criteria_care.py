"""Elements of problems, visits, requests, drugs, procedures and messages that the criteria read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.clinical import criteria_readers as read
from gateway.clinical.criteria_readers import Reader
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import reference_text


def _reasons(reader: Reader, resource: Json) -> dict[str, Any]:
    return {
        "reasonReference": reader.references(resource.get("reasonReference")),
        "reasonCode": read.read_concepts(resource.get("reasonCode")),
    }


def _based(reader: Reader, resource: Json) -> dict[str, Any]:
    return {"basedOn": reader.references(resource.get("basedOn"))}


def shape_condition(reader: Reader, resource: Json) -> dict[str, Any]:
    """A problem."""
    return {
        "clinicalStatus": read.read_status(resource.get("clinicalStatus")),
        "verificationStatus": read.read_status(resource.get("verificationStatus")),
        "category": read.read_statuses(resource.get("category")),
        "code": read.read_concept(resource.get("code")),
        "encounter": reader.reference(resource["encounter"]) if "encounter" in resource else None,
        "note": [{"text": text(note.get("text"))} for note in objects(resource.get("note")) if text(note.get("text"))],
        **_timed(reader, resource, "onset"),
        **_timed(reader, resource, "abatement"),
    }


def _timed(reader: Reader, resource: Json, name: str) -> dict[str, Any]:
    """`onset[x]` or `abatement[x]`; one that cannot be read stays as a text without words."""
    readers: dict[str, Callable[[Any], Any]] = {
        "DateTime": reader.partial,
        "Period": reader.partial_period,
        "Age": read.read_age_element,
        "Range": read.read_range,
    }
    for kind, reading in readers.items():
        if f"{name}{kind}" in resource:
            found = reading(resource[f"{name}{kind}"])
            return {f"{name}{kind}": found} if found else {f"_{name}{kind}": read.UNREADABLE}
    return {f"{name}String": "text"} if f"{name}String" in resource else {}


def shape_encounter(reader: Reader, resource: Json) -> dict[str, Any]:
    """A visit."""
    return {
        "status": read.read_code(resource.get("status")),
        "class": {"code": text(one(resource.get("class")).get("code"))},
        "type": read.read_concepts(resource.get("type")),
        "period": reader.period(resource.get("period")),
        "diagnosis": [
            {"condition": reader.reference(entry.get("condition")), "rank": read.read_count(entry.get("rank"))}
            for entry in objects(resource.get("diagnosis"))
        ],
        "participant": [
            {"individual": found}
            for entry in objects(resource.get("participant"))
            if (found := reader.person(entry.get("individual"))) is not None
        ],
        **_reasons(reader, resource),
        **_based(reader, resource),
    }


def shape_service_request(reader: Reader, resource: Json) -> dict[str, Any]:
    """A request for a service: the order itself, a therapy referral, a pending test."""
    return {
        "status": read.read_code(resource.get("status")),
        "intent": read.read_code(resource.get("intent")),
        "doNotPerform": read.read_flag(resource.get("doNotPerform")),
        "code": read.read_concept(resource.get("code")),
        "orderDetail": read.read_concepts(resource.get("orderDetail")),
        "category": read.read_concepts(resource.get("category")),
        "authoredOn": reader.day(resource.get("authoredOn")),
        "encounter": reader.reference(resource["encounter"]) if "encounter" in resource else None,
        "requester": reader.person(resource.get("requester")),
        "bodySite": read.read_concepts(resource.get("bodySite")),
        **_reasons(reader, resource),
    }


def _doses(reader: Reader, value: Any) -> list[dict[str, Any]]:
    return [_dose(reader, dose) for dose in objects(value)]


def _dose(reader: Reader, dose: Json) -> dict[str, Any]:
    repeat = one(one(dose.get("timing")).get("repeat"))
    times: dict[str, Any] = {name: 1 for name in ("frequency", "period") if read.is_amount(repeat.get(name))}
    end = reader.day(one(repeat.get("boundsPeriod")).get("end"))
    length = read.read_length(repeat.get("boundsDuration"))
    if end:
        times["boundsPeriod"] = {"end": end}
    elif length:
        times["boundsDuration"] = length
    needed: dict[str, Any] = {}
    if "asNeededCodeableConcept" in dose:
        needed["asNeededCodeableConcept"] = {"text": "as needed"}
    elif isinstance(dose.get("asNeededBoolean"), bool):
        needed["asNeededBoolean"] = dose["asNeededBoolean"]
    rates = [{key: {"unit": "1"}} for rate in objects(dose.get("doseAndRate")) if (key := _dose_key(rate))]
    return {"timing": {"repeat": times}, **needed, **({"doseAndRate": rates} if rates else {})}


def _dose_key(rate: Json) -> str:
    """The element that says how much; empty where none has a number above zero."""
    ends = one(rate.get("doseRange"))
    said = {"doseQuantity": [one(rate.get("doseQuantity"))], "doseRange": [one(ends.get("low")), one(ends.get("high"))]}
    return next((key for key, found in said.items() if any(read.is_amount(item.get("value")) for item in found)), "")


def _drug(reader: Reader, resource: Json) -> dict[str, Any]:
    return {
        "status": read.read_code(resource.get("status")),
        "medicationCodeableConcept": read.read_concept(reader.contained_drug(resource)),
    }


def shape_medication_request(reader: Reader, resource: Json) -> dict[str, Any]:
    """An order of a drug."""
    supply = read.read_length(one(resource.get("dispenseRequest")).get("expectedSupplyDuration"))
    return {
        **_drug(reader, resource),
        "intent": read.read_code(resource.get("intent")),
        "doNotPerform": read.read_flag(resource.get("doNotPerform")),
        "authoredOn": reader.day(resource.get("authoredOn")),
        "statusReason": read.read_concept(resource.get("statusReason")),
        "dosageInstruction": _doses(reader, resource.get("dosageInstruction"))
        or _doses(reader, resource.get("dosage")),
        "dispenseRequest": {"expectedSupplyDuration": supply} if supply else None,
        **_reasons(reader, resource),
        **_based(reader, resource),
    }


def shape_medication_dispense(reader: Reader, resource: Json) -> dict[str, Any]:
    """A dispense."""
    return {
        **_drug(reader, resource),
        "whenHandedOver": reader.day(resource.get("whenHandedOver")),
        "daysSupply": read.read_supply(resource.get("daysSupply")),
        "dosageInstruction": _doses(reader, resource.get("dosageInstruction")),
        "authorizingPrescription": reader.references(resource.get("authorizingPrescription")),
    }


def shape_medication_statement(reader: Reader, resource: Json) -> dict[str, Any]:
    """What the patient is said to take."""
    single = reader.day(resource.get("effectiveDateTime"))
    effective = (
        {"effectiveDateTime": single}
        if single
        else {"effectivePeriod": reader.period(one(resource.get("effectivePeriod")))}
    )
    return {
        **_drug(reader, resource),
        **effective,
        "dosage": _doses(reader, resource.get("dosageInstruction") or resource.get("dosage")),
        **_reasons(reader, resource),
        **_based(reader, resource),
    }


def shape_allergy(reader: Reader, resource: Json) -> dict[str, Any]:
    """An allergy or intolerance."""
    return {
        "clinicalStatus": read.read_status(resource.get("clinicalStatus")),
        "verificationStatus": read.read_status(resource.get("verificationStatus")),
        "code": read.read_concept(resource.get("code")),
    }


def shape_procedure(reader: Reader, resource: Json) -> dict[str, Any]:
    """A procedure, at the first day it was performed."""
    single = reader.day(resource.get("performedDateTime"))
    start = reader.day(one(resource.get("performedPeriod")).get("start"))
    return {
        "status": read.read_code(resource.get("status")),
        "code": read.read_concept(resource.get("code")),
        "performedDateTime": single or start,
        "bodySite": read.read_concepts(resource.get("bodySite")),
        **_reasons(reader, resource),
        **_based(reader, resource),
    }


def shape_care_plan(reader: Reader, resource: Json) -> dict[str, Any]:
    """A care plan with its activities."""
    return {
        "status": read.read_code(resource.get("status")),
        "addresses": reader.references(resource.get("addresses")),
        "activity": [
            {"detail": _detail(reader, one(item.get("detail")))} for item in objects(resource.get("activity"))
        ],
        **_based(reader, resource),
    }


def _detail(reader: Reader, detail: Json) -> dict[str, Any]:
    start = reader.day(one(detail.get("scheduledPeriod")).get("start"))
    found = {
        "status": read.read_code(detail.get("status")),
        "code": read.read_concept(detail.get("code")),
        "scheduledPeriod": {"start": start} if start else None,
        **_reasons(reader, detail),
    }
    return {key: value for key, value in found.items() if value}


def shape_communication(reader: Reader, resource: Json) -> dict[str, Any]:
    """A message, with the problems it is about."""
    abouts = [item for item in objects(resource.get("about")) if "Condition/" in reference_text(item)]
    sent = reader.day(resource.get("sent"))
    return {
        "status": read.read_code(resource.get("status")),
        "topic": read.read_concept(resource.get("topic")),
        "category": read.read_concepts(resource.get("category")),
        "about": reader.references(abouts),
        "sent": sent,
        "received": None if resource.get("sent") else reader.day(resource.get("received")),
        "sender": reader.reference(resource["sender"]) if "sender" in resource else None,
        "recipient": reader.references(resource.get("recipient")),
        **_reasons(reader, resource),
        **_based(reader, resource),
    }
