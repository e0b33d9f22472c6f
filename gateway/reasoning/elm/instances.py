"""`Instance`: values of System and FHIR classes made by the logic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from gateway.reasoning.elm.codes import Code, CodeSystem, Concept, ValueSet
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.model import FHIR, SYSTEM, FhirType, load_model
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.quantities import Quantity, Ratio
from gateway.reasoning.elm.wire import plain

Make = Callable[[dict[str, Any], int], Any]


def instance_builder(class_type: str, fhir_version: str) -> Make:
    """Function of element values and offset for a class. Raises `elm.type` for a class that is not known."""
    if class_type.startswith(FHIR):
        model = load_model(fhir_version)
        kind = model.find(class_type.removeprefix(FHIR))
        if kind is not None:
            return lambda values, offset: Node(fhir_json(values, kind), kind, model)
    make = _SYSTEM.get(class_type.removeprefix(SYSTEM)) if class_type.startswith(SYSTEM) else None
    if make is None:
        raise failure("type", "The logic makes a value of a class that is not known.")
    return lambda values, offset: make({name: plain(value, offset) for name, value in values.items()})


def _quantity(values: Mapping[str, Any]) -> Quantity | None:
    value = values.get("value")
    return None if value is None else Quantity(Decimal(value), values.get("unit") or "1")


def _ratio(values: Mapping[str, Any]) -> Ratio | None:
    numerator, denominator = values.get("numerator"), values.get("denominator")
    return None if numerator is None or denominator is None else Ratio(numerator, denominator)


def _code(values: Mapping[str, Any]) -> Code:
    return Code(values.get("code"), values.get("system"), values.get("version"), values.get("display"))


def _concept(values: Mapping[str, Any]) -> Concept:
    codes = values.get("codes") or ()
    return Concept(tuple(codes) if isinstance(codes, list) else (codes,) if codes else (), values.get("display"))


_SYSTEM: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "Quantity": _quantity,
    "Ratio": _ratio,
    "Code": _code,
    "Concept": _concept,
    "ValueSet": lambda values: ValueSet(str(values.get("id")), values.get("version"), values.get("name")),
    "CodeSystem": lambda values: CodeSystem(str(values.get("id")), values.get("version"), values.get("name")),
}


def fhir_json(values: Mapping[str, Any], kind: FhirType) -> Any:
    """FHIR JSON of element values; the value alone for a primitive."""
    if kind.value_kind:
        return _json(values.get("value"))
    found: dict[str, Any] = {}
    for name, value in values.items():
        element = kind.elements.get(name)
        if element is None:
            raise failure("property", "The logic sets an element that FHIR does not have.")
        if value is not None:
            found[_key(element.choices, value, name)] = _json(value)
    return found


def _key(choices: tuple[tuple[str, FhirType], ...], value: Any, name: str) -> str:
    if isinstance(value, Node):
        return next((key for key, kind in choices if kind.name in value.type.names), name)
    return choices[0][0] if choices else name


def _json(value: Any) -> Any:
    if isinstance(value, Node):
        return value.value
    if isinstance(value, list):
        return [_json(one) for one in value]
    return value.text() if isinstance(value, Date | DateTime | Time) else value
