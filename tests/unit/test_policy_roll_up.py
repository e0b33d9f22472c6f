"""One decision from a payer's answer: by review action codes, never by outcome or disposition."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cases.decisions import Decision, ItemDecision, NumberKind
from gateway.cases.states import CaseState
from gateway.policy.roll_up import decide_roll_up
from gateway.profiles.pas_2_2_1 import (
    AddedItem,
    BusinessError,
    DocumentRequest,
    HeaderReview,
    ItemReview,
    PasAnswer,
    ReviewReason,
)
from gateway.profiles.pas_records import AuthorizationNumber

S = CaseState
D = Decision


def _item(code: str | None, sequence: int = 1, **more: Any) -> ItemReview:
    known = code if code in {"A1", "A2", "A3", "A4", "A6", "C", "CT", "NA"} else None
    return ItemReview(sequence=sequence, action_code=known, sent_code=code or "", **more)


def _added(code: str) -> AddedItem:
    return AddedItem(
        item_sequences=(1,),
        action_code=code,
        sent_code=code,
        number="G1",
        reasons=(),
        product_or_service={},
        quantity={},
        period=None,
        notes=(),
    )


def _answer(*items: ItemReview, **more: Any) -> PasAnswer:
    numbers = tuple(
        AuthorizationNumber(kind="review", value=item.number, sequence=item.sequence) for item in items if item.number
    )
    basic: dict[str, Any] = {
        "errors": (),
        "document_requests": (),
        "outcome": "complete",
        "disposition": "",
        "notes": (),
        "missing_references": (),
        "header_review": None,
        "numbers": numbers,
    }
    return PasAnswer(items=items, **{**basic, **more})


@pytest.mark.requirement("pas:spec-34")
@pytest.mark.parametrize(
    ("codes", "state", "word"),
    [
        (["A1"], S.APPROVED, D.APPROVED),
        (["A3"], S.DENIED, D.DENIED),
        (["A4"], S.PENDED, D.PENDED),
        (["A6"], S.APPROVED_MODIFIED, D.APPROVED_MODIFIED),
        (["C"], S.CANCELLED, D.CANCELLED),
        (["NA"], S.NOT_REQUIRED, D.NOT_REQUIRED),
        (["CT"], S.NEEDS_ATTENTION, D.CONTACT_PAYER),
        (["D1"], S.NEEDS_ATTENTION, D.UNKNOWN),
        ([None], S.NEEDS_ATTENTION, D.UNKNOWN),
        ([], S.NEEDS_ATTENTION, D.UNKNOWN),
        (["A1", "A1"], S.APPROVED, D.APPROVED),
        (["A1", "A4"], S.PENDED, D.PENDED),
        (["A3", "A4"], S.PENDED, D.PENDED),
        (["D1", "A4"], S.PENDED, D.PENDED),
        (["A1", "A3"], S.PARTIALLY_APPROVED, D.PARTIALLY_APPROVED),
        (["A1", "A6"], S.APPROVED_MODIFIED, D.APPROVED_MODIFIED),
        (["A6", "A3"], S.PARTIALLY_APPROVED, D.PARTIALLY_APPROVED),
        (["A1", "C"], S.PARTIALLY_APPROVED, D.PARTIALLY_APPROVED),
        (["A1", "NA"], S.PARTIALLY_APPROVED, D.PARTIALLY_APPROVED),
        (["A3", "C"], S.DENIED, D.DENIED),
        (["C", "NA"], S.NEEDS_ATTENTION, D.UNKNOWN),
        (["A1", "CT"], S.NEEDS_ATTENTION, D.UNKNOWN),
        (["A1", "P1"], S.NEEDS_ATTENTION, D.UNKNOWN),
    ],
)
def test_roll_up(codes: list[str | None], state: CaseState, word: Decision) -> None:
    items = [_item(code, sequence) for sequence, code in enumerate(codes, 1)]
    decision = decide_roll_up(_answer(*items))
    assert (decision.state, decision.decision) == (state, word)


@pytest.mark.parametrize("outcome", ["complete", "partial", "queued", ""])
@pytest.mark.parametrize("disposition", ["Approved", "Denied", ""])
def test_outcome_and_disposition_decide_nothing(outcome: str, disposition: str) -> None:
    answer = _answer(_item("A3"), outcome=outcome, disposition=disposition)
    assert decide_roll_up(answer).state is S.DENIED


def test_errors_without_a_decision_are_not_a_denial() -> None:
    answer = _answer(errors=(BusinessError(code="42", text="unknown member"),), outcome="error")
    decision = decide_roll_up(answer)
    assert (decision.state, decision.decision) == (S.NEEDS_ATTENTION, D.ERRORED)
    assert decision.denial_reasons[0].code == "42"
    assert decision.next_action


def test_errors_beside_decisions_show_both() -> None:
    decision = decide_roll_up(_answer(_item("A1", number="N1"), errors=(BusinessError(code="42"),)))
    assert (decision.state, decision.decision) == (S.NEEDS_ATTENTION, D.APPROVED)
    assert decision.items[0].number == "N1"


@pytest.mark.requirement("pas:spec-36")
def test_a_refusal_with_a_grant_in_its_place_goes_to_a_person() -> None:
    decision = decide_roll_up(_answer(_item("A3", add_items=(_added("A1"),))))
    assert decision.state is S.NEEDS_ATTENTION
    assert "granted in its place" in decision.next_action


def test_a_refused_update_goes_to_a_person() -> None:
    assert decide_roll_up(_answer(_item("A3")), is_update=True).state is S.NEEDS_ATTENTION
    assert decide_roll_up(_answer(_item("A1")), is_update=True).state is S.APPROVED


@pytest.mark.parametrize(("notes", "state"), [((), S.NEEDS_ATTENTION), (("4 of 6 visits",), S.PARTIALLY_APPROVED)])
def test_certified_in_part_must_say_which_part(notes: tuple[str, ...], state: CaseState) -> None:
    assert decide_roll_up(_answer(_item("A2", notes=notes))).state is state


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("A1", NumberKind.AUTHORIZATION),
        ("A6", NumberKind.AUTHORIZATION),
        ("A4", NumberKind.REVIEW),
        ("A3", NumberKind.REVIEW),
    ],
)
def test_a_number_is_an_authorization_only_where_something_is_granted(code: str, kind: NumberKind) -> None:
    decision = decide_roll_up(_answer(_item(code, number="AUTH1")))
    assert [(number.number, number.kind) for number in decision.authorization_numbers] == [("AUTH1", kind)]
    assert decision.authorization_number == ("AUTH1" if kind is NumberKind.AUTHORIZATION else "")


def test_reference_numbers_are_never_an_approval() -> None:
    numbers = (
        AuthorizationNumber(kind="administration", value="NT1", sequence=1),
        AuthorizationNumber(kind="pre-auth-ref", value="P1"),
    )
    decision = decide_roll_up(_answer(_item("A1"), numbers=numbers))
    assert decision.authorization_number == ""
    assert {number.kind for number in decision.authorization_numbers} == {
        NumberKind.ADMINISTRATION_REFERENCE,
        NumberKind.PRE_AUTH_REFERENCE,
    }


def test_reasons_are_kept_verbatim_with_their_note() -> None:
    item = _item("A3", reasons=(ReviewReason(code="0F"),), notes=("Not medically necessary.",))
    decision = decide_roll_up(_answer(item))
    assert [(reason.code, reason.text) for reason in decision.denial_reasons] == [("0F", "Not medically necessary.")]


def test_a_denial_without_reason_says_so() -> None:
    assert "specific reason" in decide_roll_up(_answer(_item("A3"))).next_action


def test_items_left_out_keep_their_decision() -> None:
    before = [ItemDecision(sequence=2, decision=D.APPROVED)]
    decision = decide_roll_up(_answer(_item("A1", 1)), previous=before, submitted=[1, 2])
    assert decision.state is S.APPROVED
    assert [item.sequence for item in decision.items] == [1, 2]


def test_an_item_that_was_never_answered_is_unknown() -> None:
    assert decide_roll_up(_answer(_item("A1", 1)), submitted=[1, 2]).state is S.NEEDS_ATTENTION


def test_a_review_of_the_whole_claim_decides_where_no_item_came() -> None:
    decision = decide_roll_up(_answer(header_review=HeaderReview(action_code="A3", sent_code="A3")))
    assert decision.state is S.DENIED


def test_a_pend_names_the_documents_it_waits_for() -> None:
    answer = _answer(_item("A4"), document_requests=(DocumentRequest(control_number="1"),))
    assert "request" in decide_roll_up(answer).next_action
