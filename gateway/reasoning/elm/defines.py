"""`ElmDefines`: the engine as forms see it, over the libraries and value sets of a questionnaire package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.reasoning.defines import DefineResult
from gateway.reasoning.elm.binding import bind_parameters
from gateway.reasoning.elm.codes import ValueSet
from gateway.reasoning.elm.engine import Engine, result_of
from gateway.reasoning.elm.library import CompiledLibrary, Define, LibrarySet, load_library
from gateway.reasoning.elm.needs import retrieved_types
from gateway.reasoning.elm.package import read_package
from gateway.reasoning.elm.state import Budget, Outcome
from gateway.reasoning.elm.terminology import Terminology
from gateway.reasoning.elm.trace import Explanation, explain
from gateway.reasoning.record import RecordSnapshot

OnError = Literal["stop", "isolate"]
"""After an engine error: run no further define of the package (the guide's rule), or fail that define alone."""
STOPPED = "The payer's logic was stopped after an error in another part of it."


class ElmDefines:
    """Runs the defines that a form names. Implements `DefineEvaluator` and `InlineEvaluator`.

    `libraries` are FHIR Library resources, `value_sets` ValueSet resources of the package. `contexts` are
    resources by launch-context name, `order` is bound to the parameters that packages use for it. `clock` is
    given where runaway logic must end by time as well as by work, e.g. `time.monotonic`.
    """

    def __init__(
        self,
        libraries: Iterable[Json],
        value_sets: Iterable[Json],
        record: RecordSnapshot,
        *,
        now: datetime,
        order: Json | None = None,
        contexts: Mapping[str, Any] | None = None,
        patient: str | None = None,
        on_error: OnError = "stop",
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.package = read_package(libraries)
        self._on_error = on_error
        self._failed = False
        self._known: dict[Define, Outcome] = {}
        terminology, budget = Terminology(value_sets), Budget(clock=clock)

        def engine_of(*inline: CompiledLibrary) -> Engine:
            libraries = (*self.package.libraries.libraries, *inline)
            return Engine(
                LibrarySet(libraries),
                terminology,
                record,
                now=now,
                parameters=bind_parameters(libraries, contexts or {}, order),
                patient=patient,
                budget=budget,
            )

        self._terminology = terminology
        self._engine_of = engine_of
        self._engine = engine_of()

    def unlisted_value_sets(self) -> tuple[str, ...]:
        """`url` or `url|version` of the value sets that libraries declare and whose codes are not all known here."""
        declared = (one for library in self.package.libraries.libraries for one in library.value_sets.values())
        named = (ValueSet(str(one.get("id") or ""), one.get("version")) for one in declared)
        missing = [one for one in named if one.id and not self._terminology.lists(one)]
        return tuple(dict.fromkeys(f"{one.id}|{one.version}" if one.version else one.id for one in missing))

    def retrieved_types(self, names: Iterable[tuple[str, str | None]], inline: Iterable[str] = ()) -> tuple[str, ...]:
        """Resource types that logic retrieves: the defines of these names (define, library) and compiled `inline`
        logic; without either, all that the package's main libraries hold. Names that are not known have none.
        """
        libraries = list(self.package.libraries.libraries)
        wanted: list[Define] = []
        for define, library in names:
            with suppress(ReasoningError):
                target = self.package.named(library) if library else self.package.holding(define)
                wanted += [target.defines[define]] if define in target.defines else []
        for elm in inline:
            with suppress(ReasoningError):
                libraries.append(load_library(elm.encode()))
                wanted += libraries[-1].defines.values()
        if not wanted:
            wanted = [one for library in self.package.mains for one in library.defines.values()]
        return retrieved_types(LibrarySet(libraries), wanted)

    def evaluate(self, define: str, library: str | None = None) -> DefineResult:
        """Value of a define; `library` is the name the form uses. Never raises for logic."""
        try:
            outcome = self.outcome(define, library)
        except ReasoningError as error:
            return DefineResult(error=error.message, code=error.reason, library=library or "")
        return result_of(outcome)

    def outcome(self, define: str, library: str | None = None) -> Outcome:
        """Engine value, error and trace. Raises ReasoningError for a name that is not known, or when stopped."""
        target = self.package.named(library) if library else self.package.holding(define)
        found = target.defines.get(define)
        if found is None:
            raise ReasoningError("The library has no define of the name that the form uses.", code="elm.define")
        return self._outcome_of(found, self._engine)

    def evaluate_elm(self, elm: str, name: str = "") -> DefineResult:
        """Value of logic that the form itself carries, compiled: a whole library, which may include those of the
        package. Its expression is the one called `name`, else the only or last one. Never raises for logic.
        """
        try:
            return result_of(self.outcome_of_elm(elm, name))
        except ReasoningError as error:
            return DefineResult(error=error.message, code=error.reason)

    def outcome_of_elm(self, elm: str, name: str = "") -> Outcome:
        """As `evaluate_elm`: engine value, error and trace. Raises ReasoningError for what is no library."""
        library = load_library(elm.encode())
        define = library.defines.get(name) or next(
            (one for one in reversed(library.defines.values()) if not one.is_context), None
        )
        if define is None:
            raise ReasoningError("The logic of the question has no expression.", code="elm.define")
        return self._outcome_of(define, self._engine_of(library))

    def _outcome_of(self, define: Define, engine: Engine) -> Outcome:
        if define not in self._known:
            if self._failed and self._on_error == "stop":
                raise ReasoningError(STOPPED, code="elm.stopped")
            self._known[define] = engine.outcome_of(define)
            self._failed = self._failed or self._known[define].error is not None
        return self._known[define]

    def explain(self, define: str, library: str | None = None) -> Explanation:
        """What decided a define, for people. Raises as `outcome`."""
        return explain(self.outcome(define, library))
