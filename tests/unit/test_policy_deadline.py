"""Time limits of payers, as dated rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.policy.deadline import Deadline, Urgency, decide_deadline, decide_urgency

RECEIVED = datetime(2026, 2, 16, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "expedited", "drug", "hours"),
    [
        ("medicare_advantage", True, False, 72),
        ("medicare_advantage", False, False, 168),
        ("medicaid", False, False, 168),
        ("chip", True, False, 72),
        ("qhp", True, False, None),
        ("commercial", False, False, None),
        ("medicare_advantage", True, True, None),
        ("unheard", False, False, None),
    ],
)
def test_limit(line: str, expedited: bool, drug: bool, hours: int | None) -> None:
    found = decide_deadline(RECEIVED, line, is_expedited=expedited, is_drug=drug)
    assert (found.due_at - RECEIVED if found else None) == (timedelta(hours=hours) if hours else None)
    if found:
        assert "CMS-0057-F" in found.rule
        assert found.started_at == RECEIVED


def test_no_clock_before_a_confirmed_receipt_or_before_the_rule() -> None:
    assert decide_deadline(None, "medicaid", is_expedited=True) is None
    assert decide_deadline(datetime(2025, 12, 31, tzinfo=UTC), "medicaid", is_expedited=True) is None


@pytest.mark.parametrize(
    ("hours_gone", "urgency"),
    [
        (0, "calm"),
        (35, "calm"),
        (36, "soon"),
        (59, "soon"),
        (60, "soon"),
        (61, "urgent"),
        (71, "urgent"),
        (72, "over"),
        (99, "over"),
    ],
)
def test_urgency_of_72_hours(hours_gone: int, urgency: str) -> None:
    deadline = Deadline(due_at=RECEIVED + timedelta(hours=72), started_at=RECEIVED, rule="", source="")
    assert decide_urgency(deadline, RECEIVED + timedelta(hours=hours_gone)) is Urgency(urgency)


def test_urgency_by_share_of_a_long_limit() -> None:
    deadline = Deadline(due_at=RECEIVED + timedelta(hours=168), started_at=RECEIVED, rule="", source="")
    assert decide_urgency(deadline, RECEIVED + timedelta(hours=152)) is Urgency.URGENT
