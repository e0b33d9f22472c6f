"""Who may do what to which case: role × action × state × tenant × purpose, denied by default.

The matrix is tables/access.toml. A foreign tenant's case reads as one that does not exist.
Source: design.md §5, security T14, T16.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from gateway.cases.states import CaseState
from gateway.errors import AccessError, Conflict, NotFound
from gateway.policy.tables import read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, from credentials only."""

    id: str
    """Client or person."""
    tenant: str
    """Tenant of the credentials; never taken from a request."""
    roles: frozenset[str]
    """Roles of the credentials."""
    purpose: str = ""
    """Purpose of use (v3-ActReason) where the caller states one; it must be among those of the role."""
    stepped_up: bool = False
    """Proved who they are within the last minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """What access needs to know of a case."""

    tenant: str
    """Tenant that owns it."""
    state: CaseState
    """State it is in."""
    prepared_by: frozenset[str] = frozenset()
    """Callers who answered or completed its forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDecision:
    """Allowed, or refused and why."""

    allowed: bool
    """Whether the action may go on."""
    refusal: str = ""
    """`tenant`, `action`, `role`, `purpose`, `state`, `step-up` or `separation`; empty when allowed."""
    why: str = ""
    """Sentence for the caller; empty when allowed."""


ALLOWED = AccessDecision(allowed=True)


def actions() -> tuple[str, ...]:
    """Every action with a row, in the order of the table."""
    return tuple(read_table("access")["actions"])


def roles() -> tuple[str, ...]:
    """Every role with a row, in the order of the table."""
    return tuple(read_table("access")["roles"])


def decide_access(
    caller: Caller, action: str, case: CaseFacts | None = None, *, separate_duties: bool = False
) -> AccessDecision:
    """Whether `caller` may do `action`, to `case` where one is concerned.

    Steps: (1) tenant, so that nothing else can reveal a foreign case; (2) a row for the action;
    (3) a role of it; (4) the purpose; (5) the state; (6) step-up; (7) separation of duties, where the
    tenant asks for it.
    """
    if case is not None and case.tenant != caller.tenant:  # (1)
        return _refuse("tenant", "There is no such case.")
    row = read_table("access")["actions"].get(action)
    if row is None:  # (2)
        return _refuse("action", "This action is not known.")
    holding = caller.roles & frozenset(row["roles"])
    if not holding:  # (3)
        return _refuse("role", "Your role does not include this action; ask a colleague who has it.")
    if not _purpose_fits(holding, caller.purpose):  # (4)
        return _refuse("purpose", "The stated purpose of use does not allow this.")
    return _by_case(caller, row, case, separate_duties)


def _by_case(caller: Caller, row: dict[str, Any], case: CaseFacts | None, separate_duties: bool) -> AccessDecision:
    states: Collection[str] = row.get("states", ())
    if states and case is not None and case.state.value not in states:  # (5)
        return _refuse("state", f"This cannot be done while the case is {case.state.value.replace('_', ' ')}.")
    if row.get("step_up") and not caller.stepped_up:  # (6)
        return _refuse("step-up", "Sign in again to confirm that it is you.")
    if separate_duties and row.get("not_preparer") and case is not None and caller.id in case.prepared_by:  # (7)
        return _refuse("separation", "Another person must do this, because you prepared it.")
    return ALLOWED


def require_access(
    caller: Caller, action: str, case: CaseFacts | None = None, *, separate_duties: bool = False
) -> None:
    """Go on, or raise: `NotFound` for a foreign case, `Conflict` for a state, `AccessError` otherwise."""
    decision = decide_access(caller, action, case, separate_duties=separate_duties)
    if decision.allowed:
        return
    if decision.refusal == "tenant":
        raise NotFound(decision.why)
    if decision.refusal == "state":
        raise Conflict(decision.why, code="case.state")
    raise AccessError(decision.why, code=f"access.{decision.refusal}")


def _purpose_fits(holding: Collection[str], purpose: str) -> bool:
    table = read_table("access")["roles"]
    return not purpose or any(purpose in table[role]["purposes"] for role in holding)


def _refuse(refusal: str, why: str) -> AccessDecision:
    return AccessDecision(allowed=False, refusal=refusal, why=why)
