"""Every exception that the concepts know can be documented: a template for each, with all that a complete one needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.clinical.concept_rows import Group, RedFlag
from gateway.clinical.instruments import Exam, Instrument, exam_of, instruments, red_flags_of
from gateway.clinical.rules import load_concepts, load_rules

CONCEPTS = load_concepts()
CATALOGS = [CONCEPTS.red_flags.catalog, *(catalog.id for catalog in CONCEPTS.red_flag_catalog)]
EXAMS = {rule.exam_template or CONCEPTS.exam.id for rule in load_rules() if rule.code_support}


def _flags() -> Iterator[Any]:
    for catalog in CATALOGS:
        found = CONCEPTS.with_catalog(catalog)
        assert found is not None
        for flag in found.red_flag:
            yield pytest.param(catalog, found.red_flags.screens, flag, id=f"{catalog}-{flag.code}")


def _codes(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        yield from (coding["code"] for coding in item.get("code", ()))
        yield from _codes(item.get("item", []))


def _template(catalog: str, flag: RedFlag) -> Instrument:
    (found,) = red_flags_of(catalog, [flag.code])
    return found


def _can_record(group: Group, codes: set[str]) -> bool:
    named = codes & {*group.any, *group.loinc, *group.snomed}
    return bool(named) or any(group.prefix and code.startswith(group.prefix) for code in codes)


@pytest.mark.parametrize(("catalog", "screens", "flag"), list(_flags()))
def test_a_template_records_all_that_a_complete_exception_needs(
    catalog: str, screens: tuple[str, ...], flag: RedFlag
) -> None:
    found = _template(catalog, flag)
    codes = set(_codes(found.questionnaire["item"]))
    assert set(screens) <= codes
    assert [group.label for group in flag.needs if not _can_record(group, codes)] == []
    assert getattr(found.template, "screen", "") == flag.screen


@pytest.mark.parametrize(("catalog", "screens", "flag"), list(_flags()))
def test_what_a_code_rests_on_can_be_recorded_somewhere(catalog: str, screens: tuple[str, ...], flag: RedFlag) -> None:
    everything = {code for item in instruments() for code in _codes(item.questionnaire["item"])}
    for candidate in _template(catalog, flag).template.candidate:  # type: ignore[union-attr]
        known = everything | {"30341-2"}  # another code of the same laboratory value
        assert set(candidate.supported_by) <= known, candidate.code


@pytest.mark.parametrize("name", sorted(EXAMS))
def test_an_examination_that_a_diagnosis_rests_on_can_be_recorded(name: str) -> None:
    found, exam = exam_of(name), CONCEPTS.exam_named(name)
    assert found is not None
    assert exam is not None
    assert isinstance(found.template, Exam)
    codes = set(_codes(found.questionnaire["item"]))
    assert {exam.symptom, *exam.motor, *exam.reflex, *exam.sensory} <= codes
    assert set(exam.provocation) & codes


def test_templates_have_names_of_their_own() -> None:
    canonicals = [item.canonical for item in instruments()]
    assert len(set(canonicals)) == len(canonicals)
