"""Codes under their names, and patterns over diagnoses."""

from __future__ import annotations

import pytest

from gateway.clinical.concepts import (
    codes_in,
    matches,
    packaged_concepts,
    parse_concepts,
    read_order_code,
    service_codes,
)
from gateway.clinical.rules import load_concepts
from gateway.errors import SettingsError


@pytest.mark.parametrize(
    ("code", "patterns", "expected"),
    [
        ("M54.2", ["M54.2"], True),
        ("m542", ["M54.2"], True),
        ("M54.20", ["M54.2"], False),
        ("M54.12", ["M54.1"], False),
        ("M54.12", ["M54.1-"], True),
        ("N18.31", ["N18.3-"], True),
        ("N18.4", ["N18.3-"], False),
        ("C79.51", ["C00-..C96.-"], True),
        ("C7A.00", ["C00-..C96.-"], True),
        ("D00.0", ["C00-..C96.-"], False),
        ("O9A.11", ["O00-..O9A.-"], True),
        ("G95.20", ["G95.-"], True),
        ("G96.0", ["G95.-"], False),
        ("", ["M54.2"], False),
    ],
)
def test_patterns(code: str, patterns: list[str], expected: bool) -> None:
    assert matches(code, patterns) is expected


@pytest.mark.parametrize(
    "system",
    [
        "http://www.ama-assn.org/go/cpt",
        "urn:oid:2.16.840.1.113883.6.12",
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    ],
)
def test_a_service_is_known_under_each_of_its_systems(system: str) -> None:
    assert service_codes({"coding": [{"system": system, "code": "72141"}]}) == {"72141"}


def test_a_code_without_its_system_is_nothing() -> None:
    assert service_codes({"coding": [{"code": "72141"}]}) == frozenset()
    assert service_codes({"text": "72141"}) == frozenset()
    assert codes_in(None, "x") == frozenset()


def test_an_order_is_read_by_code_or_by_the_sites_map() -> None:
    concepts = packaged_concepts()
    order = {"code": {"coding": [{"system": "urn:site", "code": "MRCSP"}]}}
    assert read_order_code(order, concepts) is None
    row = {"system": "urn:site", "code": "MRCSP", "cpt": "72141"}
    changed = concepts.model_dump(by_alias=True)
    changed["order"]["code_map"] = [row]
    assert read_order_code(order, type(concepts).model_validate(changed)) == "72141"


def test_drugs_are_known_by_ingredient_and_product_only() -> None:
    concepts = load_concepts()
    naproxen = concepts.drug_of("198014")
    assert naproxen is not None
    assert naproxen == concepts.drug_of("7258")
    assert concepts.drug_of("314076") is None


def test_no_product_belongs_to_two_drugs() -> None:
    codes = [code for drug in load_concepts().drug for code in (drug.ingredient, *drug.products)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("text", ["[order", "unknown = 1", ""])
def test_faulty_concepts_are_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_concepts(text)


def test_unknown_set_of_rules() -> None:
    with pytest.raises(SettingsError):
        packaged_concepts("no-such-set")
