"""`ToX`, `ConvertsToX`, `Convert` and their kin."""

from __future__ import annotations

from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.converting import CONVERSIONS, Conversion
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.operators.shared import binary, parts, plained
from gateway.reasoning.elm.operators.types import model_of
from gateway.reasoning.elm.quantities import convert_quantity
from gateway.reasoning.elm.shape import local_name
from gateway.reasoning.elm.state import checked_list
from gateway.reasoning.elm.typing_rules import fit_of, specifier_of


def _to(conversion: Conversion) -> Builder:
    def build(compiler: Compiler, node: Json) -> Run:
        (operand,) = parts(compiler, node, 1)

        def run(frame: Frame) -> Any:
            value = plained(operand(frame), frame)
            return None if value is None else conversion(value, frame[0].offset)

        return run

    return build


def _converts_to(conversion: Conversion) -> Builder:
    def build(compiler: Compiler, node: Json) -> Run:
        (operand,) = parts(compiler, node, 1)

        def run(frame: Frame) -> Any:
            value = plained(operand(frame), frame)
            return None if value is None else conversion(value, frame[0].offset) is not None

        return run

    return build


for _name, _conversion in CONVERSIONS.items():
    operator(f"To{_name}")(_to(_conversion))
    operator(f"ConvertsTo{_name}")(_converts_to(_conversion))

operator("ConvertQuantity")(binary(convert_quantity))
operator("CanConvertQuantity")(binary(lambda value, unit: convert_quantity(value, unit) is not None))


@operator("Convert")
def build_convert(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)
    specifier = specifier_of(node, "toType")
    fit = fit_of(specifier, model_of(compiler))
    conversion = CONVERSIONS.get(local_name(specifier.get("name", "")))

    def run(frame: Frame) -> Any:
        value = plained(operand(frame), frame)
        if value is None or fit(value) is not None:
            return value
        if conversion is None:
            raise failure("type", "The logic converts to a type that nothing converts to.")
        return conversion(value, frame[0].offset)

    return run


@operator("CanConvert")
def build_can_convert(compiler: Compiler, node: Json) -> Run:
    convert = build_convert(compiler, {**node, **_as_convert(node)})
    (operand,) = parts(compiler, node, 1)
    return lambda frame: None if operand(frame) is None else convert(frame) is not None


def _as_convert(node: Json) -> dict[str, Any]:
    return {"toType": node.get("toType"), "toTypeSpecifier": node.get("toTypeSpecifier")}


@operator("ToList")
def build_to_list(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        value = operand(frame)
        return [] if value is None else [value]

    return run


@operator("ToChars")
def build_to_chars(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        value = plained(operand(frame), frame)
        return None if value is None else checked_list(list(value))

    return run
