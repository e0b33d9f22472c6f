"""FHIRPath of a payer's form that wants too much: it runs in the gateway itself, so work and memory are counted."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath import MAX_STEPS, FhirPath, Meter

pytestmark = [pytest.mark.threat("T6")]
TEN = "(1|2|3|4|5|6|7|8|9|10)"
MEGABYTES = 1024 * 1024


def nested(levels: int, inner: str) -> str:
    """`inner`, ten to the power of `levels` times."""
    return inner if not levels else f"{TEN}.select({nested(levels - 1, inner)})"


def text(count: int, tail: str = "") -> str:
    return f"'{'a' * count}{tail}'"


class Doubling(dict[str, Any]):
    """`%v0`, `%v1`, … each the former one twice, as variables of a form may be."""

    def __init__(self, engine: FhirPath, expression: str) -> None:
        super().__init__(v0="x" * 1000)
        self.engine, self.expression = engine, expression

    def __contains__(self, name: object) -> bool:
        return str(name).startswith("v")

    def __missing__(self, name: str) -> Any:
        before = f"%v{int(name[1:]) - 1}"
        return self.engine.trace(self.expression.replace("%v", before), {}, self)


BUSY = {
    "every pair": nested(7, "$this"),
    "a pattern, often": nested(3, f"{text(9000, '!')}.matches('(a|aa)+c')"),
    "a pattern over the whole text, often": nested(3, f"{text(9000, '!')}.matchesFull('(a|aa)+c')"),
    "a substitution, often": nested(3, f"{text(9000)}.replaceMatches('a', 'b')"),
    "reading a long text, often": nested(6, f"{text(9000)}.contains('b')"),
    "counting for ever": "(1).repeat($this + 1)",
}
LARGE = {
    "a substitution by a long text": f"{text(9000)}.replaceMatches('a', {text(9000)})",
    "a substitution by the match": f"{text(9000)}.replaceMatches('a+', '{'$0' * 400}')",
    "long texts, often": nested(4, f"({text(9000)} & {text(900)})"),
    "splitting, often": nested(3, f"{text(9000)}.split('a')"),
    "a sum of everything": f"{nested(3, '1')}.aggregate($total & {text(900)}, '')",
}
LIMITS = ("fhirpath.limit", "pattern.limit")


@pytest.mark.parametrize("expression", BUSY.values(), ids=BUSY.keys())
def test_too_much_work_ends(expression: str) -> None:
    with pytest.raises(ReasoningError) as caught:
        FhirPath(budget=Meter(steps_left=100_000)).trace(expression, {})
    assert caught.value.reason in LIMITS


@pytest.mark.parametrize("expression", LARGE.values(), ids=LARGE.keys())
def test_too_much_memory_is_not_even_taken(expression: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ReasoningError) as caught:
            FhirPath(budget=Meter(steps_left=MAX_STEPS)).trace(expression, {})
        assert tracemalloc.get_traced_memory()[1] < 100 * MEGABYTES
    finally:
        tracemalloc.stop()
    assert caught.value.reason in LIMITS


@pytest.mark.parametrize("expression", ["%v & %v", "%v + %v", "%v.replace('x', 'xx')", "%v.encode('hex')"])
def test_a_text_that_doubles_ends(expression: str) -> None:
    engine = FhirPath()
    with pytest.raises(ReasoningError) as caught:
        engine.trace("%v39.length()", {}, Doubling(engine, expression))
    assert caught.value.reason == "fhirpath.limit"
    assert engine.evaluate("%v3.length()", {}, Doubling(engine, expression)) == [8000]


@pytest.mark.threat("T33")
def test_the_work_of_a_pattern_comes_off_the_budget() -> None:
    budget = Meter(steps_left=MAX_STEPS)
    engine = FhirPath(budget=budget)
    assert engine.evaluate(f"{text(2000, '!')}.matches('(a|aa)+c')", {}) == [False]
    assert MAX_STEPS - budget.steps_left > 2000
    assert engine.evaluate("'abc'.replaceMatches('(b)', '<$1>')", {}) == ["a<b>c"]
    budget.steps_left = 1000
    with pytest.raises(ReasoningError):
        engine.evaluate(f"{text(2000, '!')}.matches('(a|aa)+c')", {})
