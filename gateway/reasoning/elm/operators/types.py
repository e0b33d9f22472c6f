"""`is`, `as` and the model of a compiled library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.model import FHIR, Model, load_model
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.operators.shared import parts
from gateway.reasoning.elm.static import point_of_specifier
from gateway.reasoning.elm.typing_rules import fit_of, specifier_of
from gateway.reasoning.elm.wire import has_plain, plain


def model_of(compiler: Compiler) -> Model:
    """Model of the library that is compiled."""
    return load_model(compiler.library.fhir_version)


@operator("Is")
def build_is(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)
    fit = fit_of(specifier_of(node, "isType"), model_of(compiler))

    def run(frame: Frame) -> Any:
        value = operand(frame)
        return value is not None and fit(value) is not None

    return run


@operator("As")
def build_as(compiler: Compiler, node: Json) -> Run:
    """A value of another type becomes null, or fails when the cast is strict.

    A FHIR value that is cast to the System type it stands for is converted: ELM of choice types relies on it.
    """
    (operand,) = parts(compiler, node, 1)
    specifier = specifier_of(node, "asType")
    fit = fit_of(specifier, model_of(compiler))
    point, is_strict = point_of_specifier(specifier), bool(node.get("strict"))
    is_fhir = str(specifier.get("name", "")).startswith(FHIR)

    def run(frame: Frame) -> Any:
        value = operand(frame)
        if value is None:
            return None
        if fit(value) is not None:
            return replace(value, point=point) if point and isinstance(value, Interval) and not value.point else value
        if isinstance(value, Node) and not is_fhir and has_plain(value):
            converted = plain(value, frame[0].offset)
            if fit(converted) is not None:
                return converted
        if is_strict:
            raise failure("value", "A value of the record is not of the type that the logic expects.")
        return None

    return run
