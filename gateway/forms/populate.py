"""Population of a form from the record: to a fixpoint, each answer with its origin and its reason.

Order (spec/dtr.md §6.5): start from the payer's draft or an earlier one; rows of repeating groups; then
initial values and expressions of enabled items, once each; calculated ones again and again, until nothing
changes. What a person set or cleared is never touched. A form that does not settle is reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.forms import marks
from gateway.forms.conversion import Converted, convert
from gateway.forms.draft import ELSEWHERE, blank_response, with_payer_draft
from gateway.forms.launch import LaunchContext
from gateway.forms.required import open_required
from gateway.forms.rows import Rows
from gateway.forms.scope import Evaluated, Scope, sources_of
from gateway.forms.session import DEFAULT_GUIDE, Enabled, FormSession
from gateway.forms.slots import Sheet, Slot, without_empty
from gateway.profiles import dtr_sdc, dtr_urls
from gateway.profiles.dtr_guide import DtrGuide
from gateway.profiles.dtr_package import FormPackageParts
from gateway.profiles.dtr_sdc import FormExpression
from gateway.reasoning.defines import DefineEvaluator, Source
from gateway.reasoning.record import RecordSnapshot

_ORIGIN_URL = dtr_urls.INFORMATION_ORIGIN
NOT_FOUND = "Not found in the chart."
MIN_PASSES = 8
"""Passes that the largest form gets."""
MAX_VISITS = 45_000
"""Places that all passes together visit."""
CLEARED = "A person took this answer out; it is not filled again."
NO_RULE = "The form has no rule to fill this from the chart."


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTrace:
    """Why a place of the form holds what it holds, or nothing."""

    link_id: str
    """Address: the linkId, `linkId@1` in a later repetition."""
    origin: str = ""
    """Origin code of the answers; empty when there is none."""
    source: str = ""
    """`Type/id` of the first element it rests on."""
    source_version: str = ""
    element: str = ""
    """Element path of that source, e.g. `Condition.onset`."""
    expression: str = ""
    language: str = ""
    library: str = ""
    define: str = ""
    value: tuple[Json, ...] = ()
    """The answers' bare values."""
    reason_if_empty: str = ""
    """Plain words; empty when there is an answer."""
    sources: tuple[Source, ...] = ()
    """Every element it rests on."""
    looked_for: tuple[str, ...] = ()
    """Queries over the record that took part."""
    refused: tuple[Any, ...] = ()
    """Values that were found and did not fit the question."""
    lines: tuple[str, ...] = ()
    """Two plain lines of the engine on how a define came to its value, or to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something of the form that did not work; safe to report to the payer: it holds no patient data."""

    code: str
    sentence: str
    link_id: str = ""
    library: str = ""
    define: str = ""
    error_code: str = ""
    """The engine's own word for a define that failed, e.g. `elm.operator`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A populated form. `response` is the working copy: switched-off answers and private marks are in it."""

    response: Json
    answers: tuple[AnswerTrace, ...]
    open_required: tuple[str, ...]
    """Addresses of enabled required questions without an answer."""
    blockers: tuple[str, ...] = ()
    """Why the form cannot be completed here; empty when it can."""
    problems: tuple[Problem, ...] = ()
    findings: tuple[str, ...] = ()
    """Departures of the package from the guide."""
    evaluated_at: str = ""
    record_digest: str = ""


def populate(
    package: FormPackageParts,
    launch: LaunchContext,
    record: RecordSnapshot,
    previous: Json | None,
    now: datetime,
    new_id: Callable[[], str],
    evaluator: DefineEvaluator | None = None,
    guide: DtrGuide = DEFAULT_GUIDE,
) -> Draft:
    """Fill a form, or fill it again over a person's `previous` working response. Nothing handed in is changed.

    Logic of the form that fails leaves its question empty with a reason; nothing is raised for it.
    """
    session = FormSession(package=package, launch=launch, record=record, now=now, evaluator=evaluator, guide=guide)
    finding = ""
    if previous is None:
        response, finding = with_payer_draft(
            blank_response(session, launch, now, new_id()), package.draft_response, session
        )
    else:
        response = {**previous, "authored": session.launch_time(now)}
    population = _Population(session, Sheet(session.form, response))
    if finding:
        population.report("", "draft.elsewhere" if finding == ELSEWHERE else "draft.not-ours", finding)
    enabled = population.run()
    return population.draft(enabled, (*package.findings, *([finding] if finding else ())))


