"""What the pages of our own templates share: questions as fields, what was changed, a fresh proof of who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from gateway.errors import InputError
from gateway.flows.desk import FormView
from gateway.flows.instruments import TemplateSheet
from gateway.web import fields as page_fields
from gateway.web import passwords, sessions
from gateway.web.case_pages import head
from gateway.web.fields import Field
from gateway.web.page import Form, Page

MAX_TEXT: Final = 50_000
"""Characters of all answers posted at once."""
WRONG_PASSWORD: Final = "This is not the password of your sign-in. Nothing was attested."
CLOSED: Final = (
    "The template cannot be changed now: the case has moved on, or your role does not include it. Nothing was saved."
)


def tree_of(view: FormView, *, can_answer: bool = True) -> list[Field]:
    """Questions as fields of the page."""
    return page_fields.fields_of(view, can_answer=can_answer)


def changed(form: Form, tree: Sequence[Field]) -> dict[str, tuple[str, ...]]:
    """Link id → texts of every question that stood on the page and was changed there. InputError when too long."""
    shown, found = set(form.all(page_fields.SHOWN)), {}
    for item in (inner for outer in tree for inner in outer.walk()):
        if item.is_editable and item.row.link_id in shown:
            texts = page_fields.posted(form, item)
            if set(texts) != set(page_fields.standing(item)):
                found[item.row.link_id] = texts
    if sum(len(text) for texts in found.values() for text in texts) > MAX_TEXT:
        raise InputError("The answers are too long.", code="answer.length", status=422)
    return found


def mark(
    tree: Sequence[Field], form: Form, texts: Mapping[str, Sequence[str]], refused: Mapping[str, str]
) -> list[Field]:
    """Put what does not fit back into its controls, with the reason; gives those fields."""
    wrong = []
    for item in (inner for outer in tree for inner in outer.walk()):
        if item.row.link_id in refused:
            item.error = refused[item.row.link_id]
            unit = form.one(f"unit:{item.row.link_id}").strip()
            page_fields.typed_in(item, texts.get(item.row.link_id, ()), unit)
            wrong.append(item)
    return wrong


def is_proved(page: Page) -> bool:
    """Whether the password that was typed just now is the visitor's own. Raises Busy after too many attempts."""
    brake = page.request.app.state.brake
    return passwords.check(page.services, brake, page.who.actor.id, page.form.one("password"))


def show_template(
    page: Page, opened: TemplateSheet, tree: Sequence[Field], address: str, status: int = 200, **more: Any
) -> Response:
    """The page of a template with its questions."""
    return page.show(
        "template_form.html",
        status,
        **head(opened.sheet, "template"),
        instrument=opened.instrument,
        topic=opened.instrument.template,
        view=opened.view,
        fields=tree,
        draft=opened.digest,
        can_answer=opened.can_answer,
        address=address,
        **{"errors": (), "error": "", "done": "", "notice": "", "buttons": (), **more},
    )


def renewed(page: Page, response: Response) -> Response:
    """The same answer with the session under a new id, as after every proof of who somebody is (security T10)."""
    name = sessions.cookie_name(page.services)
    sessions.end(page.services, page.request.cookies.get(name, ""))
    response.set_cookie(
        name,
        sessions.begin(page.services, page.who.actor.id),
        httponly=True,
        secure=sessions.is_https(page.services),
        samesite="lax",
        path="/",
    )
    return response
