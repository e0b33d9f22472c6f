"""Literals and selectors: values written in the logic itself."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, Concept
from gateway.reasoning.elm.compiler import Compiler, constant, operator
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.instances import instance_builder
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.moments import read_date, read_date_time, read_time
from gateway.reasoning.elm.numbers import fit_decimal, fit_integer, fit_long
from gateway.reasoning.elm.quantities import Quantity, Ratio
from gateway.reasoning.elm.shape import listed, local_name
from gateway.reasoning.elm.state import checked_list


@operator("Null")
def build_null(compiler: Compiler, node: Json) -> Run:
    return constant(None)


@operator("Literal")
def build_literal(compiler: Compiler, node: Json) -> Run:
    kind, text = local_name(node.get("valueType")), node.get("value")
    if kind in ("DateTime", "Date", "Time") and isinstance(text, str):
        return _build_moment(kind, text)
    value = read_literal(kind, text)
    if value is None:
        # A number outside its type is no value (CQL 1.5, Literals); the define fails when it is reached.
        def run(frame: Frame) -> Any:
            raise failure("value", "A literal of the logic is not a value of its type.")

        return run
    return constant(value)


def _build_moment(kind: str, text: str) -> Run:
    def run(frame: Frame) -> Any:
        if kind == "DateTime":
            return read_date_time(text, frame[0].offset)
        return read_date(text) if kind == "Date" else read_time(text)

    return run


def read_literal(kind: str, text: Any) -> Any:
    """Value of a literal's text; None when it is not one."""
    if text is None:
        return "" if kind == "String" else None
    text = str(text)
    if kind == "String":
        return text
    if kind == "Boolean":
        return {"true": True, "false": False}.get(text)
    try:
        if kind == "Integer":
            return fit_integer(int(text))
        if kind == "Long":
            return fit_long(int(text.rstrip("Ll")))
        number = Decimal(text)
    except (ValueError, InvalidOperation):
        return None
    exponent = number.as_tuple().exponent
    return fit_decimal(number) if isinstance(exponent, int) and exponent >= -8 else None


@operator("List")
def build_list(compiler: Compiler, node: Json) -> Run:
    elements = [compiler.compile(one) for one in listed(node.get("element"))]

    def run(frame: Frame) -> Any:
        frame[0].spend(len(elements))
        return checked_list([element(frame) for element in elements])

    return run


@operator("Tuple")
def build_tuple(compiler: Compiler, node: Json) -> Run:
    elements = [(str(one.get("name")), compiler.compile(one.get("value"))) for one in listed(node.get("element"))]
    return lambda frame: {name: value(frame) for name, value in elements}


@operator("Instance")
def build_instance(compiler: Compiler, node: Json) -> Run:
    elements = [(str(one.get("name")), compiler.compile(one.get("value"))) for one in listed(node.get("element"))]
    make = instance_builder(str(node.get("classType", "")), compiler.library.fhir_version)
    return lambda frame: make({name: value(frame) for name, value in elements}, frame[0].offset)


@operator("Quantity")
def build_quantity(compiler: Compiler, node: Json) -> Run:
    return constant(read_quantity(node))


def read_quantity(node: Any) -> Quantity | None:
    """Quantity of an ELM Quantity; None without a value."""
    value = node.get("value") if isinstance(node, Mapping) else None
    if isinstance(value, str):
        value = read_literal("Decimal", value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = fit_decimal(Decimal(value))
    return None if number is None else Quantity(number, str(node.get("unit") or "1"))


@operator("Ratio")
def build_ratio(compiler: Compiler, node: Json) -> Run:
    numerator, denominator = read_quantity(node.get("numerator")), read_quantity(node.get("denominator"))
    return constant(None if numerator is None or denominator is None else Ratio(numerator, denominator))


@operator("Code")
def build_code(compiler: Compiler, node: Json) -> Run:
    return constant(read_code(compiler, node))


@operator("Concept")
def build_concept(compiler: Compiler, node: Json) -> Run:
    codes = tuple(read_code(compiler, one) for one in listed(node.get("code")))
    return constant(Concept(codes, node.get("display")))


def read_code(compiler: Compiler, node: Json) -> Code:
    """Code of an ELM Code, CodeDef or the like. Raises `elm.codesystem` for an unknown system."""
    reference = node.get("system") or node.get("codeSystem")
    system, version = None, None
    if isinstance(reference, Mapping):
        found = compiler.library.code_systems.get(str(reference.get("name")))
        if found is None or reference.get("libraryName"):
            raise failure("codesystem", "The logic names a code system that its library does not define.")
        system, version = str(found.get("id")), found.get("version")
    return Code(node.get("id"), system, version, node.get("display"))
