"""A payer's form: open questions first, every answer with where it came from, saved at any time.

The page sends only what was changed on it. Where somebody else saved meanwhile, nothing is overwritten: their
answers are shown, with what was typed here beside them. Only a person completes a form (dtr:spec-145).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from gateway.errors import Conflict, InputError, PartnerError
from gateway.flows import desk, form_rows, forms, next_questions
from gateway.web import fields as page_fields
from gateway.web.case_actions import DONE, conflict
from gateway.web.case_pages import head
from gateway.web.fields import Field
from gateway.web.page import Page

MAX_TEXT: Final = 200_000
"""Characters of all answers posted at once."""

CLOSED: Final = (
    "The form cannot be changed now: it is complete, the case has moved on, or your role does not include it. "
    "Nothing was saved."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """A question that two people changed."""

    field: Field
    """The question, with the value that stands now."""
    typed: str
    """What was typed on this page."""


def show(page: Page) -> Response:
    """The form as it stands."""
    sheet = desk.open_form(page.services, page.who.actor, page.part("case_id"), page.part("form_id"))
    return _page(page, sheet, _tree(sheet))


def save(page: Page) -> Response:
    """Keep what was changed on the page; what does not fit is shown again with the reason, the rest is kept."""
    case_id, form_id = page.part("case_id"), page.part("form_id")
    sheet = desk.open_form(page.services, page.who.actor, case_id, form_id)
    if not sheet.can_answer:
        return conflict(page, sheet.sheet, CLOSED)
    tree = _tree(sheet)
    try:
        changed = page_fields.changes(page.form, tree, page.services.clock.now())
    except InputError as error:
        if not error.expression:
            raise
        return _again(page, case_id, form_id, {}, {error.expression: error.diagnostics()})
    if sum(len(text) for texts in changed.values() for text in texts if isinstance(text, str)) > MAX_TEXT:
        raise InputError("The answers are too long.", code="answer.length", status=422)
    if changed and page.form.one("draft") != sheet.form.response:
        return _page(page, sheet, tree, clashes=_clashes(tree, changed), status=409)
    try:
        refused = _fill(page, case_id, form_id, dict(changed))
    except Conflict as error:
        if error.reason == "form.changed":  # in this very moment
            return save(page)
        return conflict(page, sheet.sheet, error.diagnostics())
    if refused:
        return _again(page, case_id, form_id, changed, refused)
    try:
        turned = _turn_rows(page, case_id, form_id, "" if changed else page.form.one("draft") or "none")
    except Conflict as error:
        return conflict(page, sheet.sheet, error.diagnostics())
    if turned:
        return page.go(turned)
    if page.form.one("then") == "complete":
        return page.go(f"{_address(case_id, form_id)}/complete")
    if page.form.one("then") == "next":
        return page.go(f"{_address(case_id, form_id)}/next")
    return page.go(_address(case_id, form_id) + ("?all=1&done=saved" if page.query("all") else "?done=saved"))


def confirm(page: Page) -> Response:
    """Every answer once more, before a person completes the form."""
    sheet = desk.open_form(page.services, page.who.actor, page.part("case_id"), page.part("form_id"))
    return _complete_page(page, sheet)


def complete(page: Page) -> Response:
    """Complete the form, unless its answers changed since they were shown."""
    case_id, form_id = page.part("case_id"), page.part("form_id")
    sheet = desk.open_form(page.services, page.who.actor, case_id, form_id)
    if page.form.one("draft") != sheet.form.response:
        return conflict(page, sheet.sheet, "The answers changed since you looked at them. Look at them again.")
    try:
        is_signed = page.form.one("sign") == "yes"
        forms.complete(
            page.services, page.who.actor, case_id, form_id, signed=is_signed, seen=page.form.one("draft") or "none"
        )
    except InputError as error:
        return _complete_page(page, sheet, error.diagnostics(), 422)
    except Conflict as error:
        return conflict(page, desk.open_case(page.services, page.who.actor, case_id), error.diagnostics())
    return page.go(f"/cases/{case_id}?done=complete")


def confirm_next(page: Page) -> Response:
    """Every answer that the payer will see, before a person asks for the next questions."""
    sheet = desk.open_form(page.services, page.who.actor, page.part("case_id"), page.part("form_id"))
    return _next_page(page, sheet)


def ask_next(page: Page) -> Response:
    """Send the answers that were shown, and show the questions that came."""
    case_id, form_id = page.part("case_id"), page.part("form_id")
    services, actor = page.services, page.who.actor
    sheet = desk.open_form(services, actor, case_id, form_id)
    try:
        next_questions.ask_next(services, actor, case_id, form_id, page.form.one("draft") or "none")
    except (InputError, PartnerError) as error:
        return _next_page(page, sheet, error.diagnostics(), 422 if isinstance(error, InputError) else 502)
    except Conflict as error:
        return conflict(page, desk.open_case(services, actor, case_id), error.diagnostics())
    form = desk.open_form(services, actor, case_id, form_id).form
    return page.go(f"/cases/{case_id}?done=complete" if form.status == "completed" else _address(case_id, form_id))


def _next_page(page: Page, sheet: desk.FormSheet, error: str = "", status: int = 200) -> Response:
    view = sheet.view
    return page.show(
        "next.html",
        status,
        **head(sheet.sheet, "form"),
        form=sheet.form,
        view=view,
        rows=[row for row in view.rows if row.enabled and row.is_question] if view else [],
        error=error,
        can_continue="form.continue" in sheet.sheet.allowed and sheet.form.status != "completed",
        address=_address(sheet.sheet.case.case_id, sheet.form.form_id),
    )


def _fill(page: Page, case_id: str, form_id: str, answers: dict[str, Sequence[Any]]) -> dict[str, str]:
    """Set the answers; link id → sentence of each that does not fit, the others being kept."""
    refused: dict[str, str] = {}
    while answers:
        try:
            seen = page.form.one("draft") or "none"
            forms.fill(page.services, page.who.actor, case_id, form_id, answers, seen=seen)
            break
        except InputError as error:
            if error.expression not in answers:
                raise
            refused[error.expression] = error.diagnostics()
            del answers[error.expression]
    return refused


def _again(
    page: Page, case_id: str, form_id: str, changed: Mapping[str, tuple[Any, ...]], refused: dict[str, str]
) -> Response:
    """The page once more, with what does not fit still in its controls."""
    sheet = desk.open_form(page.services, page.who.actor, case_id, form_id)
    tree = _tree(sheet)
    for item in (inner for outer in tree for inner in outer.walk()):
        if item.row.link_id in refused:
            item.error = refused[item.row.link_id]
            unit = page.form.one(f"unit:{item.row.link_id}").strip()
            page_fields.typed_in(item, changed.get(item.row.link_id, ()), unit)
    return _page(page, sheet, tree, status=422, kept=max(0, len(changed) - len(refused)))


def _turn_rows(page: Page, case_id: str, form_id: str, seen: str) -> str:
    """Add or take out a row of a group where that was asked; where to go then, empty when it was not.

    `seen` is the digest of what the page showed; empty where this page changed it just now.
    """
    what, _, address = page.form.one("then").partition(":")
    if what == "add":
        form_rows.add_row(page.services, page.who.actor, case_id, form_id, address)
    elif what == "remove":
        form_rows.remove_row(page.services, page.who.actor, case_id, form_id, address, seen=seen)
    else:
        return ""
    return f"{_address(case_id, form_id)}?all=1"


def _page(
    page: Page,
    sheet: desk.FormSheet,
    tree: list[Field],
    *,
    clashes: Sequence[Clash] = (),
    status: int = 200,
    kept: int = 0,
) -> Response:
    shows_all = bool(page.query("all")) or not sheet.can_answer
    shown = tree if shows_all else page_fields.open_only(tree)
    return page.show(
        "form.html",
        status,
        **head(sheet.sheet, "form"),
        form=sheet.form,
        view=sheet.view,
        fields=shown,
        has_files=any(item.control == "file" for outer in shown for item in outer.walk()),
        errors=[item for outer in shown for item in outer.walk() if item.error and not item.is_hidden],
        clashes=clashes,
        shows_all=shows_all,
        can_answer=sheet.can_answer,
        kept=kept,
        done=DONE.get(page.query("done"), "") if status == 200 else "",
        address=_address(sheet.sheet.case.case_id, sheet.form.form_id),
    )


def _complete_page(page: Page, sheet: desk.FormSheet, error: str = "", status: int = 200) -> Response:
    view = sheet.view
    return page.show(
        "complete.html",
        status,
        **head(sheet.sheet, "form"),
        form=sheet.form,
        view=view,
        rows=[row for row in view.rows if row.enabled and not row.hidden] if view else [],
        error=error,
        can_complete="form.complete" in sheet.sheet.allowed and sheet.form.status != "completed",
        address=_address(sheet.sheet.case.case_id, sheet.form.form_id),
    )


def _tree(sheet: desk.FormSheet) -> list[Field]:
    return page_fields.fields_of(sheet.view, can_answer=sheet.can_answer) if sheet.view else []


def _clashes(tree: Sequence[Field], changed: Mapping[str, tuple[Any, ...]]) -> list[Clash]:
    every = [item for item in (inner for outer in tree for inner in outer.walk()) if item.row.link_id in changed]
    return [Clash(field=item, typed=", ".join(map(_typed, changed[item.row.link_id]))) for item in every]


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else page_fields.entry_text(value)


def _address(case_id: str, form_id: str) -> str:
    return f"/cases/{case_id}/forms/{form_id}"
