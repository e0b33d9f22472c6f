"""What a state means for people: whose move it is, what to do next, whether the case is open."""

from __future__ import annotations

from typing import Any

from gateway.cases.states import CLOSED, DECIDED, CaseState
from gateway.store.rows import Move

_S = CaseState
_MOVES: dict[CaseState, tuple[Move, str]] = {
    _S.RECEIVED: ("nobody", "The gateway asks the payer what is needed."),
    _S.CHECKING: ("nobody", "The gateway asks the payer what is needed."),
    _S.HELD: ("clinician", "Conservative care is incomplete; see what is missing."),
    _S.DOCUMENTING: ("us", "Answer the open questions of the payer's form."),
    _S.READY: ("nobody", "The packet is put together and sealed."),
    _S.SUBMITTING: ("nobody", "The request is on its way."),
    _S.PENDED: ("payer", "The payer is deciding and will notify."),
    _S.APPROVED: ("nobody", "Approved; schedule the service within the authorized period."),
    _S.APPROVED_MODIFIED: ("us", "Approved with changes; compare what was granted with what was asked."),
    _S.PARTIALLY_APPROVED: ("us", "Partly approved; decide about the rest."),
    _S.DENIED: ("us", "Denied; read the reasons, then correct, appeal or discuss with the payer."),
    _S.NOT_REQUIRED: ("nobody", "No authorization is needed."),
    _S.NOT_COVERED: ("us", "Not covered; tell the ordering clinician."),
    _S.DOCUMENTED: ("nobody", "Documentation is complete; no authorization was wanted."),
    _S.NEEDS_ATTENTION: ("us", "Look at the case."),
    _S.CANCELLED: ("nobody", "Cancelled."),
    _S.EXPIRED: ("nobody", "Expired."),
}


def standing(state: CaseState, next_action: str = "") -> dict[str, Any]:
    """Row fields that follow from a state; `next_action` replaces the general sentence."""
    move, sentence = _MOVES[state]
    return {
        "state": state.value,
        "move": move,
        "next_action": next_action or sentence,
        "is_open": state not in DECIDED | CLOSED,
    }
