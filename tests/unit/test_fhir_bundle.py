"""References resolved inside Bundles, by the rule and loosely."""

from __future__ import annotations

from typing import Any

from gateway.fhir.bundle import BundleIndex, build_bundle, entries, resources

BASE = "https://e.org/fhir"


def bundle(*members: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return build_bundle("collection", members)


PATIENT = {"resourceType": "Patient", "id": "1"}
CLAIM = {"resourceType": "Claim", "id": "c", "patient": {"reference": "Patient/1"}}


def test_base_comes_from_the_holder() -> None:
    index = BundleIndex(bundle((f"{BASE}/Claim/c", CLAIM), (f"{BASE}/Patient/1", PATIENT)))
    assert index.resolve("Patient/1", from_full_url=f"{BASE}/Claim/c") is PATIENT
    assert index.resolve("Patient/1", holder=CLAIM) is PATIENT
    assert index.resolve("Patient/1") is None
    assert index.resolve_loosely("Patient/1") is PATIENT
    assert index.full_url_of(PATIENT) == f"{BASE}/Patient/1"


def test_version_asked_for_is_the_version_given() -> None:
    old, new = ({**PATIENT, "meta": {"versionId": version}} for version in "12")
    index = BundleIndex(bundle((f"{BASE}/Patient/1", old), (f"{BASE}/Patient/1", new)))
    assert index.resolve(f"{BASE}/Patient/1/_history/2") is new
    assert index.resolve(f"{BASE}/Patient/1/_history/9") is None
    assert index.resolve(f"{BASE}/Patient/1") is None, "two versions and none asked for"


def test_loose_resolution_does_not_choose_between_two() -> None:
    twice = bundle(("https://a.org/Patient/1", PATIENT), ("https://b.org/Patient/1", dict(PATIENT)))
    assert BundleIndex(twice).resolve_loosely("Patient/1") is None


def test_contained_is_found_in_its_holder_only() -> None:
    holder = {"resourceType": "Claim", "contained": [{"resourceType": "Patient", "id": "p"}]}
    index = BundleIndex(bundle(("urn:uuid:1", holder), ("urn:uuid:2", CLAIM)))
    assert index.resolve("#p", holder=holder) == {"resourceType": "Patient", "id": "p"}
    assert index.resolve("#p", holder=CLAIM) is None
    assert index.resolve("#", holder=holder) is holder


def test_malformed_entries_are_passed_over() -> None:
    odd: dict[str, Any] = {"resourceType": "Bundle", "entry": [None, "x", {}, {"resource": "x"}, {"resource": PATIENT}]}
    assert [entry.resource for entry in entries(odd)] == [PATIENT]
    assert [entry.full_url for entry in entries(odd)] == [""]
    assert resources(odd, "Claim") == ()
