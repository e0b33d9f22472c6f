"""FHIRPath functions on numbers, and SDC's sum, min, max, avg. Exact decimals; no float is ever made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from typing import Any, Final

from gateway.reasoning.fhirpath_conversions import ValueFunction
from gateway.reasoning.fhirpath_equality import compare, failed, is_number
from gateway.reasoning.fhirpath_items import Item, computed, system_value
from gateway.reasoning.fhirpath_operators import Collection, apply, integer, single
from gateway.reasoning.fhirpath_values import Amount

_PRECISION: Final = 34
_LARGEST: Final = Decimal(10) ** 30
_PLACES: Final = Decimal("0.00000001")


def _number(collection: Collection) -> int | Decimal | Amount | None:
    item = single(collection)
    if item is None:
        return None
    value = system_value(item)
    if not is_number(value) and not isinstance(value, Amount):
        raise failed("A number is expected.")
    if abs(value.value if isinstance(value, Amount) else value) > _LARGEST:
        raise failed("The number is too large.")
    return value  # type: ignore[no-any-return]


def _on_number(function: Callable[..., Any], *, amounts: bool = False) -> ValueFunction:
    """Lift a function of numbers; empty in, empty out. `amounts`: quantities keep their unit."""

    def lifted(focus: Collection, arguments: list[Collection]) -> Collection:
        subject = _number(focus)
        operands = [_number(argument) for argument in arguments]
        if subject is None or None in operands:
            return []
        with localcontext() as context:
            context.prec = _PRECISION
            if isinstance(subject, Amount):
                if not amounts:
                    raise failed("A number without a unit is expected.")
                value: Any = Amount(Decimal(function(subject.value, *operands)), subject.unit, subject.calendar)
            else:
                value = function(subject, *operands)
        return [] if value is None else [computed(value, focus)]

    return lifted


def _round(value: int | Decimal, digits: int = 0) -> Decimal:
    if not isinstance(digits, int) or not 0 <= digits <= 28:
        raise failed("Rounding wants a number of places between 0 and 28.")
    return Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _sqrt(value: int | Decimal) -> Decimal | None:
    return None if value < 0 else _trimmed(Decimal(value).sqrt())


def _ln(value: int | Decimal) -> Decimal | None:
    return None if value <= 0 else _trimmed(Decimal(value).ln())


def _log(value: int | Decimal, base: int | Decimal) -> Decimal | None:
    if value <= 0 or base <= 0 or base == 1:
        return None
    return _trimmed(Decimal(value).ln() / Decimal(base).ln())


def _exp(value: int | Decimal) -> Decimal | None:
    return None if value > 60 else _trimmed(Decimal(value).exp())


def _power(value: int | Decimal, exponent: int | Decimal) -> int | Decimal | None:
    if (
        Decimal(exponent).copy_abs() > 1000
        or (value < 0 and exponent != int(exponent))
        or (value == 0 and exponent < 0)
    ):
        return None
    result = Decimal(Decimal(value) ** Decimal(exponent))
    if result.copy_abs() > _LARGEST:
        return None
    return int(result) if isinstance(value, int) and isinstance(exponent, int) and exponent >= 0 else _trimmed(result)


def _trimmed(value: Decimal) -> Decimal:
    """Eight places at most, without a tail of zeros."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -8:
        value = value.quantize(_PLACES)
    return value.normalize() if value != value.to_integral_value() else value.quantize(Decimal(1))


def _sum(focus: Collection, arguments: list[Collection]) -> Collection:
    total: Collection = []
    for item in focus:
        total = apply("+", total, [item], None) if total else [item]
    return [computed(system_value(total[0]), focus)] if total else []


def _extreme(sign: int) -> ValueFunction:
    def function(focus: Collection, arguments: list[Collection]) -> Collection:
        best: Item | None = None
        for item in focus:
            if best is None or (compare(system_value(item), system_value(best), None) or 0) * sign > 0:
                best = item
        return [] if best is None else [best]

    return function


def _avg(focus: Collection, arguments: list[Collection]) -> Collection:
    total = _sum(focus, [])
    return [computed(system_value(apply("/", total, [computed(len(focus))], None)[0]), focus)] if total else []


def _digits(focus: Collection, arguments: list[Collection]) -> Collection:
    """precision(): digits of a decimal or of a date's text."""
    item = single(focus)
    if item is None:
        return []
    value = system_value(item)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return [computed(len(format(Decimal(value), "f").replace(".", "").lstrip("-")), focus)]
    text = value.text() if hasattr(value, "text") else ""
    return [computed(sum(character.isdigit() for character in text.split("+")[0]), focus)] if text else []


def _comparable(focus: Collection, arguments: list[Collection]) -> Collection:
    one, two = single(focus), single(arguments[0])
    left, right = (system_value(item) if item else None for item in (one, two))
    if not isinstance(left, Amount) or not isinstance(right, Amount):
        return []
    return [computed(left.scaled_to(right) is not None, focus)]


def _truncate(value: int | Decimal) -> int:
    return int(value)


NUMBERS: Final[Mapping[str, tuple[int, int, ValueFunction]]] = {
    "abs": (0, 0, _on_number(abs, amounts=True)),
    "ceiling": (0, 0, _on_number(lambda value: int(Decimal(value).to_integral_value(ROUND_CEILING)))),
    "floor": (0, 0, _on_number(lambda value: int(Decimal(value).to_integral_value(ROUND_FLOOR)))),
    "truncate": (0, 0, _on_number(_truncate)),
    "round": (0, 1, _on_number(_round, amounts=True)),
    "sqrt": (0, 0, _on_number(_sqrt)),
    "ln": (0, 0, _on_number(_ln)),
    "log": (1, 1, _on_number(_log)),
    "exp": (0, 0, _on_number(_exp)),
    "power": (1, 1, _on_number(_power)),
    "sum": (0, 0, _sum),
    "min": (0, 0, _extreme(-1)),
    "max": (0, 0, _extreme(1)),
    "avg": (0, 0, _avg),
    "precision": (0, 0, _digits),
    "comparable": (1, 1, _comparable),
}

__all__ = ["NUMBERS", "integer"]
