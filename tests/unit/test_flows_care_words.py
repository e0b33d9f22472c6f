"""Words of conservative care: every reason of an end and every resource of a timer has its own."""

from __future__ import annotations

from gateway.flows.care_end import REASONS, SENTENCES
from gateway.flows.care_views import reason_words


def test_every_reason_of_an_end_has_words() -> None:
    assert set(REASONS) == set(SENTENCES)
    assert all("-" not in words.replace("red-flag", "") for words in REASONS.values())
    assert reason_words("") == ""
