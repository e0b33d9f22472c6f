"""Names: other defines, functions, parameters, aliases, and the elements of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, CodeSystem, Concept, ValueSet
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.evaluate import call, value_of
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.functions import fitting_function, fixed_function
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import CompiledLibrary, Frame, Run
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.parameters import parameter_value
from gateway.reasoning.elm.quantities import Quantity, Ratio
from gateway.reasoning.elm.shape import listed, operands
from gateway.reasoning.elm.state import State


def unknown_name() -> Exception:
    """The error of a name that stands for nothing."""
    return failure("reference", "The logic uses a name that is not known where it stands.")


def library_for(state: State, library: CompiledLibrary, alias: str) -> CompiledLibrary:
    """The library itself, or the one an alias stands for."""
    return state.libraries.included(library, alias) if alias else library


@operator("ExpressionRef")
def build_expression_ref(compiler: Compiler, node: Json) -> Run:
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        define = library_for(state, library, alias).defines.get(name)
        if define is None:
            raise unknown_name()
        return value_of(state, define)

    return run


@operator("FunctionRef")
def build_function_ref(compiler: Compiler, node: Json) -> Run:
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library
    runs = [compiler.compile(one) for one in operands(node)]
    signature = [one for one in listed(node.get("signature")) if isinstance(one, Mapping)]
    site = object()
    only = runs[0] if len(runs) == 1 else None

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        arguments = [one(frame) for one in runs] if only is None else [only(frame)]
        function = state.cache.get(site)
        if function is None:
            target = library_for(state, library, alias)
            function = fixed_function(target, name, signature, len(arguments))
            if function is None:
                return call(state, fitting_function(state, target, name, arguments), arguments)
            state.cache[site] = function
        return call(state, function, arguments)

    return run


@operator("ParameterRef")
def build_parameter_ref(compiler: Compiler, node: Json) -> Run:
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library
    return lambda frame: parameter_value(frame[0], library_for(frame[0], library, alias), name)


@operator("OperandRef", "AliasRef", "QueryLetRef")
def build_slot_ref(compiler: Compiler, node: Json) -> Run:
    name = str(node.get("name"))
    slot = compiler.operand_slot(name) if node.get("type") == "OperandRef" else compiler.slot_of(name)
    if slot is None:
        raise unknown_name()
    return lambda frame: frame[slot]


@operator("IdentifierRef")
def build_identifier_ref(compiler: Compiler, node: Json) -> Run:
    """A name the translator could not place: an alias, an element of the row being sorted, or a define."""
    name = str(node.get("name"))
    slot = compiler.slot_of(name)
    if slot is not None:
        return lambda frame: frame[slot]
    row = compiler.row_slot
    if row is not None:
        if name == "$this":
            return lambda frame: frame[row]
        return lambda frame: property_of(frame[row], name, frame[0])
    if name in compiler.library.parameters:
        return build_parameter_ref(compiler, node)
    return build_expression_ref(compiler, node)


@operator("Property", "Search")
def build_property(compiler: Compiler, node: Json) -> Run:
    path = str(node.get("path"))
    source = _property_source(compiler, node)
    if "." in path or "[" in path:
        steps = path.replace("[", ".[").split(".")
        return _stepped(source, [step for step in steps if step])

    def run(frame: Frame) -> Any:
        value = source(frame)
        if type(value) is Node:
            return value.child(path, frame[0])
        return property_of(value, path, frame[0])

    return run


def _property_source(compiler: Compiler, node: Json) -> Run:
    if node.get("source") is not None:
        return compiler.compile(node["source"])
    slot = compiler.slot_of(str(node["scope"])) if node.get("scope") else compiler.row_slot
    if slot is None:
        raise unknown_name()
    return lambda frame: frame[slot]


def _stepped(source: Run, steps: list[str]) -> Run:
    def run(frame: Frame) -> Any:
        value = source(frame)
        for step in steps:
            if step.startswith("["):
                position = int(step[1:-1])
                value = value[position] if isinstance(value, list) and position < len(value) else None
            else:
                value = property_of(value, step, frame[0])
        return value

    return run


_ELEMENTS: Final[dict[type, tuple[str, ...]]] = {
    Quantity: ("value", "unit"),
    Ratio: ("numerator", "denominator"),
    Code: ("code", "system", "version", "display"),
    Concept: ("codes", "display"),
    ValueSet: ("id", "version", "name"),
    CodeSystem: ("id", "version", "name"),
}
_INTERVAL: Final = {"low": "low", "high": "high", "lowClosed": "low_closed", "highClosed": "high_closed"}


def property_of(value: Any, name: str, state: State) -> Any:
    """Element of any value; null of null. Raises `elm.property` for a name that the value's type does not have."""
    if value is None:
        return None
    if isinstance(value, Node):
        return value.child(name, state)
    if isinstance(value, Mapping):
        return value.get(name)
    if isinstance(value, Interval) and name in _INTERVAL:
        return getattr(value, _INTERVAL[name])
    names = _ELEMENTS.get(type(value))
    if names and name in names:
        found = getattr(value, name)
        return list(found) if isinstance(found, tuple) else found
    if name == "value":
        # A value that was converted earlier than the translator knew.
        return value
    raise failure("property", "The logic reads an element that a value does not have.")
