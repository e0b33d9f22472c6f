"""Numbers, dates, quantities and intervals of the engine, as tables of cases."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.reasoning.elm.calculation import add, multiply, quotient, remainder, subtract, truncated
from gateway.reasoning.elm.converting import to_quantity, to_string
from gateway.reasoning.elm.equality import compare, equal, equivalent
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.list_math import sorted_positions
from gateway.reasoning.elm.moment_order import compare_moments
from gateway.reasoning.elm.moment_spans import difference_between, duration_between
from gateway.reasoning.elm.moments import Date, DateTime, Time, read_date_time, read_time
from gateway.reasoning.elm.numbers import Long, Uncertain, fit_decimal, round_half
from gateway.reasoning.elm.quantities import Quantity, convert_quantity
from gateway.reasoning.elm.units import measure

D = Decimal
UTC_MINUTES = 0


def quantity(value: str, unit: str) -> Quantity:
    return Quantity(D(value), unit)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (quotient(10, 3), D("3.33333333")),
        (quotient(D("85.5"), 2), D("42.75")),
        (quotient(20, 7), D("2.85714286")),
        (quotient(1, 0), None),
        (truncated(-10, 3), -3),
        (truncated(D("-10.1"), D("3.1")), D("-3")),
        (truncated(5, 0), None),
        (remainder(-7, 3), -1),
        (remainder(7, -3), 1),
        (remainder(D("-7.5"), 2), D("-1.5")),
        (add(2**31 - 1, 1), None),
        (add(Long(2**31 - 1), 1), Long(2**31)),
        (add(Long(2**63 - 1), 1), None),
        (multiply(D("99999999999999999999"), 10), None),
        (subtract(D("0.3"), D("0.1")), D("0.2")),
        (add(D("0.1"), D("0.2")), D("0.3")),
        (round_half(D("2.5"), 0), D("3")),
        (round_half(D("-2.5"), 0), D("-3")),
        (round_half(D("3.14159"), 3), D("3.142")),
        (fit_decimal(D("0.123456785")), D("0.12345679")),
        (fit_decimal(D("1E+5")), D("100000")),
    ],
)
def test_numbers_are_exact(found: Any, wanted: Any) -> None:
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (add(quantity("5", "mg"), quantity("5", "g")), quantity("5005", "mg")),
        (add(quantity("1", "cm"), quantity("1", "g")), None),
        (quotient(quantity("10", "mg"), quantity("3", "mL")), quantity("3.33333333", "mg/mL")),
        (multiply(quantity("2", "cm"), quantity("3", "cm")), quantity("6", "cm2")),
        (multiply(quantity("2", "mg"), 3), quantity("6", "mg")),
        (quotient(quantity("10", "mg"), quantity("4", "g")), quantity("0.0025", "1")),
        (truncated(quantity("-7", "mg"), quantity("2", "mg")), quantity("-3", "mg")),
        (remainder(quantity("-7", "mg"), quantity("2", "mg")), quantity("-1", "mg")),
        (convert_quantity(quantity("98.6", "[degF]"), "Cel"), quantity("37", "Cel")),
        (convert_quantity(quantity("37", "Cel"), "[degF]"), quantity("98.6", "[degF]")),
        (convert_quantity(quantity("1", "[lb_av]"), "kg"), quantity("0.45359237", "kg")),
        (convert_quantity(quantity("120", "mm[Hg]"), "kPa"), quantity("15.99864", "kPa")),
        (convert_quantity(quantity("1", "kg/m2"), "g/cm2"), quantity("0.1", "g/cm2")),
        (convert_quantity(quantity("5", "10*3/uL"), "10*9/L"), quantity("5", "10*9/L")),
        (convert_quantity(quantity("1", "[pH]"), "mol/L"), None),
        (convert_quantity(quantity("1", "furlong"), "m"), None),
        (to_quantity("5.5 'cm'", 0), quantity("5.5", "cm")),
        (to_quantity("3 days", 0), quantity("3", "days")),
        (to_quantity("3 fortnights", 0), None),
        (to_quantity("3 'nonsense'", 0), None),
    ],
)
def test_quantities_keep_their_units(found: Any, wanted: Any) -> None:
    assert found == wanted


@pytest.mark.parametrize(
    ("left", "right", "order", "same", "alike"),
    [
        (quantity("1", "m"), quantity("100", "cm"), 0, True, True),
        (quantity("1", "m"), quantity("1", "g"), None, None, False),
        (quantity("1", "day"), quantity("24", "h"), 0, True, True),
        (quantity("1", "year"), quantity("1", "a"), None, None, True),
        (quantity("1", "year"), quantity("12", "months"), 0, True, True),
        (quantity("1", "{score}"), quantity("1", "1"), 0, True, True),
        (quantity("140", "mm[Hg]"), quantity("18", "kPa"), 1, False, False),
        (quantity("7", "%"), quantity("0.07", "1"), 0, True, True),
    ],
)
def test_quantities_compare_within_their_kind(left: Any, right: Any, order: Any, same: Any, alike: Any) -> None:
    assert compare(left, right) == order
    assert equal(left, right) is same
    assert equivalent(left, right) is alike


@pytest.mark.parametrize(
    "unit", ["mg/dL", "mL/min/{1.73_m2}", "10*-6", "/min", "(mg/L)/h", "ng/mL{FEU}", "m[H2O]", "g.m/s2"]
)
def test_clinical_units_are_known(unit: str) -> None:
    assert measure(unit) is not None


@pytest.mark.parametrize("unit", ["", "1"])
def test_no_unit_is_one(unit: str) -> None:
    found = measure(unit)
    assert found is not None
    assert found.dimensions == ()


@pytest.mark.parametrize("unit", ["mg//dL", "mg/", "(mg", "mg)", "xyz", "m" * 200, "mg^2", "cm99", "{"])
def test_nonsense_is_no_unit(unit: str) -> None:
    assert measure(unit) is None


def at(text: str, offset: int = UTC_MINUTES) -> DateTime:
    found = read_date_time(text, offset)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("left", "right", "precision", "wanted"),
    [
        (at("2024-03"), at("2024-03-05"), None, None),
        (at("2024"), at("2025-01-01"), None, -1),
        (at("2024-03-05T10:00:00+02:00"), at("2024-03-05T08:00:00Z"), None, 0),
        (at("2024-01-15T00:30:00Z"), at("2024-01-14T20:30:00-04:00"), 2, 1),
        (at("2024-01-15T00:30:00Z"), at("2024-01-14T20:30:00-04:00"), 3, 0),
        (Date((2024, 3, 5)), at("2024-03-05T10:00:00Z"), None, None),
        (Date((2024, 3, 5)), at("2024-03-05T10:00:00Z"), 2, 0),
        (Time((10,)), Time((10, 30)), None, None),
        (Time((9, 30)), Time((10,)), None, -1),
    ],
)
def test_dates_are_ordered_as_far_as_they_are_known(left: Any, right: Any, precision: Any, wanted: Any) -> None:
    assert compare_moments(left, right, precision, UTC_MINUTES) == wanted


def test_a_day_without_a_time_is_of_the_evaluation_zone() -> None:
    """2026-03-14T20:00 in Denver is already the next day in London; the calendar day of the chart counts."""
    evening = at("2026-03-14T20:00:00-07:00")
    assert compare_moments(at("2026-03-14", -420), evening, None, -420) is None
    assert compare_moments(at("2026-03-15", -420), evening, None, -420) == 1


@pytest.mark.parametrize(
    ("left", "right", "unit", "duration", "difference"),
    [
        (Date((2012, 2, 29)), Date((2014, 2, 28)), "Year", 2, 2),
        (Date((2012, 2, 29)), Date((2014, 2, 27)), "Year", 1, 2),
        (Date((2026, 1, 15)), Date((2026, 3, 15)), "Month", 2, 2),
        (Date((2026, 3, 15)), Date((2026, 1, 15)), "Month", -2, -2),
        (Date((2026, 1, 1)), Date((2026, 1, 14)), "Week", 1, 2),
        (at("2026-02-20T09:00:00-07:00"), at("2026-04-03T09:00:00-06:00"), "Day", 42, 42),
        (at("2026-02-20T09:30:00-07:00"), at("2026-02-20T11:00:00-06:00"), "Hour", 0, 1),
        (Time((9, 30, 0, 0)), Time((11, 0, 0, 0)), "Hour", 1, 2),
    ],
)
def test_spans_between_full_values(left: Any, right: Any, unit: str, duration: int, difference: int) -> None:
    assert duration_between(left, right, unit, UTC_MINUTES) == duration
    assert difference_between(left, right, unit, UTC_MINUTES) == difference


def test_a_span_from_a_partial_date_is_a_range() -> None:
    found = duration_between(at("2026-01"), at("2026-03-15"), "Day", UTC_MINUTES)
    assert isinstance(found, Uncertain)
    assert (found.low, found.high) == (42, 73)
    assert equal(found, 100) is False
    assert equal(found, 50) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-03-05T10:00:00.123456+05:30", "2024-03-05T10:00:00.123+05:30"),
        ("2024-03-05T10:00:00Z", "2024-03-05T10:00:00+00:00"),
        ("2024-03-05T10", "2024-03-05T10"),
        ("2024-03", "2024-03"),
        ("2024-02-30", None),
        ("2024-13", None),
        ("2024-03-05T24:00:00", None),
        ("2024-03-05T10:00:00+15:00", None),
        ("yesterday", None),
    ],
)
def test_date_times_are_read_and_written(text: str, shown: str | None) -> None:
    found = read_date_time(text, UTC_MINUTES)
    assert (found and found.text()) == shown


def test_times_ignore_an_offset() -> None:
    assert read_time("T14:30:00.0+05:30") == Time((14, 30, 0, 0))


def test_text_of_values() -> None:
    assert to_string(quantity("5.50", "mg"), 0) == "5.50 'mg'"
    assert to_string(DateTime((2000, 1, 1, 15, 25, 25, 300), -420), 0) == "2000-01-01T15:25:25.300"
    assert to_string(D("0.00000001"), 0) == "0.00000001"


def test_adding_durations_stays_in_the_calendar() -> None:
    assert add(Date((2024, 1, 31)), quantity("1", "month")) == Date((2024, 2, 29))
    assert add(Date((2024, 2, 29)), quantity("1", "year")) == Date((2025, 2, 28))
    assert subtract(at("2016-05"), quantity("31535999", "seconds")) == at("2015-05")
    with pytest.raises(ReasoningError):
        add(Date((9999, 12, 31)), quantity("1", "day"))
    with pytest.raises(ReasoningError):
        add(Date((2024, 1, 1)), quantity("1", "mg"))


def test_interval_ends_closed_open_and_null() -> None:
    assert Interval(1, 5, False, False).start() == 2
    assert Interval(1, 5, False, False).end() == 4
    assert Interval(1, None).end() == 2**31 - 1
    assert Interval(1, None, True, False).end() is None
    assert Interval(quantity("1", "mg"), None).end() == quantity("99999999999999999999.99999999", "mg")
    assert Interval(None, None).start() is None
    assert Interval(None, None, point="Date").start() == Date((1, 1, 1))


def test_dates_are_sorted_on_the_clock_of_the_evaluation() -> None:
    east = 13 * 60
    values = [at("2012-10-05T10", east), at("2012-01-01", east), at("2012-01-01T12", east), at("2012-10-05", east)]
    assert sorted_positions([(one,) for one in values], [False], east) == [1, 2, 3, 0]
    assert sorted_positions([(one,) for one in [None, *values]], [True], east) == [1, 4, 3, 2, 0]


def test_tuples_and_lists_compare_part_by_part() -> None:
    assert equal({"a": 1, "b": None}, {"a": 1, "b": None}) is True
    assert equal({"a": None, "b": 1}, {"a": 1, "b": 2}) is None
    assert equal([1, None], [1, None]) is True
    assert equal([1, 2], [1]) is False
    assert equivalent(["a  B"], ["A b"]) is True
