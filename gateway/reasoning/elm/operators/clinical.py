"""Codes, value sets, ages and messages."""

from __future__ import annotations

from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, CodeSystem, Concept, ValueSet
from gateway.reasoning.elm.compiler import Compiler, constant, operator
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import CompiledLibrary, Frame, Run
from gateway.reasoning.elm.moment_spans import duration_between
from gateway.reasoning.elm.moments import Date, DateTime
from gateway.reasoning.elm.operators.references import library_for
from gateway.reasoning.elm.operators.shared import is_true, parts, plained
from gateway.reasoning.elm.shape import listed, operands
from gateway.reasoning.elm.state import State
from gateway.reasoning.elm.terminology import CodeSet, codes_in

_DATES: Final = ("Year", "Month", "Week", "Day")


def _definition(library: CompiledLibrary, section: str, name: str) -> Json:
    found: Json | None = getattr(library, section).get(name)
    if found is None:
        raise failure("reference", "The logic names a code or a list of codes that its library does not define.")
    return found


@operator("ValueSetRef")
def build_value_set_ref(compiler: Compiler, node: Json) -> Run:
    """A value set, or its codes where the ELM does not keep it as a value set (`preserve` false, old translators)."""
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library

    def run(frame: Frame) -> Any:
        found = _definition(library_for(frame[0], library, alias), "value_sets", name)
        return ValueSet(str(found.get("id")), found.get("version"), name)

    return run


@operator("CodeSystemRef")
def build_code_system_ref(compiler: Compiler, node: Json) -> Run:
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library

    def run(frame: Frame) -> Any:
        found = _definition(library_for(frame[0], library, alias), "code_systems", name)
        return CodeSystem(str(found.get("id")), found.get("version"), name)

    return run


@operator("CodeRef")
def build_code_ref(compiler: Compiler, node: Json) -> Run:
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library
    if not alias:
        return constant(_code(compiler.library, name))
    return lambda frame: _code(library_for(frame[0], library, alias), name)


def _code(library: CompiledLibrary, name: str) -> Code:
    definition = _definition(library, "codes", name)
    reference = definition.get("codeSystem") or {}
    system = _definition(library, "code_systems", str(reference.get("name"))) if reference else {}
    return Code(definition.get("id"), system.get("id"), system.get("version"), definition.get("display"))


@operator("ConceptRef")
def build_concept_ref(compiler: Compiler, node: Json) -> Run:
    name, alias, library = str(node.get("name")), str(node.get("libraryName") or ""), compiler.library

    def run(frame: Frame) -> Any:
        target = library_for(frame[0], library, alias)
        definition = _definition(target, "concepts", name)
        codes = [(one, str(one.get("libraryName") or "")) for one in listed(definition.get("code"))]
        found = (_code(library_for(frame[0], target, other), str(one.get("name"))) for one, other in codes)
        return Concept(tuple(found), definition.get("display"))

    return run


def expanded(state: State, value: Any) -> CodeSet:
    """Codes of a value set, entered into the memory of the evaluation. Raises `elm.valueset`."""
    if not isinstance(value, ValueSet):
        raise failure("value", "The logic uses something as a value set that is none.")
    return state.terminology.expand(value)


@operator("ExpandValueSet")
def build_expand_value_set(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        value = operand(frame)
        if value is None:
            return None
        found = expanded(frame[0], value)
        found.require_complete()
        return list(found.listed)

    return run


def _value_set_run(compiler: Compiler, node: Json) -> Run:
    reference = node.get("valueset")
    if reference:
        return compiler.compile({"type": "ValueSetRef", **reference})
    return compiler.compile(node.get("valuesetExpression") or operands(node)[1])


@operator("InValueSet", "AnyInValueSet")
def build_in_value_set(compiler: Compiler, node: Json) -> Run:
    code = compiler.compile(node.get("code") or node.get("codes") or operands(node)[0])
    value_set = _value_set_run(compiler, node)

    def run(frame: Frame) -> Any:
        value = plained(code(frame), frame)
        codes = value_set(frame)
        if value is None or codes is None:
            return False
        if isinstance(codes, list):
            return any(_is_listed(one, codes) for one in codes_in(_all_plain(value, frame)))
        return _is_in(_all_plain(value, frame), expanded(frame[0], codes))

    return run


def _all_plain(value: Any, frame: Frame) -> Any:
    return [plained(one, frame) for one in value] if isinstance(value, list) else value


def _is_listed(code: Code, codes: list[Any]) -> bool:
    return any(one.code == code.code and one.system == code.system for one in codes_in(codes))


def _is_in(value: Any, codes: CodeSet) -> bool:
    """Members count also when other codes of the same value could not be settled."""
    texts = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    found = codes_in(value)
    pairs = [one for one in found if one.code is not None]
    if any(_known(codes, one) for one in pairs) or any(one in codes.codes for one in texts):
        return True
    if pairs or texts:
        codes.require_complete()
    return False


def _known(codes: CodeSet, code: Code) -> bool:
    return (code.system, code.code) in codes.pairs if code.system else code.code in codes.codes


@operator("InCodeSystem", "AnyInCodeSystem")
def build_in_code_system(compiler: Compiler, node: Json) -> Run:
    """Only the system of a code is known here; whether the system has the code is not."""
    code = compiler.compile(node.get("code") or node.get("codes") or operands(node)[0])
    reference = node.get("codesystem")
    system = compiler.compile(
        {"type": "CodeSystemRef", **reference} if reference else node.get("codesystemExpression") or operands(node)[1]
    )

    def run(frame: Frame) -> Any:
        value = _all_plain(plained(code(frame), frame), frame)
        if value is None:
            return False
        wanted = system(frame)
        if any(one.system == wanted.id for one in codes_in(value)):
            raise failure("codesystem", "The codes of a code system are not known here.")
        return False

    return run


@operator("Subsumes", "SubsumedBy")
def build_subsumes(compiler: Compiler, node: Json) -> Run:
    """Equal codes subsume each other; anything else needs a code system that is not here."""
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one, two = plained(left(frame), frame), plained(right(frame), frame)
        if one is None or two is None:
            return None
        if any(_is_listed(code, codes_in(two)) for code in codes_in(one)):
            return True
        raise failure("codesystem", "The hierarchy of a code system is not known here.")

    return run


@operator("CalculateAge", "CalculateAgeAt")
def build_calculate_age(compiler: Compiler, node: Json) -> Run:
    """Years, months, weeks and days count dates; finer units count instants (CQL 1.5, Age; field case B17)."""
    runs = [compiler.compile(one) for one in operands(node)]
    unit = str(node.get("precision", "Year")).capitalize()

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        values = [plained(one(frame), frame) for one in runs]
        birth, at = values[0], values[1] if len(values) > 1 else state.now
        if birth is None or at is None:
            return None
        if unit in _DATES:
            birth, at = _day(birth), _day(at)
        return duration_between(birth, at, unit, state.offset)

    return run


def _day(value: Any) -> Any:
    return Date(value.parts[:3]) if isinstance(value, DateTime) else value


@operator("Message")
def build_message(compiler: Compiler, node: Json) -> Run:
    """The source passes through; severity Error ends the define. The text may name people and is dropped."""
    source = compiler.compile(node.get("source"))
    condition = compiler.optional(node.get("condition"))
    severity = compiler.optional(node.get("severity"))

    def run(frame: Frame) -> Any:
        value = source(frame)
        if condition is None or is_true(condition(frame), frame):
            level = plained(severity(frame), frame) if severity else "Message"
            if str(level).lower() == "error":
                raise failure("value", "The payer's logic stops with a message of its own.")
        return value

    return run
