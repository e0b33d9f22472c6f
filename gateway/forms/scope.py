"""Evaluation of a form's expressions: FHIRPath, queries over the record, and defines.

Names that an expression may use: the launch contexts, `%resource` (the response as it would be sent),
`%context` (its item), `%qitem`, `%questionnaire`, and the variables of the form and of the items around it.
Variables are computed when first asked for and remembered for the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.forms.definition import ItemDefinition
from gateway.forms.logic import read_define_name
from gateway.forms.query import QueryAnswer, run_query
from gateway.forms.slots import Slot
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_sdc import FormExpression
from gateway.reasoning.defines import DefineEvaluator, InlineEvaluator, Source
from gateway.reasoning.fhirpath import FhirPath, Item
from gateway.reasoning.fhirpath_conversions import to_text
from gateway.reasoning.fhirpath_items import Place, items_of, system_value, typed_item
from gateway.reasoning.record import RecordSnapshot, reference_of, version_of

NO_ENGINE: Final = "logic cannot be run here"
_SENTENCES: Final[Mapping[str, str]] = {
    "fhirpath.syntax": "The form's expression cannot be read.",
    "fhirpath.unsupported": "The form's expression uses a function that is not known here.",
    "fhirpath.limit": "The form's expression needs too much work.",
    "fhirpath.terminology": "A value set that the expression needs is not at hand.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """Result of one expression."""

    items: tuple[Item, ...] = ()
    reason: str = ""
    """Why it could not be run, for people; empty when it ran, also with an empty result."""
    code: str = ""
    """Machine word of that reason."""
    queries: tuple[str, ...] = ()
    """Queries over the record that took part."""
    define: str = ""
    library: str = ""
    sources: tuple[Source, ...] = ()
    """Sources that the define engine named; for the rest see `items`."""
    error_code: str = ""
    """The engine's own word for a define that failed, e.g. `elm.operator`."""
    lines: tuple[str, ...] = ()
    """The engine's two lines on how a define came to its value."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What expressions are evaluated with; the same for a whole session."""

    questionnaire: Json
    contexts: Mapping[str, Any]
    """Launch contexts by name."""
    record: RecordSnapshot
    now: datetime | None
    """Instant of the session in the practice's zone."""
    evaluator: DefineEvaluator | None
    engine: FhirPath
    member_of: Callable[[str, Mapping[str, Any] | str], bool | None]
    """Whether a code is in a value set of the package; None when the set is not at hand."""
    queries: dict[str, QueryAnswer] = field(default_factory=dict)
    """Answers by query text; the record does not change."""

    @cached_property
    def variables(self) -> tuple[FormExpression, ...]:
        """Variables of the form as a whole; of two with one name the first counts."""
        named = {one.name: one for one in reversed(dtr_sdc.read_variables(self.questionnaire))}
        return tuple(named.values())

    @cached_property
    def declared(self) -> set[str]:
        """Names of the launch contexts that the form declares."""
        return {context.name for context in dtr_sdc.read_launch_contexts(self.questionnaire)}

    @property
    def zone(self) -> tzinfo | None:
        """The practice's zone."""
        return self.now.tzinfo if self.now else None

    def query(self, text: str) -> QueryAnswer:
        """Answer of a query, computed once."""
        if text not in self.queries:
            self.queries[text] = run_query(text, self.record, self.zone, self.member_of)
        return self.queries[text]


