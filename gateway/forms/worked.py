"""Worked examples of a form: a chart in, answers and origins out (`questionnaires/<slug>/cases/*.toml`).

title = "Full course"          what the example shows
chart = "P01"                  name of the chart it is filled from: one of the demonstration, or `charts/<name>.json`
order = "ServiceRequest/1"     the order, where the chart has several requests
now = 2026-02-16T18:00:00Z     instant of the session
open_required = ["reevaluated"]
empty = ["red-flag-detail"]    enabled questions that must stay empty
[answers]                      linkId -> answer, as people read it or by its code
onset = "2026-01-05"
[origins]                      linkId -> origin code, where it is not the machine's
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.errors import InputError
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import Draft, populate
from gateway.forms.session import DEFAULT_GUIDE
from gateway.forms.view import FormRow, form_view
from gateway.profiles.dtr_guide import DtrGuide
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.defines import DefineEvaluator
from gateway.reasoning.record import RecordSnapshot

_KEYS = {"title", "chart", "order", "now", "open_required", "empty", "answers", "origins"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkedCase:
    """One example. See the module for the fields."""

    title: str
    chart: str
    now: datetime
    answers: Mapping[str, str]
    order: str = ""
    empty: tuple[str, ...] = ()
    open_required: tuple[str, ...] | None = None
    origins: Mapping[str, str] = field(default_factory=dict)


def read_worked_case(raw: Mapping[str, Any]) -> WorkedCase:
    """An example from its parsed TOML. Raises InputError that names the key at fault."""
    unknown = set(raw) - _KEYS
    if unknown:
        raise InputError(f"A worked case has no key {sorted(unknown)[0]!r}.", code="case.key")
    now = raw.get("now")
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise InputError("A worked case needs `now` as an instant with an offset.", code="case.now")
    if not raw.get("chart") or not isinstance(raw.get("answers", {}), Mapping):
        raise InputError("A worked case needs a chart and a table of answers.", code="case.chart")
    return WorkedCase(
        title=str(raw.get("title", "")),
        chart=str(raw["chart"]),
        now=now,
        order=str(raw.get("order", "")),
        answers={key: _text(value) for key, value in raw.get("answers", {}).items()},
        empty=tuple(raw.get("empty", ())),
        open_required=tuple(raw["open_required"]) if "open_required" in raw else None,
        origins=dict(raw.get("origins", {})),
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)


def check_worked_case(
    case: WorkedCase,
    package: FormPackageParts,
    launch: LaunchContext,
    record: RecordSnapshot,
    evaluator: DefineEvaluator | None = None,
    guide: DtrGuide = DEFAULT_GUIDE,
    new_id: Callable[[], str] = lambda: "worked-case",
) -> list[str]:
    """What differs from the example, one sentence each; empty when it holds."""
    draft = populate(package, launch, record, None, case.now, new_id, evaluator, guide)
    rows = {row.link_id: row for row in form_view(package, draft, launch=launch, record=record, guide=guide)}
    return [*_answer_differences(case, rows, guide), *_gap_differences(case, rows, draft)]


def _answer_differences(case: WorkedCase, rows: Mapping[str, FormRow], guide: DtrGuide) -> Iterator[str]:
    for link_id, wanted in case.answers.items():
        row = rows.get(link_id)
        if row is None:
            yield f"{link_id}: the form has no such question."
        elif not row.enabled or not _holds(row, wanted):
            yield f"{link_id}: {wanted!r} is expected and {', '.join(row.values) or 'nothing'!r} is there."
        elif row.origin != case.origins.get(link_id, guide.AUTO):
            yield f"{link_id}: the origin is {row.origin!r}."


def _holds(row: FormRow, wanted: str) -> bool:
    codes = [str(value.get("code", "")) for one in row.raw for value in one.values() if isinstance(value, Mapping)]
    return wanted in (", ".join(row.values), ", ".join(codes))


def _gap_differences(case: WorkedCase, rows: Mapping[str, FormRow], draft: Draft) -> Iterator[str]:
    for link_id in case.empty:
        row = rows.get(link_id)
        if row is None or not row.enabled or row.values:
            yield f"{link_id}: an empty, enabled question is expected."
    if case.open_required is not None and set(draft.open_required) != set(case.open_required):
        yield f"open: {', '.join(case.open_required)} expected and {', '.join(draft.open_required)} found."
