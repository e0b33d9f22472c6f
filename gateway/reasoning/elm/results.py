"""Results as JSON: the stable shape of `elm evaluate`, and the FHIR shape that forms take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.reasoning.elm.codes import Code, CodeSystem, Concept, ValueSet
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.numbers import Uncertain
from gateway.reasoning.elm.quantities import Quantity, Ratio
from gateway.reasoning.elm.units import CALENDAR, WORD_OF_UCUM
from gateway.reasoning.elm.wire import UCUM

_CODE_OF_WORD: Final = {word: code for code, word in WORD_OF_UCUM.items()}


def result_json(value: Any) -> Any:
    """JSON of a value as `elm evaluate --json` prints it: numbers with all digits, dates as ISO text."""
    simple = _simple(value, result_json)
    if simple is not value or value is None:
        return simple
    if isinstance(value, Quantity):
        return {"value": value.value, "unit": value.unit}
    if isinstance(value, Code):
        found = {"code": value.code, "system": value.system, "display": value.display}
        return {**found, "version": value.version} if value.version else found
    if isinstance(value, Concept):
        return {"codes": [result_json(code) for code in value.codes], "display": value.display}
    if isinstance(value, Ratio):
        return {"numerator": result_json(value.numerator), "denominator": result_json(value.denominator)}
    return value


def _simple(value: Any, inner: Callable[[Any], Any]) -> Any:
    """What both shapes have in common; the value itself when they differ."""
    if isinstance(value, Node):
        return value.value
    if isinstance(value, Date | DateTime | Time):
        return value.text()
    if isinstance(value, list):
        return [inner(one) for one in value]
    if isinstance(value, Interval):
        return _interval(value, inner)
    if isinstance(value, Uncertain):
        return {"low": value.low, "high": value.high, "lowClosed": True, "highClosed": True}
    if isinstance(value, ValueSet | CodeSystem):
        return {"id": value.id, "version": value.version, "name": value.name}
    if isinstance(value, Mapping):
        return {name: inner(one) for name, one in value.items()}
    return value


def _interval(value: Interval, inner: Callable[[Any], Any]) -> dict[str, Any]:
    return {
        "low": inner(value.low),
        "high": inner(value.high),
        "lowClosed": value.low_closed,
        "highClosed": value.high_closed,
    }


def fhir_json(value: Any) -> Any:
    """JSON of a value in the FHIR type it fills: Quantity, Coding, CodeableConcept, Period or Range, Ratio."""
    if isinstance(value, Interval):
        return _fhir_interval(value)
    simple = _simple(value, fhir_json)
    if simple is not value or value is None:
        return simple
    if isinstance(value, Quantity):
        return _fhir_quantity(value)
    if isinstance(value, Code):
        found = {"system": value.system, "version": value.version, "code": value.code, "display": value.display}
        return {name: text for name, text in found.items() if text is not None}
    if isinstance(value, Concept):
        text = {"text": value.display} if value.display else {}
        return {"coding": [fhir_json(code) for code in value.codes], **text}
    if isinstance(value, Ratio):
        return {"numerator": fhir_json(value.numerator), "denominator": fhir_json(value.denominator)}
    return value


def _fhir_quantity(quantity: Quantity) -> dict[str, Any]:
    word = CALENDAR.get(quantity.unit)
    code = _CODE_OF_WORD[word] if word else quantity.unit
    value: int | Decimal = quantity.value
    if quantity.value == quantity.value.to_integral_value():
        value = int(quantity.value)
    return {"value": value, "unit": quantity.unit, "system": UCUM, "code": code}


def _fhir_interval(interval: Interval) -> dict[str, Any]:
    start, end = interval.start() if interval.low is not None else None, None
    end = interval.end() if interval.high is not None else None
    names = ("low", "high") if isinstance(start if start is not None else end, Quantity) else ("start", "end")
    found = zip(names, (start, end), strict=True)
    return {name: fhir_json(one) for name, one in found if one is not None}
