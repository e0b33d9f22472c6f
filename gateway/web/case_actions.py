"""What a person does to a case: first a page that says what will happen, then the act itself.

Each form carries the state it was shown for. Where the case has moved on meanwhile, nothing is done and a page
says what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from gateway.errors import Conflict, InputError, NotFound
from gateway.flows import actions, attach, desk, exchanges
from gateway.web import chips, history
from gateway.web.page import Page

MAX_REASON: Final = 400
"""Characters of a reason; longer ones are cut by nobody but refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something a person may do to a case."""

    key: str
    label: str
    """Words of the button."""
    what: str
    """What will happen, in plain words."""
    reason: str
    """`required`, `optional` or empty: whether a reason is asked for."""
    tone: str = "plain"
    """primary, plain or danger."""
    done: str = ""
    """Sentence after it was done."""


ACTIONS: Final = {
    action.key: action
    for action in (
        Action(
            key="release",
            label="Release and send",
            what="The sealed packet is sent to the payer now. What was sent cannot be taken back here.",
            reason="",
            tone="primary",
            done="Released. The request is being sent to the payer.",
        ),
        Action(
            key="recheck",
            label="Check again",
            what="The chart is read anew and the payer is asked anew. Answers that people gave are kept. "
            "A request that was given up is sent again as it is.",
            reason="optional",
            done="The case is being checked again.",
        ),
        Action(
            key="override",
            label="Go on in spite of the gap",
            what="The case goes on although the clinical rule is not satisfied. The reason is kept in the record "
            "with your name and role.",
            reason="required",
            done="The gap is accepted and the case goes on.",
        ),
        Action(
            key="inquire",
            label="Check with payer",
            what="The payer is asked once where the request stands. Payers allow this only when a person wants "
            "to know, so it can be repeated after 15 minutes at the earliest.",
            reason="",
            done="The payer was asked.",
        ),
        Action(
            key="cancel",
            label="Cancel the case",
            what="The case is closed. It stays readable with its history and cannot be opened again.",
            reason="optional",
            tone="danger",
            done="The case is cancelled.",
        ),
    )
}
DONE: Final = {
    **{action.key: action.done for action in ACTIONS.values()},
    "documents": "The documents are being sent to the payer.",
    "saved": "Saved.",
    "complete": "The form is complete.",
    "attested": "The red-flag exception is attested and in the EHR. The case is being checked again.",
    "examined": "The examination is in the EHR. The case is being checked again.",
    "upgraded": "The diagnosis of the order is changed in the EHR. The case is being checked again.",
    "scored": "The score is in the EHR.",
}
"""Sentence shown after an act, by the word in the address."""


def buttons(sheet: desk.CaseSheet) -> list[Action]:
    """What this person may do to the case as it stands."""
    allowed = sheet.allowed - (set() if sheet.is_releasable else {"release"})
    return [action for key, action in ACTIONS.items() if key in allowed]


def confirm(page: Page) -> Response:
    """Say what will happen and ask whether it shall."""
    action = _action(page)
    return _confirm(page, action, desk.open_case(page.services, page.who.actor, page.part("case_id")))


def act(page: Page) -> Response:
    """Do it, unless the case has moved on since the page was shown."""
    action, case_id = _action(page), page.part("case_id")
    sheet = desk.open_case(page.services, page.who.actor, case_id)
    if page.form.one("state") != sheet.case.state:
        return conflict(page, sheet, "The case has moved on since you opened the page. Nothing was done.")
    reason = page.form.one("reason").strip()
    if len(reason) > MAX_REASON:
        return _confirm(page, action, sheet, f"Use at most {MAX_REASON} characters.", reason, 422)
    try:
        _run(page, action.key, case_id, reason)
    except InputError as error:
        return _confirm(page, action, sheet, error.diagnostics(), reason, 422)
    except Conflict as error:
        return conflict(page, desk.open_case(page.services, page.who.actor, case_id), error.diagnostics())
    return page.go(f"/cases/{case_id}?done={action.key}")


def choose_documents(page: Page) -> Response:
    """Documents of the chart for one thing the payer asked for; those that fit stand first."""
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    return _documents(page, sheet)


def send_documents(page: Page) -> Response:
    """Answer the payer's request with the documents chosen."""
    case_id = page.part("case_id")
    sheet = desk.open_case(page.services, page.who.actor, case_id)
    request = _request(page, sheet)
    chosen = page.form.all("document")
    if not chosen:
        return _documents(page, sheet, "Choose at least one document.", 422)
    try:
        attach.attach(page.services, page.who.actor, case_id, request.control_number, chosen)
    except InputError as error:
        return _documents(page, sheet, error.diagnostics(), 422)
    except Conflict as error:
        return conflict(page, desk.open_case(page.services, page.who.actor, case_id), error.diagnostics())
    return page.go(f"/cases/{case_id}?done=documents")


def conflict(page: Page, sheet: desk.CaseSheet, sentence: str) -> Response:
    """What happened meanwhile, and the way back."""
    seen = page.form.one("seq")
    after = int(seen) if seen.isdigit() and len(seen) < 10 else -1
    return page.show(
        "conflict.html",
        409,
        case=sheet.case,
        chip=chips.case_chip(sheet.case, sheet.facts),
        sentence=sentence,
        lines=history.lines(page.services, (event for event in sheet.events if 0 <= after < event.seq)),
    )


def _run(page: Page, key: str, case_id: str, reason: str) -> None:
    services, actor = page.services, page.who.actor
    what: dict[str, Callable[[], object]] = {
        "release": lambda: actions.release(services, actor, case_id),
        "recheck": lambda: actions.check_again(services, actor, case_id, reason),
        "override": lambda: actions.override(services, actor, case_id, reason),
        "inquire": lambda: actions.inquire(services, actor, case_id),
        "cancel": lambda: actions.cancel(services, actor, case_id, reason),
    }
    what[key]()


def _action(page: Page) -> Action:
    action = ACTIONS.get(page.part("action"))
    if action is None:
        raise NotFound("There is nothing at this address.")
    return action


def _confirm(
    page: Page, action: Action, sheet: desk.CaseSheet, error: str = "", reason: str = "", status: int = 200
) -> Response:
    return page.show(
        "confirm.html",
        status,
        case=sheet.case,
        sheet=sheet,
        chip=chips.case_chip(sheet.case, sheet.facts),
        action=action,
        error=error,
        reason=reason,
        max_reason=MAX_REASON,
        parts=exchanges.packet_parts(page.services, sheet.case, sheet.facts) if action.key == "release" else (),
        is_allowed=action in buttons(sheet),
    )


def _documents(page: Page, sheet: desk.CaseSheet, error: str = "", status: int = 200) -> Response:
    request = _request(page, sheet)
    return page.show(
        "documents.html",
        status,
        case=sheet.case,
        sheet=sheet,
        chip=chips.case_chip(sheet.case, sheet.facts),
        request=request,
        number=page.part("number"),
        choices=attach.show_choices(page.services, page.who.actor, sheet.case.case_id),
        chosen=page.form.all("document"),
        error=error,
        can_answer="form.answer" in sheet.allowed and not request.attachment,
    )


def _request(page: Page, sheet: desk.CaseSheet) -> desk.RequestedDocument:
    """The request of the number in the address, counted from 1."""
    number = page.part("number")
    position = int(number) - 1 if number.isdigit() and len(number) < 5 else -1
    if not 0 <= position < len(sheet.facts.requests):
        raise NotFound("The payer made no such request.")
    return sheet.facts.requests[position]
