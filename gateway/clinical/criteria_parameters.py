"""What the criteria are told: the rule row, the codes of its region, and which of the chart's codes belong where.

Patterns of diagnoses (`X-`, `A..B`) are worked out here against the codes that the chart has, so that the
criteria see plain value sets. Source: spec/clinical.md §6.1, §12.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from gateway.clinical.concept_rows import Exam, Group, Measure, RedFlag, Side, SideWords
from gateway.clinical.concepts import Concepts, Region, matches
from gateway.clinical.rule_row import Rule
from gateway.fhir import Json
from gateway.fhir.codes import CPT, HCPCS, ICD10_CM, LOINC, SNOMED
from gateway.reasoning.record import RecordSnapshot

PREFIX = "urn:pa-gateway:value-set:"
_KINDS = {
    "order": ("order",),
    "eprescribe_or_dispense": ("order", "dispense"),
    "list": ("order", "dispense", "statement"),
}


def rule_parameters(rule: Rule, sessions: int) -> dict[str, Any]:
    """`Rule`: the row as the criteria read it; `sessions` is the number asked for the patient's plan."""
    kinds = [kind for level in rule.pharm.evidence for kind in _KINDS[level]]
    return {
        "lookback_days": rule.lookback_days,
        "episode_gap_days": rule.episode_gap_days,
        "anchor": rule.duration.anchor,
        "restart_on_symptom_change": rule.duration.restart_on_symptom_change,
        "default_days": rule.duration.days.default,
        "days_by_indication": [
            {"code": code, "length": days} for code, days in rule.duration.days.by_indication.items()
        ],
        "min_days": rule.pharm.min_days,
        "medication_kinds": list(dict.fromkeys(kinds)),
        "medication_details": list(rule.pharm.detail),
        "min_agents": rule.pharm.min_agents,
        "second_agent_if": list(rule.pharm.second_agent_if),
        "alternatives_ok": rule.pharm.alternatives_ok,
        "referral_required": rule.pt.referral_required,
        "home_exercise_substitutes": rule.pt.hep_substitutes,
        "min_sessions": sessions,
        "min_interval_days": rule.outcome.min_interval_days,
        "max_age_days": rule.outcome.max_age_days,
        "plateau_mode": rule.outcome.plateau.mode,
        "plateau_threshold": rule.outcome.plateau.threshold,
        "residual_min_percent": rule.outcome.residual_min_pct,
        "activity_required": rule.activity.required,
        "reevaluation_required": rule.reevaluation.required,
        "support_by_indication": [{"code": code, "level": level} for code, level in rule.code_support.items()],
        "objective_types": list(rule.objective_types),
        "red_flags": [*rule.red_flags.accept, *rule.red_flags.extra],
        "laterality_required": rule.laterality_required,
        "prior_imaging_required": rule.prior_imaging_required,
        "required_elements": list(rule.required_elements),
    }


def concept_parameters(concepts: Concepts, region: Region, codes: frozenset[str], *, audit: bool) -> dict[str, Any]:
    """All parameters that come from the concepts; `codes` are the diagnoses that occur in the chart."""
    scope, exam = concepts.order, concepts.exam
    return {
        "Region": {
            "symptom_code": region.symptom_code,
            "diagnosis_code": region.diagnosis_code,
            "refinement_days": region.refinement_days,
        },
        "Repeat imaging days": scope.repeat_imaging_days,
        "Excluded": [
            {"code": code, "codes": sorted(other for other in codes if matches(other, patterns))}
            for own, patterns in region.excludes.items()
            for code in codes
            if matches(code, [own])
        ],
        "Scope rules": {
            "statuses": [*scope.statuses, *(scope.audit_statuses if audit else ())],
            "intents": list(scope.intents),
            "adult_age": scope.adult_age,
            "acute_classes": list(scope.acute_encounter_classes),
        },
        "Drugs": [
            {"code": code, "ingredient": drug.ingredient, "kind": drug.kind}
            for drug in concepts.drug
            for code in (drug.ingredient, *drug.products)
        ],
        "Care words": {
            "first_line": concepts.drug_rules.first_line,
            "home_exercise": concepts.advice.home_exercise,
            "reminders": list(concepts.therapy.reminder_categories),
        },
        "Signs": list(_signs(exam)),
        "Grades": list(_grades(exam)),
        "Exam words": _exam_words(concepts),
        "Categories": [_category(flag, codes) for flag in concepts.red_flag],
        "Red flag words": {
            "attestation": concepts.red_flags.attestation,
            "attester": concepts.red_flags.attester_role,
            "screens": list(concepts.red_flags.screens),
            "signs": list(concepts.red_flags.signs),
            "negations": list(concepts.red_flags.negations),
        },
    }


