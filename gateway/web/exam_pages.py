"""A neurologic examination: recorded, its support for a diagnosis shown, and the diagnosis asserted by a clinician.

Source: spec/clinical.md §5.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.errors import Conflict, EhrError, InputError
from gateway.flows import attest_exam, desk, instruments
from gateway.web.case_actions import conflict
from gateway.web.case_pages import head
from gateway.web.fields import Field
from gateway.web.page import Page
from gateway.web.template_pages import CLOSED, WRONG_PASSWORD, changed, is_proved, mark, renewed, show_template, tree_of

ASSERT_FIRST: Final = "Tick the statement: without it the order is not changed."
NOT_WRITTEN: Final = "What you recorded is kept, but the EHR did not take all of it. Do it again."


def show(page: Page) -> Response:
    """The examination of the case's part of the body, as it stands."""
    return _form(page, _open(page))


def save(page: Page) -> Response:
    """Keep what was changed, and write the examination to the EHR where that was asked."""
    opened = _open(page)
    case_id, slug, actor = page.part("case_id"), opened.instrument.slug, page.who.actor
    if not opened.can_answer:
        return conflict(page, opened.sheet, CLOSED)
    texts = changed(page.form, tree_of(opened.view))
    try:
        refused = (
            instruments.save_draft(page.services, actor, case_id, slug, texts, page.form.one("draft")) if texts else {}
        )
        if refused:
            opened = _open(page)
            tree = tree_of(opened.view)
            return _form(page, opened, 422, tree=tree, errors=mark(tree, page.form, texts, refused))
        if page.form.one("then") == "record":
            seen = _open(page).digest if texts else page.form.one("draft")
            attest_exam.record(page.services, actor, case_id, slug, seen)
            return page.go(f"/cases/{case_id}/neuro-exam/support")
    except InputError as error:
        return _form(page, _open(page), 422, error=error.diagnostics())
    except Conflict as error:
        return conflict(page, opened.sheet, error.diagnostics())
    except EhrError:
        return _form(page, _open(page), 502, error=NOT_WRITTEN)
    return page.go(f"/cases/{case_id}/neuro-exam?done=saved")


def support(page: Page) -> Response:
    """How far the findings support the diagnosis, and the statement that changes the order."""
    return _support(page)


def assert_diagnosis(page: Page) -> Response:
    """Change the order's diagnosis, where the findings support it and the clinician asserts it."""
    services, actor, case_id, form = page.services, page.who.actor, page.part("case_id"), page.form
    if form.one("assert") != "yes":
        return _support(page, ASSERT_FIRST, 422)
    if not is_proved(page):
        return _support(page, WRONG_PASSWORD, 403)
    said = attest_exam.Assertion(
        onset_on=form.one("onset").strip(),
        refines=form.one("refines") == "yes",
        renews_order=form.one("renew") == "yes",
    )
    try:
        attest_exam.assert_diagnosis(services, actor, case_id, said, stepped_up=True)
    except InputError as error:
        return _support(page, error.diagnostics(), 422)
    except Conflict as error:
        return conflict(page, desk.open_case(services, actor, case_id), error.diagnostics())
    except EhrError:
        return _support(page, NOT_WRITTEN, 502)
    return renewed(page, page.go(f"/cases/{case_id}?done=upgraded"))


def write(page: Page) -> Response:
    """Write to the EHR what was asserted and is not there yet."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    try:
        attest_exam.finish(services, actor, case_id)
    except Conflict as error:
        return conflict(page, desk.open_case(services, actor, case_id), error.diagnostics())
    return page.go(f"/cases/{case_id}?done=upgraded")


def _open(page: Page) -> instruments.TemplateSheet:
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    bench = instruments.open_bench(services, desk.open_case(services, actor, case_id))
    return instruments.open_template(services, actor, case_id, instruments.exam_template(bench).slug)


def _support(page: Page, error: str = "", status: int = 200) -> Response:
    case_id = page.part("case_id")
    found = attest_exam.support(page.services, page.who.actor, case_id)
    return page.show(
        "exam_support.html",
        status,
        **head(found.sheet, "template"),
        found=found,
        topic=found.template,
        waiting=bool(attest_exam.unwritten(found.sheet.events)) and instruments.may_write(page.who.actor),
        onset=page.form.one("onset"),
        refines=page.form.one("refines") == "yes",
        renews=page.form.one("renew") == "yes",
        error=error,
        address=f"/cases/{case_id}/neuro-exam",
    )


def _form(
    page: Page,
    opened: instruments.TemplateSheet,
    status: int = 200,
    *,
    tree: list[Field] | None = None,
    errors: list[Field] | None = None,
    error: str = "",
) -> Response:
    case_id = opened.sheet.case.case_id
    return show_template(
        page,
        opened,
        tree or tree_of(opened.view, can_answer=opened.can_answer),
        f"/cases/{case_id}/neuro-exam",
        status,
        errors=errors or (),
        error=error,
        back=f"/cases/{case_id}",
        then=("record", "Save and record in the EHR"),
        done="Saved." if page.query("done") == "saved" and status == 200 else "",
    )
