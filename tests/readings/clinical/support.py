"""How well the examination supports a root diagnosis: strong, moderate, weak, discordant or not at all.

Source: spec/clinical.md §5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from gateway.clinical.elements import ElementResult
from tests.readings.clinical.chart import Chart
from tests.readings.clinical.conditions import Indication
from tests.readings.clinical.exam import (
    Finding,
    Sign,
    component,
    latest,
    latest_by_side,
    latest_signs,
    read_findings,
    read_signs,
)

Level = Literal["strong", "moderate", "weak", "discordant", "none"]
_ORDER = {"none": 0, "discordant": 0, "weak": 1, "moderate": 2, "strong": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Level and what it rests on."""

    level: Level
    """How well the findings support the diagnosis."""
    evidence: tuple[str, ...] = ()
    """Findings that decided the level."""
    roots: tuple[str, ...] = ()
    """Roots in which symptom and signs agree."""


def read_support(chart: Chart) -> Support:
    """Level of support from the latest value of each finding on the symptomatic side.

    Steps: (1) long-tract signs or signs without a pattern are discordant; (2) no symptom; (3) a sign of
    the symptom's root; (4) a provocative test; (5) symptoms only.
    """
    exam = chart.concepts.exam
    symptom = latest(read_findings(chart, [exam.symptom])).get(exam.symptom)
    side = symptom.side if symptom and symptom.is_present else frozenset()
    signs = objective_signs(chart, side)
    tracts = [item for item in latest_by_side(read_findings(chart, exam.upper_motor_neuron)) if item.is_present]
    if tracts or not _has_pattern(signs, chart):  # (1)
        seen = (*(item.reference for item in tracts), *(sign.reference for sign in signs))
        return Support(level="discordant", evidence=tuple(dict.fromkeys(seen)))
    if symptom is None or not symptom.is_present:  # (2)
        return Support(level="none", evidence=tuple(sign.reference for sign in signs))
    tests = [item for item in latest_by_side(read_findings(chart, exam.provocation)) if _is_on(item, side)]
    return _with_symptom(chart, symptom, signs, tests)


def _is_on(finding: Finding, side: frozenset[str]) -> bool:
    return not side or not finding.side or bool(finding.side & side)


def _with_symptom(chart: Chart, symptom: Finding, signs: list[Sign], tests: list[Finding]) -> Support:
    roots = _symptom_roots(symptom, chart)
    counted = [sign for sign in signs if sign.kind in chart.rule.objective_types]
    agreeing = [sign for sign in counted if roots & set(_roots(sign, chart))]
    if agreeing:  # (3)
        shared = sorted(frozenset().union(*(roots & set(_roots(sign, chart)) for sign in agreeing)))
        seen = (symptom.reference, *(sign.reference for sign in agreeing))
        return Support(level="strong", evidence=tuple(dict.fromkeys(seen)), roots=tuple(shared))
    positive = [test for test in tests if test.is_present]
    if roots and positive:  # (4)
        seen = (symptom.reference, *(test.reference for test in positive))
        return Support(level="moderate", evidence=tuple(dict.fromkeys(seen)), roots=tuple(sorted(roots)))
    return Support(level="weak", evidence=(symptom.reference,), roots=tuple(sorted(roots)))  # (5)


def objective_signs(chart: Chart, side: frozenset[str]) -> list[Sign]:
    """Latest abnormal signs on `side` (any side when it is empty); a reflex counts against the other side."""
    now = latest_signs(read_signs(chart))
    own = [sign for (_, where), sign in now.items() if not side or where in side or not where]
    return [sign for sign in own if _is_abnormal(sign, now, chart)]


def _is_abnormal(sign: Sign, now: dict[tuple[str, str], Sign], chart: Chart) -> bool:
    exam = chart.concepts.exam
    if sign.kind == "reflex":
        return _is_reduced(sign, now, chart)
    return sign.grade < (exam.strength_normal if sign.kind == "motor" else exam.sensation_normal)


def _is_reduced(sign: Sign, now: dict[tuple[str, str], Sign], chart: Chart) -> bool:
    exam = chart.concepts.exam
    across = {exam.right: exam.left, exam.left: exam.right}.get(sign.side, "")
    other = now.get((sign.code, across)) if across else None
    return sign.grade < other.grade if other else sign.grade <= exam.reflex_low


def _roots(sign: Sign, chart: Chart) -> tuple[str, ...]:
    exam = chart.concepts.exam
    table = {"motor": exam.motor, "reflex": exam.reflex, "sensory": exam.sensory}[sign.kind]
    return table.get(sign.code, ())


def _symptom_roots(symptom: Finding, chart: Chart) -> set[str]:
    exam = chart.concepts.exam
    found: set[str] = set()
    for part in component(symptom.resource, exam.radiation, chart):
        for code in chart.concepts.local(part.get("valueCodeableConcept")):
            found |= set(exam.radiation_roots.get(code, ()))
    return found


def _has_pattern(signs: Iterable[Sign], chart: Chart) -> bool:
    """Whether all signs fit one root or two neighbours; none at all is a pattern too."""
    sets = [set(_roots(sign, chart)) for sign in signs]
    order = chart.concepts.exam.root_order
    pairs = [{root} for root in order] + [set(pair) for pair in pairwise(order)]
    return not sets or any(all(roots & pair for roots in sets) for pair in pairs)


def judge_support(chart: Chart, indication: Indication) -> ElementResult | None:
    """Whether a diagnosis that needs findings has them; None where the row asks for none."""
    threshold = chart.rule.code_support.get(indication.code)
    if threshold is None:
        return None
    support = read_support(chart)
    if indication.is_uncertain:
        line = "The diagnosis is recorded as uncertain only; uncertain diagnoses are not codable for outpatients."
        return _result("unmet", "uncertain_diagnosis", line, support, threshold)
    if _ORDER[support.level] >= _ORDER[threshold]:
        where = f" in {', '.join(support.roots)}" if support.roots else ""
        return _result(
            "met", "documented", f"Findings support the diagnosis: {support.level}{where}.", support, threshold
        )
    if support.level == "none":
        line = "No symptom into the limb with its examination is documented for the diagnosis."
        return _result("unmet", "not_documented", line, support, threshold)
    line = f"Findings give {support.level} support for the diagnosis; {threshold} is asked."
    return _result("unmet", support.level, line, support, threshold)


def _result(status: Literal["met", "unmet"], reason: str, line: str, support: Support, threshold: str) -> ElementResult:
    return ElementResult(
        element="CODE_SUPPORT",
        status=status,
        value=support.level,
        threshold=threshold,
        reason=reason,
        line=line,
        evidence=support.evidence,
    )
