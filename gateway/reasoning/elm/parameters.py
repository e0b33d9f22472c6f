"""Parameters: JSON that is handed in, read by the type the library declares; else the default; else null."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, Concept
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import CompiledLibrary, Define
from gateway.reasoning.elm.model import FHIR
from gateway.reasoning.elm.moments import read_date, read_date_time, read_time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.numbers import fit_decimal, fit_integer, fit_long
from gateway.reasoning.elm.quantities import Quantity
from gateway.reasoning.elm.shape import listed, local_name
from gateway.reasoning.elm.state import State


def parameter_value(state: State, library: CompiledLibrary, name: str) -> Any:
    """Value of a parameter, computed once. Raises `elm.reference` for a name the library does not declare."""
    key = ("parameter", library, name)
    if key not in state.cache:
        declared = library.parameters.get(name)
        if declared is None:
            raise failure("reference", "The logic uses a parameter that it does not declare.")
        state.cache[key] = _value(state, library, name, declared)
    value = state.cache[key]
    if isinstance(value, Node):
        state.log.append(value)
    return value


def _value(state: State, library: CompiledLibrary, name: str, declared: Json) -> Any:
    if name in state.parameters:
        return read_value(state.parameters[name], _specifier(declared), state)
    if declared.get("default") is None:
        return None
    define = Define(library, name, {"expression": declared["default"]})
    return define.prepared()([state, *[None] * (define.size - 1)])


def _specifier(declared: Json) -> Json:
    specifier = declared.get("parameterTypeSpecifier")
    if isinstance(specifier, Mapping):
        return specifier
    return {"type": "NamedTypeSpecifier", "name": declared.get("parameterType") or ""}


def read_value(value: Any, specifier: Json, state: State) -> Any:
    """CQL value of JSON. Raises `elm.value` when it is not of the declared type."""
    if value is None:
        return None
    kind = specifier.get("type", "NamedTypeSpecifier")
    if kind == "ListTypeSpecifier":
        return [read_value(one, specifier.get("elementType") or {}, state) for one in listed(value)]
    if kind == "IntervalTypeSpecifier" and isinstance(value, Mapping):
        return _interval(value, specifier, state)
    if kind == "TupleTypeSpecifier" and isinstance(value, Mapping):
        types = {str(one.get("name")): _element_type(one) for one in listed(specifier.get("element"))}
        return {name: read_value(value.get(name), type_, state) for name, type_ in types.items()}
    if kind == "ChoiceTypeSpecifier":
        return _choice(value, specifier, state)
    found = _named(value, str(specifier.get("name") or ""), state)
    if found is None:
        raise failure("value", "A parameter is not of the type that the library declares.")
    return found


def _element_type(element: Json) -> Json:
    return element.get("elementType") or element.get("type") or {}


def _interval(value: Mapping[str, Any], specifier: Json, state: State) -> Interval:
    point = specifier.get("pointType") or {}
    low, high = (read_value(value.get(name), point, state) for name in ("low", "high"))
    closed = (value.get("lowClosed", True) is not False, value.get("highClosed", True) is not False)
    return Interval(low, high, *closed, local_name(point.get("name", "")))


def _choice(value: Any, specifier: Json, state: State) -> Any:
    for one in listed(specifier.get("choice")):
        try:
            return read_value(value, one, state)
        except Exception as error:
            if type(error).__name__ != "ReasoningError":
                raise
    raise failure("value", "A parameter is not of the type that the library declares.")


def _named(value: Any, name: str, state: State) -> Any:
    if isinstance(value, Mapping) and (value.get("resourceType") or name.startswith(FHIR)):
        return _fhir(value, name, state)
    kind = local_name(name)
    if isinstance(value, bool):
        return value if kind in ("Boolean", "Any", "boolean", "") else None
    if isinstance(value, str):
        return _text(value, kind, state)
    if isinstance(value, int | Decimal):
        return _number(value, kind)
    return _structure(value, kind) if isinstance(value, Mapping) else None


def _fhir(value: Mapping[str, Any], name: str, state: State) -> Node | None:
    model = state.chart.model
    wanted = model.find(name.removeprefix(FHIR)) if name.startswith(FHIR) else None
    own = model.of_resource(str(value["resourceType"])) if value.get("resourceType") else wanted
    if own is None or (wanted is not None and wanted.name not in own.names):
        return None
    return Node(value, own, model)


def _text(value: str, kind: str, state: State) -> Any:
    if kind == "DateTime":
        return read_date_time(value, state.offset)
    if kind == "Date":
        return read_date(value)
    if kind == "Time":
        return read_time(value)
    return value if kind in ("String", "Any", "string", "code", "") else None


def _number(value: int | Decimal, kind: str) -> Any:
    if kind in ("Decimal", "decimal"):
        return fit_decimal(Decimal(value))
    if isinstance(value, int):
        return (
            fit_long(value)
            if kind == "Long"
            else fit_integer(value)
            if kind in ("Integer", "Any", "integer", "")
            else None
        )
    return fit_decimal(value) if kind in ("Any", "") else None


def _structure(value: Mapping[str, Any], kind: str) -> Any:
    if kind == "Quantity" and isinstance(value.get("value"), int | Decimal):
        number = fit_decimal(Decimal(value["value"]))
        return None if number is None else Quantity(number, str(value.get("unit") or value.get("code") or "1"))
    if kind == "Code":
        return _code(value)
    if kind == "Concept":
        return Concept(tuple(_code(one) for one in listed(value.get("codes"))), value.get("display"))
    return dict(value) if kind in ("Any", "") else None


def _code(value: Mapping[str, Any]) -> Code:
    return Code(value.get("code"), value.get("system"), value.get("version"), value.get("display"))
