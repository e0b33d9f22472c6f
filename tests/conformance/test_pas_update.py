"""Updates and cancellations: a full restatement with marks relative to the last version."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.extensions import extension_value, extensions
from gateway.fhir.json import dump_json
from gateway.profiles import pas_2_0_1
from gateway.profiles.pas_2_2_1 import (
    ClaimUpdate,
    ItemChange,
    PasItem,
    Supporting,
    build_request_bundle,
    build_update_bundle,
)
from gateway.profiles.urls import pas
from tests import pas_samples as sample

CODE = sample.order()["code"]


def update(**changes: Any) -> ClaimUpdate:
    whole = ClaimUpdate(
        bundle_identifier=("urn:example:txn", "TXN-2"),
        claim_identifier=("urn:trnorg:9012345678", "PA-2"),
        created_at=sample.NOW + timedelta(days=1),
        codes=sample.CODES,
        coverage=sample.coverage(),
    )
    return replace(whole, **changes)


def mark(element: dict[str, Any]) -> str:
    return str(extension_value(element, pas("extension-infoChanged")) or "")


def cancelled(element: dict[str, Any]) -> bool:
    return extension_value(element, pas("modifierextension-infoCancelled"), modifier=True) is True


def certification(element: dict[str, Any]) -> str:
    return str(extension_value(element, pas("extension-certificationType"))["coding"][0]["code"])


@pytest.fixture
def first() -> dict[str, Any]:
    items = (PasItem(sequence=1, product_or_service=CODE), PasItem(sequence=2, product_or_service=CODE))
    return build_request_bundle(sample.request(items=items), sample.uuids())


@pytest.mark.requirement("pas:spec-65")
@pytest.mark.requirement("pas:prof-4")
def test_update_names_the_prior_claim_and_carries_it_unchanged(first: dict[str, Any]) -> None:
    bundle = build_update_bundle(first, update(), sample.uuids(500))
    claim, prior = bundle["entry"][0]["resource"], bundle["entry"][1]
    assert claim["related"][0]["claim"]["reference"] == prior["fullUrl"] == first["entry"][0]["fullUrl"]
    assert claim["related"][0]["relationship"]["coding"][0]["code"] == "prior"
    assert dump_json(prior["resource"]) == dump_json(first["entry"][0]["resource"])
    assert claim["identifier"][0]["value"] == "PA-2"
    assert claim["meta"]["profile"] == [pas("profile-claim-update")]


@pytest.mark.requirement("pas:spec-66")
def test_the_priors_own_prior_stays_out(first: dict[str, Any]) -> None:
    second = build_update_bundle(first, update(), sample.uuids(500))
    third = build_update_bundle(second, update(claim_identifier=("urn:trnorg:9012345678", "PA-3")), sample.uuids(900))
    claims = sample.of_type(third, "Claim")
    assert [claim["identifier"][0]["value"] for claim in claims] == ["PA-3", "PA-2"]


@pytest.mark.requirement("pas:spec-67")
@pytest.mark.requirement("pas:spec-17")
def test_entries_keep_their_addresses_and_references_still_resolve(first: dict[str, Any]) -> None:
    bundle = build_update_bundle(first, update(), sample.uuids(500))
    before = {entry["fullUrl"]: entry["resource"] for entry in first["entry"]}
    after = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    assert set(before) < set(after)
    nested = {e["fullUrl"] for inner in sample.of_type(bundle, "Bundle") for e in inner["entry"]}
    assert set(sample.references(bundle)) <= set(after) | nested


@pytest.mark.requirement("pas:spec-68")
@pytest.mark.requirement("pas:spec-71")
@pytest.mark.requirement("pas:spec-72")
@pytest.mark.requirement("pas:prof-5")
@pytest.mark.requirement("pas:prof-9")
@pytest.mark.requirement("pas:prof-10")
def test_marks_tell_added_changed_and_untouched_items(first: dict[str, Any]) -> None:
    changes = (ItemChange(sequence=1, starts_on=date(2026, 4, 1), ends_on=date(2026, 5, 1), quantity={"value": 2}),)
    added = (PasItem(sequence=3, product_or_service=CODE, requested_service=sample.order()),)
    claim = sample.claim_of(build_update_bundle(first, update(changes=changes, added_items=added), sample.uuids(500)))
    assert [(item["sequence"], mark(item)) for item in claim["item"]] == [(1, "changed"), (2, ""), (3, "added")]
    assert claim["item"][0]["servicedPeriod"] == {"start": "2026-04-01", "end": "2026-05-01"}
    assert claim["item"][0]["quantity"] == {"value": 2, "unit": "units"}
    assert certification(claim["item"][2]) == "I"


@pytest.mark.requirement("pas:spec-69")
@pytest.mark.requirement("pas:spec-70")
@pytest.mark.requirement("pas:prof-7")
def test_cancelled_item_stays_cancelled_and_loses_its_mark_later(first: dict[str, Any]) -> None:
    second = build_update_bundle(first, update(changes=(ItemChange(sequence=2, cancel=True),)), sample.uuids(500))
    item = sample.claim_of(second)["item"][1]
    assert (cancelled(item), certification(item), mark(item)) == (True, "3", "changed")
    third = build_update_bundle(second, update(claim_identifier=("urn:x", "PA-3")), sample.uuids(900))
    item = sample.claim_of(third)["item"][1]
    assert (cancelled(item), certification(item), mark(item)) == (True, "3", "")


def test_whole_request_is_cancelled_item_by_item(first: dict[str, Any]) -> None:
    claim = sample.claim_of(build_update_bundle(first, update(cancel_all=True), sample.uuids(500)))
    assert claim["status"] == "active"
    assert certification(claim) == "3"
    assert [(cancelled(i), certification(i), mark(i)) for i in claim["item"]] == [(True, "3", "changed")] * 2


@pytest.mark.requirement("pas:prof-6")
@pytest.mark.requirement("pas:prof-8")
def test_supporting_information_is_restated_withdrawn_and_added(first: dict[str, Any]) -> None:
    more = (Supporting(content=sample.observation("obs9")),)
    changed = update(added_supporting=more, cancelled_supporting=(1,))
    claim = sample.claim_of(build_update_bundle(first, changed, sample.uuids(500)))
    found = [(info["sequence"], mark(info), cancelled(info)) for info in claim["supportingInfo"]]
    assert found == [(1, "changed", True), (2, "", False), (3, "added", False)]


def test_resources_known_to_the_prior_request_are_not_sent_twice(first: dict[str, Any]) -> None:
    more = (Supporting(content=sample.observation("obs9")),)
    bundle = build_update_bundle(first, update(added_supporting=more), sample.uuids(500))
    assert len(sample.of_type(bundle, "Patient")) == 1
    (observation,) = sample.of_type(bundle, "Observation")
    assert observation["subject"] == sample.claim_of(bundle)["patient"]


REFUSED = [
    (update(changes=(ItemChange(sequence=7),)), "pas.update-sequence"),
    (update(added_items=(PasItem(sequence=2, product_or_service=CODE),)), "pas.update-sequence"),
    (update(cancelled_supporting=(9,)), "pas.update-sequence"),
    (update(claim_identifier=("urn:trnorg:9012345678", "PA-1")), "pas.update-identifier"),
]


@pytest.mark.parametrize(("changed", "reason"), REFUSED)
def test_impossible_updates_are_refused(first: dict[str, Any], changed: ClaimUpdate, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        build_update_bundle(first, changed, sample.uuids(500))
    assert caught.value.reason == reason


def test_update_needs_a_prior_claim() -> None:
    with pytest.raises(InputError) as caught:
        build_update_bundle({"resourceType": "Bundle"}, update(), sample.uuids())
    assert caught.value.reason == "pas.update-prior"


def test_update_in_2_0_1_names_the_prior_by_identifier() -> None:
    first = pas_2_0_1.build_request_bundle(sample.request(), sample.uuids())
    bundle = pas_2_0_1.build_update_bundle(first, update(), sample.uuids(500))
    (claim,) = sample.of_type(bundle, "Claim")
    assert claim["related"][0]["claim"] == {"identifier": {"system": "urn:trnorg:9012345678", "value": "PA-1"}}
    assert claim["related"][0]["relationship"]["text"] == "replaces"
    assert not [i for i in claim["supportingInfo"] if extensions(i, pas("extension-documentInformation"))]
