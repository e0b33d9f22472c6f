"""Questions of a form as fields of a page: which control, what stands in it, what was posted.

A field's text is what a person may type; it is read by the form's own rules (gateway.forms.entry), so that the
page decides nothing about values. Fields that were not changed are not posted on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from gateway.errors import InputError
from gateway.flows.desk import FormRow, FormView, build_attachment
from gateway.web.page import Form

RADIO_LIMIT: Final = 7
"""Longer lists become a drop-down."""
SHOWN: Final = "shown"
"""Name of the hidden fields that say which questions stood on the page."""
_TEXT_CONTROLS: Final[Mapping[str, str]] = {
    "text": "area",
    "string": "line",
    "url": "line",
    "integer": "integer",
    "decimal": "decimal",
    "date": "date",
    "dateTime": "moment",
    "time": "time",
    "reference": "line",
    "quantity": "quantity",
    "boolean": "boolean",
    "attachment": "file",
}
HINTS: Final[Mapping[str, str]] = {
    "date": "YYYY-MM-DD; YYYY-MM or YYYY when the rest is not known",
    "moment": "YYYY-MM-DD, and a time where it is known: YYYY-MM-DDThh:mm",
    "time": "hh:mm",
    "decimal": "A number, with a point before decimals",
    "integer": "A whole number",
    "file": "PDF, PNG, JPEG, TIFF or plain text",
}


@dataclass(slots=True, kw_only=True)
class Field:
    """One line of the form with its control; groups hold the lines below them."""

    row: FormRow
    """What the form says about it."""
    id: str
    """Id in the page, by position: `q7`."""
    control: str
    """How it is shown: line, area, integer, decimal, date, moment, time, quantity, boolean, radio, select,
    checks, file, readonly, unsupported, display or group."""
    entries: tuple[str, ...] = ()
    """What stands in the control: texts, or keys of the options chosen."""
    other: tuple[str, ...] = ()
    """Own words beside the options, where the question takes them."""
    unit: str = ""
    """Unit chosen for a quantity."""
    error: str = ""
    """What to put right; empty when nothing."""
    can_turn: bool = False
    """Whether rows may be added and taken out here: a group that a person may answer in, on the whole form."""
    below: list[Field] = field(default_factory=list)
    """Lines inside a group, or questions that belong to an answer."""

    @property
    def name(self) -> str:
        """Name of the posted field."""
        return f"answer:{self.row.link_id}"

    @property
    def hint(self) -> str:
        """What the control takes, in words; empty where it is plain."""
        return HINTS.get(self.control, "")

    @property
    def unlisted(self) -> tuple[str, ...]:
        """Answers that stand in the form and are none of those offered; shown beside the control."""
        is_list = self.control in ("radio", "select", "checks")
        return self.row.values if is_list and not self.entries and not self.other else ()

    @property
    def is_editable(self) -> bool:
        """Whether a person can answer it on the page."""
        return self.control not in ("readonly", "unsupported", "display", "group")

    @property
    def needs_person(self) -> bool:
        """Whether it stands in the short list: open, or wrong."""
        return self.row.enabled and not self.row.hidden and bool(self.error or (self.row.needs_person and self._open))

    @property
    def _open(self) -> bool:
        return self.is_editable or self.control == "unsupported"

    @property
    def is_hidden(self) -> bool:
        """Whether it is never shown: switched off, or hidden by the form."""
        return not self.row.enabled or self.row.hidden

    def walk(self) -> Iterator[Field]:
        """The line itself and everything below it."""
        yield self
        for inner in self.below:
            yield from inner.walk()


def fields_of(view: FormView, *, can_answer: bool) -> list[Field]:
    """The form's lines as a tree, in their order."""
    top: list[Field] = []
    above: list[Field] = []
    for position, row in enumerate(view.rows):
        made = _field(row, f"q{position + 1}", can_answer)
        made.can_turn = can_answer and row.type == "group" and row.enabled
        del above[row.level :]
        (above[-1].below if above else top).append(made)
        above.append(made)
    return top


def open_only(fields: Sequence[Field]) -> list[Field]:
    """The tree without what needs nobody: open questions, with the headings they stand under."""
    kept = []
    for item in fields:
        below = open_only(item.below) if not item.is_hidden else []
        if item.needs_person or below:
            kept.append(
                Field(
                    row=item.row,
                    id=item.id,
                    control=item.control if item.needs_person or item.control == "group" else "readonly",
                    entries=item.entries,
                    other=item.other,
                    unit=item.unit,
                    error=item.error,
                    below=below,
                )
            )
    return kept


def picked(form: Form, item: Field) -> tuple[Mapping[str, Any], ...]:
    """Suggestions of the chart that a person chose for a field, as answers."""
    keys = set(form.all(f"pick:{item.row.link_id}")) - {""}
    return tuple(choice.answer for choice in item.row.candidates if choice.key in keys)


def brought(form: Form, item: Field, now: datetime) -> tuple[Mapping[str, Any], ...]:
    """Files that a person chose for a field, as answers. Raises InputError that names the question."""
    if item.control != "file":
        return ()
    try:
        found = (build_attachment(file.name, file.body, now) for file in form.files.get(f"file:{item.row.link_id}", ()))
        return tuple(found)
    except InputError as error:
        error.expression = item.row.link_id
        raise


