"""Logic that a form carries inline, compiled: a whole ELM library in an expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.fhir.json import dump_json
from gateway.flows.logic import IsolatedDefines, LogicHost
from gateway.reasoning.defines import InlineEvaluator
from gateway.reasoning.elm import ElmDefines
from gateway.reasoning.record import RecordSnapshot
from tests.elm_samples import NOW, PATIENT, as_resource, library, lit, op

OTHER = as_resource(library("Other", defines={"x": lit(20)}))
INCLUDES = [{"localIdentifier": "O", "path": "Other", "version": "1"}]
BROKEN = op("Add", lit("a"), lit(1))


def text(**defines: Any) -> str:
    return dump_json(library("", defines=defines)).decode()


@pytest.fixture(scope="module")
def host() -> Iterator[LogicHost]:
    one = LogicHost()
    yield one
    one.close()


@pytest.fixture(params=["here", "isolated"])
def evaluator(request: pytest.FixtureRequest, host: LogicHost) -> Any:
    if request.param == "here":
        return ElmDefines([OTHER], (), RecordSnapshot([PATIENT]), now=NOW)
    return IsolatedDefines([OTHER], (), RecordSnapshot([PATIENT]), now=NOW, host=host)


@pytest.mark.requirement("dtr:spec-96")
@pytest.mark.parametrize(("name", "wanted"), [("", 2), ("a", 1), ("unknown", 2)])
def test_the_named_expression_or_the_last_is_run(evaluator: InlineEvaluator, name: str, wanted: int) -> None:
    assert evaluator.evaluate_elm(text(a=lit(1), b=lit(2)), name).value == wanted


def test_inline_logic_may_use_a_library_of_the_package(evaluator: InlineEvaluator) -> None:
    call = {"type": "ExpressionRef", "name": "x", "libraryName": "O"}
    elm = dump_json(library("", includes=INCLUDES, defines={"t": op("Divide", call, lit(7))})).decode()
    assert str(evaluator.evaluate_elm(elm).value) == "2.85714286"


@pytest.mark.parametrize("elm", ["", "{", "[]", '{"library":{}}', text(), text(t=BROKEN)])
def test_inline_logic_that_cannot_run_says_why(evaluator: InlineEvaluator, elm: str) -> None:
    found = evaluator.evaluate_elm(elm)
    assert found.value is None
    assert found.error


@pytest.mark.requirement("dtr:spec-76")
def test_an_error_of_inline_logic_stops_the_rest_of_the_package(evaluator: Any) -> None:
    assert evaluator.evaluate_elm(text(a=lit(1))).value == 1
    assert evaluator.evaluate_elm(text(t=BROKEN)).error
    assert "stopped" in evaluator.evaluate("x", "Other").error
    assert evaluator.evaluate_elm(text(a=lit(1))).value == 1
