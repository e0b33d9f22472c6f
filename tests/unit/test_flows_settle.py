"""Where a case goes once the payer's need and our own rule are known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.cases.decisions import NeedAction
from gateway.cases.facts import Facts, FormFact
from gateway.clinical.elements import ElementResult, Evaluation
from gateway.flows.evaluate import STILL_CONDITIONAL, Settlement, settle
from tests.flows_house import NOW, House, open_house

FORM = FormFact(form_id="1", canonical="q|1", title="A form", package="d", position=0)
OPEN, DONE = (FORM,), (FormFact(form_id="1", canonical="q|1", title="t", package="d", position=0, status="completed"),)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("settle")
    with open_house(folder, []) as opened:
        yield opened


def _found(verdict: str, resume_on: date | None = None, missing: int = 2) -> Evaluation:
    line = ElementResult(element="OUTCOME", status="unmet", line="No score is on file.")
    return Evaluation(
        verdict=verdict,  # type: ignore[arg-type]
        reason="",
        elements=(line,) * missing + (ElementResult(element="DURATION", status="met"),),
        red_flag="NONE",  # type: ignore[arg-type]
        resume_on=resume_on,
        rule_id="r",
        rule_version="1",
        rule_status="verified",
    )


def _settle(house: House, action: NeedAction, found: Evaluation | None, **facts: object) -> Settlement:
    known = Facts(need_action=action.value, need_reason="The payer says so.", **facts)  # type: ignore[arg-type]
    return settle(house.services, known, found)


@pytest.mark.parametrize(
    ("action", "state"),
    [
        (NeedAction.CLOSE_NOT_COVERED, "not_covered"),
        (NeedAction.CLOSE_SATISFIED, "not_required"),
        (NeedAction.CLOSE_NOT_REQUIRED, "not_required"),
        (NeedAction.DOCUMENT_ONLY, "documenting"),
        (NeedAction.DOCUMENT_THEN_SUBMIT, "documenting"),
        (NeedAction.DOCUMENT_THEN_ASK, "documenting"),
        (NeedAction.SUBMIT, "ready"),
        (NeedAction.CHECK_ELIGIBILITY, "needs_attention"),
        (NeedAction.SUPPLY_FACTS, "needs_attention"),
        (NeedAction.WAIT_FOR_CONTRACT, "needs_attention"),
        (NeedAction.ROUTE_TO_PERFORMER, "needs_attention"),
        (NeedAction.RETRY_LATER, "needs_attention"),
        (NeedAction.ASK_AGAIN, "needs_attention"),
        (NeedAction.ASK_PERSON, "needs_attention"),
    ],
)
def test_each_need_leads_somewhere(house: House, action: NeedAction, state: str) -> None:
    for verdict in ("PASS", "RED_FLAG"):
        assert _settle(house, action, _found(verdict)).state == state
    assert _settle(house, action, None).state == state
    held = _settle(house, action, _found("GAP")).state
    assert held == ("held" if state in ("documenting", "ready") else state), "a gap holds only what would go on"


def test_no_action_is_forgotten() -> None:
    listed = {case[0] for case in test_each_need_leads_somewhere.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    assert listed == set(NeedAction)


@pytest.mark.parametrize("verdict", ["GAP", "INDETERMINATE", "RED_FLAG_INCOMPLETE"])
def test_a_gap_holds_until_somebody_overrides_it(house: House, verdict: str) -> None:
    held = _settle(house, NeedAction.DOCUMENT_THEN_SUBMIT, _found(verdict))
    assert held.state == "held"
    assert "2 elements missing or undecided" in held.next_action
    assert held.wake == NOW + timedelta(days=1), "no end is known: looked at again tomorrow"
    assert _settle(house, NeedAction.DOCUMENT_THEN_SUBMIT, _found(verdict), is_overridden=True).state == "documenting"


def test_a_gap_that_time_closes_wakes_in_the_morning_of_that_day(house: House) -> None:
    held = _settle(house, NeedAction.SUBMIT, _found("GAP", date(2026, 3, 20), missing=1))
    assert held.next_action == (
        "Conservative care is incomplete: 1 element missing or undecided. Looked at again on 2026-03-20."
    )
    assert held.wake is not None
    assert held.wake.isoformat() == "2026-03-20T13:00:00+00:00", "six in the morning at the practice"


def test_a_gap_whose_day_has_passed_is_looked_at_tomorrow(house: House) -> None:
    held = _settle(house, NeedAction.SUBMIT, _found("GAP", date(2026, 2, 1)))
    assert held.wake == NOW + timedelta(days=1)
    assert "Looked at again" not in held.next_action


@pytest.mark.parametrize(
    ("action", "forms", "state", "sentence"),
    [
        (NeedAction.DOCUMENT_ONLY, OPEN, "documenting", ""),
        (NeedAction.DOCUMENT_ONLY, DONE, "documented", ""),
        (NeedAction.DOCUMENT_THEN_SUBMIT, DONE, "ready", ""),
        (NeedAction.DOCUMENT_THEN_SUBMIT, (*DONE, *OPEN), "documenting", ""),
        (NeedAction.DOCUMENT_THEN_ASK, DONE, "needs_attention", STILL_CONDITIONAL),
        (NeedAction.DOCUMENT_THEN_SUBMIT, (), "documenting", ""),
    ],
)
def test_complete_forms_are_not_asked_for_again(
    house: House, action: NeedAction, forms: tuple[FormFact, ...], state: str, sentence: str
) -> None:
    settled = _settle(house, action, None, forms_fetched=True, forms=forms)
    assert (settled.state, settled.next_action) == (state, sentence)
