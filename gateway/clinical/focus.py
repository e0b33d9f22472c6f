"""What one rule row and one order make of the concepts: its examination, its red flags, its side.

A row names the examination template and the red-flag catalogue of its part of the body. Where that part
has two sides, the other side's diagnoses and body sites are another part of the body: treatment of the
left says nothing about the right. Source: spec/clinical.md §9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.clinical.concept_rows import Side
from gateway.clinical.concepts import Concepts, Region, diagnoses, matches, service_codes, snomed_codes
from gateway.clinical.rule_row import Rule
from gateway.errors import SettingsError
from gateway.fhir import Json
from gateway.fhir.reading import objects, one
from gateway.fhir.references import reference_text
from gateway.reasoning.record import RecordSnapshot

OTHER = {"right": "left", "left": "right"}
"""The other side of each side."""


def focus(
    rule: Rule, concepts: Concepts, region: Region, order: Json, record: RecordSnapshot
) -> tuple[Rule, Concepts, Region]:
    """Row, concepts and region as this order sees them.

    Where the order's side and its diagnosis contradict each other both sides stay in view, so that the
    contradiction is seen and not taken for another diagnosis. Raises `SettingsError` for a row that names
    an examination or a catalogue that the concepts do not have.
    """
    chosen = chosen_concepts(rule, concepts)
    side = agreed_side(order, chosen, region, record)
    return (_without(rule, region, side) if side else rule), chosen, _of_side(region, side)


def chosen_concepts(rule: Rule, concepts: Concepts) -> Concepts:
    """The concepts with the row's examination and red flags. Raises `SettingsError` for names unknown there."""
    exam = concepts.exam_named(rule.exam_template)
    if exam is None:
        raise SettingsError(f"{rule.rule_id}: exam_template: the concepts have no such template.", code="rule.concepts")
    found = concepts.with_catalog(rule.red_flags.catalog)
    if found is None:
        where = "red_flags.catalog: the concepts have no such catalogue."
        raise SettingsError(f"{rule.rule_id}: {where}", code="rule.concepts")
    return found if exam is found.exam else found.model_copy(update={"exam": exam})


def order_sides(order: Json, concepts: Concepts, region: Region) -> frozenset[str]:
    """Sides that an order names by modifier, laterality or body site: `right`, `left`, both or none."""
    return frozenset(side for side in OTHER if _names(order, side, concepts, region))


def code_sides(codes: Iterable[str], region: Region) -> frozenset[str]:
    """Sides that diagnoses name; empty when none of them names one."""
    listed = tuple(codes)
    return frozenset(side for side in OTHER if any(matches(code, _side(region, side).conditions) for code in listed))


def agreed_side(order: Json, concepts: Concepts, region: Region, record: RecordSnapshot) -> str:
    """The one side that an order is about; empty for none, for both, and where order and diagnosis disagree."""
    named = order_sides(order, concepts, region)
    coded = [sides for code in _reasons(order, record) if (sides := code_sides([code], region))]
    votes = named | (coded[0] if coded else frozenset())
    return next(iter(votes)) if len(votes) == 1 else ""


def _names(order: Json, side: str, concepts: Concepts, region: Region) -> bool:
    words = getattr(concepts.laterality, side)
    coded = [order.get("code"), *objects(order.get("orderDetail"))]
    sites = frozenset().union(*map(snomed_codes, objects(order.get("bodySite"))))
    modified = any(service_codes(concept) & set(words.modifiers) for concept in coded)
    return modified or bool(sites & {*words.qualifiers, *_side(region, side).body_sites})


def _side(region: Region, side: str) -> Side:
    return region.sides.right if side == "right" else region.sides.left


def _reasons(order: Json, record: RecordSnapshot) -> Iterator[str]:
    """Diagnoses of an order as they stand, else those of its encounter."""
    own = [*_coded(objects(order.get("reasonReference")), record)]
    own += [code for concept in objects(order.get("reasonCode")) for code in diagnoses(concept)]
    encounter = one(record.find(reference_text(order.get("encounter"))))
    yield from own or _coded([one(item.get("condition")) for item in objects(encounter.get("diagnosis"))], record)


def _coded(references: Iterable[Any], record: RecordSnapshot) -> Iterator[str]:
    for reference in references:
        yield from diagnoses(one(record.find(reference_text(reference))).get("code"))


def _of_side(region: Region, side: str) -> Region:
    """The region with the diagnoses and sites of one side, or of both where no side is known."""
    parts = [_side(region, name) for name in OTHER if side in ("", name)]
    conditions = [code for part in parts for code in part.conditions]
    sites = [code for part in parts for code in part.body_sites]
    if not conditions and not sites:
        return region
    update = {"conditions": (*region.conditions, *conditions), "body_sites": (*region.body_sites, *sites)}
    return region.model_copy(update=update)


def _without(rule: Rule, region: Region, side: str) -> Rule:
    """The row without the indications of the other side."""
    other = _side(region, OTHER[side]).conditions
    kept = tuple(code for code in rule.indications if not matches(code, other))
    return rule if kept == rule.indications else rule.model_copy(update={"indications": kept})
