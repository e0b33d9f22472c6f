"""Arithmetic of CQL to its eighth place, worked out by hand: what a binary float or a cut digit would get wrong.

Sources: CQL 1.5, Appendix B (Divide, Truncated Divide, Modulo, Round, Avg) and Decimal: 28 digits, 8 of them after
the point; a half is rounded away from zero.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.reasoning.elm.quantities import Quantity
from tests.elm_samples import elements, lit, op, value

Elm = dict[str, Any]


def dec(text: str) -> Elm:
    return lit(Decimal(text))


def qty(text: str, unit: str) -> Elm:
    return {"type": "Quantity", "value": Decimal(text), "unit": unit}


def ints(left: int, right: int) -> tuple[Elm, Elm]:
    return lit(left), lit(right)


def written(found: Any) -> str | None:
    """A number with all its digits but no empty ones; a quantity with its unit."""
    if found is None:
        return None
    if isinstance(found, Quantity):
        return f"{written(found.value)} {found.unit}"
    text = format(found, "f") if isinstance(found, Decimal) else str(found)
    return text.rstrip("0").rstrip(".") if "." in text else text


QUOTIENTS = {
    "10 / 3": (ints(10, 3), "3.33333333"),
    "20 / 7": (ints(20, 7), "2.85714286"),
    "-20 / 7": (ints(-20, 7), "-2.85714286"),
    "2 / 3": (ints(2, 3), "0.66666667"),
    "85.5 / 2": ((dec("85.5"), lit(2)), "42.75"),
    "1 / 8": (ints(1, 8), "0.125"),
    "0.3 / 0.1": ((dec("0.3"), dec("0.1")), "3"),
    "1.1 / 1.1": ((dec("1.1"), dec("1.1")), "1"),
    "a half at the ninth place": ((dec("0.00000001"), lit(2)), "0.00000001"),
    "a negative half at the ninth place": ((dec("-0.00000001"), lit(2)), "-0.00000001"),
    "by zero": (ints(1, 0), None),
    "10 mg / 3": ((qty("10", "mg"), lit(3)), "3.33333333 mg"),
    "10 mg / 4 mg": ((qty("10", "mg"), qty("4", "mg")), "2.5 1"),
    "10 mg / 3 mL": ((qty("10", "mg"), qty("3", "mL")), "3.33333333 mg/mL"),
}


@pytest.mark.parametrize(("operands", "wanted"), QUOTIENTS.values(), ids=QUOTIENTS.keys())
def test_division_is_exact_to_the_eighth_place(operands: tuple[Elm, Elm], wanted: str | None) -> None:
    assert written(value(op("Divide", *operands))) == wanted


ROUNDED = [
    ("0.5", None, "1"),
    ("-0.5", None, "-1"),
    ("1.5", None, "2"),
    ("2.5", None, "3"),
    ("-2.5", None, "-3"),
    ("0.49999999", None, "0"),
    ("2.345", 2, "2.35"),
    ("-2.345", 2, "-2.35"),
    ("1.005", 2, "1.01"),
    ("3.14159", 3, "3.142"),
    ("0.00000005", 7, "0.0000001"),
    ("87.5", 0, "88"),
]


@pytest.mark.parametrize(("number", "places", "wanted"), ROUNDED)
def test_a_half_is_rounded_away_from_zero(number: str, places: int | None, wanted: str) -> None:
    precision = {} if places is None else {"precision": lit(places)}
    assert written(value(op("Round", dec(number), **precision))) == wanted


AVERAGES: dict[str, tuple[list[Any], str | None]] = {
    "two thirds away": ([1, 1, 2], "1.33333333"),
    "rounded up": ([2, 2, 1], "1.66666667"),
    "tenths": ([Decimal("0.1"), Decimal("0.2")], "0.15"),
    "with nulls": ([3, None, 4], "3.5"),
    "decimals": ([Decimal("85.5"), Decimal("86.50"), Decimal(88)], "86.66666667"),
    "negative": ([-1, -1, -2], "-1.33333333"),
    "quantities": ([qty("1", "mg"), qty("2", "mg"), qty("2", "mg")], "1.66666667 mg"),
    "quantities of two units, in that of the first": ([qty("1", "g"), qty("500", "mg")], "0.75 g"),
    "nothing but nulls": ([None], None),
    "nothing": ([], None),
}


@pytest.mark.parametrize(("values", "wanted"), AVERAGES.values(), ids=AVERAGES.keys())
def test_averages_are_exact(values: list[Any], wanted: str | None) -> None:
    assert written(value({"type": "Avg", "source": elements(*values)})) == wanted


WHOLE: dict[str, tuple[tuple[Elm, Elm], str | None, str | None]] = {
    "7, 2": (ints(7, 2), "3", "1"),
    "-7, 2": (ints(-7, 2), "-3", "-1"),
    "7, -2": (ints(7, -2), "-3", "1"),
    "-7, -2": (ints(-7, -2), "3", "-1"),
    "-1, 3": (ints(-1, 3), "0", "-1"),
    "10.1, 3.1": ((dec("10.1"), dec("3.1")), "3", "0.8"),
    "-10.1, 3.1": ((dec("-10.1"), dec("3.1")), "-3", "-0.8"),
    "0.7, 0.1": ((dec("0.7"), dec("0.1")), "7", "0"),
    "-5.5 g, 2 g": ((qty("-5.5", "g"), qty("2", "g")), "-2 g", "-1.5 g"),
    "5 g, -2 g": ((qty("5", "g"), qty("-2", "g")), "-2 g", "1 g"),
    "by zero": (ints(7, 0), None, None),
    "quantity by zero": ((qty("7", "g"), qty("0", "g")), None, None),
}


@pytest.mark.parametrize(("operands", "quotient", "rest"), WHOLE.values(), ids=WHOLE.keys())
def test_truncated_division_cuts_towards_zero_and_modulo_keeps_the_sign(
    operands: tuple[Elm, Elm], quotient: str | None, rest: str | None
) -> None:
    assert written(value(op("TruncatedDivide", *operands))) == quotient
    assert written(value(op("Modulo", *operands))) == rest


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (op("Add", dec("0.1"), dec("0.2")), "0.3"),
        (op("Multiply", dec("1.1"), dec("1.1")), "1.21"),
        (op("Subtract", dec("1"), dec("0.9")), "0.1"),
        (op("Multiply", dec("0.00001"), dec("0.00001")), "0"),
        (op("Multiply", dec("99999999999999999999"), dec("10")), None),
        (op("Add", lit(2_147_483_647), lit(1)), None),
        (op("Negate", lit(-2_147_483_648)), None),
    ],
)
def test_sums_and_products_are_exact_or_null(expression: Elm, wanted: str | None) -> None:
    assert written(value(expression)) == wanted
