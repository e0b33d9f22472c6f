"""One decision for a case from a payer's answer, item by item.

The review action code decides, never `outcome` (except *error*) and never `disposition`. A code that
nobody here knows goes to a person and leaves the case open. Source: pas:spec-34, spec-36, spec-37;
spec/pas.md §5 (the roll-up is ours).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from gateway.cases.decisions import (
    AuthorizationNumber,
    CaseDecision,
    Decision,
    DenialReason,
    ItemDecision,
    NumberKind,
)
from gateway.cases.states import CaseState
from gateway.profiles.pas_2_2_1 import ItemReview, PasAnswer

_D = Decision
_CODES = {
    "A1": _D.APPROVED,
    "A2": _D.PARTIALLY_APPROVED,
    "A3": _D.DENIED,
    "A4": _D.PENDED,
    "A6": _D.APPROVED_MODIFIED,
    "C": _D.CANCELLED,
    "CT": _D.CONTACT_PAYER,
    "NA": _D.NOT_REQUIRED,
}
_GRANTED = frozenset({_D.APPROVED, _D.PARTIALLY_APPROVED, _D.APPROVED_MODIFIED})
_UNCLEAR = frozenset({_D.CONTACT_PAYER, _D.UNKNOWN})
_KINDS = {
    "authorization": NumberKind.PREVIOUS_AUTHORIZATION,
    "administration": NumberKind.ADMINISTRATION_REFERENCE,
    "pre-auth-ref": NumberKind.PRE_AUTH_REFERENCE,
}
_STATES = {
    _D.APPROVED: CaseState.APPROVED,
    _D.APPROVED_MODIFIED: CaseState.APPROVED_MODIFIED,
    _D.PARTIALLY_APPROVED: CaseState.PARTIALLY_APPROVED,
    _D.DENIED: CaseState.DENIED,
    _D.PENDED: CaseState.PENDED,
    _D.CANCELLED: CaseState.CANCELLED,
    _D.NOT_REQUIRED: CaseState.NOT_REQUIRED,
}
_NEXT = {
    _D.APPROVED_MODIFIED: "Compare what the payer authorized with the order.",
    _D.PARTIALLY_APPROVED: "Look at each item: what was granted, what was not, and why.",
    _D.DENIED: "Read the payer's reasons; a new request or an appeal is possible.",
    _D.CONTACT_PAYER: "Call the payer about this request.",
    _D.UNKNOWN: "Read the payer's answer; it uses a review code that is not known here.",
    _D.ERRORED: "Correct the data the payer names and send a new request.",
}


def decide_roll_up(
    answer: PasAnswer,
    *,
    previous: Sequence[ItemDecision] = (),
    submitted: Collection[int] = (),
    is_update: bool = False,
) -> CaseDecision:
    """One decision for a case from the payer's answer.

    `previous` are the items' decisions before: an item that the answer leaves out keeps its own.
    `submitted` are the sequences we sent; one that has neither answer nor earlier decision is unknown.
    `is_update`: the answer is to an update, where A3 may refuse the update only. Denial is a value;
    nothing is raised. Steps: (1) errors; (2) a pend; (3) what a person must read; (4) all alike;
    (5) a mixture.
    """
    items = _items(answer, previous, submitted)
    words = [item.decision for item in items] or _header_word(answer)
    findings = list(answer.remarks)
    word = _roll_up(words)
    errors = bool(answer.errors) or answer.outcome == "error"
    decided = any(found is not _D.UNKNOWN for found in words)
    if errors and not decided:  # (1)
        return _case(answer, items, _D.ERRORED, CaseState.NEEDS_ATTENTION, findings)
    state = _STATES.get(word, CaseState.NEEDS_ATTENTION)
    for finding in _person_needed(answer, word, errors, is_update):
        findings.append(finding)
        state = CaseState.NEEDS_ATTENTION
    return _case(answer, items, word, state, findings)


def _roll_up(words: Sequence[Decision]) -> Decision:
    """One word from the items' words; empty input is unknown."""
    kinds = set(words)
    if _D.PENDED in kinds:  # (2)
        return _D.PENDED
    if not kinds or kinds & _UNCLEAR:  # (3)
        return _D.CONTACT_PAYER if kinds == {_D.CONTACT_PAYER} else _D.UNKNOWN
    if len(kinds) == 1:  # (4)
        return kinds.pop()
    return _mixture(kinds)  # (5)


def _mixture(kinds: set[Decision]) -> Decision:
    if kinds <= {_D.APPROVED, _D.APPROVED_MODIFIED}:
        return _D.APPROVED_MODIFIED
    if kinds & _GRANTED:
        return _D.PARTIALLY_APPROVED
    return _D.DENIED if _D.DENIED in kinds else _D.UNKNOWN


