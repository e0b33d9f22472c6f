"""Which packets leave by themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.policy.release import Packet, decide_release

SIGNED = datetime(2026, 2, 16, 18, 0, tzinfo=UTC)


def _packet(**changes: Any) -> Packet:
    return Packet(**{"policy": "auto", "signed_at": SIGNED, **changes})


@pytest.mark.parametrize(
    ("changes", "now", "person"),
    [
        ({}, True, True),
        ({"verdict": "PASS"}, True, True),
        ({"verdict": "RED_FLAG_BYPASS"}, True, True),
        ({"verdict": "NOT_APPLICABLE"}, True, True),
        ({"policy": "person"}, False, True),
        ({"verdict": "GAP"}, False, True),
        ({"verdict": "GAP", "gap_accepted": True}, True, True),
        ({"verdict": "RED_FLAG_INCOMPLETE"}, False, True),
        ({"verdict": "INDETERMINATE"}, False, True),
        ({"has_sensitive_content": True}, False, True),
        ({"has_unconfirmed_answers": True}, False, True),
        ({"signed_at": None}, False, False),
        ({"open_questions": 2}, False, False),
        ({"signed_at": None, "policy": "person"}, False, False),
    ],
)
@pytest.mark.requirement("pas:priv-1")
def test_release(changes: dict[str, Any], now: bool, person: bool) -> None:
    release = decide_release(_packet(**changes))
    assert (release.now, release.person_may_release) == (now, person)
    assert bool(release.reasons) is not now