class _Population:
    """State of one population."""

    def __init__(self, session: FormSession, sheet: Sheet) -> None:
        self.session = session
        self.sheet = sheet
        self.traces: dict[str, AnswerTrace] = {}
        self.problems: dict[tuple[str, str], Problem] = {}
        self._tried: set[str] = set()
        self._rows = Rows(session)

    def run(self) -> Enabled:
        """Passes until nothing changes; the enabled items at the end."""
        seen: set[bytes] = set()
        state = b""
        for _ in range(most_passes(sum(1 for _ in self.sheet.walk()))):
            enabled = self._enabled()
            self._pass(enabled)
            self.sheet.rebuild()
            before, state = state, _fingerprint(self.sheet)
            if state == before:
                return self._enabled()
            if state in seen:
                break
            seen.add(state)
        self.report("", "form.unsettled", "The form's calculations do not settle; filling was stopped.")
        return self._enabled()

    def _enabled(self) -> Enabled:
        try:
            return self.session.enabled(self.sheet)
        except InputError as error:
            self.report(error.expression, error.reason, error.message)
            return Enabled(addresses={slot.address for slot in self.sheet.walk()}, undecided=(error.message,))

    def _pass(self, enabled: Enabled) -> None:
        scope = self.session.scope(self.sheet, enabled.addresses)
        for slot in list(self.sheet.walk()):
            if slot.address not in enabled.addresses:
                continue
            if slot.definition.is_group:
                self._fill_rows(slot, scope)
            elif slot.definition.is_question:
                self._visit(slot, scope)

    def _fill_rows(self, slot: Slot, scope: Scope) -> None:
        problem = self._rows.lay(slot, scope, self.sheet)
        if problem is not None:
            self.report(slot.address, problem.code, problem.reason)

    def _visit(self, slot: Slot, scope: Scope) -> None:
        calculated = dtr_sdc.read_expression(slot.definition.item, "calculatedExpression")
        if calculated is None and slot.address in self._tried:
            return
        self._tried.add(slot.address)
        expression = calculated or dtr_sdc.read_expression(slot.definition.item, "initialExpression")
        if marks.is_cleared(slot.node):
            self.traces[slot.address] = AnswerTrace(link_id=slot.address, reason_if_empty=CLEARED)
            return
        found, converted = self._compute(slot, scope, expression)
        self._settle(slot, expression, found, converted)

    def _compute(self, slot: Slot, scope: Scope, expression: FormExpression | None) -> tuple[Evaluated, Converted]:
        options = self.session.offers(slot, scope)
        if options.missing:
            self.report(slot.address, "form.value-set", options.missing)
        found = scope.evaluate(expression, slot) if expression else Evaluated()
        if found.reason:
            self.report(slot.address, found.code, found.reason, found)
        converted = convert(found.items, slot.definition, options, self.session.means.zone)
        if not converted.answers and not found.items:
            converted = replace(converted, answers=self._defaults(slot), reason=converted.reason)
        return found, converted

    def _defaults(self, slot: Slot) -> tuple[dict[str, Any], ...]:
        """initial[x] and options marked as selected."""
        given = [one for one in slot.definition.item.get("initial") or () if isinstance(one, dict)]
        chosen = [dict(option.value) for option in self.session.options(slot.definition).options if option.is_initial]
        found = [{key: value for key, value in one.items() if key.startswith("value")} for one in given] or chosen
        return tuple(found if slot.definition.repeats else found[:1])

    def _settle(self, slot: Slot, expression: FormExpression | None, found: Evaluated, converted: Converted) -> None:
        guide = self.session.guide
        if marks.is_person_set(slot.answers, guide):
            self._keep_person(slot, bool(converted.answers))
        elif marks.would_lose(slot.answers, converted.answers, guide):
            pass  # what a person said below it would go with it
        elif converted.answers:
            if marks.values_of(slot.answers) != list(converted.answers) or not self._is_own(slot):
                slot.set_answers(marks.stamped(slot, converted.answers, guide, guide.AUTO))
        elif expression is not None and self._is_own(slot):
            slot.set_answers([])
        self.traces[slot.address] = self._trace(slot, expression, found, converted)

    def _is_own(self, slot: Slot) -> bool:
        """Whether the answers are machine values of ours, which a new result may take away."""
        origins = [self.session.guide.read_origin(answer) for answer in slot.answers]
        return bool(origins) and all(one is not None and one.source == self.session.guide.AUTO for one in origins)

    def _keep_person(self, slot: Slot, would_fill: bool) -> None:
        """A typed answer that the chart could have given counts as an override from now on (dtr §10.2)."""
        guide = self.session.guide
        for answer in slot.answers:
            origin = guide.read_origin(answer)
            if would_fill and origin is not None and origin.source == guide.MANUAL:
                kept = [one for one in answer["extension"] if one.get("url") != _ORIGIN_URL]
                answer["extension"] = [guide.information_origin(guide.OVERRIDE, origin.author), *kept]

    def _trace(
        self, slot: Slot, expression: FormExpression | None, found: Evaluated, converted: Converted
    ) -> AnswerTrace:
        origin = self.session.guide.read_origin(slot.answers[0]) if slot.answers else None
        own = origin is not None and self.session.guide.is_machine(origin.source)
        sources = sources_of(found, converted.used) if own else ()
        first = sources[0] if sources else Source(reference="")
        return AnswerTrace(
            link_id=slot.address,
            origin=origin.source if origin else "",
            source=first.reference,
            source_version=first.version,
            element=first.element,
            expression=expression.expression if expression else "",
            language=expression.language if expression else "",
            library=found.library,
            define=found.define,
            value=tuple(marks.values_of(slot.answers)),
            reason_if_empty="" if slot.answers else _reason(expression, found, converted),
            sources=sources,
            looked_for=found.queries,
            refused=converted.refused,
            lines=found.lines,
        )

    def report(self, address: str, code: str, sentence: str, found: Evaluated | None = None) -> None:
        """Note a problem; the first of a kind counts for a place."""
        problem = Problem(
            code=code,
            sentence=sentence,
            link_id=address,
            library=found.library if found else "",
            define=found.define if found else "",
            error_code=found.error_code if found else "",
        )
        self.problems.setdefault((address, code), problem)

    def draft(self, enabled: Enabled, findings: tuple[str, ...]) -> Draft:
        """The result, with a trace for every enabled question in document order."""
        traces = []
        for slot in self.sheet.walk():
            if slot.definition.is_question and slot.address in enabled.addresses:
                default = AnswerTrace(link_id=slot.address, reason_if_empty="" if slot.answers else NO_RULE)
                traces.append(self.traces.get(slot.address, default))
        unknown = ["The draft held answers to questions that the form does not have."] if self.sheet.unknown else []
        response = without_empty_but_marks(self.sheet.response)
        return Draft(
            response=response,
            answers=tuple(traces),
            open_required=open_required(self.sheet, enabled.addresses),
            blockers=(*self.session.blockers, *enabled.undecided),
            problems=tuple(self.problems.values()),
            findings=(*findings, *unknown),
            evaluated_at=self.session.launch_time(self.session.now) if self.session.now else "",
            record_digest=self.session.record.digest,
        )


def most_passes(places: int) -> int:
    """How often a form of so many places is gone through: enough for chains of questions that real forms have, and
    so few that one whose questions switch each other on in a long row ends within about a second (dtr:spec-67)."""
    return min(2 * places + 4, max(MIN_PASSES, MAX_VISITS // (places + 1)))


def _reason(expression: FormExpression | None, found: Evaluated, converted: Converted) -> str:
    if found.reason or converted.reason:
        return found.reason or converted.reason
    return NOT_FOUND if expression else NO_RULE


def _fingerprint(sheet: Sheet) -> bytes:
    return hashlib.sha256(dump_json(without_empty(sheet.response))).digest()


def without_empty_but_marks(response: Json) -> dict[str, Any]:
    """A response without empty items, but with those that a person cleared or added."""
    kept = {key: value for key, value in response.items() if key not in ("item", "answer")}
    if response.get("answer"):
        kept["answer"] = [without_empty_but_marks(answer) for answer in response["answer"]]
    items = [without_empty_but_marks(item) for item in response.get("item") or ()]
    items = [item for item in items if item.get("item") or item.get("answer") or marks.is_kept(item)]
    if items:
        kept["item"] = items
    return kept
