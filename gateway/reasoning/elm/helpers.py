"""FHIRHelpers made here, for packages that include the library and do not ship it (spec/dtr.md §6.2)."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from gateway.reasoning.elm.codes import Code, Concept
from gateway.reasoning.elm.library import CompiledLibrary, Define, Frame
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.units import WORD_OF_UCUM
from gateway.reasoning.elm.wire import plain

_CONVERTED: Final = (
    "ToInterval",
    "ToQuantity",
    "ToRatio",
    "ToCode",
    "ToConcept",
    "ToString",
    "ToBoolean",
    "ToInteger",
    "ToDecimal",
    "ToDate",
    "ToDateTime",
    "ToTime",
    "ToQuantityIgnoringComparator",
)


def _convert(frame: Frame) -> Any:
    return plain(frame[1], frame[0].offset)


def _concept(frame: Frame) -> Any:
    found = plain(frame[1], frame[0].offset)
    return Concept((found,), found.display) if isinstance(found, Code) else found


def _calendar_unit(frame: Frame) -> Any:
    unit = plain(frame[1], frame[0].offset)
    return WORD_OF_UCUM.get(unit, unit)


def _reference_tail(frame: Frame) -> Any:
    reference = plain(frame[1].child("reference", frame[0]), frame[0].offset) if isinstance(frame[1], Node) else None
    return None if reference is None else reference.rpartition("/")[2]


@cache
def native_helpers(version: str) -> CompiledLibrary:
    """The library, its functions being code of this engine."""
    library = CompiledLibrary(
        name="FHIRHelpers",
        version=version,
        digest="native",
        fhir_version="",
        includes={},
        parameters={},
        code_systems={},
        value_sets={},
        codes={},
        concepts={},
    )
    bodies = dict.fromkeys(_CONVERTED, _convert) | {
        "ToConcept": _concept,
        "ToCalendarUnit": _calendar_unit,
        "ReferenceTail": _reference_tail,
    }
    for name, body in bodies.items():
        define = Define(library, name, {}, operands=(("value", None),), run=body, size=2, is_native=True)
        library.functions[name] = [define]
    return library
