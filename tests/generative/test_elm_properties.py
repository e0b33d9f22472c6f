"""The engine against plain reasoning: intervals as sets of points, decimals as fractions, dates as a calendar."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.reasoning.elm import interval_math as math
from gateway.reasoning.elm.calculation import add, quotient, remainder, truncated
from gateway.reasoning.elm.interval_math import Scale
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.moment_spans import duration_between
from gateway.reasoning.elm.moments import Date
from gateway.reasoning.elm.quantities import Quantity

SCALE = Scale()


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low = draw(st.integers(0, 12))
    high = draw(st.integers(low, 12))
    low_closed, high_closed = draw(st.booleans()), draw(st.booleans())
    return Interval(low - (not low_closed), high + (not high_closed), low_closed, high_closed)


def points(interval: Interval | None) -> set[int]:
    return set() if interval is None else set(range(interval.start(), interval.end() + 1))


@given(intervals(), intervals())
def test_intervals_lie_as_their_points_do(left: Interval, right: Interval) -> None:
    one, two = points(left), points(right)
    assert math.overlaps(left, right, SCALE) is bool(one & two)
    assert math.includes(left, right, SCALE) is (two <= one)
    assert math.includes_properly(left, right, SCALE) is (two < one)
    assert math.is_before(left, right, SCALE) is (max(one) < min(two))
    assert math.is_same_or_before(left, right, SCALE) is (max(one) <= min(two))
    assert math.meets_before(left, right, SCALE) is (max(one) + 1 == min(two))
    assert math.starts(left, right, SCALE) is (min(one) == min(two) and one <= two)
    assert math.ends(left, right, SCALE) is (max(one) == max(two) and one <= two)
    assert math.overlaps_before(left, right, SCALE) is (bool(one & two) and min(one) < min(two))
    assert math.overlaps_after(left, right, SCALE) is (bool(one & two) and max(one) > max(two))


@given(intervals(), intervals())
def test_interval_sets_are_sets_of_points(left: Interval, right: Interval) -> None:
    one, two = points(left), points(right)
    assert points(math.intersect(left, right, SCALE)) == one & two
    joined = one | two
    is_whole = joined == set(range(min(joined), max(joined) + 1))
    assert points(math.union(left, right, SCALE)) == (joined if is_whole else set())
    rest = one - two
    is_one_piece = bool(rest) and rest == set(range(min(rest), max(rest) + 1))
    assert points(math.except_(left, right, SCALE)) == (rest if is_one_piece else set())


NUMBERS = st.decimals(-(10**9), 10**9, places=4)


@given(NUMBERS, NUMBERS.filter(bool))
def test_division_is_exact_to_the_eighth_place(left: Decimal, right: Decimal) -> None:
    exact = Fraction(left) / Fraction(right)
    found = quotient(left, right)
    assert abs(Fraction(found) - exact) <= Fraction(1, 2 * 10**8)
    whole, rest = truncated(left, right), remainder(left, right)
    assert whole == int(exact)
    assert Fraction(whole) * Fraction(right) + Fraction(rest) == Fraction(left)


DAYS = st.dates(date(1900, 1, 1), date(2100, 1, 1))


def cql(day: date) -> Date:
    return Date((day.year, day.month, day.day))


@given(DAYS, st.integers(-5000, 5000))
def test_days_added_are_days_between(day: date, count: int) -> None:
    moved = add(cql(day), Quantity(Decimal(count), "days"))
    assert moved == cql(day + timedelta(days=count))
    assert duration_between(cql(day), moved, "Day", 0) == count


@given(DAYS, st.integers(0, 600))
def test_months_added_are_months_between(day: date, count: int) -> None:
    moved = add(cql(day), Quantity(Decimal(count), "months"))
    assert duration_between(cql(day), moved, "Month", 0) == count
    assert duration_between(cql(day), add(cql(day), Quantity(Decimal(count), "years")), "Year", 0) == count
