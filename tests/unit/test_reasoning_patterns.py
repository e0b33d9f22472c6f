"""Foreign patterns: the answers of Python's engine, and an end to every search."""

from __future__ import annotations

import contextlib
import re

import pytest

from gateway.errors import ReasoningError
from gateway.reasoning.patterns import safe_pattern

PATTERNS = [
    r"\d{3}-\d{4}",
    r"[A-Z]{2}\d+",
    r"(a|b)*c",
    r"^\s*$",
    r"[^x]+x?",
    r"a+?b",
    r"(?i)abc",
    r"\bword\b",
    r"(\w+)@(\w+)\.com",
    r"a{2,4}",
    r"(ab){1,3}$",
    r"(a*)*b",
    r"",
    r"[\d.-]+",
    r"(?:x|xy|xyz)z",
    r".",
    r"\S+\W\D",
]
TEXTS = [
    "",
    "555-1234",
    "AB12",
    "ababc",
    "   ",
    "xxx",
    "aab",
    "ABC",
    "a word here",
    "me@here.com",
    "aaaaa",
    "xyz",
    "x\ny",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_answers_agree_with_python(pattern: str) -> None:
    own, python = safe_pattern(pattern), re.compile(pattern)
    for text in TEXTS:
        assert own.search(text) == (python.search(text) is not None), text
        assert own.fullmatch(text) == (python.fullmatch(text) is not None), text


@pytest.mark.parametrize(
    "pattern, text, template, expected",
    [
        (r"(\d+)-(\d+)", "1-2, 30-40", "$2-$1", "2-1, 40-30"),
        (r"a*", "baac", "x", re.sub("a*", "x", "baac")),
        (r"\s+", "a  b   c", " ", "a b c"),
        (r"(a)|(b)", "ab", "[$1$2]", "[a][b]"),
    ],
)
def test_substitution(pattern: str, text: str, template: str, expected: str) -> None:
    assert safe_pattern(pattern).substitute(text, template) == expected


@pytest.mark.threat("T33")
@pytest.mark.parametrize(
    "pattern, text",
    [
        (r"(a+)+$", "a" * 15_000 + "!"),
        (r"a*a*a*a*a*a*a*a*b", "a" * 15_000),
        (r"(a|aa)+$", "a" * 15_000 + "b"),
        (r"(.*,){20}P", "1," * 7_000),
        (r"(x+x+)+y", "x" * 15_000),
    ],
)
def test_hostile_patterns_end(pattern: str, text: str) -> None:
    """Either an answer or a typed refusal; the time limit of the test would catch a hang."""
    with contextlib.suppress(ReasoningError):
        assert safe_pattern(pattern).search(text) in (True, False)


@pytest.mark.parametrize(
    "pattern, code",
    [
        (r"(a)\1", "pattern.unsupported"),
        (r"a(?=b)", "pattern.unsupported"),
        (r"(?<!b)a", "pattern.unsupported"),
        (r"(", "pattern.syntax"),
        (r"\p{L}", "pattern.syntax"),
        ("a" * 501, "pattern.limit"),
        (r"((a{50}){50}){50}", "pattern.limit"),
        (r"a{1,99999}", "pattern.limit"),
    ],
)
def test_what_is_not_run_is_refused(pattern: str, code: str) -> None:
    with pytest.raises(ReasoningError) as caught:
        safe_pattern(pattern)
    assert caught.value.reason == code


def test_too_long_a_text_is_refused() -> None:
    with pytest.raises(ReasoningError):
        safe_pattern("a").search("b" * 20_001)
