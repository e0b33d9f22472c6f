"""What was asked and found: red-flag screens, pain scores, neurological examination, attestation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from gateway.demo.charts_sheet import Sheet

_STRENGTHS = ("deltoid", "biceps", "wrist-extension", "triceps", "finger-flexion", "interossei")
_REFLEXES = ("biceps", "brachioradialis", "triceps")
_DERMATOMES = ("c5", "c6", "c7", "c8", "t1")
_RIGHT_C7 = {"strength-triceps": "mrc-4", "reflex-triceps": "reflex-1", "light-touch-c7": "sensation-reduced"}
"""Signs that are off on the right side in the examined charts."""


def add_findings(sheet: Sheet) -> None:
    """Every finding the recipe names; the attestation comes last and points at what it rests on."""
    for row in sheet.recipe.pain:
        value = {"valueQuantity": sheet.quantity(row["value"], "{score}")}
        _observe(sheet, f"pain:{row['on']}", "pain-vas", "survey", sheet.at(row["on"], "09:15"), value, visit="")
    when = sheet.at(sheet.recipe.order_on, "09:45")
    for concept, answer in sheet.recipe.screens.items():
        _observe(sheet, f"screen:{concept}", concept, "survey", when, {"valueBoolean": answer})
    for row in sheet.recipe.exams:
        _add_exam(sheet, row["on"], row["at"])
    if sheet.recipe.myelopathy:
        _add_attestation(sheet, sheet.recipe.myelopathy, when)


def _observe(
    sheet: Sheet, name: str, concept: str, category: str, when: str, facts: Mapping[str, Any], *, visit: str = "visit"
) -> dict[str, str]:
    body = {
        "status": "final",
        "category": [sheet.concept(category)],
        "code": sheet.concept(concept),
        "subject": sheet.ref("patient"),
        "encounter": sheet.ref(visit) if visit else None,
        "effectiveDateTime": when,
        "performer": [sheet.ref("doctor")],
        **facts,
    }
    return sheet.add(name, "Observation", body)


def _component(sheet: Sheet, concept: str, value: str) -> dict[str, Any]:
    return {"code": sheet.concept(concept), "valueCodeableConcept": sheet.concept(value)}


def _add_exam(sheet: Sheet, on: date, clock: time) -> None:
    """One neurological examination of both arms, with the signs of the right C7 root."""
    visit = "visit" if on == sheet.recipe.order_on else "first-visit"
    when = sheet.at(on, clock)
    for side in ("right", "left"):
        for sign, usual in _signs():
            value = _RIGHT_C7.get(sign, usual) if side == "right" else usual
            facts = {
                "valueCodeableConcept": sheet.concept(value),
                "interpretation": [sheet.concept("normal" if value == usual else "abnormal")],
                "component": [_component(sheet, "side", side)],
            }
            _observe(sheet, f"{sign}:{side}:{on}", sign, "exam", when, facts, visit=visit)
    _add_provocation(sheet, on, when, visit)


def _signs() -> list[tuple[str, str]]:
    """Each sign of the examination with its usual value."""
    return [
        *((f"strength-{muscle}", "mrc-5") for muscle in _STRENGTHS),
        *((f"reflex-{muscle}", "reflex-2") for muscle in _REFLEXES),
        *((f"light-touch-{root}", "sensation-normal") for root in _DERMATOMES),
    ]


def _add_provocation(sheet: Sheet, on: date, when: str, visit: str) -> None:
    """Arm symptom and Spurling test on the right; no sign of the cord."""
    where = [("side", "right"), ("symptom-type", "symptom-pain"), ("radiation", "digit-3")]
    parts = [_component(sheet, concept, value) for concept, value in where]
    for sign, components in (("arm-symptom", parts), ("spurling", parts[:1])):
        facts = {"valueCodeableConcept": sheet.concept("present"), "component": components}
        _observe(sheet, f"{sign}:{on}", sign, "exam", when, facts, visit=visit)
    for sign in ("hoffmann", "gait-ataxia", "clonus"):
        facts = {"valueCodeableConcept": sheet.concept("absent")}
        _observe(sheet, f"{sign}:{on}", sign, "exam", when, facts, visit=visit)


def _add_attestation(sheet: Sheet, row: Mapping[str, Any], when: str) -> None:
    """Signs of the cord, asked and found, and the clinician's own statement about them."""
    found = {concept: _cord_sign(sheet, concept, "present", side, when) for concept, side in row["present"].items()}
    others = [_cord_sign(sheet, concept, "absent", side, when) for concept, side in row["absent"].items()]
    others.append(_cord_sign(sheet, "bladder-bowel", "asked-normal", "", when))
    finding = [
        {
            "itemCodeableConcept": sheet.concept("myelopathy-signs"),
            "itemReference": reference,
            "basis": row["basis"][concept],
        }
        for concept, reference in found.items()
    ]
    impression = {
        "status": "completed",
        "code": sheet.concept("red-flag-attestation"),
        "subject": sheet.ref("patient"),
        "encounter": sheet.ref("visit"),
        "effectiveDateTime": when,
        "date": when,
        "assessor": sheet.ref("doctor"),
        "problem": [sheet.ref("problem")],
        "investigation": [{"code": {"text": "myelopathy examination"}, "item": [*found.values(), *others]}],
        "summary": row["summary"],
        "finding": finding,
    }
    sheet.add("attestation", "ClinicalImpression", impression)


def _cord_sign(sheet: Sheet, concept: str, value: str, side: str, when: str) -> dict[str, str]:
    parts = [_component(sheet, "side", side)] if side else []
    if concept == "clonus":
        parts.append({"code": sheet.concept("clonus-beats"), "valueInteger": 0})
    facts = {"valueCodeableConcept": sheet.concept(value), "component": parts}
    return _observe(sheet, concept, concept, "exam", when, facts)


def add_attestation_record(sheet: Sheet) -> None:
    """Provenance of the attestation and of the order it supports; only where there is one."""
    if not sheet.has("attestation"):
        return
    agent = {
        "type": sheet.concept("attester"),
        "who": sheet.ref("doctor"),
        "onBehalfOf": sheet.ref("clinic"),
    }
    body = {
        "target": [sheet.ref("attestation"), sheet.ref("order")],
        "recorded": sheet.at(sheet.recipe.order_on, "09:45"),
        "activity": sheet.concept("red-flag-attestation"),
        "agent": [agent],
    }
    sheet.add("attestation-record", "Provenance", body)
