"""The engine: libraries, value sets and one record in; values with their trace, or errors, out.

Pure: the instant is given, nothing is fetched, no clock is read unless one is handed in to end runaway logic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.reasoning.defines import DefineResult
from gateway.reasoning.elm.chart import Chart
from gateway.reasoning.elm.evaluate import evaluate
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import CompiledLibrary, Define, LibrarySet
from gateway.reasoning.elm.model import load_model
from gateway.reasoning.elm.moments import moment_of
from gateway.reasoning.elm.results import fhir_json
from gateway.reasoning.elm.state import Budget, Outcome, State
from gateway.reasoning.elm.terminology import Terminology
from gateway.reasoning.elm.trace import Explanation, explain
from gateway.reasoning.record import RecordSnapshot


class Engine:
    """Evaluates defines of a set of libraries over one record. One per session; not for several threads.

    `parameters` are JSON by name, read by the type each library declares; one that is missing is null. `now` is
    an aware datetime; its offset is that of the evaluation. `patient` is a reference text; without it the first
    Patient of the record is the context.
    """

    def __init__(
        self,
        libraries: LibrarySet,
        value_sets: Iterable[Json] | Terminology,
        record: RecordSnapshot,
        *,
        now: datetime,
        parameters: Mapping[str, Any] | None = None,
        patient: str | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.libraries = libraries
        terminology = value_sets if isinstance(value_sets, Terminology) else Terminology(value_sets)
        self._state = State(
            libraries=libraries,
            chart=chart_of(record, libraries.fhir_version, patient),
            terminology=terminology,
            parameters=dict(parameters or {}),
            now=moment_of(now),
            budget=budget or Budget(),
        )

    def outcome(self, define: str, library: str | None = None) -> Outcome:
        """Engine value, error and raw trace of a define. Raises `elm.define` or `elm.library` for an unknown name."""
        return self.outcome_of(self.find(define, library))

    def outcome_of(self, define: Define) -> Outcome:
        """Engine value, error and raw trace of a define of these libraries."""
        return evaluate(self._state, define)

    def evaluate(self, define: str, library: str | None = None) -> DefineResult:
        """Value of a define as FHIR JSON with its sources. Never raises for logic."""
        try:
            outcome = self.outcome(define, library)
        except ReasoningError as error:
            return DefineResult(error=error.message, code=error.reason, library=library or "")
        return result_of(outcome)

    def explain(self, define: str, library: str | None = None) -> Explanation:
        """What decided a define, for people. Raises `elm.define` or `elm.library` for an unknown name."""
        return explain(self.outcome(define, library))

    def find(self, define: str, library: str | None = None) -> Define:
        """The define of a name; without `library` the one library that has it."""
        found = [one.defines[define] for one in self._candidates(library) if define in one.defines]
        if len(found) != 1:
            word = "Several libraries have" if found else "No library has"
            raise failure("define", f"{word} the define that is asked for.")
        return found[0]

    def _candidates(self, library: str | None) -> tuple[CompiledLibrary, ...]:
        if library is None:
            return self.libraries.libraries
        found = self.libraries.named(library)
        if found is None:
            raise failure("library", "The package has no library of the name that is asked for.")
        return (found,)


def result_of(outcome: Outcome) -> DefineResult:
    """Outcome as callers see it."""
    library = outcome.define.library.label
    if outcome.error is not None:
        return DefineResult(error=outcome.error.message, code=outcome.error.reason, library=library)
    why = explain(outcome)
    return DefineResult(value=fhir_json(outcome.value), sources=why.sources, library=library, lines=why.lines())


def chart_of(record: RecordSnapshot, fhir_version: str, patient: str | None = None) -> Chart:
    """Indexes of a record, made once and kept with it. Raises `elm.value` when the patient is not in the record."""

    def make() -> Chart:
        found = record.find(patient) if patient else next(iter(record.of_type("Patient")), None)
        if patient and found is None:
            raise failure("value", "The patient of the evaluation is not in the record.")
        return Chart(record, load_model(fhir_version), found)

    version = "4.0.0" if fhir_version == "4.0.0" else "4.0.1"
    return record.derived(("elm chart", version, patient), make)
