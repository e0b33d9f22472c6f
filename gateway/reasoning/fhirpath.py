"""FHIRPath over frozen JSON: the one interface through which forms and rules evaluate a path.

    engine = FhirPath(now=session_start)
    engine.evaluate("name.given.first()", patient, {"order": order})   -> ["Ann"]
    engine.trace(...)                                                   -> Items that know where they come from

fhirpathpy lends its R4 type tables; its evaluator is not used. It answers in floats, raises on a
quantity against a literal, compares dates of unequal precision, skips over syntax errors, reads the
wall clock, writes type marks into its input and keeps `$this` of a finished function (field cases
B23, B25, B27; spec/dtr.md §6.1). What is needed of N1 is small enough to own.

Pure: the clock is the given instant, nothing is fetched, inputs are never changed. Work is counted,
so that logic of a payer ends (spec/security.md T6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.reasoning.fhirpath_evaluate import Evaluation, Meter, evaluate_tree
from gateway.reasoning.fhirpath_functions import call_function
from gateway.reasoning.fhirpath_items import Item, items_of, system_value
from gateway.reasoning.fhirpath_syntax import parse_expression
from gateway.reasoning.fhirpath_values import Amount, Moment

MAX_STEPS: Final = 500_000
"""Node visits of one evaluation; about two seconds on a slow core."""
EVALUATION_STEPS: Final = 60
"""Steps that an evaluation costs a shared budget before its first: many small ones take time too."""
MAX_ITEMS: Final = 20_000
"""Items that a result or any collection on the way may hold."""
Resolver = Callable[[str], Json | None]
MemberTest = Callable[[str, Mapping[str, Any] | str], bool | None]


class FhirPath:
    """Evaluator bound to one session: its instant, its record and its value sets.

    `now` is an aware datetime in the practice's zone; without it `now()` and `today()` raise.
    `resolve` finds the resource a reference text names, `member_of` tells whether a code is in a value set.
    `budget` holds the steps left for all evaluations together; without it each has `max_steps` of its own.
    """

    def __init__(
        self,
        *,
        now: datetime | None = None,
        resolve: Resolver | None = None,
        member_of: MemberTest | None = None,
        max_steps: int = MAX_STEPS,
        budget: Meter | None = None,
    ) -> None:
        self._now = now
        self._resolve = resolve
        self._member_of = member_of
        self._max_steps = max_steps
        self._budget = budget

    def evaluate(self, expression: str, resource: Any, environment: Mapping[str, Any] | None = None) -> list[Any]:
        """Result as JSON values: dates and times as FHIR text, quantities as FHIR Quantity, numbers exact.

        `resource` is JSON, an Item, or a list of them. `environment` holds what `%name` stands for.
        Raises ReasoningError `fhirpath.syntax`, `fhirpath.evaluation`, `fhirpath.unsupported` or `fhirpath.limit`.
        """
        return [json_value(item) for item in self.trace(expression, resource, environment)]

    def _steps(self) -> int:
        return self._max_steps if self._budget is None else min(self._max_steps, self._budget.steps_left)

    def trace(self, expression: str, resource: Any, environment: Mapping[str, Any] | None = None) -> list[Item]:
        """As `evaluate`, but Items, whose `places()` name the elements they were read or computed from."""
        focus = items_of(resource)
        if self._budget is not None:
            self._budget.steps_left -= EVALUATION_STEPS
        # A chain, not a copy: variables of a form are computed when they are asked for.
        known = _Chain({} if environment is None else environment, {"context": focus, "resource": focus}, _CONSTANTS)
        evaluation = Evaluation(
            environment=known,
            now=self._now,
            resolve=self._resolve,
            member_of=self._member_of,
            call=call_function,
            steps_left=self._steps(),
            max_items=MAX_ITEMS,
        )
        try:
            return evaluate_tree(parse_expression(expression), focus, evaluation, self._budget)
        except ReasoningError:
            raise
        except RecursionError:
            raise ReasoningError("The expression is nested too deeply.", code="fhirpath.limit") from None
        except MemoryError:
            raise ReasoningError("The expression needs more memory than there is.", code="fhirpath.limit") from None
        except (ArithmeticError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            # Defensive: a shape of foreign data that no operator foresaw; its text may hold patient data.
            raise ReasoningError(
                f"The expression failed ({type(error).__name__}).", code="fhirpath.evaluation"
            ) from None


class _Chain(Mapping[str, Any]):
    """Looks a name up in several mappings; the first that has it answers."""

    def __init__(self, *layers: Mapping[str, Any]) -> None:
        self._layers = layers

    def __getitem__(self, name: str) -> Any:
        for layer in self._layers:
            if name in layer:
                return layer[name]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(name in layer for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for layer in self._layers for name in layer))

    def __len__(self) -> int:
        return sum(1 for _ in self)


_CONSTANTS: Final[Mapping[str, Any]] = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}


def json_value(item: Item) -> Any:
    """An Item's value as FHIR JSON."""
    value = item.value
    if isinstance(value, Moment):
        return value.text()
    if isinstance(value, Amount):
        return amount_json(value)
    return Decimal(str(value)) if isinstance(value, float) else value


def amount_json(amount: Amount) -> dict[str, Any]:
    """FHIR Quantity of an amount; a calendar duration gets its UCUM code."""
    unit = {"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min"}.get(amount.unit)
    code = unit if amount.calendar and unit else amount.unit
    value = int(amount.value) if amount.value == amount.value.to_integral_value() else amount.value
    return {"value": value, "unit": amount.unit, "system": "http://unitsofmeasure.org", "code": code}


__all__ = ["FhirPath", "Item", "Meter", "amount_json", "json_value", "system_value"]