def posted(form: Form, item: Field) -> tuple[str, ...]:
    """What was posted for a field, as the texts that the form's rules read; blank ones are left out."""
    values = [value.strip() for value in form.all(item.name)]
    if item.control == "quantity":
        unit = form.one(f"unit:{item.row.link_id}").strip()
        values = [f"{value} {unit}".strip() for value in values if value]
    others = [value.strip() for value in form.all(f"other:{item.row.link_id}")]
    return tuple(value for value in (*values, *others) if value)


def standing(item: Field) -> tuple[str, ...]:
    """What stands in the form now, in the same texts as `posted`: blanks around them do not survive a page."""
    if item.control == "quantity":
        return tuple(f"{entry} {item.unit}".strip() for entry in item.entries)
    return tuple(text.replace("\r\n", "\n").strip() for text in (*item.entries, *item.other))


def changes(form: Form, fields: Sequence[Field], now: datetime) -> dict[str, tuple[Any, ...]]:
    """Link id → texts or answers of every question that stood on the page and was changed there.

    A suggestion or file takes the place of what stands there, or goes beside it where several answers are taken.
    """
    shown = set(form.all(SHOWN))
    found: dict[str, tuple[Any, ...]] = {}
    for item in (inner for outer in fields for inner in outer.walk()):
        if not item.is_editable or item.row.link_id not in shown:
            continue
        chosen = (*picked(form, item), *brought(form, item, now))
        if item.control == "file":
            kept = () if form.one(f"clear:{item.row.link_id}") else item.row.raw
            if chosen or len(kept) != len(item.row.raw):
                found[item.row.link_id] = (*(kept if item.row.repeats else ()), *chosen)
        elif chosen:
            found[item.row.link_id] = (*(posted(form, item) if item.row.repeats else ()), *chosen)
        elif set(posted(form, item)) != set(standing(item)):
            found[item.row.link_id] = posted(form, item)
    return found


def typed_in(item: Field, answers: Sequence[Any], unit: str) -> None:
    """Put what a person typed back into the control, so that it can be put right."""
    texts = [text for text in answers if isinstance(text, str)]
    keys = {option.key for option in item.row.options}
    if item.control == "quantity":
        item.entries, item.unit = tuple(text.removesuffix(unit).strip() for text in texts), unit
    elif keys:
        item.entries = tuple(text for text in texts if text in keys)
        item.other = tuple(text for text in texts if text not in keys)
    else:
        item.entries = tuple(texts)


def _field(row: FormRow, name: str, can_answer: bool) -> Field:
    control = _control(row, can_answer)
    keys = tuple(option.key for option in row.options if option.is_chosen)
    texts = tuple(entry_text(answer) for answer in row.raw)
    error = row.error if row.enabled else ""
    if control in ("radio", "select", "checks"):
        own = _own_words(row, texts)
        return Field(row=row, id=name, control=control, entries=keys, other=own, error=error)
    if control == "quantity":
        return Field(row=row, id=name, control=control, entries=texts, unit=_unit(row), error=error)
    return Field(row=row, id=name, control=control, entries=texts, error=error)


def _control(row: FormRow, can_answer: bool) -> str:
    if row.type in ("group", "display"):
        return row.type
    if row.read_only or not can_answer:
        return "readonly"
    if row.type in ("choice", "open-choice"):
        return _choice_control(row)
    control = _TEXT_CONTROLS.get(row.type, "unsupported")
    if control == "line" and any("\n" in text for text in map(entry_text, row.raw)):
        return "area"  # a line would lose the breaks, and with them whose answer it is
    return "unsupported" if control in ("quantity", "boolean") and len(row.raw) > 1 else control


def _choice_control(row: FormRow) -> str:
    if not row.options:
        return "line" if row.type == "open-choice" else "unsupported"
    if row.repeats:
        return "checks"
    is_list = row.control in ("drop-down", "autocomplete", "lookup")
    return "select" if is_list or len(row.options) > RADIO_LIMIT else "radio"


def _own_words(row: FormRow, texts: Sequence[str]) -> tuple[str, ...]:
    """Answers in own words, beside the options, of an open choice."""
    offered = {option.text for option in row.options} | {option.key for option in row.options}
    pairs = zip(row.raw, texts, strict=True)
    return tuple(text for answer, text in pairs if "valueString" in answer and text not in offered)


def _unit(row: FormRow) -> str:
    """The unit of the answer, as one of the units offered where it is one."""
    for answer in row.raw:
        quantity = answer.get("valueQuantity") or {}
        named = [str(quantity.get(key) or "") for key in ("unit", "code")]
        offered = next((unit for unit in row.units if unit in named), "")
        return offered or next((name for name in named if name), "")
    return row.units[0] if len(row.units) == 1 else ""


def entry_text(answer: Mapping[str, Any]) -> str:
    """An answer as a person would type it."""
    key, value = next(((key, part) for key, part in answer.items() if key.startswith("value")), ("", None))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return _mapping_text(key, value)
    return "" if value is None else str(value)


def _mapping_text(key: str, value: Mapping[str, Any]) -> str:
    if key == "valueQuantity":
        number = value.get("value")
        return format(number, "f") if isinstance(number, Decimal) else str("" if number is None else number)
    if key == "valueReference":
        return str(value.get("reference") or "")
    return str(value.get("display") or value.get("code") or value.get("title") or "")
