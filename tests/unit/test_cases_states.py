"""The states of a case and the moves between them."""

from __future__ import annotations

import pytest

from gateway.cases.states import CLOSED, DECIDED, MOVING, OPEN, RESTING, TRANSITIONS, CaseState, require_transition
from gateway.errors import Conflict


def test_every_state_has_a_row_and_a_place() -> None:
    assert set(TRANSITIONS) == set(CaseState)
    assert frozenset(CaseState) == OPEN | DECIDED | CLOSED
    assert not OPEN & DECIDED
    assert not OPEN & CLOSED
    assert frozenset(CaseState) == RESTING | MOVING


def test_no_state_follows_itself() -> None:
    assert all(state not in following for state, following in TRANSITIONS.items())


def test_every_state_but_received_can_be_reached() -> None:
    reached = {CaseState.RECEIVED}
    for _ in CaseState:
        reached |= {following for state in reached for following in TRANSITIONS[state]}
    assert reached == set(CaseState)


@pytest.mark.parametrize("state", sorted(set(CaseState) - {CaseState.CANCELLED, CaseState.EXPIRED}))
def test_every_live_state_can_ask_for_a_person(state: CaseState) -> None:
    assert state is CaseState.NEEDS_ATTENTION or CaseState.NEEDS_ATTENTION in TRANSITIONS[state]


@pytest.mark.parametrize(
    ("current", "following"),
    [
        ("received", "checking"),
        ("checking", "held"),
        ("held", "documenting"),
        ("documenting", "documented"),
        ("documenting", "ready"),
        ("ready", "submitting"),
        ("submitting", "pended"),
        ("submitting", "not_required"),
        ("pended", "approved_modified"),
        ("approved", "submitting"),
        ("denied", "approved"),
        ("not_required", "checking"),
    ],
)
def test_the_way_of_an_order_is_open(current: str, following: str) -> None:
    require_transition(CaseState(current), CaseState(following))


@pytest.mark.parametrize(
    ("current", "following"),
    [
        ("received", "submitting"),
        ("held", "submitting"),
        ("documenting", "submitting"),
        ("received", "approved"),
        ("ready", "approved"),
        ("not_required", "approved"),
        ("cancelled", "checking"),
        ("submitting", "documented"),
        ("pended", "held"),
    ],
)
def test_a_shortcut_is_refused(current: str, following: str) -> None:
    with pytest.raises(Conflict) as refusal:
        require_transition(CaseState(current), CaseState(following))
    assert refusal.value.reason == "case.transition"
