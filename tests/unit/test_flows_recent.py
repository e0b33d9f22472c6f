"""What was made lately is not made again, and memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.flows.recent import Recent


def _maker(made: list[int], value: int) -> Callable[[], int]:
    def make() -> int:
        made.append(value)
        return value

    return make


def test_the_one_not_asked_for_longest_leaves_first() -> None:
    made: list[int] = []
    recent: Recent[int, int] = Recent(2)
    for key in (1, 2, 1, 3, 1, 2):
        assert recent.get(key, _maker(made, key)) == key
    assert made == [1, 2, 3, 2]


def test_a_failure_is_not_kept() -> None:
    recent: Recent[str, int] = Recent(2)

    def fail() -> int:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        recent.get("a", fail)
    assert recent.get("a", lambda: 1) == 1
