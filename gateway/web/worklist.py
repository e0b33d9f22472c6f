"""The worklist: whose move it is, how much time is left, what to do next; and the same list as CSV.

Filters live in the address, so that a view can be kept and shared. Words searched for are patient data: they
are posted and kept in the session, and no address ever carries them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response

from gateway.flows import csv_text, desk
from gateway.flows.desk import CaseFilter
from gateway.flows.services import Services
from gateway.web import chips, dates, sessions
from gateway.web.page import Page
from gateway.web.safety import NO_STORE

PAGE_ROWS: Final = 50
EXPORT_ROWS: Final = 5_000
"""Most rows of a CSV file."""
MAX_SEARCH: Final = 200
FILTERS: Final = ("view", "state", "payer", "move", "urgency", "show")
"""Parameters of the address that filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A saved filter with its counter."""

    key: str
    label: str
    count: str
    """How many cases, in words: `12`, `1000 or more`."""
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table, ready to be printed."""

    case_id: str
    move: str
    chip: chips.Chip
    left: dates.TimeLeft | None
    """Time until the deadline; None where no clock runs."""
    deadline_at: datetime | None
    deadline_rule: str
    patient: str
    mrn: str
    birth: str
    service: str
    service_on: str
    service_over: str
    """How long an open case's service date is past, in words; empty where it is not."""
    payer: str
    progress: str
    number: str
    ends_on: str
    owner: str
    next_action: str
    is_expedited: bool
    is_open: bool
    is_unsigned: bool
    """A hook told of the order and nobody has signed it in the EHR yet."""


def show(page: Page) -> Response:
    """One page of the worklist."""
    chosen = _filter(page)
    found = desk.list_lines(page.services, page.who.actor, chosen, after=page.query("after"), limit=PAGE_ROWS)
    views = _views(page)
    counts = desk.count_lines(page.services, page.who.actor, {key: chosen for key, (_, chosen) in views.items()})
    return page.show(
        "worklist.html",
        rows=_rows(page.services, found.lines),
        total=_count_text(found.count, desk.COUNTED_UP_TO),
        views=[
            View(
                key=key, label=label, count=_count_text(counts[key], desk.COUNTED), is_chosen=page.query("view") == key
            )
            for key, (label, _) in views.items()
        ],
        search=_search(page),
        filters=_kept_filters(page),
        query=urlencode(_kept_filters(page)),
        more=urlencode({**_kept_filters(page), "after": found.after}) if found.after else "",
        is_first=not page.query("after"),
        states=chips.state_words(),
        moves=chips.MOVES,
        payers=sorted(desk.payer_names(page.services).items(), key=lambda item: item[1]),
    )


def search(page: Page) -> Response:
    """Keep the words searched for in the session and show the list again, under the same filters."""
    text = "" if page.form.one("clear") else page.form.one("text").strip()[:MAX_SEARCH]
    sessions.keep(page.services, page.who, search=text)
    kept = {name: page.form.one(name) for name in FILTERS if page.form.one(name)}
    return page.go(f"/?{urlencode(kept)}" if kept else "/")


def export(page: Page) -> Response:
    """The list as CSV, under the same filters and words, without formulas (security T32)."""
    found = desk.list_lines(page.services, page.who.actor, _filter(page), limit=EXPORT_ROWS)
    body = csv_text.write(_COLUMNS, [_cells(row) for row in _rows(page.services, found.lines)])
    headers = {**NO_STORE, "Content-Disposition": 'attachment; filename="worklist.csv"'}
    return Response(body, 200, headers, "text/csv; charset=utf-8")


_COLUMNS = (
    *(
        "case",
        "move",
        "status",
        "time left",
        "patient",
        "mrn",
        "birth date",
        "service",
        "service date",
        "service date passed",
    ),
    *("payer", "form", "authorization number", "valid to", "owner", "next action"),
)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        *(row.case_id, row.move, _status(row), row.left.text if row.left else "", row.patient, row.mrn, row.birth),
        *(
            row.service,
            row.service_on,
            row.service_over,
            row.payer,
            row.progress,
            row.number,
            row.ends_on,
            row.owner,
            row.next_action,
        ),
    )