def _person_needed(answer: PasAnswer, word: Decision, errors: bool, is_update: bool) -> Iterable[str]:
    """Reasons to hand a decided answer to a person first; none for a plain one."""
    if errors:
        yield "the answer carries errors beside its decisions"
    if any(item.action_code == "A3" and _grants_instead(item) for item in answer.items):
        yield "an item was refused and something else granted in its place"
    if is_update and word in (_D.DENIED, _D.PARTIALLY_APPROVED) and _codes(answer) & {"A3"}:
        yield "an update was refused; the earlier authorization may still stand"
    if any(item.action_code == "A2" and not _says_what(item) for item in answer.items):
        yield "certified in part, and the answer does not say which part"


def _grants_instead(item: ItemReview) -> bool:
    return any(added.action_code in ("A1", "A2", "A6") for added in item.add_items)


def _says_what(item: ItemReview) -> bool:
    return bool(item.add_items or item.authorized_detail or item.notes)


def _codes(answer: PasAnswer) -> set[str | None]:
    return {item.action_code for item in answer.items}


def _items(answer: PasAnswer, previous: Sequence[ItemDecision], submitted: Collection[int]) -> tuple[ItemDecision, ...]:
    found = {item.sequence: item for item in previous}
    for review in answer.items:
        decided = _item(review)
        found[decided.sequence] = decided
    for sequence in submitted:
        if answer.items and sequence not in found:
            found[sequence] = ItemDecision(sequence=sequence, decision=_D.UNKNOWN)
    return tuple(found[sequence] for sequence in sorted(found))


def _item(review: ItemReview) -> ItemDecision:
    sequence = review.sequence or 0
    decision = _CODES.get(review.action_code or "", _D.UNKNOWN)
    reasons = [DenialReason(code=reason.code, text=reason.text, item_sequence=sequence) for reason in review.reasons]
    return ItemDecision(
        sequence=sequence,
        decision=decision,
        action_code=review.sent_code or review.action_code,
        number=review.number,
        reasons=_with_notes(reasons, review.notes, sequence),
        notes=review.notes,
    )


def _with_notes(reasons: list[DenialReason], notes: Sequence[str], sequence: int) -> tuple[DenialReason, ...]:
    """Reasons with the notes as their words: a lone code takes them, otherwise they stand beside."""
    if len(reasons) == 1 and not reasons[0].text and notes:
        return (replace(reasons[0], text=" ".join(notes)),)
    return (*reasons, *(DenialReason(text=note, item_sequence=sequence) for note in notes))


def _header_word(answer: PasAnswer) -> list[Decision]:
    header = answer.header_review
    return [_CODES.get(header.action_code or "", _D.UNKNOWN)] if header else []


def _case(
    answer: PasAnswer, items: tuple[ItemDecision, ...], word: Decision, state: CaseState, findings: list[str]
) -> CaseDecision:
    refused = [item for item in items if item.decision not in _GRANTED | {_D.CANCELLED, _D.NOT_REQUIRED, _D.PENDED}]
    reasons = [reason for item in refused for reason in item.reasons]
    if answer.header_review and not reasons and word not in _GRANTED:
        reasons = [DenialReason(code=reason.code, text=reason.text) for reason in answer.header_review.reasons]
    reasons += [
        DenialReason(code=error.code, text=error.text, item_sequence=error.item_sequence) for error in answer.errors
    ]
    return CaseDecision(
        state=state,
        decision=word,
        items=items,
        authorization_numbers=_numbers(answer, items, word),
        denial_reasons=tuple(reasons),
        next_action=_next_action(answer, word, state, findings),
        findings=tuple(findings),
    )


def _next_action(answer: PasAnswer, word: Decision, state: CaseState, findings: list[str]) -> str:
    if word is _D.PENDED and answer.document_requests:
        number = len(answer.document_requests)
        return (
            "Answer the payer's request for information." if number == 1 else f"Answer the payer's {number} requests."
        )
    if word is _D.DENIED and state is CaseState.DENIED and not any(item.reasons for item in map(_item, answer.items)):
        return "The payer gave no reason; ask for the specific reason."
    if state is CaseState.NEEDS_ATTENTION and word not in (_D.UNKNOWN, _D.CONTACT_PAYER, _D.ERRORED):
        return f"Read the payer's answer: {findings[-1]}." if findings else _NEXT[_D.UNKNOWN]
    return _NEXT.get(word, "")


def _numbers(answer: PasAnswer, items: tuple[ItemDecision, ...], word: Decision) -> tuple[AuthorizationNumber, ...]:
    """All numbers with their kind; a review number is an authorization only where the item is granted."""
    granted = {item.sequence for item in items if item.decision in _GRANTED}
    granted |= {review.sequence or 0 for review in answer.items if _grants_instead(review)}
    found = []
    for number in answer.numbers:
        own = (number.sequence or 0) in granted if number.sequence is not None else word in _GRANTED
        kind = _KINDS.get(number.kind) or (NumberKind.AUTHORIZATION if own else NumberKind.REVIEW)
        found.append(AuthorizationNumber(number=number.value, kind=kind, item_sequence=number.sequence))
    return tuple(dict.fromkeys(found))
