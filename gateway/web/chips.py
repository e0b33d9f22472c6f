"""Status chips: a word, a shape and a colour, so that none of the three is needed alone.

The word follows from the state and the payer's decision, never from `outcome` (spec/ux.md §2, pas.md §5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """What a case's status looks like."""

    word: str
    """What people read."""
    shape: str
    """Shape drawn before the word: see templates/_macros.html."""
    tone: str
    """Colour: quiet, work, alert, wait, good, partly or bad."""


_STATES: Final[Mapping[str, tuple[str, str, str]]] = {
    "received": ("New", "ring", "quiet"),
    "checking": ("Checking coverage", "ring", "quiet"),
    "held": ("On hold", "bars", "wait"),
    "documenting": ("Form in progress", "square", "work"),
    "ready": ("Ready to send", "square", "work"),
    "submitting": ("Sending", "ring", "quiet"),
    "pended": ("Pended", "half", "wait"),
    "approved": ("Approved", "check", "good"),
    "approved_modified": ("Approved with changes", "check", "partly"),
    "partially_approved": ("Partly approved", "half", "partly"),
    "denied": ("Denied", "cross", "bad"),
    "not_required": ("No auth needed", "check", "good"),
    "not_covered": ("Not covered", "cross", "bad"),
    "documented": ("Documented", "check", "good"),
    "needs_attention": ("Needs attention", "triangle", "alert"),
    "cancelled": ("Cancelled", "dash", "quiet"),
    "expired": ("Expired", "dash", "quiet"),
}
_ATTENTION: Final[Mapping[str, str]] = {
    "contact_payer": "Contact payer",
    "errored": "Payer error",
    "unknown": "Needs review",
}
DECISIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "approved": ("Approved", "check", "good"),
    "approved_modified": ("Approved with changes", "check", "partly"),
    "partially_approved": ("Partly approved", "half", "partly"),
    "denied": ("Denied", "cross", "bad"),
    "pended": ("Pended", "half", "wait"),
    "cancelled": ("Cancelled", "dash", "quiet"),
    "not_required": ("No auth needed", "check", "good"),
    "contact_payer": ("Contact payer", "triangle", "alert"),
    "errored": ("Payer error", "triangle", "alert"),
    "unknown": ("Needs review", "triangle", "alert"),
}
_DAYS: Final = re.compile(r"Day (\d+) of (\d+)\b")
"""How a line of the clinical check (gateway/clinical/criteria_lines.py) begins."""
MOVES: Final[Mapping[str, str]] = {
    "us": "Us",
    "clinician": "Clinician",
    "patient": "Patient",
    "payer": "Payer",
    "nobody": "Nobody",
}
"""Whose move it is, as the worklist says it."""


def state_words() -> dict[str, str]:
    """State → word, for filters, in the order in which a case goes through them."""
    return {state: word for state, (word, _, _) in _STATES.items()}


def case_chip(case: Any, facts: Any) -> Chip:
    """The chip of a case: its state, made more exact by what the case remembers."""
    word, shape, tone = _STATES.get(case.state, (str(case.state), "ring", "quiet"))
    if case.state == "needs_attention":
        word = _ATTENTION.get(case.decision, word)
    elif case.state == "held":
        word = _held_word(facts)
    elif case.state == "pended" and open_requests(facts):
        word, shape, tone = "Payer asks for more", "triangle", "alert"
    elif case.state == "not_required" and facts.satisfied_number:
        word = "Satisfied"
    elif case.state == "documenting" and not any(form.response for form in facts.forms):
        word, shape, tone = "Prefilling", "ring", "quiet"
    elif case.state == "ready" and not facts.document:
        word, shape, tone = "Assembling", "ring", "quiet"
    elif case.state == "submitting" and facts.wait == "send":
        word, shape, tone = "Transport failed, trying again", "triangle", "wait"
    return Chip(word=word, shape=shape, tone=tone)


def _held_word(facts: Any) -> str:
    """`On hold: day 21 of 42` where a line of the clinical check says which day it is."""
    days = next((match for line in facts.lines if (match := _DAYS.match(line))), None)
    return f"On hold: day {days.group(1)} of {days.group(2)}" if days else "On hold"


def decision_chip(decision: str) -> Chip:
    """The chip of one item's decision."""
    word, shape, tone = DECISIONS.get(decision, ("Needs review", "triangle", "alert"))
    return Chip(word=word, shape=shape, tone=tone)


def open_requests(facts: Any) -> int:
    """How many documents the payer waits for."""
    return sum(not request.attachment for request in facts.requests)


def move_of(case: Any, facts: Any) -> str:
    """Whose move it is, in a word: ours wherever the payer waits for a document."""
    is_ours = case.state == "pended" and open_requests(facts)
    return MOVES["us"] if is_ours else MOVES.get(case.move, str(case.move))
