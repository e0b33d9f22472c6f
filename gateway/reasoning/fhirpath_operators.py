"""Operators of FHIRPath: equality, order, arithmetic, logic, collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import tzinfo
from decimal import Decimal, localcontext
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath_items import Item, computed, system_value
from gateway.reasoning.fhirpath_units import product
from gateway.reasoning.fhirpath_values import Amount, Moment

Collection = list[Item]
_PLACES: Final = Decimal("0.00000001")
_NUMBERS: Final = (int, Decimal)


def failed(message: str) -> ReasoningError:
    """An evaluation that the language forbids; `message` is a fixed sentence."""
    return ReasoningError(message, code="fhirpath.evaluation")


def single(collection: Collection) -> Item | None:
    """The only item, None when there is none; more raise."""
    if len(collection) > 1:
        raise failed("A single item is expected and there are several.")
    return collection[0] if collection else None


def is_number(value: Any) -> bool:
    """Integer or decimal, not boolean."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


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


def equal(left: Collection, right: Collection, zone: tzinfo | None) -> bool | None:
    """Equality of collections, in order; None when either is empty or a pair cannot be told."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    answers = [equal_items(one, two, zone) for one, two in zip(left, right, strict=True)]
    if False in answers:
        return False
    return None if None in answers else True


def equal_items(left: Item, right: Item, zone: tzinfo | None) -> bool | None:
    """Equality of two items; None when dates of unequal precision leave it open."""
    return _equal_values(system_value(left), system_value(right), zone)


def _equal_values(one: Any, two: Any, zone: tzinfo | None) -> bool | None:
    if isinstance(one, Moment) or isinstance(two, Moment):
        return _equal_moments(one, two, zone)
    if isinstance(one, Amount) or isinstance(two, Amount):
        return _equal_amounts(one, two)
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if is_number(one) and is_number(two):
        return bool(one == two)
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(_equal_values(one[key], two[key], zone) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(_equal_values(a, b, zone) for a, b in zip(one, two, strict=True))
    return type(one) is type(two) and bool(one == two)


def _equal_moments(one: Any, two: Any, zone: tzinfo | None) -> bool | None:
    if isinstance(one, Moment) and isinstance(two, Moment):
        if (one.kind == "time") != (two.kind == "time"):
            return False
        order = one.compare(two, zone)
        return None if order is None else order == 0
    moment, text = (one, two) if isinstance(one, Moment) else (two, one)
    return isinstance(text, str) and bool(moment.text() == text)


def _equal_amounts(one: Any, two: Any) -> bool | None:
    left, right = _as_amount(one), _as_amount(two)
    if left is None or right is None:
        return False
    scaled = left.scaled_to(right)
    return None if scaled is None else scaled[0] == scaled[1]


def _as_amount(value: Any) -> Amount | None:
    if isinstance(value, Amount):
        return value
    return Amount(Decimal(value)) if is_number(value) else None


def equivalent(left: Collection, right: Collection, zone: tzinfo | None) -> bool:
    """`~`: order does not matter, text ignores case and spaces, decimals the finer precision."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        for position, other in enumerate(rest):
            if _alike(system_value(item), system_value(other), zone):
                del rest[position]
                break
        else:
            return False
    return True


def _alike(one: Any, two: Any, zone: tzinfo | None) -> bool:
    if isinstance(one, str) and isinstance(two, str):
        return " ".join(one.lower().split()) == " ".join(two.lower().split())
    if is_number(one) and is_number(two):
        return _alike_numbers(Decimal(one), Decimal(two))
    if isinstance(one, Amount) and isinstance(two, Amount):
        scaled = one.scaled_to(two)
        return scaled is not None and _alike_numbers(*scaled)
    if isinstance(one, Moment) and isinstance(two, Moment):
        return one.compare(two, zone) == 0
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        keys = {key for key in (*one, *two) if key != "id"}
        return all(key in one and key in two and _alike(one[key], two[key], zone) for key in keys)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(any(_alike(a, b, zone) for b in two) for a in one)
    return bool(_equal_values(one, two, zone))


def _alike_numbers(one: Decimal, two: Decimal) -> bool:
    places = min(_decimal_places(one), _decimal_places(two))
    step = Decimal(1).scaleb(-places)
    return one.quantize(step) == two.quantize(step)


def _decimal_places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _order(operator: str, left: Collection, right: Collection, zone: tzinfo | None) -> Collection:
    one, two = single(left), single(right)
    if one is None or two is None:
        return []
    order = compare(system_value(one), system_value(two), zone)
    if order is None:
        return []
    answers = {"<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0}
    return [computed(answers[operator], (one, two))]


def compare(one: Any, two: Any, zone: tzinfo | None) -> int | None:
    """-1, 0 or 1; None when it cannot be told; values of different kinds raise."""
    if isinstance(one, Moment) and isinstance(two, Moment):
        if (one.kind == "time") != (two.kind == "time"):
            raise failed("A time cannot be compared with a date.")
        return one.compare(two, zone)
    if isinstance(one, Amount) or isinstance(two, Amount):
        left, right = _as_amount(one), _as_amount(two)
        if left is None or right is None:
            raise failed("Values of these types cannot be compared.")
        scaled = left.scaled_to(right)
        return None if scaled is None else (scaled[0] > scaled[1]) - (scaled[0] < scaled[1])
    if (is_number(one) and is_number(two)) or (isinstance(one, str) and isinstance(two, str)):
        return int(one > two) - int(one < two)
    raise failed("Values of these types cannot be compared.")


def union(left: Collection, right: Collection, zone: tzinfo | None) -> Collection:
    """Both collections, every value once."""
    return distinct([*left, *right], zone)


def distinct(collection: Collection, zone: tzinfo | None) -> Collection:
    """Every value once, first come first kept; the sources of dropped repeats stay with the kept one."""
    kept: Collection = []
    for item in collection:
        if not any(equal_items(item, other, zone) for other in kept):
            kept.append(item)
    return kept


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
        return [computed(_text(left) + _text(right), (*left, *right))]
    one, two = single(left), single(right)
    if one is None or two is None:
        return []
    with localcontext() as context:
        context.prec = 34
        value = _calculate(operator, system_value(one), system_value(two))
    return [] if value is None else [computed(value, (one, two))]


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
        return one + two
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
    left, right = _as_amount(one), _as_amount(two)
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
