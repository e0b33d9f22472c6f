"""The demonstration's hook call refuses feedback that no card could be meant by."""

from __future__ import annotations

import pytest

from gateway.clinical.panel import OVERRIDES
from gateway.demo import hook_call
from gateway.flows.intercept_cards import OVERRIDE

CARD = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--feedback", "nonsense"), "--feedback wants the id of a card"),
        (("--feedback", CARD, "--reason", "xx"), "--reason is one of override-specialist-request, "),
    ],
)
def test_feedback_that_would_be_passed_over_is_a_usage_error(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        hook_call.main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_reasons_are_those_that_cards_offer() -> None:
    assert tuple(f"{OVERRIDE}{choice.code}" for choice in OVERRIDES) == hook_call.REASONS
    assert hook_call._parser().get_default("reason") in hook_call.REASONS
