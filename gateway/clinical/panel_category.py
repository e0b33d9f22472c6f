"""Which red-flag template the panel opens: the category that an order's reasons and findings point to.

It opens a page and decides nothing; where several fit, the one with a finding or screen of its own comes first.
Source: spec/clinical.md §1.7, §4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.clinical.concept_rows import RedFlag
from gateway.clinical.concepts import Concepts, diagnoses, matches
from gateway.clinical.elements import Evaluation
from gateway.clinical.instruments import RedFlagTemplate, red_flags_of
from gateway.clinical.rule_row import Rule
from gateway.fhir import Json
from gateway.fhir.reading import objects, one
from gateway.fhir.references import reference_text
from gateway.reasoning.record import RecordSnapshot


def category_of(found: Evaluation, record: RecordSnapshot, order: Json, rule: Rule, concepts: Concepts) -> str:
    """Code of the category; empty where nothing points to one.

    Steps: (1) a category that the evaluation names; (2) one whose screen or findings it rests on; (3) one that
    the order's diagnoses belong to: a candidate of its template, a problem it asks for, or their family.
    """
    own = concepts.with_catalog(rule.red_flags.catalog) or concepts
    flags = [flag for flag in own.red_flag if flag.code in rule.red_flags.accept]
    if found.reason in {flag.code for flag in flags}:  # (1)
        return found.reason
    codes = {code for item in _evidence(found, record) for code in _local(item, own)}
    by_finding = next((flag.code for flag in flags if codes & _findings(flag)), "")  # (2)
    return by_finding or _by_diagnosis(order, record, own, flags)  # (3)


def _evidence(found: Evaluation, record: RecordSnapshot) -> Iterable[Json]:
    return filter(None, map(record.find, found.red_flag_evidence))


def _local(resource: Json, concepts: Concepts) -> frozenset[str]:
    """Local codes of a finding, or of the findings that an impression names."""
    items = [one(finding.get("itemCodeableConcept")) for finding in objects(resource.get("finding"))]
    return frozenset(code for concept in (resource.get("code"), *items) for code in concepts.local(concept))


def _findings(flag: RedFlag) -> set[str]:
    return {flag.screen, *(code for need in flag.needs for code in need.any)}


def _by_diagnosis(order: Json, record: RecordSnapshot, concepts: Concepts, flags: list[RedFlag]) -> str:
    listed = [code for concept in objects(order.get("reasonCode")) for code in diagnoses(concept)]
    for reference in objects(order.get("reasonReference")):
        listed += diagnoses(one(record.find(reference_text(reference))).get("code"))
    candidates = _candidates(concepts, flags)
    tests: tuple[Callable[[RedFlag, str], bool], ...] = (
        lambda flag, code: code in candidates.get(flag.code, ()),
        lambda flag, code: any(matches(code, need.problems) for need in flag.needs),
        lambda flag, code: code[:3] in {other[:3] for other in candidates.get(flag.code, ())},
    )
    found = (flag.code for test in tests for code in listed for flag in flags if test(flag, code))
    return next(found, "")


def _candidates(concepts: Concepts, flags: list[RedFlag]) -> dict[str, tuple[str, ...]]:
    templates = [item.template for item in red_flags_of(concepts.red_flags.catalog, [flag.code for flag in flags])]
    return {
        template.category: tuple(item.code for item in template.candidate)
        for template in templates
        if isinstance(template, RedFlagTemplate)
    }
