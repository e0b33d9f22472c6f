"""Operators of FHIRPath: equality, order, arithmetic, logic, collections."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from decimal import Decimal, localcontext
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath_equality import (
    as_amount,
    compare,
    distinct,
    equal,
    equal_items,
    equivalent,
    failed,
    is_number,
)
from gateway.reasoning.fhirpath_items import Item, computed, system_value
from gateway.reasoning.fhirpath_units import product
from gateway.reasoning.fhirpath_values import Amount, Moment

Collection = list[Item]
_PLACES: Final = Decimal("0.00000001")
MAX_TEXT: Final = 200_000
"""Characters of one text that an expression makes."""


def single(collection: Collection) -> Item | None:
    """The only item, None when there is none; more raise."""
    if len(collection) > 1:
        raise failed("A single item is expected and there are several.")
    return collection[0] if collection else None


def integer(collection: Collection) -> int:
    """The single integer of a collection; anything else raises."""
    item = single(collection)
    value = system_value(item) if item else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise failed("An integer is expected.")
    return value


def truth(collection: Collection) -> bool | None:
    """A collection as a truth: None when empty; a single item that is no boolean counts as true."""
    item = single(collection)
    if item is None:
        return None
    value = system_value(item)
    return value if isinstance(value, bool) else True


def settled(operator: str, left: Collection) -> Collection | None:
    """The answer of `and`, `or`, `implies` when the left side decides it; else None."""
    value = truth(left)
    if operator == "and" and value is False:
        return [computed(False, left)]
    if operator == "or" and value is True:
        return [computed(True, left)]
    if operator == "implies" and value is False:
        return [computed(True, left)]
    return None


def apply(operator: str, left: Collection, right: Collection, zone: tzinfo | None) -> Collection:
    """Result of a binary operator over evaluated operands."""
    if operator in ("=", "!=", "~", "!~"):
        return _equality(operator, left, right, zone)
    if operator in ("<", ">", "<=", ">="):
        return _order(operator, left, right, zone)
    if operator == "|":
        return union(left, right, zone)
    if operator in ("in", "contains"):
        return _membership(*((left, right) if operator == "in" else (right, left)), zone)
    if operator in ("and", "or", "xor", "implies"):
        return _logic(operator, left, right)
    return _arithmetic(operator, left, right)


def _equality(operator: str, left: Collection, right: Collection, zone: tzinfo | None) -> Collection:
    if operator in ("=", "!="):
        answer = equal(left, right, zone)
    else:
        answer = equivalent(left, right, zone)
    if answer is None:
        return []
    return [computed(answer if operator in ("=", "~") else not answer, (*left, *right))]


def _order(operator: str, left: Collection, right: Collection, zone: tzinfo | None) -> Collection:
    one, two = single(left), single(right)
    if one is None or two is None:
        return []
    order = compare(system_value(one), system_value(two), zone)
    if order is None:
        return []
    answers = {"<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}
    return [computed(answers[operator], (one, two))]


def union(left: Collection, right: Collection, zone: tzinfo | None) -> Collection:
    """Both collections, every value once."""
    return distinct([*left, *right], zone)


def _membership(one: Collection, many: Collection, zone: tzinfo | None) -> Collection:
    if not one:
        return []
    item = single(one)
    assert item is not None
    return [computed(any(equal_items(item, other, zone) for other in many), (item, *many))]


def _logic(operator: str, left: Collection, right: Collection) -> Collection:
    answer = _LOGIC[operator](truth(left), truth(right))
    return [] if answer is None else [computed(answer, (*left, *right))]


def _and(one: bool | None, two: bool | None) -> bool | None:
    if one is False or two is False:
        return False
    return None if one is None or two is None else True


def _or(one: bool | None, two: bool | None) -> bool | None:
    if one or two:
        return True
    return None if one is None or two is None else False


def _xor(one: bool | None, two: bool | None) -> bool | None:
    return None if one is None or two is None else one != two


def _implies(one: bool | None, two: bool | None) -> bool | None:
    if one is False or two is True:
        return True
    return None if one is None or two is None else two


_LOGIC: Final[dict[str, Callable[[bool | None, bool | None], bool | None]]] = {
    "and": _and,
    "or": _or,
    "xor": _xor,
    "implies": _implies,
}


def signed(sign: str, operand: Collection) -> Collection:
    """A number or quantity with a sign before it."""
    item = single(operand)
    if item is None:
        return []
    value = system_value(item)
    if isinstance(value, Amount):
        return [computed(Amount(-value.value if sign == "-" else value.value, value.unit, value.calendar), (item,))]
    if not is_number(value):
        raise failed("A sign wants a number.")
    return [computed(-value if sign == "-" else value, (item,))]


def _arithmetic(operator: str, left: Collection, right: Collection) -> Collection:
    if operator == "&":
        return [computed(capped(_text(left) + _text(right)), (*left, *right))]
    one, two = single(left), single(right)
    if one is None or two is None:
        return []
    with localcontext() as context:
        context.prec = 34
        value = _calculate(operator, system_value(one), system_value(two))
    return [] if value is None else [computed(value, (one, two))]


def capped(value: Any) -> Any:
    """The value. Raises `fhirpath.limit` for a text that is too long."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ReasoningError("The expression makes a text that is too long.", code="fhirpath.limit")
    return value


