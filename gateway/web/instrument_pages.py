"""Outcome measures: entered by staff, or by the patient through a link that works once.

The patient's page asks the questions and nothing else: it names nobody, leads nowhere, and needs no account.
Source: spec/clinical.md §3.2.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.errors import EhrError, InputError, NotFound
from gateway.flows import desk, instruments_links, instruments_measure
from gateway.flows.form_cases import author_of
from gateway.flows.instruments_measure import MeasureSheet
from gateway.web.case_pages import head
from gateway.web.fields import Field
from gateway.web.page import Page
from gateway.web.template_pages import changed, mark, tree_of
from gateway.web.trends import draw

NOT_KEPT: Final = (
    "The record system did not take all of it just now. Send it again in a few minutes; nothing is kept twice."
)


def overview(page: Page) -> Response:
    """Measures of the case, how they went, and where to enter one."""
    found = instruments_measure.overview(page.services, page.who.actor, page.part("case_id"))
    return page.show(
        "instruments.html",
        **head(found.sheet, "template"),
        forms=found.forms,
        drawings=draw(found.trends),
        can_enter="measure.enter" in found.sheet.allowed,
        link=None,
    )


def show(page: Page) -> Response:
    """One questionnaire, empty."""
    return _staff(page, instruments_measure.open_measure(page.services, page.part("slug")))


def enter(page: Page) -> Response:
    """Keep what staff entered, with its score."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    blank = instruments_measure.open_measure(services, page.part("slug"))
    opened, refused, texts = _answered(page, instruments_measure.with_id(blank, page.form.one("entry")))
    if refused:
        return _staff(page, opened, refused=refused, texts=texts, status=422)
    try:
        instruments_measure.enter_by_staff(
            services,
            actor,
            case_id,
            opened,
            filled_on=page.form.one("filled-on"),
            anyway=page.form.one("anyway") == "yes",
        )
    except InputError as error:
        few = error.reason == "measure.too-few"
        return _staff(page, opened, error=error.diagnostics(), status=error.http_status, asks_anyway=few)
    except EhrError:
        return _staff(page, opened, error=NOT_KEPT, status=502)
    return page.go(f"/cases/{case_id}?done=scored")


def make_link(page: Page) -> Response:
    """A link for the patient; it is shown this once."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    link = instruments_links.make_link(services, actor, case_id, page.part("slug"))
    found = instruments_measure.overview(services, actor, case_id)
    return page.show(
        "instruments.html",
        **head(found.sheet, "template"),
        forms=found.forms,
        drawings=draw(found.trends),
        can_enter=True,
        link=link,
    )


def invite(page: Page) -> Response:
    """The questionnaire behind a link."""
    try:
        found = instruments_links.open_link(page.services, page.part("token"))
    except NotFound:
        return _gone(page)
    return _patient(page, found.opened)


def answer(page: Page) -> Response:
    """Keep a patient's answers, once."""
    services = page.services
    try:
        found = instruments_links.open_link(services, page.part("token"))
        opened = found.opened
        texts = changed(page.form, tree_of(opened.view))
        opened, refused = instruments_measure.with_answers(services, found.opened, texts, instruments_links.PATIENT)
        if refused:
            return _patient(page, opened, refused=refused, texts=texts, status=422)
        instruments_links.use_link(services, found.row, opened, anyway=page.form.one("anyway") == "yes")
    except NotFound:
        return _gone(page)
    except InputError as error:
        few = error.reason == "measure.too-few"
        return _patient(page, opened, error=error.diagnostics(), status=error.http_status, asks_anyway=few)
    except EhrError:
        return _patient(page, opened, error=NOT_KEPT, status=502)
    return page.show("patient_done.html", practice=services.settings.tenant.name)


def _answered(page: Page, opened: MeasureSheet) -> tuple[MeasureSheet, dict[str, str], dict[str, tuple[str, ...]]]:
    texts = changed(page.form, tree_of(opened.view))
    found, refused = instruments_measure.with_answers(page.services, opened, texts, author_of(page.who.actor))
    return found, refused, texts


def _fields(
    page: Page, opened: MeasureSheet, refused: dict[str, str] | None, texts: dict[str, tuple[str, ...]] | None
) -> tuple[list[Field], list[Field]]:
    tree = tree_of(opened.view)
    return tree, mark(tree, page.form, texts or {}, refused or {})


def _staff(
    page: Page,
    opened: MeasureSheet,
    *,
    refused: dict[str, str] | None = None,
    texts: dict[str, tuple[str, ...]] | None = None,
    error: str = "",
    status: int = 200,
    asks_anyway: bool = False,
) -> Response:
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    tree, errors = _fields(page, opened, refused, texts)
    return page.show(
        "instrument.html",
        status,
        **head(sheet, "template"),
        opened=opened,
        fields=tree,
        errors=errors,
        error=error,
        asks_anyway=asks_anyway,
        filled_on=page.form.one("filled-on"),
        can_enter="measure.enter" in sheet.allowed,
    )


def _patient(
    page: Page,
    opened: MeasureSheet,
    *,
    refused: dict[str, str] | None = None,
    texts: dict[str, tuple[str, ...]] | None = None,
    error: str = "",
    status: int = 200,
    asks_anyway: bool = False,
) -> Response:
    tree, errors = _fields(page, opened, refused, texts)
    return page.show(
        "patient.html",
        status,
        opened=opened,
        fields=tree,
        errors=errors,
        error=error,
        asks_anyway=asks_anyway,
        address=f"/answer/{page.part('token')}",
    )


def _gone(page: Page) -> Response:
    return page.show("patient_gone.html", 404, sentence=instruments_links.GONE)