def measure_parameters(rule: Rule, concepts: Concepts) -> list[dict[str, Any]]:
    """`Measures`: those of the row, first one first; one with a narrative carries what it is based on."""
    return [row for name in rule.outcome.measures for row in _measure(concepts.measure_named(name), concepts)]


def _measure(measure: Measure | None, concepts: Concepts) -> Iterable[dict[str, Any]]:
    base = measure
    if measure is not None and measure.kind == "scale_with_narrative":
        base = concepts.measure_named(measure.base)
    if measure is None or base is None:
        return
    yield {
        "name": measure.name,
        "is_items": base.kind == "items",
        "needs_narrative": base is not measure,
        "questionnaires": list(base.questionnaires),
        "items": list(base.items),
        "item_max": base.item_max,
        "min_items": base.min_items,
        "ordinals": [{"code": code, "number": number} for number, code in enumerate(base.ordinals)],
        "totals": [*_of(LOINC, base.totals), *base.local_totals],
        "total_max": base.total_max,
        "higher_is_worse": base.higher_is == "worse",
        "plateau_below": base.plateau_below,
        "largest_plateau": base.mdc,
        "residual": base.residual,
        "component": base.component,
        "min_components": base.min_components,
        "max_components": base.max_components,
        "narrative_type": measure.narrative_type,
        "narrative_limit": measure.narrative_limit,
    }


def _of(system: str, codes: Iterable[str]) -> Iterable[str]:
    """Codes with their system, as the criteria name them."""
    return (f"{system}|{code}" for code in codes)


def _tables(exam: Exam) -> tuple[tuple[str, Any, dict[str, int]], ...]:
    return (
        ("motor", exam.motor, exam.strength_grades),
        ("reflex", exam.reflex, exam.reflex_grades),
        ("sensory", exam.sensory, exam.sensation_grades),
    )


def _signs(exam: Exam) -> Iterable[dict[str, Any]]:
    for kind, table, _ in _tables(exam):
        for code, roots in table.items():
            yield {"kind": kind, "code": code, "roots": list(roots)}


def _grades(exam: Exam) -> Iterable[dict[str, Any]]:
    for kind, _, grades in _tables(exam):
        for code, grade in grades.items():
            yield {"kind": kind, "code": code, "grade": grade}


def _exam_words(concepts: Concepts) -> dict[str, Any]:
    exam = concepts.exam
    alone = [[root] for root in exam.root_order]
    return {
        "local_system": concepts.local_system,
        "present": exam.present,
        "negative": [exam.absent, exam.normal],
        "side": exam.side,
        "right": exam.right,
        "left": exam.left,
        "both": exam.both,
        "symptom": exam.symptom,
        "radiation": exam.radiation,
        "provocation": list(exam.provocation),
        "long_tracts": list(exam.upper_motor_neuron),
        "strength_normal": exam.strength_normal,
        "strength_severe": exam.strength_severe,
        "reflex_low": exam.reflex_low,
        "sensation_normal": exam.sensation_normal,
        "root_patterns": [*alone, *(list(pair) for pair in pairwise(exam.root_order))],
        "radiation_roots": [{"code": code, "roots": list(roots)} for code, roots in exam.radiation_roots.items()],
    }


def _category(flag: RedFlag, codes: frozenset[str]) -> dict[str, Any]:
    return {
        "code": flag.code,
        "screen": flag.screen,
        "max_age_days": flag.max_age_days,
        "needs": [_group(group, flag.max_age_days, codes) for group in flag.needs],
    }


def _group(group: Group, max_age_days: int, codes: frozenset[str]) -> dict[str, Any]:
    return {
        "label": group.label,
        "wanted": list(group.any),
        "prefix": group.prefix,
        "others": [*_of(LOINC, group.loinc), *_of(SNOMED, group.snomed)],
        "problems": sorted(code for code in codes if matches(code, group.problems)),
        "present": group.present,
        "sided": group.sided,
        "unsided": list(group.unsided),
        "counted": [{"code": code, "component": part} for code, part in group.counted.items()],
        "pending": group.pending,
        "max_age_days": group.max_age_days or max_age_days,
    }


