"""Equal, equivalent and order of any two values, three-valued where CQL is.

`equal` is None where it cannot be told. `equivalent` is never None. Tuples and lists are compared part by part
and the first part that is not equal decides (CQL 1.5, Equal; the public suite).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from gateway.reasoning.elm.codes import Code, Concept, equivalent_codes, equivalent_concepts
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.moment_order import compare_moments, equivalent_moments
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.numbers import Uncertain, is_number
from gateway.reasoning.elm.quantities import (
    Quantity,
    Ratio,
    compare_quantities,
    equivalent_quantities,
    equivalent_ratios,
)
from gateway.reasoning.elm.wire import plain

_MOMENTS = (Date, DateTime, Time)


def compare(left: Any, right: Any, precision: int | None = None, offset: int = 0) -> int | None:
    """-1, 0 or 1 for two values that are not null; None when it cannot be told.

    Raises `elm.value` for values that have no order.
    """
    if isinstance(left, _MOMENTS) and isinstance(right, _MOMENTS):
        return compare_moments(left, right, precision, offset)
    if (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str)):
        return int(left > right) - int(left < right)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return compare_quantities(left, right)
    if isinstance(left, Uncertain) or isinstance(right, Uncertain):
        return _compare_uncertain(left, right)
    if isinstance(left, Node) or isinstance(right, Node):
        one, two = plain(left, offset), plain(right, offset)
        if one is not left or two is not right:
            return None if one is None or two is None else compare(one, two, precision, offset)
    raise failure("value", "Two values that have no order were compared.")


def bounds(value: Any) -> tuple[int, int]:
    """Least and greatest number that an Integer or an uncertain one can be."""
    return (value.low, value.high) if isinstance(value, Uncertain) else (value, value)


def _compare_uncertain(left: Any, right: Any) -> int | None:
    (low, high), (other_low, other_high) = bounds(left), bounds(right)
    if high < other_low:
        return -1
    return 1 if low > other_high else None


def at_most(left: Any, right: Any, precision: int | None = None, offset: int = 0) -> bool | None:
    """Whether left is not greater than right."""
    order = compare(left, right, precision, offset)
    if order is not None:
        return order <= 0
    if isinstance(left, Uncertain) or isinstance(right, Uncertain):
        return True if bounds(left)[1] <= bounds(right)[0] else None
    return None


def equal(left: Any, right: Any, offset: int = 0) -> bool | None:
    """CQL `=`; None when either is null or it cannot be told."""
    if left is None or right is None:
        return None
    kind = type(left)
    if kind is type(right) and kind in (str, int, bool, Decimal):
        return bool(left == right)
    if isinstance(left, Node) and isinstance(right, Node):
        return _equal_nodes(left, right)
    if isinstance(left, Node) or isinstance(right, Node):
        one, two = plain(left, offset), plain(right, offset)
        return equal(one, two, offset) if one is not left or two is not right else False
    return _equal_values(left, right, offset)


def _equal_values(left: Any, right: Any, offset: int) -> bool | None:
    if isinstance(left, list) and isinstance(right, list):
        return _equal_lists(left, right, offset)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return _equal_tuples(left, right, offset)
    if isinstance(left, Interval) and isinstance(right, Interval):
        return _both(equal(left.start(), right.start(), offset), equal(left.end(), right.end(), offset))
    if isinstance(left, Code | Concept) and isinstance(right, Code | Concept):
        return left == right
    if isinstance(left, Ratio) and isinstance(right, Ratio):
        return _both(equal(left.numerator, right.numerator), equal(left.denominator, right.denominator))
    if isinstance(left, Uncertain) or isinstance(right, Uncertain):
        return _equal_uncertain(left, right, offset)
    if _comparable(left, right):
        order = compare(left, right, None, offset)
        return None if order is None else order == 0
    return type(left) is type(right) and bool(left == right)


def _equal_uncertain(left: Any, right: Any, offset: int) -> bool | None:
    """A range of Integers against a number; against an interval or another range its bounds are compared."""
    if isinstance(left, Interval) or isinstance(right, Interval):
        return equal(as_interval(left), as_interval(right), offset)
    if isinstance(left, Uncertain) and isinstance(right, Uncertain) and bounds(left) == bounds(right):
        return None
    order = _compare_uncertain(left, right)
    return None if order is None else False


def as_interval(value: Any) -> Any:
    """An uncertain Integer as the interval it may lie in."""
    return Interval(value.low, value.high) if isinstance(value, Uncertain) else value


def _comparable(left: Any, right: Any) -> bool:
    return (
        (
            isinstance(left, _MOMENTS)
            and isinstance(right, _MOMENTS)
            and isinstance(left, Time) == isinstance(right, Time)
        )
        or (is_number(left) and is_number(right))
        or (isinstance(left, Quantity) and isinstance(right, Quantity))
    )


def _both(one: bool | None, two: bool | None) -> bool | None:
    if one is False or two is False:
        return False
    return None if one is None or two is None else True


def _equal_parts(left: Any, right: Any, offset: int) -> bool | None:
    if left is None and right is None:
        return True
    return equal(left, right, offset)


def _equal_lists(left: list[Any], right: list[Any], offset: int) -> bool | None:
    if len(left) != len(right):
        return False
    for one, two in zip(left, right, strict=True):
        same = _equal_parts(one, two, offset)
        if same is not True:
            return same
    return True


def _equal_tuples(left: Mapping[str, Any], right: Mapping[str, Any], offset: int) -> bool | None:
    if left.keys() != right.keys():
        return False
    for name, value in left.items():
        same = _equal_parts(value, right[name], offset)
        if same is not True:
            return same
    return True


def _equal_nodes(left: Node, right: Node) -> bool:
    if left is right or left.value is right.value is not None:
        return True
    return left.type is right.type and left.value == right.value and left.shadow == right.shadow


def equivalent(left: Any, right: Any, offset: int = 0) -> bool:
    """CQL `~`; two nulls are equivalent."""
    if left is None or right is None:
        return left is right
    if isinstance(left, Node) or isinstance(right, Node):
        if isinstance(left, Node) and isinstance(right, Node) and _equal_nodes(left, right):
            return True
        one, two = plain(left, offset), plain(right, offset)
        return equivalent(one, two, offset) if one is not left or two is not right else False
    if isinstance(left, str) and isinstance(right, str):
        return _folded(left) == _folded(right)
    if isinstance(left, Code | Concept) and isinstance(right, Code | Concept):
        return _equivalent_codes(left, right)
    if is_number(left) and is_number(right):
        return _equivalent_numbers(Decimal(left), Decimal(right))
    return _equivalent_values(left, right, offset)


def _equivalent_values(left: Any, right: Any, offset: int) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            equivalent(one, two, offset) for one, two in zip(left, right, strict=True)
        )
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equivalent(left[name], right[name], offset) for name in left)
    if isinstance(left, Interval) and isinstance(right, Interval):
        return equivalent(left.start(), right.start(), offset) and equivalent(left.end(), right.end(), offset)
    if isinstance(left, _MOMENTS) and isinstance(right, _MOMENTS):
        return isinstance(left, Time) == isinstance(right, Time) and equivalent_moments(left, right, offset)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return equivalent_quantities(left, right)
    if isinstance(left, Ratio) and isinstance(right, Ratio):
        return equivalent_ratios(left, right)
    return equal(left, right, offset) is True


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()) if any(one.isspace() for one in text) else text.casefold()


def _equivalent_codes(left: Code | Concept, right: Code | Concept) -> bool:
    if isinstance(left, Code) and isinstance(right, Code):
        return equivalent_codes(left, right)
    one = left if isinstance(left, Concept) else Concept((left,))
    two = right if isinstance(right, Concept) else Concept((right,))
    return equivalent_concepts(one, two)


def _equivalent_numbers(left: Decimal, right: Decimal) -> bool:
    """Rounded to the places of the less precise one, trailing zeros not counted."""
    places = min(_places(left), _places(right))
    step = Decimal(1).scaleb(-places)
    return left.quantize(step, ROUND_HALF_UP) == right.quantize(step, ROUND_HALF_UP)


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
