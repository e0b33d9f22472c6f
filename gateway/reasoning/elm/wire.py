"""FHIR data types as CQL values, as FHIRHelpers converts them.

Used where ELM carries no conversion, and as FHIRHelpers itself when a library includes it and the package
does not ship it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.reasoning.elm.codes import Code, Concept
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.model import FhirType
from gateway.reasoning.elm.moments import read_date_time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.numbers import fit_decimal
from gateway.reasoning.elm.quantities import Quantity, Ratio
from gateway.reasoning.elm.units import WORD_OF_UCUM

UCUM: Final = "http://unitsofmeasure.org"


def plain(value: Any, offset: int) -> Any:
    """A node as the System value it stands for; anything else, and types that stand for none, as it is."""
    if not isinstance(value, Node):
        return value
    convert = value.type.plain
    if convert is None:
        convert = value.type.plain = _conversion(value.type) or Node.itself
    return convert(value, offset)


def has_plain(value: Node) -> bool:
    """Whether the node's type stands for a System type."""
    return _conversion(value.type) is not None


def _conversion(kind: FhirType) -> Callable[[Node, int], Any] | None:
    if kind.value_kind:
        return Node.system
    convert = next((function for name, function in _CONVERSIONS.items() if name in kind.names), None)
    return None if convert is None else lambda node, offset: convert(node.value, offset)


def code_of(coding: Any, offset: int = 0) -> Code | None:
    """Code of a Coding."""
    if not isinstance(coding, Mapping):
        return None
    return Code(_text(coding, "code"), _text(coding, "system"), _text(coding, "version"), _text(coding, "display"))


def concept_of(concept: Any, offset: int = 0) -> Concept | None:
    """Concept of a CodeableConcept."""
    if not isinstance(concept, Mapping):
        return None
    codings = concept.get("coding") or ()
    codes = tuple(code for code in map(code_of, codings) if code is not None)
    return Concept(codes, _text(concept, "text"))


def quantity_of(quantity: Any, offset: int = 0) -> Quantity | None:
    """Quantity of a FHIR Quantity: null without a value; the unit is the UCUM code, else the unit text.

    Raises `elm.value` for a quantity with a comparator, which is not a number (FHIRHelpers).
    """
    if not isinstance(quantity, Mapping) or not _is_number(quantity.get("value")):
        return None
    if quantity.get("comparator"):
        raise failure("value", "A quantity with a comparator has no exact value.")
    value = fit_decimal(Decimal(quantity["value"]))
    return None if value is None else Quantity(value, _unit(quantity))


def _unit(quantity: Mapping[str, Any]) -> str:
    """UCUM durations become the calendar words, as FHIRHelpers.ToCalendarUnit does."""
    system = _text(quantity, "system")
    unit = _text(quantity, "code") if system in (None, UCUM) else None
    unit = unit or _text(quantity, "unit") or _text(quantity, "code") or "1"
    return WORD_OF_UCUM.get(unit, unit)


def interval_of_period(period: Any, offset: int = 0) -> Interval | None:
    """DateTime interval of a Period; an absent start is unknown, an absent end goes on (FHIRHelpers)."""
    if not isinstance(period, Mapping):
        return None
    low, high = _moment(period.get("start"), offset), _moment(period.get("end"), offset)
    return Interval(low, high, low is not None, True, "DateTime")


def interval_of_range(value: Any, offset: int = 0) -> Interval | None:
    """Quantity interval of a Range."""
    if not isinstance(value, Mapping):
        return None
    low, high = quantity_of(value.get("low")), quantity_of(value.get("high"))
    return Interval(low, high, True, True, "Quantity")


def ratio_of(value: Any, offset: int = 0) -> Ratio | None:
    """Ratio of a FHIR Ratio; None when a part is missing."""
    if not isinstance(value, Mapping):
        return None
    numerator, denominator = quantity_of(value.get("numerator")), quantity_of(value.get("denominator"))
    return None if numerator is None or denominator is None else Ratio(numerator, denominator)


def _moment(value: Any, offset: int) -> Any:
    return read_date_time(value, offset) if isinstance(value, str) else None


def _text(holder: Mapping[str, Any], name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


_CONVERSIONS: Final[dict[str, Callable[[Any, int], Any]]] = {
    "Coding": code_of,
    "CodeableConcept": concept_of,
    "Quantity": quantity_of,
    "Period": interval_of_period,
    "Range": interval_of_range,
    "Ratio": ratio_of,
}
