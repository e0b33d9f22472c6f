"""Conservative care: the coordinator's list, and the timer of one case from its start to its end.

Nothing is ticked and no drug is chosen beforehand. What a start would make is shown before it is made, and visits of
another clinic are shown before they count. Source: spec/clinical.md §1.8, §2.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Final

from starlette.responses import Response

from gateway.errors import Conflict, EhrError, GatewayError, InputError
from gateway.flows import care, care_start, care_upload, care_views, desk
from gateway.web.case_actions import conflict
from gateway.web.case_pages import head
from gateway.web.page import Page

DONE: Final = {
    "started": "Conservative care is started. Its drafts are being written to the EHR; a clinician signs them.",
    "cancelled": "Conservative care is ended. The case stays on hold.",
    "counted": "The visits are being written to the EHR and count from there.",
    "discarded": "The visits were discarded. The file and the history are kept.",
}
"""Sentence after an act, by the word in the address; that of a signature names its orders."""
DECLINES_ALL: Final = (
    "No order is ticked: every one of them would be declined. Tick those you sign, or say that you decline them all. "
    "Nothing was signed."
)
MAX_REASON: Final = 400
CHOOSE_FILE: Final = "Choose a file."
ORDERS: Final = {"drug": "the drug", "referral": "the therapy request"}
"""Drafts that a clinician signs one by one, with their words."""


def show_list(page: Page) -> Response:
    """Every timer in a state: day, sessions, covered days, scores, what is due, what is missing."""
    state = care_views.state_named(page.query("state")) or "running"
    return page.show(
        "care_list.html",
        lines=care_views.list_timers(page.services, page.who.actor, state),
        state=state,
        states=care_views.STATES,
        prompt=care_views.adherence_prompt(),
        title_of=care_views.title_of,
        reason_of=care_views.reason_words,
    )


def show_timer(page: Page) -> Response:
    """The timer of a case; where none runs, what starting one asks and makes."""
    return _timer(page)


def start(page: Page) -> Response:
    """Start the timer with what was confirmed on the page."""
    form = page.form
    try:
        said = care_start.Confirmation(
            negative=frozenset(form.all("negative")),
            choice=form.one("drug"),
            reported=form.one("takes"),
            reported_since=_day(form.one("takes-since")),
            reported_as_needed=form.one("takes-needed") != "no",
        )
        care_start.start(page.services, page.who.actor, page.part("case_id"), said)
    except (InputError, EhrError) as error:
        return _timer(page, error.diagnostics(), 422)
    except Conflict as error:
        other = _other_case(page, error)
        return _timer(page, error.diagnostics(), 409) if other else _conflict(page, error)
    return page.go(f"{_address(page)}?done=started")


def sign(page: Page) -> Response:
    """A clinician signs the drafts; orders that are not ticked are declined, all of them only when that is said."""
    keys = frozenset(page.form.all("order")) & set(ORDERS)
    if not keys and page.form.one("decline") != "all" and _has_draft_orders(page):
        return _timer(page, DECLINES_ALL, 422, asks_decline=True)
    return _act(page, "signed", lambda: care.sign(page.services, page.who.actor, page.part("case_id"), keys))


def cancel(page: Page) -> Response:
    """End the timer with a reason."""
    reason = page.form.one("reason").strip()
    if len(reason) > MAX_REASON:
        return _timer(page, f"Use at most {MAX_REASON} characters.", 422)
    return _act(page, "cancelled", lambda: care.cancel(page.services, page.who.actor, page.part("case_id"), reason))


def hand_in(page: Page) -> Response:
    """Take a file of visits and show what it would add."""
    files = page.form.files.get("visits", ())
    if not files:
        return _timer(page, CHOOSE_FILE, 422)
    try:
        kind = care_upload.media_type_of(files[0].name)
        preview = care_upload.hand_in(page.services, page.who.actor, page.part("case_id"), files[0].body, kind)
    except (InputError, EhrError) as error:
        return _timer(page, error.diagnostics(), 422)
    except Conflict as error:
        return _conflict(page, error)
    return page.go(f"{_address(page)}/visits/{preview.upload.upload_id}")


def show_visits(page: Page) -> Response:
    """What a file would add, visit by visit."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    sheet = desk.open_case(services, actor, case_id)
    preview = care_upload.show(services, actor, case_id, page.part("upload_id"))
    fresh = {(visit.day, visit.code) for visit in preview.fresh}
    return page.show(
        "care_visits.html",
        **head(sheet, "timer"),
        preview=preview,
        fresh=fresh,
        may_decide=preview.upload.state == "previewed" and "care.upload" in care_views.allowed(actor, sheet.case),
    )