class Scope:
    """Evaluates expressions against one state of the response."""

    def __init__(
        self,
        means: Means,
        view: Json,
        node_of: Callable[[Slot], Json],
        rows: Mapping[str, tuple[str, Item]],
    ) -> None:
        self._means = means
        self._view = view
        self._node_of = node_of
        self._rows = rows
        """Population row by address of the group repetition: variable name and item."""
        self._memo: dict[tuple[str, str], Evaluated] = {}
        self._asking: set[tuple[str, str]] = set()
        self._frames: list[dict[str, None]] = [{}]

    def evaluate(self, expression: FormExpression, slot: Slot | None) -> Evaluated:
        """Run an expression of an item, or of the form when `slot` is None. Never raises for foreign logic."""
        self._frames.append({})
        try:
            found = self._run(expression, slot)
        except ReasoningError as error:
            found = Evaluated(reason=_sentence(error), code=error.reason)
        queries = tuple(self._frames.pop())
        self._frames[-1].update(dict.fromkeys(queries))
        return Evaluated(
            items=found.items,
            reason=found.reason,
            code=found.code,
            queries=queries,
            define=found.define,
            library=found.library,
            sources=found.sources,
            error_code=found.error_code,
            lines=found.lines,
        )

    def _run(self, expression: FormExpression, slot: Slot | None) -> Evaluated:
        if expression.is_cql:
            return self._define(expression)
        if expression.language == dtr_sdc.QUERY:
            return self._query(expression.expression, slot)
        if expression.language == dtr_sdc.FHIRPATH:
            return Evaluated(items=tuple(self._path(expression.expression, slot)))
        raise ReasoningError("The language of the form's expression is not known here.", code="expression.language")

    def _path(self, text: str, slot: Slot | None) -> list[Item]:
        environment = _Environment(self, slot)
        return self._means.engine.trace(text, environment["context"], environment)

    def _query(self, text: str, slot: Slot | None) -> Evaluated:
        answer = self._means.query(self._filled(text, slot))
        self._frames[-1][answer.query] = None
        return Evaluated(items=tuple(items_of(answer.bundle)))

    def _filled(self, text: str, slot: Slot | None) -> str:
        """Query text with each `{{path}}` replaced; an empty result makes the query unaskable."""
        parts = text.split("{{")
        done = [parts[0]]
        for part in parts[1:]:
            path, mark, rest = part.partition("}}")
            found = self._path(path, slot) if mark else []
            values = [quote(to_text(system_value(item)) or "", safe="/:|.-") for item in found]
            if not any(values):
                raise ReasoningError("A part of the form's query has no value here.", code="query.substitution")
            done += [",".join(value for value in values if value), rest]
        return "".join(done)

    def _define(self, expression: FormExpression) -> Evaluated:
        name = None if expression.elm else read_define_name(expression.expression)
        define, library = (name.define, name.library) if name else (expression.name, None)
        engine = self._means.evaluator
        if engine is not None and name is not None:
            result = engine.evaluate(name.define, name.library)
        elif expression.elm and (inline := _inline_engine(engine)) is not None:
            result = inline.evaluate_elm(expression.elm, expression.name)
        else:
            return Evaluated(reason=NO_ENGINE, code="logic.unavailable", define=define, library=library or "")
        return Evaluated(
            items=() if result.error else tuple(items_of(result.value)),
            reason=result.error,
            code="logic.failed" if result.error else "",
            define=define,
            library=result.library or library or "",
            sources=result.sources,
            error_code=result.code,
            lines=result.lines,
        )

    # names

    def visible(self, slot: Slot | None) -> dict[str, tuple[FormExpression | Item | None, Slot | None]]:
        """Variables that an item sees, inner ones over outer ones; None is a row that a repetition does not have."""
        found: dict[str, tuple[FormExpression | Item | None, Slot | None]] = {
            expression.name: (expression, None) for expression in self._means.variables
        }
        chain: list[Slot] = []
        at = slot
        while at is not None:
            chain.append(at)
            at = at.parent
        for owner in reversed(chain):
            context = dtr_sdc.read_expression(owner.definition.item, "itemPopulationContext")
            if context is not None and context.name:
                _, row = self._rows.get(owner.address, ("", None))
                found[context.name] = (row, owner)
            for expression in dtr_sdc.read_variables(owner.definition.item):
                found[expression.name] = (expression, owner)
        return found

    def variable(self, name: str, value: FormExpression | Item | None, owner: Slot | None) -> list[Item]:
        """Items of a variable; remembered. Raises ReasoningError when it failed or needs itself."""
        if value is None or isinstance(value, Item):
            return [] if value is None else [value]
        key = (name, owner.address if owner else "")
        if key in self._asking:
            raise ReasoningError("A variable of the form depends on itself.", code="expression.circle")
        if key not in self._memo:
            self._asking.add(key)
            try:
                self._memo[key] = self.evaluate(value, owner)
            finally:
                self._asking.discard(key)
        found = self._memo[key]
        self._frames[-1].update(dict.fromkeys(found.queries))
        if found.reason:
            raise ReasoningError(found.reason, code=found.code)
        return list(found.items)

    def fixed(self, name: str, slot: Slot | None) -> Any:
        """Value of a name that is always there; KeyError otherwise."""
        if name in ("resource", "rootResource"):
            return self._view
        if name == "context":
            return self._view if slot is None else typed_item(self._node_of(slot), "QuestionnaireResponse.item")
        if name == "questionnaire":
            return self._means.questionnaire
        if name == "qitem" and slot is not None:
            return typed_item(slot.definition.item, "Questionnaire.item")
        if name in self._means.contexts:
            return self._means.contexts[name]
        return self._batch(name, slot)

    def _batch(self, name: str, slot: Slot | None) -> Json:
        """Answers of a contained Bundle of queries (`sourceQueries`), by the Bundle's id; KeyError otherwise."""
        bundle = dtr_sdc.read_source_queries(self._means.questionnaire)[name]
        entries = []
        for entry in bundle.get("entry") or ():
            url = str((entry.get("request") or {}).get("url", ""))
            try:
                found = self._query(url, slot).items
            except ReasoningError:
                found = ()
            entries.append({"resource": found[0].value} if found else {"response": {"status": "400"}})
        return {"resourceType": "Bundle", "id": name, "type": "batch-response", "entry": entries}

    def declared(self) -> set[str]:
        """Names of contexts that the form declares; without a resource they are empty, not unknown."""
        return self._means.declared


