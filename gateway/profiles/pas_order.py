"""The order as the PAS profiles want it, and what a claim takes from it.

Dates of an order go into `Claim.item.serviced`; `occurrence` is kept only as a Timing of the guide's
own shape. Of the payer's coverage-information the one in force goes along (crd:resp-46; the profiles
cap it at one), whatever else stands on the EHR's order.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from gateway.fhir import Json
from gateway.fhir.codes import ICD10_CM, normalise_coding, same_code
from gateway.fhir.extensions import extensions
from gateway.fhir.reading import calendar_day, codings, objects, one, text, thaw
from gateway.fhir.references import read_reference, reference_text, same_target
from gateway.profiles.crd_coverage_information import CoverageInformation, in_force, read_coverage_informations
from gateway.profiles.pas_graph import identity, require
from gateway.profiles.pas_input import PasDiagnosis
from gateway.profiles.pas_resources import pas_quantity, pick, service_concept, start
from gateway.profiles.urls import pas

PROFILES = {
    "ServiceRequest": "profile-servicerequest",
    "DeviceRequest": "profile-devicerequest",
    "MedicationRequest": "profile-medicationrequest",
    "NutritionOrder": "profile-nutritionorder",
}
"""Order types that PAS knows."""
_KEPT = {
    "ServiceRequest": ("identifier", "priority", "subject", "authoredOn", "requester", "reasonCode", "bodySite"),
    "DeviceRequest": ("identifier", "priority", "subject", "authoredOn", "requester", "reasonCode", "parameter"),
    "MedicationRequest": (
        *("identifier", "priority", "medicationCodeableConcept", "medicationReference", "subject", "authoredOn"),
        *("requester", "reasonCode", "dosageInstruction", "dispenseRequest"),
    ),
    "NutritionOrder": ("identifier", "patient", "dateTime", "orderer", "oralDiet", "supplement", "enteralFormula"),
}
_CODE = {
    "ServiceRequest": "code",
    "DeviceRequest": "codeCodeableConcept",
    "MedicationRequest": "medicationCodeableConcept",
}
MAX_DIAGNOSES = 12
"""Diagnoses that X12 carries."""


def derive_order(order: Json, coverage: Json, on: date, assertion_id: str = "") -> dict[str, Any]:
    """The order under its PAS profile. `InputError` (`pas.order-type`, `pas.service-code`) where it cannot be one."""
    kind = text(order.get("resourceType"))
    require(kind in PROFILES, "PAS knows no such kind of order.", "pas.order-type", kind)
    built = start(order, PROFILES[kind])
    kept = _extensions(order, coverage, on, assertion_id)
    built |= {"extension": kept} if kept else {}
    status = "active" if kind == "MedicationRequest" else text(order.get("status")) or "active"
    built |= {"status": status, "intent": "order", **pick(order, _KEPT[kind])}
    if kind in ("ServiceRequest", "DeviceRequest"):
        built[_CODE[kind]] = service_concept(one(order.get(_CODE[kind])), f"{kind}.{_CODE[kind]}")
    quantity = pas_quantity(one(order.get("quantityQuantity"))) if kind == "ServiceRequest" else {}
    built |= {"quantityQuantity": quantity} if quantity else {}
    timing = _timing(order.get("occurrenceTiming"))
    return {**built, "occurrenceTiming": timing} if timing and kind in ("ServiceRequest", "DeviceRequest") else built


def service_of(order: Json) -> dict[str, Any]:
    """The service an order asks for, as a claim item's code."""
    kind = text(order.get("resourceType"))
    name = _CODE.get(kind, "")
    return service_concept(one(order.get(name)), f"{kind}.{name}")


def service_days(order: Json) -> tuple[date | None, date | None]:
    """First and last day of service from the order's occurrence; (None, None) when it names none."""
    period = one(order.get("occurrencePeriod")) or one(
        one(one(order.get("occurrenceTiming")).get("repeat")).get("boundsPeriod")
    )
    start_on = calendar_day(period.get("start")) or calendar_day(order.get("occurrenceDateTime"))
    return start_on, calendar_day(period.get("end"))


def diagnoses_of(order: Json, chart: Iterable[Json] = ()) -> tuple[PasDiagnosis, ...]:
    """ICD-10-CM diagnoses of the order's reasons: its codes, then the Conditions of `chart` it refers to.

    The first is the principal one; each once, at most twelve.
    """
    conditions = {identity(item): item for item in chart if item.get("resourceType") == "Condition"}
    named = (read_reference(reference_text(item)).relative for item in objects(order.get("reasonReference")))
    coded = [*objects(order.get("reasonCode")), *(one(conditions.get(name, {}).get("code")) for name in named)]
    listed = [normalise_coding(c) for reason in coded for c in codings(reason)]
    found = {
        text(c.get("code")): text(c.get("display")) for c in listed if c.get("system") == ICD10_CM and c.get("code")
    }
    return tuple(
        PasDiagnosis(code=code, display=display, type="" if position else "principal")
        for position, (code, display) in enumerate(list(found.items())[:MAX_DIAGNOSES])
    )


def information_in_force(order: Json, coverage: Json, on: date, assertion_id: str = "") -> CoverageInformation | None:
    """The coverage-information to send: of this coverage, not expired, its billing codes fitting the order.

    `assertion_id` picks one; else the last one counts, as answers are appended in order of receipt.
    """
    own = f"Coverage/{text(coverage.get('id'))}"
    fitting = [
        info
        for info in in_force(read_coverage_informations(order), on)
        if same_target(info.coverage, own) and _covers(info, order)
    ]
    chosen = [info for info in fitting if info.assertion_id == assertion_id] if assertion_id else fitting
    return chosen[-1] if chosen else None


def _covers(info: CoverageInformation, order: Json) -> bool:
    """Whether one of the assertion's billing codes is the order's; an assertion without any covers all."""
    asked = codings(order.get(_CODE.get(text(order.get("resourceType")), "code")))
    return not info.billing_codes or any(same_code(code, item) for code in info.billing_codes for item in asked)


def _extensions(order: Json, coverage: Json, on: date, assertion_id: str) -> list[dict[str, Any]]:
    info = information_in_force(order, coverage, on, assertion_id)
    ends = extensions(order, pas("extension-productOrServiceCodeEnd"))
    return [thaw(item) for item in ([info.raw] if info else []) + list(ends[:1])]


def _timing(timing: Any) -> dict[str, Any]:
    """A Timing of the guide's shape: a count, or frequency, period and unit; bounds only as a Duration. Else empty."""
    found = one(timing)
    names = ("boundsDuration", "count", "countMax", "frequency", "frequencyMax", "period", "periodMax", "periodUnit")
    repeat = pick(one(found.get("repeat")), names)
    patterns = extensions(found, pas("extension-timingcalendarpattern"), pas("extension-timingdeliverypattern"))
    is_complete = "count" in repeat or {"frequency", "period", "periodUnit"} <= set(repeat) or bool(patterns)
    if not is_complete:
        return {}
    built: dict[str, Any] = {"extension": [thaw(item) for item in patterns]} if patterns else {}
    return {**built, "repeat": repeat} if repeat else built
