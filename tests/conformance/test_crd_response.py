"""CRD answers: tolerant of shape, strict about what may reach an order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import PayerUnreadable
from gateway.profiles.crd_2_2_1 import (
    SystemAction,
    build_hook_response,
    build_update_action,
    match_action,
    order_differences,
    read_hook_response,
)
from tests import pas_samples as sample


def action(resource: dict[str, Any], kind: str = "update") -> SystemAction:
    return read_hook_response({"cards": [], "systemActions": [{"type": kind, "resource": resource}]}).system_actions[0]


def test_actions_are_read_without_a_description() -> None:
    found = action(sample.order())
    assert (found.type, found.description, found.resource["id"]) == ("update", "", "ord1")


@pytest.mark.parametrize("body", [None, [], "x", 3])
def test_what_is_no_object_is_unreadable(body: Any) -> None:
    with pytest.raises(PayerUnreadable):
        read_hook_response(body)


def test_odd_members_are_passed_over() -> None:
    answer = read_hook_response({"cards": "x", "systemActions": [None, {"type": 3, "resource": "x"}]})
    assert answer.cards == ()
    assert answer.system_actions == (SystemAction(type="3", resource={}),)


@pytest.mark.requirement("crd:resp-37")
def test_only_coverage_information_may_differ() -> None:
    sent = sample.order()
    annotated = {**sent, "extension": [sample.coverage_information()], "meta": {"versionId": "8"}, "text": {}}
    assert order_differences(sent, annotated) == []
    assert order_differences(sent, {**annotated, "status": "revoked", "note": [{"text": "x"}]}) == ["note", "status"]
    assert order_differences(sent, {**annotated, "id": "other"}) == ["id"]
    assert order_differences(sent, {**annotated, "id": "idfromcontext"}) == []
    missing = {key: value for key, value in annotated.items() if key != "requester"}
    assert order_differences(sent, missing) == ["requester"]


def test_other_extensions_are_part_of_the_order() -> None:
    sent = {**sample.order(), "extension": [{"url": "urn:x", "valueString": "y"}]}
    assert order_differences(sent, {**sent, "extension": [sample.coverage_information()]}) == ["extension"]


@pytest.mark.requirement("crd:resp-25")
def test_action_is_matched_by_type_and_id() -> None:
    first, second = sample.order(), {**sample.order(), "id": "ord2"}
    assert match_action(action(second), [first, second]) is second
    assert match_action(action({**first, "id": "idfromcontext"}), [first]) is first
    assert match_action(action({**first, "id": "idfromcontext"}), [first, second]) is None
    assert match_action(action({**first, "id": "elsewhere"}), [first]) is None
    assert match_action(action(first, "delete"), [first]) is None
    assert match_action(action({**first, "resourceType": "DeviceRequest"}), [first]) is None


def test_we_answer_with_cards_always() -> None:
    assert build_hook_response() == {"cards": []}
    whole = build_hook_response([], [build_update_action(sample.order(), "Coverage information added.")])
    assert whole["systemActions"][0]["type"] == "update"


def test_published_cards_are_read(corpora: Path) -> None:
    for path in sorted((corpora / "crd" / "card_responses").glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        assert len(read_hook_response({"cards": [card]}).cards) == 1