def _status(row: Row) -> str:
    return f"{row.chip.word}, order not signed yet" if row.is_unsigned else row.chip.word


def _rows(services: Services, lines: Sequence[desk.CaseLine]) -> list[Row]:
    now, payers = services.clock.now(), desk.payer_names(services)
    today = now.astimezone(ZoneInfo(services.settings.tenant.practice_zone)).date()
    return [_row(line, now, today, payers) for line in lines]


def _row(line: desk.CaseLine, now: datetime, today: date, payers: Mapping[str, str]) -> Row:
    case, facts = line.case, line.facts
    return Row(
        case_id=case.case_id,
        move=chips.move_of(case, facts),
        chip=chips.case_chip(case, facts),
        left=dates.time_left(case.deadline_at, now) if case.deadline_at else None,
        deadline_at=case.deadline_at,
        deadline_rule=case.deadline_rule,
        patient=case.patient_label,
        mrn=case.patient_mrn,
        birth=dates.show_day(case.patient_birth_on),
        service=" ".join(part for part in (case.service_code, case.service_display) if part),
        service_on=dates.show_day(case.service_on),
        service_over=dates.days_over(case.service_on, today) if case.is_open and case.service_on else "",
        payer=payers.get(case.payer, case.payer),
        progress=_progress(facts),
        number=case.authorization_number,
        ends_on=dates.show_day(case.approval_ends_on),
        owner=case.owner,
        next_action=case.next_action,
        is_expedited=case.is_expedited,
        is_open=case.is_open,
        is_unsigned=facts.is_unsaved,
    )


def _progress(facts: Any) -> str:
    """How far the forms are; empty where the payer asked for none."""
    if not facts.forms:
        return ""
    done = sum(form.status == "completed" for form in facts.forms)
    if done == len(facts.forms):
        return "complete"
    answered = sum(form.answered for form in facts.forms)
    still = sum(len(form.open_required) for form in facts.forms)
    return f"{answered} answered, {still} required open"


def _filter(page: Page) -> CaseFilter:
    """The filter of the address and the session; a saved view first, the other fields on top of it."""
    views = _views(page)
    chosen = views[page.query("view")][1] if page.query("view") in views else CaseFilter(is_open=_is_open(page))
    states = tuple(state for state in page.request.query_params.getlist("state") if state in chips.state_words())
    if states:
        chosen = replace(chosen, states=states, is_open=None)
    if page.query("payer"):
        chosen = replace(chosen, payer=page.query("payer")[:100])
    move: Any = page.query("move")
    if move in chips.MOVES:
        chosen = replace(chosen, move=move)
    if page.query("urgency") in ("expedited", "standard"):
        chosen = replace(chosen, is_expedited=page.query("urgency") == "expedited")
    return replace(chosen, text=_search(page))


def _is_open(page: Page) -> bool | None:
    return {"all": None, "closed": False, "open": True}.get(page.query("show"))


def _views(page: Page) -> dict[str, tuple[str, CaseFilter]]:
    """Saved filters by key: the counters above the table."""
    now = page.services.clock.now()
    today = now.date()
    return {
        "soon": ("Deadline within 24 hours", CaseFilter(is_open=True, deadline_before=now + timedelta(hours=24))),
        "ours": ("Our move", CaseFilter(move="us")),
        "clinician": ("Needs a clinician", CaseFilter(move="clinician", is_open=True)),
        "attention": ("Needs attention", CaseFilter(states=("needs_attention",))),
        "waiting": ("Waiting for the payer", CaseFilter(states=("pended",))),
        "denied": ("Denied", CaseFilter(states=("denied",))),
        "ending": (
            "Approval ends within 14 days",
            CaseFilter(
                states=("approved", "approved_modified", "partially_approved"),
                approval_ends_before=today + timedelta(days=14),
            ),
        ),
        "passed": ("Service date passed, not authorized", CaseFilter(is_open=True, service_before=today)),
    }


def _search(page: Page) -> str:
    return str(page.who.kept.get("search", ""))


def _kept_filters(page: Page) -> dict[str, str]:
    return {name: page.query(name) for name in FILTERS if page.query(name)}


def _count_text(count: int, most: int) -> str:
    return f"{count} or more" if count >= most else str(count)
