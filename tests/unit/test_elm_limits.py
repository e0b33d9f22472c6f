"""Logic of payers that is broken, endless or hostile: each ends quickly with an error that says what it was."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.fhir.json import dump_json
from gateway.reasoning.elm import Budget, ElmDefines, LibrarySet, compile_library, load_library
from gateway.reasoning.record import RecordSnapshot
from tests.elm_samples import (
    NOW,
    PATIENT,
    SYSTEM,
    alias,
    as_resource,
    elements,
    engine,
    function,
    library,
    lit,
    observation,
    op,
    prop,
    query,
    ref,
    retrieve,
    value,
)

pytestmark = [pytest.mark.threat("T6")]


def deep(levels: int) -> dict[str, Any]:
    node = lit(1)
    for _ in range(levels):
        node = op("Negate", node)
    return node


def error_of(define: str, *libraries: dict[str, Any], **more: Any) -> ReasoningError:
    started = time.process_time()
    outcome = engine(*libraries, budget=Budget(clock=time.monotonic), **more).outcome(define)
    assert time.process_time() - started < 2
    assert outcome.error is not None
    return outcome.error


LIST_OF_300 = op("Flatten", elements(*(elements(*range(start, start + 50)) for start in range(0, 300, 50))))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "elm.library"),
        (b"library X version '1'", "elm.library"),
        (b"[]", "elm.library"),
        (b'{"library": 3}', "elm.library"),
        (b'{"library": {"identifier": {"id": "X"}', "elm.library"),
        (b'{"resourceType": "Patient"}', "elm.library"),
        (b"x" * (8 * 1024 * 1024 + 1), "elm.limit"),
        (b'{"library":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001, "elm.depth"),
        (b'{"library":{"a":[' + b"[],," * 10 + b"]}}", "elm.library"),
    ],
)
def test_what_is_no_library_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(ReasoningError) as caught:
        load_library(body)
    assert caught.value.reason == code


def test_a_library_with_too_many_parts_is_refused() -> None:
    elm = library(defines={"t": elements(*range(10))})
    elm["library"]["statements"]["def"] *= 60_000
    with pytest.raises(ReasoningError, match="too large"):
        compile_library(elm)


def test_deep_nesting_is_refused_before_anything_recurses() -> None:
    with pytest.raises(ReasoningError) as caught:
        compile_library(library(defines={"t": deep(10_000)}))
    assert caught.value.reason == "elm.depth"
    assert value(deep(60)) == 1


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ({"type": "Teleport", "operand": lit(1)}, "elm.operator"),
        ({"type": None}, "elm.operator"),
        (op("Is", lit(1), isTypeSpecifier={"type": "NamedTypeSpecifier", "name": "{urn:other}Thing"}), "elm.type"),
        (retrieve("Spaceship"), "elm.type"),
        (retrieve("Observation", otherFilter=[{"property": "x"}]), "elm.operator"),
        (ref("Nothing"), "elm.reference"),
        (ref("Nothing", "Other"), "elm.include"),
        (alias("X"), "elm.reference"),
        (prop({"type": "SingletonFrom", "operand": retrieve("Patient")}, "shoeSize"), "elm.property"),
        (op("Add", lit("a"), lit(True)), "elm.value"),
        ({"type": "Not"}, "elm.library"),
        ({"type": "FunctionRef", "name": "f", "operand": []}, "elm.reference"),
        ({"type": "ParameterRef", "name": "p"}, "elm.reference"),
        ({"type": "ValueSetRef", "name": "v"}, "elm.reference"),
        (op("Matches", lit("x"), lit("(?=x)x")), "pattern.unsupported"),
    ],
)
def test_what_is_not_known_fails_the_define_and_no_other(expression: Any, code: str) -> None:
    elm = library(defines={"t": expression, "dependent": ref("t"), "other": lit(7)})
    session = engine(elm)
    failed = session.outcome("t").error
    assert failed is not None
    assert failed.reason == code
    assert session.outcome("dependent").error is failed
    assert failed.frame["define"] == "t"
    assert failed.frame["library"] == "T|1"
    assert session.outcome("other").value == 7


def test_an_include_that_is_missing_fails_closed() -> None:
    includes = [{"localIdentifier": "C", "path": "Common", "version": "2"}]
    main = library(includes=includes, defines={"t": ref("x", "C"), "own": lit(1)})
    assert error_of("t", main).reason == "elm.include"
    older = library("Common", "1", defines={"x": lit(1)})
    assert "another version" in error_of("t", main, older).message
    twice = [library("Common", "2", defines={"x": lit(n)}) for n in (1, 2)]
    assert error_of("t", main, *twice).reason == "elm.include"
    assert engine(main, older).outcome("own").value == 1


def test_a_circle_of_includes_is_an_error() -> None:
    def including(name: str, other: str) -> dict[str, Any]:
        return library(
            name,
            includes=[{"localIdentifier": "O", "path": other, "version": "1"}],
            defines={"x": lit(1), f"from {other}": ref("x", "O")},
        )

    error = error_of("from B", including("A", "B"), including("B", "A"))
    assert (error.reason, "circle" in error.message) == ("elm.include", True)


def test_self_recursion_ends() -> None:
    assert error_of("t", library(defines={"t": ref("t")})).reason == "elm.reference"
    assert error_of("a", library(defines={"a": ref("b"), "b": op("Not", ref("a"))})).reason == "elm.reference"
    loop = function("f", {"x": SYSTEM + "Integer"}, {"type": "FunctionRef", "name": "f", "operand": [lit(1)]})
    calling = library(defines={"t": {"type": "FunctionRef", "name": "f", "operand": [lit(1)]}}, functions=[loop])
    assert error_of("t", calling).reason == "elm.depth"


def test_a_cross_join_of_300_to_the_fourth_ends() -> None:
    sources = [{"alias": name, "expression": LIST_OF_300} for name in "ABCD"]
    join = {"type": "Query", "source": sources, "where": op("Less", alias("A"), lit(0))}
    assert error_of("t", library(defines={"t": join})).reason == "elm.limit"


def test_endless_logic_costs_itself_and_what_depends_on_it() -> None:
    sources = [{"alias": name, "expression": LIST_OF_300} for name in "ABCD"]
    endless = {"type": "Query", "source": sources, "where": op("Less", alias("A"), lit(0))}
    defines = {"early": lit(1), "t": endless, "dependent": op("Exists", ref("t")), "late": lit(2), "again": endless}
    session = engine(library(defines=defines), budget=Budget(clock=time.monotonic))
    started = time.process_time()
    found = {name: session.outcome(name) for name in defines}
    assert time.process_time() - started < 2
    assert {name: one.value for name, one in found.items() if one.error is None} == {"early": 1, "late": 2}
    assert found["dependent"].error is found["t"].error is not None
    assert found["again"].error is not None
    assert found["again"].error.reason == "elm.limit"


def rows(count: int) -> dict[str, Any]:
    return op("Flatten", elements(*(elements(*range(n, min(n + 50, count))) for n in range(0, count, 50))))


def joined(*counts: int) -> dict[str, Any]:
    """Some work: the product of the counts in steps."""
    sources = [{"alias": f"S{place}", "expression": rows(count)} for place, count in enumerate(counts)]
    return op("Count", {"type": "Query", "source": sources, "where": op("Less", alias("S0"), lit(0))})


def test_logic_that_only_came_too_late_may_be_asked_for_again() -> None:
    """`greedy` uses what it may before it comes to `modest`, which alone needs little."""
    defines = {"modest": joined(300, 70), "greedy": elements(joined(300, 300), ref("modest")), "after": ref("greedy")}
    session = engine(library(defines=defines), budget=Budget(fuel=140_000))
    failed = session.outcome("greedy").error
    assert failed is not None
    assert (failed.reason, failed.frame["define"]) == ("elm.limit", "modest")
    assert session.outcome("modest").value == 0
    assert session.outcome("after").error is failed


def test_errors_keep_nothing_of_what_they_met() -> None:
    error = error_of("t", library(defines={"t": op("Add", lit("a"), lit(True))}))
    assert (error.__traceback__, error.__context__) == (None, None)


def test_expand_over_a_century_by_the_millisecond_is_refused() -> None:
    def year(number: int) -> dict[str, Any]:
        parts = ("year", "month", "day", "hour", "minute", "second", "millisecond")
        return {"type": "DateTime", **{name: lit(number if name == "year" else 1) for name in parts}}

    span = {"type": "Interval", "low": year(1900), "high": year(2000), "lowClosed": True, "highClosed": True}
    per = {"type": "Quantity", "value": 1, "unit": "millisecond"}
    assert error_of("t", library(defines={"t": op("Expand", span, per)})).reason == "elm.limit"
    assert error_of("t", library(defines={"t": op("Expand", elements(span), per)})).reason == "elm.limit"


@pytest.mark.threat("T33")
@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(a|aa)+c", "(.*a){20}"])
def test_an_evil_pattern_ends(pattern: str) -> None:
    text = lit("a" * 15_000 + "!")
    started = time.process_time()
    outcome = engine(library(defines={"t": op("Matches", text, lit(pattern))})).outcome("t")
    assert time.process_time() - started < 2
    assert outcome.value is False or (outcome.error is not None and outcome.error.reason == "pattern.limit")


def test_a_text_that_doubles_ends() -> None:
    defines = {"d0": lit("x" * 1000)} | {
        f"d{n}": op("Concatenate", ref(f"d{n - 1}"), ref(f"d{n - 1}")) for n in range(1, 40)
    }
    assert error_of("d39", library(defines=defines)).reason == "elm.limit"


def test_a_list_that_doubles_ends() -> None:
    defines = {"d0": elements(*range(1000))} | {
        f"d{n}": op("Flatten", elements(ref(f"d{n - 1}"), ref(f"d{n - 1}"))) for n in range(1, 40)
    }
    assert error_of("d39", library(defines=defines)).reason == "elm.limit"


def test_a_repeat_without_end_ends() -> None:
    step = op("Add", alias("$this"), lit(1))
    endless = {"type": "Repeat", "source": elements(1), "element": step, "scope": "$this"}
    assert error_of("t", library(defines={"t": endless})).reason == "elm.limit"


def test_huge_powers_end() -> None:
    assert value(op("Power", lit(10), lit(2_000_000_000))) is None
    assert value(op("Power", op("ToDecimal", lit(10)), op("ToDecimal", lit(2_000_000_000)))) is None


def test_a_slow_row_is_ended_by_the_clock() -> None:
    ticks = iter(range(10_000))
    join = {
        "type": "Query",
        "source": [{"alias": name, "expression": LIST_OF_300} for name in "AB"],
        "where": op("Less", alias("A"), lit(0)),
    }
    session = engine(library(defines={"t": join}), budget=Budget(clock=lambda: float(next(ticks)), seconds=2))
    error = session.outcome("t").error
    assert error is not None
    assert "more time" in error.message


def test_messages_hold_no_data_of_the_record() -> None:
    secret = "Kowalczyk"
    patient = {**PATIENT, "name": [{"family": secret}]}
    family = prop(op("SingletonFrom", retrieve("Patient")), "name")
    expression = op(
        "Add", op("SingletonFrom", query(family, **{"return": {"expression": prop(alias("X"), "family")}})), lit(1)
    )
    error = error_of("t", library(defines={"t": expression}), data=[patient])
    assert secret not in error.message
    assert secret not in str(error.frame)


def defines_of(*libraries: Any, **more: Any) -> ElmDefines:
    return ElmDefines(libraries, (), RecordSnapshot([PATIENT]), now=NOW, **more)


def test_broken_libraries_of_a_package_fail_only_those_who_ask() -> None:
    good = as_resource(library("Good", defines={"t": lit(1)}), "Good")
    truncated = as_resource(dump_json(library("Bad", defines={"t": lit(1)}))[:-20], "Bad")
    without = {"resourceType": "Library", "name": "None", "content": [{"contentType": "text/cql", "data": "eA=="}]}
    no_base64 = {
        "resourceType": "Library",
        "name": "Odd",
        "content": [{"contentType": "application/elm+json", "data": "%"}],
    }
    session = defines_of(good, truncated, without, no_base64, on_error="isolate")
    assert session.evaluate("t", "Good").value == 1
    assert "cannot be read" in session.evaluate("t", "Bad").error
    assert "no compiled logic" in session.evaluate("t", "None").error
    assert "not base64" in session.evaluate("t", "Odd").error
    assert session.evaluate("t", "Unknown").error
    assert session.evaluate("u", "Good").error


def test_two_libraries_of_one_name_are_no_guess() -> None:
    both = [as_resource(library("Same", "1", defines={"t": lit(n)}), "Same") for n in (1, 2)]
    assert "Several libraries" in defines_of(*both).evaluate("t", "Same").error
    assert defines_of(both[0], both[0]).evaluate("t", "Same").value == 1


def test_a_library_is_found_by_identifier_then_name_then_canonical() -> None:
    one = as_resource(library("RealName", defines={"t": lit(1)}), "Real-Name", url="http://x/Library/tail|1")
    for name in ("RealName", "Real-Name", "tail", "http://x/Library/tail", None):
        assert defines_of(one).evaluate("t", name).value == 1


def test_stop_and_isolate_after_an_engine_error() -> None:
    elm = as_resource(library(defines={"a": lit(1), "bad": op("Add", lit("x"), lit(1)), "b": lit(2)}))
    stopping = defines_of(elm)
    assert stopping.evaluate("a").value == 1
    assert stopping.evaluate("bad").error
    assert "stopped" in stopping.evaluate("b").error
    assert stopping.evaluate("a").value == 1
    isolating = defines_of(elm, on_error="isolate")
    assert isolating.evaluate("bad").error
    assert isolating.evaluate("b").value == 2


def test_a_translation_error_fails_the_define_it_lies_in() -> None:
    annotation = [
        {"type": "CqlToElmError", "libraryId": "T", "startLine": 9, "errorSeverity": "error"},
        {"type": "CqlToElmError", "libraryId": "T", "startLine": 3, "errorSeverity": "warning"},
    ]
    elm = library(defines={"good": lit(1), "bad": lit(None)}, annotation=annotation)
    elm["library"]["statements"]["def"][0]["locator"] = "3:1-4:20"
    elm["library"]["statements"]["def"][1]["locator"] = "8:1-9:20"
    session = engine(elm)
    assert session.outcome("good").value == 1
    error = session.outcome("bad").error
    assert error is not None
    assert error.reason == "elm.translation"


def test_libraries_are_compiled_once_per_content() -> None:
    body = dump_json(library("Once", defines={"t": lit(1)}))
    assert load_library(body) is load_library(bytes(body))
    assert LibrarySet([load_library(body), load_library(body)]).libraries == (load_library(body),)


def test_many_rows_over_300_resources_stay_within_the_budget() -> None:
    data = [PATIENT, *(observation(n, f"c{n % 7}", n, "2026-01-01") for n in range(300))]
    wanted = query(retrieve("Observation"), where=op("Equal", prop(alias("X"), "status", "value"), lit("final")))
    assert len(value(wanted, data=data)) == 300
