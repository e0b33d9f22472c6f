"""Trouble that others had with the guides' messages: the reading side of areas `crd`, `pas`, `profiles`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.codes import icd10_equal, is_known_system, normalise_coding, normalise_icd10, same_code
from gateway.fhir.extensions import extension_values
from gateway.profiles.crd_2_2_1 import build_hook_response, fill_prefetch, read_hook_response
from gateway.profiles.pas_2_2_1 import (
    CareTeamMember,
    PasItem,
    build_request_bundle,
    build_subscription,
    read_notification,
    read_pas_answer,
)
from gateway.profiles.urls import pas
from tests import pas_samples as sample


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["id"]: case for case in map(json.loads, lines)}


def test_b79_token_without_value_leaves_its_key_out(cases: dict[str, Any]) -> None:
    given = cases["B79"]["input"]
    asked: list[str] = []

    def find(query: str) -> dict[str, Any]:
        asked.append(query)
        return {"resourceType": "Patient", "id": "1"}

    value = fill_prefetch(given["templates"], given["context"], find)
    assert set(value) == {"b"}
    assert asked == ["Patient/1"]


def test_b83_answer_without_cards_is_accepted(cases: dict[str, Any]) -> None:
    bodies, accepted = cases["B83"]["input"]["bodies"], cases["B83"]["expected"]["accepted"]
    assert [read_hook_response(body).cards == () for body in bodies] == accepted
    assert [bool(read_hook_response(body).notes) for body in bodies] == [True, True, False]
    assert build_hook_response()["cards"] == []


B85 = {"base": ("A4", ""), "denied": ("A3", ""), "approved": ("A1", "AUTH0001"), "misleading": ("A3", "")}


@pytest.mark.parametrize(("variant", "read"), B85.items())
def test_b85_decision_is_read_from_the_review_action(
    cases: dict[str, Any], variant: str, read: tuple[str, str]
) -> None:
    given = cases["B85"]["input"]
    response = given["claimresponse"] if variant == "base" else given["variants"][variant]
    answer = read_pas_answer(response)
    assert [(item.action_code, item.number) for item in answer.items] == [read]
    assert any("disposition disagrees" in remark for remark in answer.remarks) is (variant == "misleading")


B87 = {
    "base": (None, "D1", ""),
    "p1": (None, "P1", ""),
    "no_code": (None, "", "X"),
    "valueset_url_as_system": ("A3", "A3", ""),
    "lower": (None, "a3", ""),
}


@pytest.mark.parametrize(("variant", "read"), B87.items())
def test_b87_unknown_codes_are_kept_and_not_understood(
    cases: dict[str, Any], variant: str, read: tuple[Any, ...]
) -> None:
    given = cases["B87"]["input"]
    response = given["claimresponse"] if variant == "base" else given["variants"][variant]
    (item,) = read_pas_answer(response).items
    assert (item.action_code, item.sent_code, item.number) == read


def test_b89_missing_parts_are_listed(cases: dict[str, Any]) -> None:
    answer = read_pas_answer(cases["B89"]["input"]["bundle"])
    assert (answer.items[0].action_code, answer.items[0].number) == ("A1", "N")
    assert set(answer.missing_references) == set(cases["B89"]["expected"]["missing"])


def test_b91_notification_without_status_and_counters(cases: dict[str, Any]) -> None:
    message = read_notification(cases["B91"]["input"]["bundle"])
    (event,) = message.events
    assert event.number == cases["B91"]["expected"]["event_number"]
    assert event.response_bundle is not None
    assert read_pas_answer(event.response_bundle).items[0].number == "N"
    others = [read_notification(body) for body in cases["B91"]["input"]["also"]]
    assert [(other.type, other.events) for other in others] == [("handshake", ()), ("heartbeat", ())]


def test_b95_every_care_team_member_says_its_scope(cases: dict[str, Any]) -> None:
    code = sample.order()["code"]
    anaesthetist = CareTeamMember(
        provider=sample.role("anaesthetist", "prac2"),
        practitioner=sample.practitioner("prac2", "1999912011"),
        item_sequences=(2,),
    )
    items = (PasItem(sequence=1, product_or_service=code), PasItem(sequence=2, product_or_service=code))
    bundle = build_request_bundle(sample.request(care_team=(anaesthetist,), items=items), sample.uuids())
    claim, expected = sample.claim_of(bundle), cases["B95"]["expected"]
    scopes = [extension_values(member, pas("extension-careTeamClaimScope")) for member in claim["careTeam"]]
    assert scopes == [(expected["surgeon"],), (expected["anaesthetist"],)]
    assert claim["item"][1]["careTeamSequence"] == [claim["careTeam"][1]["sequence"]]
    held = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert {held[member["provider"]["reference"]] for member in claim["careTeam"]} == {"PractitionerRole"}


def test_b97_hcpcs_is_known_under_its_names_only(cases: dict[str, Any]) -> None:
    incoming, expected = cases["B97"]["input"]["incoming"], cases["B97"]["expected"]
    assert [same_code(incoming[0], coding) for coding in incoming] == expected["same_code"]
    assert [normalise_coding(coding)["system"] for coding in incoming[:3]] == [expected["we_emit"]] * 3
    assert not is_known_system(incoming[3]["system"])


def test_b99_icd10_with_and_without_its_dot(cases: dict[str, Any]) -> None:
    pairs, expected = cases["B99"]["input"]["pairs"], cases["B99"]["expected"]
    assert [icd10_equal(left, right) for left, right in pairs] == expected["match"]
    assert [normalise_icd10(left) for left, _ in pairs] == expected["we_emit"]


def test_b101_subscription_status_of_r4b_is_understood_and_noted(cases: dict[str, Any]) -> None:
    message = read_notification(cases["B101"]["input"]["bundle"])
    assert (message.type, [event.number for event in message.events]) == ("event-notification", [2])
    assert any("R4B" in note for note in message.notes)
    assert "SubscriptionStatus" not in str(build_subscription("https://gw.example.org/n", "X"))
