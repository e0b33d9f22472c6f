"""Code systems under several names."""

from __future__ import annotations

import pytest

from gateway.fhir.codes import (
    CPT,
    HCPCS,
    ICD10_CM,
    canonical_system,
    icd10_equal,
    is_known_system,
    is_npi,
    normalise_coding,
    normalise_icd10,
    same_code,
)


def test_aliases_are_listed_not_guessed() -> None:
    assert canonical_system("urn:oid:2.16.840.1.113883.6.12") == CPT
    assert canonical_system("https://example.org/cpt") == "https://example.org/cpt"
    assert is_known_system(HCPCS + "/")
    assert not is_known_system("https://example.org/cpt")


SAME = [
    ({"system": CPT, "code": "1"}, {"system": "urn:oid:2.16.840.1.113883.6.12", "code": "1"}, True),
    ({"system": CPT, "code": "1"}, {"system": HCPCS, "code": "1"}, False),
    ({"system": ICD10_CM, "code": "m542"}, {"system": ICD10_CM, "code": "M54.2"}, True),
    ({"system": "urn:x", "code": "a"}, {"system": "urn:x", "code": "a"}, True),
    ({"system": "urn:x", "code": "a"}, {"system": "urn:x", "code": "A"}, False),
    ({"code": "a"}, {"code": "a"}, False),
    ({"system": CPT}, {"system": CPT}, False),
]


@pytest.mark.parametrize(("left", "right", "same"), SAME)
def test_same_code(left: dict[str, str], right: dict[str, str], same: bool) -> None:
    assert same_code(left, right) is same


ICD = [
    ("M542", "M54.2"),
    (" i10 ", "I10"),
    ("I10.", "I10"),
    ("S72.001A", "S72.001A"),
    ("s72001a", "S72.001A"),
    ("nonsense", "nonsense"),
    ("", ""),
]


@pytest.mark.parametrize(("given", "written"), ICD)
def test_icd10_is_written_one_way(given: str, written: str) -> None:
    assert normalise_icd10(given) == written
    assert icd10_equal(given, written)


def test_normalising_keeps_the_rest() -> None:
    assert normalise_coding({"system": ICD10_CM, "code": "M542", "display": "d"}) == {
        "system": ICD10_CM,
        "code": "M54.2",
        "display": "d",
    }


@pytest.mark.parametrize(
    ("number", "valid"),
    [("1234567893", True), ("1999911013", True), ("1234567890", False), ("123", False), ("١234567893", False)],
)
def test_npi_check_digit(number: str, valid: bool) -> None:
    assert is_npi(number) is valid
