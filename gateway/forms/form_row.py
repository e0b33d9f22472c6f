"""One line of a form as it is shown: what is asked, what may be answered, what stands there and where it is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gateway.fhir import Json
from gateway.forms import marks
from gateway.forms.answers import siblings
from gateway.forms.conversion import convert_one
from gateway.forms.documents import chart_documents
from gateway.forms.explain import FROM_CHART, explanation_of, label_of
from gateway.forms.marks import is_cleared
from gateway.forms.options import Option, OptionList, text_of
from gateway.forms.populate import AnswerTrace
from gateway.forms.scope import Scope
from gateway.forms.session import FormSession
from gateway.forms.slots import Sheet, Slot
from gateway.forms.words import concept_text, name_of, words_of
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_guide import OriginAuthor
from gateway.profiles.dtr_sdc import value_of
from gateway.profiles.dtr_urls import MAX_OCCURS
from gateway.reasoning.fhirpath import Item, json_value

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
    markup: str = ""
    """Foreign XHTML of the text; sanitise it before it is shown. Empty when the form gives none."""
    can_add: bool = False
    """Whether a person may add a repetition below this one: it is the last one of a group that repeats."""
    can_remove: bool = False
    """Whether a person may take this repetition out."""
    notice: str = ""
    """What the form remarks about the answer, without refusing it; empty when nothing."""
    media_types: tuple[str, ...] = ()
    """Media types that an attachment may have; empty: any."""

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
            "candidates": [
                {"key": one.key, "text": one.text, "answer": _without_bytes(one.answer)} for one in self.candidates
            ],
            "options_missing": self.options_missing,
            "values": list(self.values),
            "answer": [_without_bytes(one) for one in self.raw],
            "can_add": self.can_add,
            "can_remove": self.can_remove,
            "origin": self.origin,
            "origin_label": self.origin_label,
            "origin_explanation": self.origin_explanation,
            "reason_if_empty": self.trace.reason_if_empty if self.trace else "",
            "trace": _trace_json(self.trace) if self.trace else None,
            "error": self.error,
            "notice": self.notice,
        }


def build_row(
    session: FormSession,
    scope: Scope,
    slot: Slot,
    *,
    is_enabled: bool,
    trace: AnswerTrace | None,
    error: str,
    notice: str,
    sheet_id: str,
    sheet: Sheet,
) -> FormRow:
    item = slot.definition
    options = session.offers(slot, scope) if is_enabled else session.options(item)
    chart = _chart(session, slot, trace)
    can_add, can_remove = _repetition(sheet, slot) if is_enabled else (False, False)
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
        units=tuple(text_of(unit) for unit in session.units(item)),
        values=tuple(answer_text(answer, options, chart) for answer in slot.answers),
        raw=tuple(marks.values_of(slot.answers)),
        origin=origin.source if origin else "",
        origin_label=label,
        origin_explanation=explanation_of(label, origin, trace, sheet_id) if is_enabled else "",
        author=origin.author if origin else None,
        trace=trace,
        error=error,
        notice=notice,
        max_length=max_length if isinstance(max_length, int) else None,
        links=dtr_sdc.read_support_links(item.item),
        markup=dtr_sdc.read_markup(item.item),
        can_add=can_add,
        can_remove=can_remove,
        media_types=dtr_sdc.read_mime_types(item.item) if item.type == "attachment" else (),
    )


def _chart(session: FormSession, slot: Slot, trace: AnswerTrace | None) -> list[Json]:
    """Records that an answer was read from or points to, for the words they have."""
    references = dict.fromkeys(source.reference for source in trace.sources) if trace else {}
    pointed = (one.get("valueReference") for one in slot.answers)
    references |= dict.fromkeys(str(one.get("reference", "")) for one in pointed if isinstance(one, Mapping))
    found = (session.record.find(reference) for reference in references if reference)
    return [one for one in found if one is not None]


def _repetition(sheet: Sheet, slot: Slot) -> tuple[bool, bool]:
    """(whether one may be added below, whether this one may be taken out) for a repetition of a group."""
    item = slot.definition
    if not (item.is_group and item.repeats) or item.is_read_only:
        return False, False
    present = [one for one in siblings(sheet, slot) if not is_cleared(one.node)]
    most = dtr_sdc.read_whole_number(item.item, MAX_OCCURS)
    is_last = bool(present) and present[-1] is slot
    holds = any(one.answers for one in slot.walk())
    return is_last and (most is None or len(present) < most), len(present) > 1 or holds


def _without_bytes(answer: Json) -> dict[str, Any]:
    """An answer as it is listed: of a file what it is, without its content."""
    file = answer.get("valueAttachment")
    if not isinstance(file, Mapping):
        return dict(answer)
    return {**answer, "valueAttachment": {key: value for key, value in file.items() if key != "data"}}


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
    """Pick list of the chart's values that fit the question, each once; empty when the logic cannot run.

    A question for a file without logic of its own is offered the chart's documents.
    """
    expression = dtr_sdc.read_expression(slot.definition.item, "candidateExpression")
    if expression is None:
        return tuple(_documents(session, slot)) if slot.definition.type == "attachment" else ()
    found: dict[str, Choice] = {}
    for item in scope.evaluate(expression, slot).items[:MAX_CANDIDATES]:
        answer = convert_one(item, slot.definition, session.options(slot.definition), session.means.zone)
        if answer is not None:
            value = value_of(answer)
            key = str(value.get("code") or value.get("reference") or "") if isinstance(value, Mapping) else ""
            text = _suggestion(session, item, answer)
            found.setdefault(key or text, Choice(key=key or text, text=text, is_chosen=False, answer=answer))
    return tuple(found.values())


def _suggestion(session: FormSession, item: Item, answer: Json) -> str:
    """Words for a value of the chart: the record's name, its concept's text, else the answer's own words."""
    raw = json_value(item)
    named = answer.get("valueReference")
    record = session.record.find(str(named.get("reference", ""))) if isinstance(named, Mapping) else None
    return (name_of(record) if record is not None else concept_text(raw)) or answer_text(answer)


def _documents(session: FormSession, slot: Slot) -> Iterator[Choice]:
    wanted = dtr_sdc.read_mime_types(slot.definition.item)
    for position, (text, answer) in enumerate(chart_documents(session.record)):
        if not wanted or answer["valueAttachment"].get("contentType") in wanted:
            yield Choice(key=f"document-{position + 1}", text=text, is_chosen=False, answer=answer)


def answer_text(answer: Json, options: OptionList | None = None, chart: Sequence[Json] = ()) -> str:
    """An answer as people read it: a code in the words of the form's `options`, or of the records it is from."""
    value = value_of(answer)
    if isinstance(value, Mapping) and value.get("code") and "value" not in value:
        return words_of(value, options or OptionList(), chart)
    if isinstance(value, Mapping) and "valueReference" in answer:
        reference = str(value.get("reference") or "")
        named = next((one for one in chart if reference == f"{one.get('resourceType')}/{one.get('id')}"), None)
        name = name_of(named) if named is not None else ""
        return f"{name} ({reference})" if name and not name.startswith(reference) else name or text_of(value)
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
