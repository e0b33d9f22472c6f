"""A form as flat rows, for the form page, `form show` and the JSON API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gateway.fhir import Json
from gateway.forms import marks
from gateway.forms.conversion import convert_one
from gateway.forms.explain import CHANGED, FROM_CHART, FROM_PAYER, NOT_FOUND, TYPED, explanation_of, label_of
from gateway.forms.launch import LaunchContext
from gateway.forms.options import Option, text_of
from gateway.forms.populate import AnswerTrace, Draft
from gateway.forms.required import is_open
from gateway.forms.scope import Scope
from gateway.forms.session import DEFAULT_GUIDE, FormSession
from gateway.forms.slots import Slot
from gateway.forms.validate import check_sheet
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_guide import DtrGuide, OriginAuthor
from gateway.profiles.dtr_next_question import contained_form
from gateway.profiles.dtr_package import FormPackageParts
from gateway.profiles.dtr_sdc import value_of
from gateway.reasoning.record import RecordSnapshot

MAX_CANDIDATES: Final = 200
"""Suggestions of one question that are offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An answer to pick; `key` is what `set_answer` takes."""

    key: str
    text: str
    is_chosen: bool
    answer: Json
    """The answer it stands for, `{"valueCoding": …}`; `set_answer` takes it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormRow:
    """One line of the form."""

    link_id: str
    """Address; also the name of the field."""
    level: int
    """0 for the outermost."""
    prefix: str
    text: str
    type: str
    control: str
    """Item control code of the form, e.g. `help`, `drop-down`; empty when none."""
    required: bool
    repeats: bool
    read_only: bool
    hidden: bool
    enabled: bool
    options: tuple[Choice, ...]
    candidates: tuple[Choice, ...]
    """Further answers that the chart suggests (`candidateExpression`); never set without a person."""
    options_missing: str
    """Why there is no list to choose from; empty when there is one or none is needed."""
    units: tuple[str, ...]
    values: tuple[str, ...]
    """Answers as text, in order."""
    raw: tuple[Json, ...]
    """Answers as `value[x]`, for pages that need the exact form."""
    origin: str
    """Origin code; empty when unanswered."""
    origin_label: str
    """`From chart`, `From payer`, `Changed by user`, `Typed`, `Not found in chart`; empty for other lines."""
    origin_explanation: str
    """One sentence: where it came from, or what was looked for."""
    author: OriginAuthor | None
    trace: AnswerTrace | None
    error: str
    """What to put right; empty when nothing."""
    max_length: int | None
    links: tuple[str, ...]
    """Supporting links of the form; show them, never follow them."""

    @property
    def is_question(self) -> bool:
        """Whether it takes answers."""
        return self.type not in ("group", "display")

    @property
    def is_hidden_disclosure(self) -> bool:
        """Whether the form takes something from the chart without showing it: bring it to the reviewer (dtr:sec-4)."""
        return self.hidden and self.origin_label == FROM_CHART

    @property
    def needs_person(self) -> bool:
        """Whether it is open and enabled, so that only a person can go on."""
        return self.enabled and self.is_question and not self.values and not self.hidden

    def as_json(self) -> dict[str, Any]:
        """Stable JSON of the row (`form show --json`)."""
        return {
            "link_id": self.link_id,
            "level": self.level,
            "text": self.text,
            "type": self.type,
            "required": self.required,
            "repeats": self.repeats,
            "read_only": self.read_only,
            "enabled": self.enabled,
            "options": [{"key": one.key, "text": one.text, "chosen": one.is_chosen} for one in self.options],
            "candidates": [{"key": one.key, "text": one.text, "answer": dict(one.answer)} for one in self.candidates],
            "options_missing": self.options_missing,
            "values": list(self.values),
            "answer": [dict(one) for one in self.raw],
            "origin": self.origin,
            "origin_label": self.origin_label,
            "origin_explanation": self.origin_explanation,
            "reason_if_empty": self.trace.reason_if_empty if self.trace else "",
            "trace": _trace_json(self.trace) if self.trace else None,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FormView:
    """A form to show."""

    title: str
    canonical: str
    status: str
    rows: tuple[FormRow, ...]
    """Every item, switched-off ones too; show the enabled ones."""
    answered: int
    questions: int
    """Enabled questions that are shown."""
    from_chart: int
    open_required: tuple[str, ...]
    blockers: tuple[str, ...]
    """Sentences after "cannot be completed here: "."""
    is_adaptive: bool = False
    """Whether the payer's service asks the questions set by set and completes the form."""

    def __iter__(self) -> Iterator[FormRow]:
        return iter(self.rows)

    @property
    def can_be_completed(self) -> bool:
        """Whether a person may complete it now."""
        return not self.is_adaptive and self._is_fit

    @property
    def can_continue(self) -> bool:
        """Whether a person may ask the payer's service for the next questions now."""
        return self.is_adaptive and self._is_fit and self.status == "in-progress"

    @property
    def _is_fit(self) -> bool:
        return not self.blockers and not self.open_required and not any(row.error for row in self.rows if row.enabled)

    @property
    def progress(self) -> str:
        """`14 of 18 answered · 11 from chart · 3 required open`."""
        return (
            f"{self.answered} of {self.questions} answered · {self.from_chart} from chart · "
            f"{len(self.open_required)} required open"
        )

    def as_json(self) -> dict[str, Any]:
        """Stable JSON of the form (`form show --json`)."""
        return {
            "title": self.title,
            "questionnaire": self.canonical,
            "status": self.status,
            "progress": self.progress,
            "open_required": list(self.open_required),
            "blockers": list(self.blockers),
            "can_be_completed": self.can_be_completed,
            "is_adaptive": self.is_adaptive,
            "can_continue": self.can_continue,
            "rows": [row.as_json() for row in self.rows],
        }


def form_view(
    package: FormPackageParts,
    response: Json | Draft,
    traces: Sequence[AnswerTrace] | Draft = (),
    session: FormSession | None = None,
    *,
    launch: LaunchContext | None = None,
    record: RecordSnapshot | None = None,
    guide: DtrGuide = DEFAULT_GUIDE,
) -> FormView:
    """Rows of a form in document order; iterating the view gives them.

    `response` is a response, or a `Draft` with its traces; `traces` may be a Draft too. Without traces origins
    have no explanation.
    Switches and pick lists that need the record get it from `session`, or from `launch` and `record`.
    """
    if isinstance(response, Draft):
        return form_view(
            package, response.response, traces or response, session, launch=launch, record=record, guide=guide
        )
    if isinstance(traces, Draft):
        traces = traces.answers
    if session is None:
        record = record or RecordSnapshot(())
        session = FormSession(package=package, launch=launch, record=record, guide=guide)
    known = {trace.link_id: trace for trace in traces}
    sheet = session.sheet(response)
    enabled = session.enabled(sheet)
    errors = {
        finding.link_id: finding.sentence for finding in check_sheet(session, sheet) if finding.code != "required"
    }
    scope = session.scope(sheet, enabled.addresses)
    rows = tuple(
        _row(
            session,
            scope,
            slot,
            is_enabled=slot.address in enabled.addresses,
            trace=known.get(slot.address),
            error=errors.get(slot.address, ""),
            sheet_id=str(response.get("id", "")),
        )
        for slot in sheet.walk()
    )
    shown = [row for row in rows if row.enabled and row.is_question and not row.hidden]
    return FormView(
        title=session.form.title,
        canonical=session.form.canonical,
        status=str(response.get("status", "")),
        rows=rows,
        answered=sum(1 for row in shown if row.values),
        questions=len(shown),
        from_chart=sum(1 for row in shown if row.origin_label == FROM_CHART),
        open_required=tuple(
            slot.address
            for slot in sheet.walk()
            if slot.address in enabled.addresses and is_open(slot, enabled.addresses)
        ),
        blockers=(*session.blockers, *enabled.undecided),
        is_adaptive=dtr_sdc.is_adaptive(session.package.questionnaire) or contained_form(response) is not None,
    )


def _row(
    session: FormSession,
    scope: Scope,
    slot: Slot,
    *,
    is_enabled: bool,
    trace: AnswerTrace | None,
    error: str,
    sheet_id: str,
) -> FormRow:
    item = slot.definition
    options = session.options(item)
    origin = session.guide.read_origin(slot.answers[0]) if slot.answers else None
    label = label_of(session.guide, slot, origin, trace) if is_enabled else ""
    max_length = item.item.get("maxLength")
    return FormRow(
        link_id=slot.address,
        level=_level(slot),
        prefix=str(item.item.get("prefix", "")),
        text=item.text,
        type=item.type,
        control=next(iter(sorted(dtr_sdc.read_item_controls(item.item))), ""),
        required=item.is_required,
        repeats=item.repeats,
        read_only=item.is_read_only,
        hidden=item.is_hidden,
        enabled=is_enabled,
        options=tuple(_choice(option, slot.answers) for option in options.options),
        candidates=_candidates(session, scope, slot) if is_enabled and item.is_question else (),
        options_missing=options.missing,
        units=tuple(text_of(unit) for unit in dtr_sdc.read_unit_options(item.item)),
        values=tuple(answer_text(answer) for answer in slot.answers),
        raw=tuple(marks.values_of(slot.answers)),
        origin=origin.source if origin else "",
        origin_label=label,
        origin_explanation=explanation_of(label, origin, trace, sheet_id) if is_enabled else "",
        author=origin.author if origin else None,
        trace=trace,
        error=error,
        max_length=max_length if isinstance(max_length, int) else None,
        links=dtr_sdc.read_support_links(item.item),
    )


def _trace_json(trace: AnswerTrace) -> dict[str, Any]:
    """What decided an answer, or that there is none: records with version and element, library and define."""
    return {
        "sources": [
            {"reference": one.reference, "version": one.version, "element": one.element} for one in trace.sources
        ],
        "library": trace.library,
        "define": trace.define,
        "explanation": list(trace.lines),
        "looked_for": list(trace.looked_for),
    }


def _level(slot: Slot) -> int:
    count, at = 0, slot.parent
    while at is not None:
        count, at = count + 1, at.parent
    return count


def _choice(option: Option, answers: Sequence[Json]) -> Choice:
    chosen = any(marks.values_of([answer])[0] == dict(option.value) for answer in answers)
    return Choice(key=option.key, text=option.text, is_chosen=chosen, answer=option.value)


def _candidates(session: FormSession, scope: Scope, slot: Slot) -> tuple[Choice, ...]:
    """Pick list of the chart's values that fit the question, each once; empty when the logic cannot run."""
    expression = dtr_sdc.read_expression(slot.definition.item, "candidateExpression")
    if expression is None:
        return ()
    found: dict[str, Choice] = {}
    for item in scope.evaluate(expression, slot).items[:MAX_CANDIDATES]:
        answer = convert_one(item, slot.definition, session.options(slot.definition), session.means.zone)
        if answer is not None:
            value = value_of(answer)
            key = str(value.get("code") or value.get("reference") or "") if isinstance(value, Mapping) else ""
            text = answer_text(answer)
            found.setdefault(key or text, Choice(key=key or text, text=text, is_chosen=False, answer=answer))
    return tuple(found.values())


def answer_text(answer: Json) -> str:
    """An answer as people read it."""
    value = value_of(answer)
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping) and "value" in value:
        number = value["value"]
        shown = format(number, "f") if isinstance(number, Decimal) else str(number)
        return f"{value.get('comparator', '')}{shown} {value.get('unit') or value.get('code') or ''}".strip()
    if isinstance(value, Mapping) and ("url" in value or "data" in value):
        return str(value.get("title") or value.get("url") or "Attachment")
    return text_of(value) if value is not None else ""


__all__ = [
    "CHANGED",
    "FROM_CHART",
    "FROM_PAYER",
    "NOT_FOUND",
    "TYPED",
    "Choice",
    "FormRow",
    "FormView",
    "answer_text",
    "form_view",
]