def _text(collection: Collection) -> str:
    item = single(collection)
    value = system_value(item) if item else ""
    if not isinstance(value, str):
        raise failed("Text is expected.")
    return value


def _calculate(operator: str, one: Any, two: Any) -> Any:
    if operator in ("+", "-") and isinstance(one, Moment) and isinstance(two, Amount):
        moved = one.plus(two, 1 if operator == "+" else -1)
        if moved is None:
            raise failed("This unit cannot be added to a date or time.")
        return moved
    if isinstance(one, Amount) or isinstance(two, Amount):
        return _calculate_amounts(operator, one, two)
    if operator == "+" and isinstance(one, str) and isinstance(two, str):
        return capped(one + two)
    if not is_number(one) or not is_number(two):
        raise failed("Arithmetic wants numbers.")
    return _NUMERIC[operator](one, two)


def _divide(one: int | Decimal, two: int | Decimal) -> Decimal | None:
    if two == 0:
        return None
    quotient = Decimal(one) / Decimal(two)
    exponent = quotient.as_tuple().exponent
    return quotient.quantize(_PLACES) if isinstance(exponent, int) and exponent < -8 else quotient


def _whole(one: int | Decimal, two: int | Decimal) -> int | None:
    return None if two == 0 else int(Decimal(one) / Decimal(two))


def _rest(one: int | Decimal, two: int | Decimal) -> int | Decimal | None:
    if two == 0:
        return None
    rest = Decimal(one) % Decimal(two)
    return int(rest) if isinstance(one, int) and isinstance(two, int) else rest


_NUMERIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda one, two: one + two,
    "-": lambda one, two: one - two,
    "*": lambda one, two: one * two,
    "/": _divide,
    "div": _whole,
    "mod": _rest,
}


def _calculate_amounts(operator: str, one: Any, two: Any) -> Amount | None:
    left, right = as_amount(one), as_amount(two)
    if left is None or right is None or operator not in ("+", "-", "*", "/"):
        raise failed("Arithmetic wants numbers or quantities.")
    if operator in ("*", "/"):
        value = left.value * right.value if operator == "*" else _divide(left.value, right.value)
        sign = 1 if operator == "*" else -1
        return None if value is None else Amount(value, product(left.unit, right.unit, sign))
    scaled = left.scaled_to(right)
    if scaled is None:
        raise failed("Quantities of these units cannot be added.")
    if left.unit == right.unit:
        return Amount(left.value + right.value * (1 if operator == "+" else -1), left.unit, left.calendar)
    factor = scaled[1] / right.value if right.value else Decimal(1)
    own = scaled[0] / left.value if left.value else factor
    return Amount(left.value + right.value * factor / own * (1 if operator == "+" else -1), left.unit, left.calendar)