def value_sets(rule: Rule, concepts: Concepts, region: Region, codes: frozenset[str]) -> list[Json]:
    """The value sets of the criteria, expanded as far as the chart's own codes need it."""
    triggers, therapy, rules = region.red_flag_triggers, concepts.therapy, concepts.drug_rules
    always = _fitting(codes, triggers.always, triggers.never)
    unless = _fitting(codes, triggers.unless_screened, triggers.never)
    region_codes = _fitting(codes, (*rule.indications, *region.conditions))
    sets = {
        "indications": [(ICD10_CM, code) for code in rule.indications],
        "region-diagnoses": [(ICD10_CM, code) for code in region_codes],
        "region-problems": [
            *((ICD10_CM, code) for code in region_codes),
            *((SNOMED, code) for code in region.snomed_conditions),
        ],
        "region-sites": [(SNOMED, code) for code in region.body_sites],
        "triggers": [(ICD10_CM, code) for code in (*always, *unless)],
        "triggers-always": [(ICD10_CM, code) for code in always],
        "triggers-unless-screened": [(ICD10_CM, code) for code in unless],
        "trigger-problems": [
            (ICD10_CM, code) for code in _fitting(codes, (*triggers.always, *triggers.unless_screened))
        ],
        "contraindications": [(ICD10_CM, code) for code in _fitting(codes, rules.contraindications)],
        "session-services": _services(rule.pt.counts),
        "referral-services": _services(therapy.referral_codes),
        "therapy-categories": [(SNOMED, code) for code in therapy.category_snomed],
        "therapy-visits": [(SNOMED, code) for code in therapy.encounter_types],
        "advice": [(concepts.local_system, code) for code in concepts.advice.codes],
        "stopped-ineffective": [(concepts.local_system, code) for code in rules.stopped_ineffective],
        "stopped-intolerance": [(concepts.local_system, code) for code in rules.stopped_intolerance],
        "prior-imaging": _services(region.prior_imaging),
        "region-services": _services(region.procedures),
        "contrast-services": _services(region.contrast_procedures),
        **_side_sets("right", region.sides.right, concepts.laterality.right, codes),
        **_side_sets("left", region.sides.left, concepts.laterality.left, codes),
    }
    return [_value_set(name, pairs) for name, pairs in sets.items()]


def _side_sets(name: str, side: Side, words: SideWords, codes: frozenset[str]) -> dict[str, list[tuple[str, str]]]:
    return {
        f"{name}-modifiers": _services(words.modifiers),
        f"{name}-sites": [(SNOMED, code) for code in (*words.qualifiers, *side.body_sites)],
        f"{name}-diagnoses": [(ICD10_CM, code) for code in _fitting(codes, side.conditions)],
    }


def _fitting(codes: frozenset[str], patterns: Iterable[str], never: Iterable[str] = ()) -> list[str]:
    wanted, left_out = tuple(patterns), tuple(never)
    return sorted(code for code in codes if matches(code, wanted) and not matches(code, left_out))


def _services(codes: Iterable[str]) -> list[tuple[str, str]]:
    """CPT values also under the name payers hand them back with."""
    return [(system, code) for code in codes for system in (CPT, HCPCS)]


def _value_set(name: str, pairs: Iterable[tuple[str, str]]) -> Json:
    contains = [{"system": system, "code": code} for system, code in pairs]
    return {"resourceType": "ValueSet", "url": f"{PREFIX}{name}", "expansion": {"contains": contains}}


def observation_codes(concepts: Concepts) -> frozenset[str]:
    """The local system, and `system|code` of every other observation that measures and red flags ask for."""
    groups = [group for flag in concepts.red_flag for group in flag.needs]
    found = {code for measure in concepts.measure for code in _of(LOINC, measure.totals)}
    found |= {code for group in groups for code in (*_of(LOINC, group.loinc), *_of(SNOMED, group.snomed))}
    return frozenset({concepts.local_system, *found})


def diagnoses_in(*records: RecordSnapshot) -> frozenset[str]:
    """Every ICD-10-CM code that stands in prepared charts."""
    found: set[str] = set()
    waiting: list[Any] = [resource for record in records for resource in record.all()]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("system") == ICD10_CM:
                found.add(str(item["code"]))
            else:
                waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return frozenset(found)
