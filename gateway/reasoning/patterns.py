"""Regular expressions that come from outside, made safe to run.

Python's engine backtracks, so a hostile pattern can take for ever (spec/security.md T33). A pattern
is read first and refused unless its work stays near linear; the text it runs on is capped too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from gateway.errors import ReasoningError

MAX_PATTERN: Final = 500
"""Longest pattern accepted, in characters."""
MAX_TEXT: Final = 20_000
"""Longest text that a foreign pattern is run on."""
_MAX_OPEN_REPEATS: Final = 8


@lru_cache(maxsize=512)
def safe_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Compiled pattern. Raises ReasoningError `pattern.*` when it is unreadable or could backtrack without end."""
    if len(pattern) > MAX_PATTERN:
        raise ReasoningError("The pattern is too long to be run safely.", code="pattern.limit")
    try:
        parsed = _parser.parse(pattern, flags)
        compiled = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError):
        raise ReasoningError("The pattern cannot be read.", code="pattern.syntax") from None
    if not _is_tame(parsed):
        raise ReasoningError("The pattern could run without end and is not used.", code="pattern.unsafe")
    return compiled


def require_short(text: str) -> str:
    """`text`, unless it is too long for a foreign pattern: then ReasoningError `pattern.limit`."""
    if len(text) > MAX_TEXT:
        raise ReasoningError("The text is too long for a pattern.", code="pattern.limit")
    return text


def _is_tame(parsed: Iterable[tuple[Any, Any]]) -> bool:
    """No repeat inside a repeat, no back reference, no look-around, few open repeats in a row."""
    return _open_repeats(parsed, inside=False) <= _MAX_OPEN_REPEATS


def _open_repeats(parsed: Iterable[tuple[Any, Any]], *, inside: bool) -> int:
    """Open repeats in a part; a number over the limit when it holds something that is refused."""
    total = 0
    for code, argument in parsed:
        if code in (codes.GROUPREF, codes.GROUPREF_EXISTS, codes.ASSERT, codes.ASSERT_NOT):
            return _MAX_OPEN_REPEATS + 1
        if code in _REPEATS:
            total += _of_repeat(argument, inside=inside)
        elif code is codes.SUBPATTERN:
            total += _open_repeats(argument[3], inside=inside)
        elif code is codes.BRANCH:
            total += _of_branch(argument[1], inside=inside)
    return total


_REPEATS: Final = frozenset(
    code for name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") if (code := getattr(codes, name, None))
)


def _of_repeat(argument: Any, *, inside: bool) -> int:
    low, high, part = argument
    if high == low or high == 1:
        return _open_repeats(part, inside=inside)
    if inside or (high == codes.MAXREPEAT and low > 1000):
        return _MAX_OPEN_REPEATS + 1
    inner = _open_repeats(part, inside=True)
    return inner + 1 if inner == 0 or inner > _MAX_OPEN_REPEATS else _MAX_OPEN_REPEATS + 1


def _of_branch(branches: Iterable[Any], *, inside: bool) -> int:
    """Inside a repeat, alternatives that start alike may be tried in many orders: refused."""
    parts = [list(branch) for branch in branches]
    if inside and not _starts_differ(parts):
        return _MAX_OPEN_REPEATS + 1
    return sum(_open_repeats(part, inside=inside) for part in parts)


def _starts_differ(parts: list[list[tuple[Any, Any]]]) -> bool:
    starts = [part[0][1] for part in parts if part and part[0][0] is codes.LITERAL]
    return len(starts) == len(parts) == len(set(starts))
