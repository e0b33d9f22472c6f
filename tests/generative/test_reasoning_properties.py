"""Properties of FHIRPath and patterns: any text gives an answer or a typed error; engines agree."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath import FhirPath
from gateway.reasoning.fhirpath_values import Amount, Moment, read_moment
from gateway.reasoning.patterns import safe_pattern

QUICK = settings(max_examples=150, deadline=None)
RESOURCE: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"family": "x", "given": ["a", "b"]}, 5, None, {"given": [None, "c"], "_given": [{"id": "i"}]}],
    "birthDate": "1950-13-99",
    "multipleBirthInteger": Decimal("1.5"),
    "contact": {"name": "odd"},
}
PIECES = st.sampled_from(
    [
        "name",
        "given",
        "birthDate",
        "where",
        "exists",
        "first",
        "(",
        ")",
        "[",
        "]",
        ".",
        ",",
        "=",
        "!=",
        "~",
        "<",
        ">",
        "+",
        "-",
        "*",
        "/",
        "&",
        "|",
        "and",
        "or",
        "is",
        "as",
        "in",
        "contains",
        "1",
        "2.5",
        "'x'",
        "@2026-01",
        "@T10:00",
        "3",
        "'mg'",
        "days",
        "%patient",
        "%context",
        "$this",
        "$index",
        "true",
        "{}",
        "iif",
        "select",
        "count",
        "toString",
        "as(string)",
        "not()",
        "matches",
        "substring",
        "descendants()",
        "children()",
        "repeat",
        "ofType",
        "resolve()",
        "extension",
        "today()",
        "power(2)",
        "round",
        "sort",
    ]
)
MOMENTS = st.builds(
    lambda year, month, day, count: Moment("date", (year, month, day)[:count]),
    st.integers(1, 9999),
    st.integers(1, 12),
    st.integers(1, 28),
    st.integers(1, 3),
)


@QUICK
@given(
    st.one_of(
        st.text(max_size=60), st.lists(PIECES, max_size=14).map(" ".join), st.lists(PIECES, max_size=14).map("".join)
    )
)
def test_any_text_gives_an_answer_or_a_typed_error(text: str) -> None:
    assert code_of(text).split(".")[0] in ("", "fhirpath", "pattern")


def code_of(text: str) -> str:
    """Machine word of the refusal, empty when there is an answer."""
    try:
        FhirPath(now=datetime(2026, 3, 15, tzinfo=UTC)).evaluate(text, RESOURCE, {"patient": RESOURCE})
    except ReasoningError as error:
        return error.reason
    return ""


@QUICK
@given(MOMENTS)
def test_a_date_reads_as_it_is_written(moment: Moment) -> None:
    assert read_moment(moment.text()) == moment


@QUICK
@given(MOMENTS, MOMENTS)
def test_order_of_dates_is_the_same_from_both_sides(one: Moment, two: Moment) -> None:
    there, back = one.compare(two, None), two.compare(one, None)
    assert (there is None) is (back is None)
    assert there is None or back is None or there == -back


@QUICK
@given(MOMENTS.filter(lambda moment: len(moment.parts) == 3), st.integers(-2000, 2000))
def test_days_forth_and_back(moment: Moment, days: int) -> None:
    amount = Amount(Decimal(days), "day", calendar=True)
    moved = moment.plus(amount)
    assert moved is None or moved.plus(amount, -1) == moment


ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\s", "^", "$", r"\b"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "{1,2}", "*?", "+?"])),
    ),
    max_leaves=6,
)


@QUICK
@given(PATTERNS, st.text(alphabet="ab1 \n", max_size=10))
def test_patterns_answer_as_python_does(pattern: str, text: str) -> None:
    own, python = safe_pattern(pattern), re.compile(pattern)
    assert own.search(text) == (python.search(text) is not None)
    assert own.fullmatch(text) == (python.fullmatch(text) is not None)
