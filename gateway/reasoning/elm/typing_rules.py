"""Type tests on run-time values: `is`, casts, and which overload of a function fits best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, CodeSystem, Concept, ValueSet
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.model import FHIR, SYSTEM, Model
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.numbers import Long, Uncertain
from gateway.reasoning.elm.quantities import Quantity, Ratio
from gateway.reasoning.elm.shape import listed

Fit = Callable[[Any], int | None]
"""0 for exactly this type, more for a base type, None for a value of another type. Null fits any."""

_SYSTEM: Final[dict[str, type | tuple[type, ...]]] = {
    "Boolean": bool,
    "String": str,
    "Decimal": Decimal,
    "Date": Date,
    "DateTime": DateTime,
    "Time": Time,
    "Quantity": Quantity,
    "Ratio": Ratio,
    "Code": Code,
    "Concept": Concept,
    "ValueSet": ValueSet,
    "CodeSystem": CodeSystem,
    "Vocabulary": (ValueSet, CodeSystem),
    "Long": Long,
}
_ANY: Final = 50


def fit_of(specifier: Json | None, model: Model) -> Fit:
    """Test for a type specifier. Raises `elm.type` for a type that is not known."""
    if specifier is None:
        return lambda value: _ANY
    kind = str(specifier.get("type", "NamedTypeSpecifier"))
    if kind == "NamedTypeSpecifier":
        return _named(str(specifier.get("name")), model)
    if kind == "ListTypeSpecifier":
        return _list(fit_of(specifier.get("elementType"), model))
    if kind == "IntervalTypeSpecifier":
        return _interval(specifier.get("pointType"), model)
    if kind == "ChoiceTypeSpecifier":
        return _choice([fit_of(one, model) for one in listed(specifier.get("choice") or specifier.get("type_"))])
    if kind == "TupleTypeSpecifier":
        return _tuple({str(one.get("name")) for one in listed(specifier.get("element"))})
    raise failure("type", "The logic uses a kind of type that is not known.")


def _named(name: str, model: Model) -> Fit:
    if name.startswith(SYSTEM):
        return _system(name.removeprefix(SYSTEM))
    if name.startswith(FHIR):
        return _fhir(name.removeprefix(FHIR), model)
    raise failure("type", "The logic uses a type of a data model that is not known.")


def _system(name: str) -> Fit:
    if name == "Any":
        return lambda value: _ANY
    if name == "Integer":
        return lambda value: 0 if value is None or type(value) in (int, Uncertain) else None
    kinds = _SYSTEM.get(name)
    if kinds is None:
        raise failure("type", "The logic uses a type that is not known.")
    return lambda value: 0 if value is None or isinstance(value, kinds) else None


def _fhir(name: str, model: Model) -> Fit:
    wanted = model.find(name)
    if wanted is None:
        raise failure("type", "The logic uses a FHIR type that is not known.")

    def fit(value: Any) -> int | None:
        if value is None:
            return 0
        if not isinstance(value, Node) or wanted.name not in value.type.names:
            return None
        return len(value.type.names) - len(wanted.names)

    return fit


def _list(element: Fit) -> Fit:
    def fit(value: Any) -> int | None:
        if value is None:
            return 0
        if not isinstance(value, list):
            return None
        worst = 0
        for one in value:
            found = element(one)
            if found is None:
                return None
            worst = max(worst, found)
        return worst

    return fit


def _interval(point: Json | None, model: Model) -> Fit:
    inner = fit_of(point, model)

    def fit(value: Any) -> int | None:
        if value is None:
            return 0
        if not isinstance(value, Interval):
            return None
        low, high = inner(value.low), inner(value.high)
        return None if low is None or high is None else max(low, high)

    return fit


def _choice(choices: list[Fit]) -> Fit:
    def fit(value: Any) -> int | None:
        found = [one for one in (choice(value) for choice in choices) if one is not None]
        return min(found) + 1 if found else None

    return fit


def _tuple(names: set[str]) -> Fit:
    return lambda value: 0 if value is None or (isinstance(value, Mapping) and set(value) == names) else None


def specifier_of(node: Json, name: str) -> Json:
    """`isTypeSpecifier` or the older `isType` of a node. Raises `elm.type` when neither is there."""
    specifier = node.get(f"{name}Specifier")
    if isinstance(specifier, Mapping):
        return specifier
    if node.get(name):
        return {"type": "NamedTypeSpecifier", "name": node[name]}
    raise failure("type", "The logic tests a type without naming it.")
