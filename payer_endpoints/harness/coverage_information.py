"""The coverage-information extension as these payers write it, in 2.2 and in 2.0.1. Source: spec/crd.md §8, §16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.reading import as_objects, as_text, at, extension, extensions
from payer_endpoints.harness.scenarios import CoveragePlan

DETAIL_CODES = "http://terminology.hl7.org/CodeSystem/crd-coverage-detail"


def build_coverage_information(
    plan: CoveragePlan, guide: Guide, *, coverage: str, assertion_id: str, on: date, questionnaires: Sequence[str]
) -> dict[str, Any]:
    """The extension; `coverage` is a reference text, `questionnaires` canonicals with versions."""
    parts = [{"url": "coverage", "valueReference": {"reference": coverage}}, *_codes(plan, guide)]
    parts += _reasons(plan, guide)
    if plan.quantity is not None:
        parts.append(_allowed_quantity(plan.quantity, guide))
    if plan.doc_needed and plan.name_questionnaires:
        parts += [{"url": "questionnaire", "valueCanonical": canonical} for canonical in questionnaires]
    parts.append({"url": "date", "valueDate": on.isoformat()})
    parts.append({"url": "coverage-assertion-id", "valueString": assertion_id})
    return {"url": names.CRD_COVERAGE_INFORMATION, "extension": parts + _endings(plan, guide, on)}


def _codes(plan: CoveragePlan, guide: Guide) -> list[dict[str, Any]]:
    told = plan if guide is Guide.STU2_2 else in_old_words(plan)
    listed: list[tuple[str, tuple[str, ...]]] = [
        ("covered", (told.covered,)),
        ("pa-needed", (told.pa_needed,) if told.pa_needed else ()),
        ("doc-needed", told.doc_needed),
        ("doc-purpose", told.doc_purpose),
        ("info-needed", told.info_needed),
    ]
    if guide is Guide.STU2 and {"clinical", "admin"} <= set(plan.doc_needed):
        listed[2] = ("doc-needed", ("both",))
    return [{"url": name, "valueCode": code} for name, codes in listed for code in codes]


def in_old_words(plan: CoveragePlan) -> CoveragePlan:
    """The plan in the codes of 2.0.1: no `indeterminate`, one doc-needed, pa-needed wherever it is covered (q2)."""
    known: dict[str, Any] = {"indeterminate": "conditional"}
    covered, pa_needed = (known.get(code, code) for code in (plan.covered, plan.pa_needed))
    docs = tuple({"patient": "clinical", "indeterminate": "conditional"}.get(code, code) for code in plan.doc_needed)
    if covered != "not-covered" and not pa_needed:
        pa_needed = "conditional"
    is_open = "conditional" in (covered, pa_needed, *docs)
    needed = tuple(code for code in plan.info_needed if code != "detail-code") or ("OTH",)
    return plan.model_copy(
        update={
            "covered": covered,
            "pa_needed": pa_needed,
            "doc_needed": docs[:1],
            "info_needed": needed if is_open else (),
        }
    )


def _reasons(plan: CoveragePlan, guide: Guide) -> list[dict[str, Any]]:
    """Reason codes, each with words (q7); 2.0.1 has none of these codes and gets the words alone."""
    concepts: list[dict[str, Any]] = [
        {"coding": [{"system": names.CRD_REASONS, "code": code}], "text": plan.reason or code}
        for code in plan.reason_codes
    ]
    if guide is Guide.STU2:
        concepts = [{"text": concept["text"]} for concept in concepts]
    if plan.reason and not concepts:
        concepts = [{"text": plan.reason}]
    return [{"url": "reason", "valueCodeableConcept": concept} for concept in concepts]


def _allowed_quantity(quantity: int, guide: Guide) -> dict[str, Any]:
    system = DETAIL_CODES if guide is Guide.STU2_2 else names.CRD_REASONS
    code = {"coding": [{"system": system, "code": "allowed-quantity"}]}
    parts: list[dict[str, Any]] = [
        {"url": "code", "valueCodeableConcept": code},
        {"url": "value", "valueQuantity": {"value": quantity}},
    ]
    if guide is Guide.STU2_2:
        parts.insert(0, {"url": "category", "valueCode": "cat-limitation"})
    return {"url": "detail", "extension": parts}


def _endings(plan: CoveragePlan, guide: Guide, on: date) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if plan.satisfied_pa_id:
        found.append({"url": "satisfied-pa-id", "valueString": plan.satisfied_pa_id})
    if plan.contact:
        found.append({"url": "contact", **_contact(plan.contact, guide)})
    if plan.expiry_days is not None and guide is Guide.STU2_2:
        until = on + timedelta(days=plan.expiry_days)
        found.append({"url": "expiry-date", "valueDate": until.isoformat()})
    return found


def _contact(name: str, guide: Guide) -> dict[str, Any]:
    phone = {"system": "phone", "value": "555-0100"}
    if guide is Guide.STU2:
        return {"valueContactPoint": phone}
    return {"valueContactDetail": {"name": name, "telecom": [phone]}}


def without_unsolicited(plan: CoveragePlan) -> CoveragePlan:
    """The plan for a client that switched unsolicited determinations off: `satisfied` is not given."""
    if plan.pa_needed != "satisfied":
        return plan
    return plan.model_copy(update={"pa_needed": "auth-needed", "satisfied_pa_id": ""})


def assertion_ids(order: Json) -> set[str]:
    """Assertion ids of an order's coverage-information."""
    found = extensions(order, names.CRD_COVERAGE_INFORMATION)
    return {as_text(at(extension(item, "coverage-assertion-id"), "valueString")) for item in found}


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
