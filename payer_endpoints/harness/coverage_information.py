"""The coverage-information extension as this payer writes it, CRD 2.2 (and 2.0.1). Source: spec/crd.md §8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.reading import as_objects, as_text, at, extension
from payer_endpoints.harness.scenarios import CoveragePlan

DETAIL_CODES = "http://terminology.hl7.org/CodeSystem/crd-coverage-detail"


def build_coverage_information(
    plan: CoveragePlan, *, coverage: str, assertion_id: str, on: date, questionnaires: Sequence[str]
) -> dict[str, Any]:
    """The extension; `coverage` is a reference text, `questionnaires` canonicals with versions."""
    parts: list[dict[str, Any]] = [
        {"url": "coverage", "valueReference": {"reference": coverage}},
        {"url": "covered", "valueCode": plan.covered},
    ]
    if plan.pa_needed:
        parts.append({"url": "pa-needed", "valueCode": plan.pa_needed})
    for name, codes in (
        ("doc-needed", plan.doc_needed),
        ("doc-purpose", plan.doc_purpose),
        ("info-needed", plan.info_needed),
    ):
        parts += [{"url": name, "valueCode": code} for code in codes]
    parts += _reasons(plan)
    if plan.quantity is not None:
        parts.append(_allowed_quantity(plan.quantity))
    if plan.doc_needed and plan.name_questionnaires:
        parts += [{"url": "questionnaire", "valueCanonical": canonical} for canonical in questionnaires]
    parts.append({"url": "date", "valueDate": on.isoformat()})
    parts.append({"url": "coverage-assertion-id", "valueString": assertion_id})
    return {"url": names.CRD_COVERAGE_INFORMATION, "extension": parts + _endings(plan, on)}


def _reasons(plan: CoveragePlan) -> list[dict[str, Any]]:
    coded = [{"coding": [{"system": names.CRD_REASONS, "code": code}]} for code in plan.reason_codes]
    spoken = [{"text": plan.reason}] if plan.reason else []
    return [{"url": "reason", "valueCodeableConcept": concept} for concept in (*coded, *spoken)]


def _allowed_quantity(quantity: int) -> dict[str, Any]:
    code = {"coding": [{"system": DETAIL_CODES, "code": "allowed-quantity"}]}
    return {
        "url": "detail",
        "extension": [
            {"url": "category", "valueCode": "cat-limitation"},
            {"url": "code", "valueCodeableConcept": code},
            {"url": "value", "valueQuantity": {"value": quantity}},
        ],
    }


def _endings(plan: CoveragePlan, on: date) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if plan.satisfied_pa_id:
        found.append({"url": "satisfied-pa-id", "valueString": plan.satisfied_pa_id})
    if plan.contact:
        contact = {"name": plan.contact, "telecom": [{"system": "phone", "value": "555-0100"}]}
        found.append({"url": "contact", "valueContactDetail": contact})
    if plan.expiry_days is not None:
        until = on + timedelta(days=plan.expiry_days)
        found.append({"url": "expiry-date", "valueDate": until.isoformat()})
    return found


def without_unsolicited(plan: CoveragePlan) -> CoveragePlan:
    """The plan for a client that switched unsolicited determinations off: `satisfied` is not given."""
    if plan.pa_needed != "satisfied":
        return plan
    return plan.model_copy(update={"pa_needed": "auth-needed", "satisfied_pa_id": ""})


def annotate(order: Json, information: Mapping[str, Any]) -> dict[str, Any]:
    """The order with this extension; an older one with the same assertion and coverage is replaced (crd.md §9)."""
    kept = [item for item in as_objects(order.get("extension")) if not _is_same(item, information)]
    return {**order, "extension": [*kept, dict(information)]}


def _is_same(one: Json, other: Mapping[str, Any]) -> bool:
    def key(element: Json) -> tuple[str, str]:
        coverage = at(extension(element, "coverage"), "valueReference", "reference")
        assertion = at(extension(element, "coverage-assertion-id"), "valueString")
        return as_text(coverage), as_text(assertion)

    return one.get("url") == other.get("url") and key(one) == key(other)