def decide_visits(page: Page) -> Response:
    """Count the visits or discard them."""
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    upload_id = page.part("upload_id")
    if page.form.one("then") == "count":
        return _act(page, "counted", lambda: care_upload.confirm(services, actor, case_id, upload_id))
    return _act(page, "discarded", lambda: care_upload.discard(services, actor, case_id, upload_id))


def _act(page: Page, done: str, action: Callable[[], object]) -> Response:
    try:
        action()
    except InputError as error:
        return _timer(page, error.diagnostics(), 422)
    except Conflict as error:
        return _conflict(page, error)
    return page.go(f"{_address(page)}?done={done}")


def _conflict(page: Page, error: Conflict) -> Response:
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    return conflict(page, sheet, error.diagnostics())


def _other_case(page: Page, error: GatewayError) -> str:
    """Id of the other case whose timer is in the way; empty for another error."""
    if error.reason != "care.running":
        return ""
    case_id = page.part("case_id")
    found = care_start.running_case(page.services, page.who.actor, case_id)
    return "" if found == case_id else found


def _has_draft_orders(page: Page) -> bool:
    line = care_views.find_line(page.services, page.who.actor, page.part("case_id"))
    return line is not None and line.timer.phase == "draft" and any(_orders(line))


def _orders(line: care_views.Line) -> tuple[list[str], list[str]]:
    """Words of the timer's orders: those kept or not decided yet, and those declined."""
    mine = [item for item in line.facts.resources if item.key in ORDERS]
    kept = [ORDERS[item.key] for item in mine if not item.is_declined]
    return kept, [ORDERS[item.key] for item in mine if item.is_declined]


def _done(page: Page, line: care_views.Line) -> str:
    """Sentence after an act; after a signature with the orders kept and declined."""
    if page.query("done") != "signed" or line.timer.phase == "draft":
        return DONE.get(page.query("done"), "")
    kept, declined = (" and ".join(words) or "nothing" for words in _orders(line))
    return f"Signed. The plan becomes active in the EHR. Orders kept: {kept}. Declined: {declined}."


def _timer(page: Page, error: str = "", status: int = 200, *, asks_decline: bool = False) -> Response:
    services, actor, case_id = page.services, page.who.actor, page.part("case_id")
    sheet = desk.open_case(services, actor, case_id)
    line = care_views.find_line(services, actor, case_id)
    allowed = care_views.allowed(actor, sheet.case)
    shown = head(sheet, "timer")
    if line is not None and line.timer.state == "running":
        return page.show(
            "care_timer.html",
            status,
            **shown,
            line=line,
            details=care_views.details(line),
            uploads=care_upload.list_uploads(services, actor, case_id),
            may=allowed,
            error=error,
            asks_decline=asks_decline,
            words_of=partial(care_views.resource_words, services),
            done=_done(page, line),
            prompt=care_views.adherence_prompt(),
            max_reason=MAX_REASON,
        )
    proposal, refusal, other = None, "", ""
    if "care.start" in allowed:
        try:
            proposal = care_start.propose(services, actor, case_id)
        except GatewayError as problem:
            refusal, other = problem.diagnostics(), _other_case(page, problem)
    return page.show(
        "care_start.html",
        status,
        **shown,
        line=line,
        details=care_views.details(line) if line else None,
        proposal=proposal,
        refusal=refusal,
        other=other,
        drugs=sorted(services.concepts.drug, key=lambda drug: drug.name),
        form=page.form,
        error=error,
        done=DONE.get(page.query("done"), ""),
        no_drug=care_start.NO_DRUG,
        reason_of=care_views.reason_words,
    )


def _address(page: Page) -> str:
    return f"/cases/{page.part('case_id')}/timer"


def _day(text: str) -> date | None:
    """The day of a date field; None for an empty one. InputError for anything else."""
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise InputError("Write the day as year-month-day, e.g. 2026-03-02.", code="care.day", status=422) from None
