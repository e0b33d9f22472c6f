"""References taken apart."""

from __future__ import annotations

import pytest

from gateway.fhir.references import full_url, read_reference, reference_text, same_target

FORMS = [
    ("Patient/1", ("Patient", "1", "", "", "", ""), "Patient/1"),
    ("Patient/1/_history/3", ("Patient", "1", "3", "", "", ""), "Patient/1"),
    (
        "https://e.org/fhir/Patient/a-b.c",
        ("Patient", "a-b.c", "", "https://e.org/fhir", "", ""),
        "https://e.org/fhir/Patient/a-b.c",
    ),
    (
        "https://e.org/fhir/Patient/1/_history/2#x",
        ("Patient", "1", "2", "https://e.org/fhir", "x", ""),
        "https://e.org/fhir/Patient/1",
    ),
    ("#p", ("", "", "", "", "p", ""), ""),
    (
        "urn:uuid:44444444-4444-4444-8444-444444444444",
        ("", "", "", "", "", "urn:uuid:44444444-4444-4444-8444-444444444444"),
        "urn:uuid:44444444-4444-4444-8444-444444444444",
    ),
    ("https://e.org/some/page", ("", "", "", "", "", ""), "https://e.org/some/page"),
    ("Patient?identifier=x|1", ("", "", "", "", "", ""), "Patient?identifier=x|1"),
    ("", ("", "", "", "", "", ""), ""),
    ("Patient/" + "a" * 65, ("", "", "", "", "", ""), "Patient/" + "a" * 65),
]


@pytest.mark.parametrize(("text", "parts", "url"), FORMS)
def test_reference_is_taken_apart(text: str, parts: tuple[str, ...], url: str) -> None:
    read = read_reference(text)
    assert (read.type, read.id, read.version, read.base, read.fragment, read.urn) == parts
    assert read.url == url


SAME = [
    ("Coverage/1", "https://e.org/fhir/Coverage/1", True),
    ("Coverage/1", "Coverage/1/_history/4", True),
    ("https://e.org/fhir/Coverage/1", "https://e.org/fhir/Coverage/1/_history/2", True),
    ("https://e.org/fhir/Coverage/1", "https://other.org/fhir/Coverage/1", False),
    ("Coverage/1", "Coverage/2", False),
    ("Coverage/1", "Patient/1", False),
    ("urn:uuid:a", "urn:uuid:a", True),
    ("urn:uuid:a", "Coverage/1", False),
    ("", "", False),
]


@pytest.mark.parametrize(("left", "right", "same"), SAME)
def test_same_target_compares_what_is_known(left: str, right: str, same: bool) -> None:
    assert same_target(left, right) is same
    assert same_target(right, left) is same


def test_reference_text_of_what_is_no_reference_is_empty() -> None:
    assert [reference_text(value) for value in (None, "Patient/1", {"display": "x"}, [], {"reference": 3})] == [
        "",
        "",
        "",
        "",
        "3",
    ]


def test_full_url_needs_an_id() -> None:
    assert full_url("https://e.org/fhir/", {"resourceType": "Patient", "id": "1"}) == "https://e.org/fhir/Patient/1"
    assert full_url("https://e.org/fhir", {"resourceType": "Patient"}) == ""
