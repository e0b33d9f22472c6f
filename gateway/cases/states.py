"""The states of a case and the moves between them.

A move is allowed or it is not; what makes it happen is decided elsewhere. Source: design.md §4.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.errors import Conflict


class CaseState(StrEnum):
    """Where one order stands."""

    RECEIVED = "received"
    """The order is stored and its bytes are digested; nothing was asked yet."""
    CHECKING = "checking"
    """The payer is asked what is needed and our clinical rules are evaluated."""
    HELD = "held"
    """Conservative care is running or a gap was accepted; a due row wakes the case."""
    DOCUMENTING = "documenting"
    """Forms are fetched and prefilled; people answer what the chart could not."""
    READY = "ready"
    """The packet is assembled and sealed; it waits for release."""
    SUBMITTING = "submitting"
    """The intent is stored and the request is on its way; the outcome is not known."""
    PENDED = "pended"
    """The payer holds the request and will notify, or asked for more."""
    APPROVED = "approved"
    """Every item is certified in total."""
    APPROVED_MODIFIED = "approved_modified"
    """Every item is granted, at least one of them changed."""
    PARTIALLY_APPROVED = "partially_approved"
    """Something is granted and something is not."""
    DENIED = "denied"
    """No item is certified."""
    NOT_REQUIRED = "not_required"
    """The payer says that no authorization is needed, or that one on file satisfies it."""
    NOT_COVERED = "not_covered"
    """The payer says that the service is not covered."""
    DOCUMENTED = "documented"
    """No authorization was wanted, documentation was: sealed, kept and handed to the EHR."""
    NEEDS_ATTENTION = "needs_attention"
    """A person must act; the case says what to do."""
    CANCELLED = "cancelled"
    """Closed because the order or the request was withdrawn."""
    EXPIRED = "expired"
    """Closed because its time ran out."""


_S = CaseState

DECIDED: Final = frozenset({_S.APPROVED, _S.APPROVED_MODIFIED, _S.PARTIALLY_APPROVED, _S.DENIED})
"""The payer has decided every item."""
CLOSED: Final = frozenset({_S.NOT_REQUIRED, _S.NOT_COVERED, _S.DOCUMENTED, _S.CANCELLED, _S.EXPIRED})
"""Nothing is left to do unless something new is learned."""
MOVING: Final = frozenset({_S.RECEIVED, _S.CHECKING, _S.SUBMITTING})
"""The gateway itself has work under way."""
RESTING: Final = frozenset(CaseState) - MOVING
"""Nothing happens until a person, a payer or a date acts. `ready` rests only where a person releases."""
OPEN: Final = frozenset(CaseState) - DECIDED - CLOSED
"""Work remains before the case has an answer."""

_ANSWERS = DECIDED | {_S.PENDED, _S.NOT_REQUIRED, _S.CANCELLED}
_BEFORE_SENDING = frozenset(
    {_S.CHECKING, _S.HELD, _S.DOCUMENTING, _S.READY, _S.NOT_REQUIRED, _S.NOT_COVERED, _S.DOCUMENTED, _S.EXPIRED}
)
_ALWAYS = frozenset({_S.NEEDS_ATTENTION, _S.CANCELLED})

TRANSITIONS: Final[dict[CaseState, frozenset[CaseState]]] = {
    _S.RECEIVED: frozenset({_S.CHECKING, _S.EXPIRED}) | _ALWAYS,
    _S.CHECKING: (_BEFORE_SENDING - {_S.CHECKING}) | _ALWAYS,
    _S.HELD: frozenset({_S.CHECKING, _S.DOCUMENTING, _S.READY, _S.EXPIRED}) | _ALWAYS,
    _S.DOCUMENTING: (_BEFORE_SENDING - {_S.DOCUMENTING}) | _ALWAYS,
    _S.READY: frozenset({_S.CHECKING, _S.HELD, _S.DOCUMENTING, _S.SUBMITTING, _S.EXPIRED}) | _ALWAYS,
    _S.SUBMITTING: _ANSWERS | {_S.READY, _S.NEEDS_ATTENTION},
    _S.PENDED: (_ANSWERS - {_S.PENDED}) | {_S.DOCUMENTING, _S.SUBMITTING, _S.NEEDS_ATTENTION, _S.EXPIRED},
    **{
        decided: (_ANSWERS - {decided}) | {_S.CHECKING, _S.DOCUMENTING, _S.SUBMITTING, _S.NEEDS_ATTENTION, _S.EXPIRED}
        for decided in DECIDED
    },
    **{closed: frozenset({_S.CHECKING, _S.EXPIRED}) | _ALWAYS for closed in CLOSED - {_S.CANCELLED, _S.EXPIRED}},
    _S.NEEDS_ATTENTION: frozenset(CaseState) - {_S.RECEIVED, _S.NEEDS_ATTENTION},
    _S.CANCELLED: frozenset(),
    _S.EXPIRED: frozenset({_S.CHECKING, _S.CANCELLED}),
}
"""What may follow what. A decided case may be decided anew: payers revise, updates and appeals are answered."""


def require_transition(current: CaseState, following: CaseState) -> None:
    """Accept the move, or raise `Conflict` (`case.transition`). Staying where one is, is not a move."""
    if following not in TRANSITIONS[current]:
        raise Conflict(
            f"A case that is {current.value} cannot become {following.value}; look at the case again.",
            code="case.transition",
        )