class _Environment(Mapping[str, Any]):
    """`%name` for one expression."""

    def __init__(self, scope: Scope, slot: Slot | None) -> None:
        self._scope = scope
        self._slot = slot
        self._variables = scope.visible(slot)

    def __getitem__(self, name: str) -> Any:
        if name in self._variables:
            value, owner = self._variables[name]
            return self._scope.variable(name, value, owner)
        try:
            return self._scope.fixed(name, self._slot)
        except KeyError:
            if name in self._scope.declared():
                return None
            raise

    def __contains__(self, name: object) -> bool:
        if name in self._variables:
            return True
        try:
            self._scope.fixed(str(name), self._slot)
        except KeyError:
            return name in self._scope.declared()
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


def _inline_engine(engine: object) -> InlineEvaluator | None:
    return engine if isinstance(engine, InlineEvaluator) else None


def _sentence(error: ReasoningError) -> str:
    if error.reason == "fhirpath.variable":
        return f"There is no {str(error.frame.get('variable', ''))[:40]} in this context."
    return _SENTENCES.get(error.reason, error.message)


def sources_of(evaluated: Evaluated, items: tuple[Item, ...]) -> tuple[Source, ...]:
    """Elements that answers rest on: those the define engine named, else those of the items."""
    if evaluated.sources:
        return evaluated.sources
    places = dict.fromkeys(place for item in items for place in _places(item))
    return tuple(Source(reference=ref, version=version, element=path) for ref, version, path in places)


def _places(item: Item) -> Iterator[tuple[str, str, str]]:
    for place in item.places():
        yield _reference(place), version_of(place.resource), place.path


def _reference(place: Place) -> str:
    if place.resource.get("id"):
        return reference_of(place.resource)
    return str(place.resource.get("resourceType", ""))


__all__ = ["Evaluated", "ItemDefinition", "Means", "Scope", "sources_of"]
