"""Red-flag exceptions: choose a category, record what was found, look at all of it once more, attest.

Nothing is ticked beforehand, one case at a time, and the password is asked anew at the moment of attesting.
Source: spec/clinical.md §4; spec/security.md §3.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.errors import Conflict, EhrError, InputError
from gateway.flows import attest, desk, instruments
from gateway.web.case_actions import conflict
from gateway.web.case_pages import head
from gateway.web.fields import Field
from gateway.web.page import Page
from gateway.web.template_pages import CLOSED, WRONG_PASSWORD, changed, is_proved, mark, renewed, show_template, tree_of

ATTEST_FIRST: Final = "Tick the attestation: without it nothing is recorded."
NOT_WRITTEN: Final = "The attestation is kept, but the EHR did not take all of it. Write it again."


def choose(page: Page) -> Response:
    """The categories that the rule of the case accepts; one that is named in the address is opened at once."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    sheet = desk.open_case(services, actor, case_id)
    bench = instruments.open_bench(services, sheet)
    templates = instruments.red_flag_templates(bench)
    wanted = page.query("category").casefold()
    named = next((item for item in templates if getattr(item.template, "category", "").casefold() == wanted), None)
    if named is not None:
        return page.go(_address(case_id, named.slug))
    return page.show(
        "red_flag.html",
        **head(sheet, "template"),
        templates=templates,
        notice=bench.concepts.red_flags.notice,
        lines=sheet.facts.lines if sheet.facts.verdict == "RED_FLAG_INCOMPLETE" else (),
        waiting={item.slug for item in templates if attest.unwritten(sheet.events, item.slug)},
        attested={item.slug for item in templates if attest.is_written(sheet.events, item.slug)},
        begun={item.slug for item in templates if instruments.latest_draft(sheet.events, item.slug)},
        can_answer="template.answer" in sheet.allowed,
    )


def show(page: Page) -> Response:
    """One template as it stands."""
    opened = _open(page)
    return _form(page, opened)


def save(page: Page) -> Response:
    """Keep what was changed; what does not fit is shown again with the reason."""
    opened = _open(page)
    case_id, slug = page.part("case_id"), page.part("slug")
    if not opened.can_answer:
        return conflict(page, opened.sheet, CLOSED)
    tree = tree_of(opened.view)
    texts = changed(page.form, tree)
    try:
        refused = (
            instruments.save_draft(page.services, page.who.actor, case_id, slug, texts, page.form.one("draft"))
            if texts
            else {}
        )
    except Conflict as error:
        return conflict(page, opened.sheet, error.diagnostics())
    if refused:
        opened = _open(page)
        tree = tree_of(opened.view)
        errors = mark(tree, page.form, texts, refused)
        return _form(page, opened, 422, tree=tree, errors=errors)
    goes_on = page.form.one("then") == "review"
    return page.go(f"{_address(case_id, slug)}/attest" if goes_on else f"{_address(case_id, slug)}?done=saved")


def confirm(page: Page) -> Response:
    """Everything that will be recorded, the codes that may be chosen, and the words of the attestation."""
    return _review(page)


def act(page: Page) -> Response:
    """Attest, as far as nothing speaks against it."""
    services, actor = page.services, page.who.actor
    case_id, slug, form = page.part("case_id"), page.part("slug"), page.form
    if form.one("attest") != "yes":
        return _review(page, ATTEST_FIRST, 422)
    if not is_proved(page):
        return _review(page, WRONG_PASSWORD, 403)
    try:
        attest.attest(services, actor, case_id, slug, _choices(page), form.one("draft"), stepped_up=True)
    except InputError as error:
        return _review(page, error.diagnostics(), 422)
    except Conflict as error:
        return conflict(page, desk.open_case(services, actor, case_id), error.diagnostics())
    except EhrError:
        return _form(page, _open(page), 502, error=NOT_WRITTEN)
    return renewed(page, page.go(f"/cases/{case_id}?done=attested"))


def write(page: Page) -> Response:
    """Write to the EHR what was attested and is not there yet."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    try:
        attest.finish(services, actor, case_id, page.part("slug"))
    except Conflict as error:
        return conflict(page, desk.open_case(services, actor, case_id), error.diagnostics())
    except EhrError:
        return _form(page, _open(page), 502, error=NOT_WRITTEN)
    return page.go(f"/cases/{case_id}?done=attested")


def _choices(page: Page) -> attest.Choices:
    return attest.Choices(
        codes=tuple(dict.fromkeys(page.form.all("code"))),
        confirmed=frozenset(page.form.all("confirmed")),
        weighed=frozenset(page.form.all("weighed")),
        is_expedited=page.form.one("expedited") == "yes",
        renews_order=page.form.one("renew") == "yes",
    )


def _review(page: Page, error: str = "", status: int = 200) -> Response:
    """The page before an attestation. After an error the choices are kept; the attestation is given anew."""
    seen = attest.review(page.services, page.who.actor, page.part("case_id"), page.part("slug"))
    return page.show(
        "red_flag_attest.html",
        status,
        **head(seen.opened.sheet, "template"),
        review=seen,
        topic=seen.template,
        statement=attest.EXPEDITED,
        texts=attest.free_texts(seen.offers),
        chosen=set(page.form.all("code")),
        confirmed=set(page.form.all("confirmed")),
        weighed=set(page.form.all("weighed")),
        renews=page.form.one("renew") == "yes",
        error=error,
        address=_address(seen.opened.sheet.case.case_id, seen.opened.instrument.slug),
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
    case_id, slug = opened.sheet.case.case_id, opened.instrument.slug
    bench = instruments.open_bench(page.services, opened.sheet)
    return show_template(
        page,
        opened,
        tree or tree_of(opened.view, can_answer=opened.can_answer),
        _address(case_id, slug),
        status,
        errors=errors or (),
        error=error,
        notice=bench.concepts.red_flags.notice,
        back=f"/cases/{case_id}/red-flag",
        waiting=bool(attest.unwritten(opened.sheet.events, slug)) and instruments.may_write(page.who.actor),
        then=("review", "Save and review to attest"),
        done="Saved." if page.query("done") == "saved" and status == 200 else "",
    )


def _open(page: Page) -> instruments.TemplateSheet:
    return instruments.open_template(page.services, page.who.actor, page.part("case_id"), page.part("slug"))


def _address(case_id: str, slug: str) -> str:
    return f"/cases/{case_id}/red-flag/{slug}"
