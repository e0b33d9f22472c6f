"""Who may do what: the whole matrix of the table, and everything else refused."""

from __future__ import annotations

import itertools

import pytest

from gateway.cases.states import CaseState
from gateway.errors import AccessError, Conflict, NotFound
from gateway.policy.access import Caller, CaseFacts, actions, decide_access, require_access, roles
from gateway.policy.tables import read_table

ROWS = read_table("access")["actions"]


def _caller(role: str, **more: object) -> Caller:
    return Caller(id="c", tenant="t", roles=frozenset({role}), stepped_up=True, **more)  # type: ignore[arg-type]


@pytest.mark.threat("T16")
@pytest.mark.parametrize(("role", "action"), list(itertools.product([*roles(), "stranger"], [*actions(), "no.such"])))
def test_matrix(role: str, action: str) -> None:
    listed = action in ROWS and role in ROWS[action]["roles"]
    assert decide_access(_caller(role), action).allowed is listed


@pytest.mark.threat("T16")
@pytest.mark.parametrize(("state", "action"), list(itertools.product(CaseState, actions())))
def test_an_action_needs_a_state_that_fits(state: CaseState, action: str) -> None:
    row = ROWS[action]
    case = CaseFacts(tenant="t", state=state)
    fits = "states" not in row or state.value in row["states"]
    assert decide_access(_caller(row["roles"][0]), action, case).allowed is fits


def test_the_table_names_only_known_roles_and_states() -> None:
    for row in ROWS.values():
        assert set(row["roles"]) <= set(roles())
        assert {CaseState(state) for state in row.get("states", ())} <= set(CaseState)


@pytest.mark.threat("T14")
@pytest.mark.parametrize("action", actions())
def test_a_foreign_case_does_not_exist(action: str) -> None:
    for role in roles():
        with pytest.raises(NotFound):
            require_access(_caller(role), action, CaseFacts(tenant="other", state=CaseState.READY))


def test_the_operator_sees_no_case() -> None:
    case_actions = [action for action in actions() if action.startswith(("case.", "form.", "fhir.", "worklist."))]
    assert not any(decide_access(_caller("operator"), action).allowed for action in case_actions)


def test_only_auditors_take_evidence_out() -> None:
    assert [role for role in roles() if decide_access(_caller(role), "case.evidence").allowed] == ["auditor"]


def test_attestation_needs_a_fresh_sign_in() -> None:
    caller = Caller(id="c", tenant="t", roles=frozenset({"clinician"}))
    with pytest.raises(AccessError) as refusal:
        require_access(caller, "red_flag.attest", CaseFacts(tenant="t", state=CaseState.HELD))
    assert refusal.value.reason == "access.step-up"


@pytest.mark.parametrize("separate", [True, False])
def test_the_preparer_does_not_attest_where_duties_are_separate(separate: bool) -> None:
    case = CaseFacts(tenant="t", state=CaseState.HELD, prepared_by=frozenset({"c"}))
    decision = decide_access(_caller("clinician"), "red_flag.attest", case, separate_duties=separate)
    assert decision.allowed is not separate


@pytest.mark.parametrize(("purpose", "allowed"), [("", True), ("HPAYMT", True), ("TREAT", False), ("HMARKT", False)])
def test_a_stated_purpose_must_belong_to_the_role(purpose: str, allowed: bool) -> None:
    assert decide_access(_caller("staff", purpose=purpose), "case.read").allowed is allowed


def test_the_wrong_state_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        require_access(_caller("staff"), "case.release", CaseFacts(tenant="t", state=CaseState.APPROVED))
