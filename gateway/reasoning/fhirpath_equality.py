"""When FHIRPath values are equal, alike or in order. None means "cannot tell" and must stay so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from decimal import Decimal
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath_items import Item, system_value
from gateway.reasoning.fhirpath_values import Amount, Moment

Collection = list[Item]
_NUMBERS: Final = (int, Decimal)


def failed(message: str) -> ReasoningError:
    """An evaluation that the language forbids; `message` is a fixed sentence."""
    return ReasoningError(message, code="fhirpath.evaluation")


def is_number(value: Any) -> bool:
    """Integer or decimal, not boolean."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


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
    left, right = as_amount(one), as_amount(two)
    if left is None or right is None:
        return False
    scaled = left.scaled_to(right)
    return None if scaled is None else scaled[0] == scaled[1]


def as_amount(value: Any) -> Amount | None:
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


def compare(one: Any, two: Any, zone: tzinfo | None) -> int | None:
    """-1, 0 or 1; None when it cannot be told; values of different kinds raise."""
    if isinstance(one, Moment) and isinstance(two, Moment):
        if (one.kind == "time") != (two.kind == "time"):
            raise failed("A time cannot be compared with a date.")
        return one.compare(two, zone)
    if isinstance(one, Amount) or isinstance(two, Amount):
        left, right = as_amount(one), as_amount(two)
        if left is None or right is None:
            raise failed("Values of these types cannot be compared.")
        scaled = left.scaled_to(right)
        return None if scaled is None else (scaled[0] > scaled[1]) - (scaled[0] < scaled[1])
    if (is_number(one) and is_number(two)) or (isinstance(one, str) and isinstance(two, str)):
        return int(one > two) - int(one < two)
    raise failed("Values of these types cannot be compared.")


def distinct(collection: Collection, zone: tzinfo | None) -> Collection:
    """Every value once, first come first kept; the sources of dropped repeats stay with the kept one."""
    by_key: dict[tuple[str, Any], Item] = {}
    for item in collection:
        key = _plain_key(item)
        if key is None:
            break
        by_key.setdefault(key, item)
    else:
        return list(by_key.values())
    kept: Collection = []
    for item in collection:
        if not any(equal_items(item, other, zone) for other in kept):
            kept.append(item)
    return kept


def _plain_key(item: Item) -> tuple[str, Any] | None:
    """Hashable key of text, numbers and truths, equal exactly when the items are equal; None for other values."""
    value = system_value(item)
    if isinstance(value, bool):
        return ("truth", value)
    if isinstance(value, str):
        return ("text", value)
    return ("number", Decimal(value)) if is_number(value) else None
