"""The strip of three stages above a case: Coverage · Documentation · Authorization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gateway.web.chips import case_chip

_BEFORE_ANSWER = frozenset({"received", "checking"})
_SENT = frozenset({"submitting", "pended", "approved", "approved_modified", "partially_approved", "denied"})
_DONE = frozenset({"approved", "approved_modified", "partially_approved"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a case."""

    name: str
    status: Literal["done", "now", "later", "stopped", "skipped"]
    """Where the case stands with it."""
    text: str
    """The same in words."""


STATUS_WORDS = {
    "done": "done",
    "now": "in progress",
    "later": "not started",
    "stopped": "stopped",
    "skipped": "not needed",
}


def stages_of(case: Any, facts: Any) -> tuple[Stage, Stage, Stage]:
    """The three stages of a case."""
    return _coverage(case, facts), _documentation(case, facts), _authorization(case, facts)


def _coverage(case: Any, facts: Any) -> Stage:
    name = "Coverage"
    if case.state == "not_covered":
        return Stage(name=name, status="stopped", text=facts.need_reason or "Not covered")
    if case.state in _BEFORE_ANSWER or not facts.need_action:
        status: Any = "now" if case.is_open else "later"
        return Stage(name=name, status=status, text="The payer is asked what is needed")
    return Stage(name=name, status="done", text=facts.need_reason or facts.need_action.replace("_", " "))


def _documentation(case: Any, facts: Any) -> Stage:
    name = "Documentation"
    if case.state == "held":
        return Stage(name=name, status="now", text="On hold: conservative care is incomplete")
    if facts.forms and all(form.status == "completed" for form in facts.forms):
        return Stage(name=name, status="done", text="Every form is complete")
    if case.state == "documenting":
        still = sum(len(form.open_required) for form in facts.forms)
        text = f"{still} required question{'s' if still != 1 else ''} open" if facts.forms else "Forms are fetched"
        return Stage(name=name, status="now", text=text)
    if case.state in ("not_required", "not_covered") or (case.state in _SENT and not facts.forms):
        return Stage(name=name, status="skipped", text="No form was asked for")
    if case.state in ("ready", "documented"):
        return Stage(name=name, status="done", text="Ready")
    return Stage(name=name, status="later", text="Not started")


def _authorization(case: Any, facts: Any) -> Stage:
    name, word = "Authorization", case_chip(case, facts).word
    if case.state in _DONE:
        number = f", number {case.authorization_number}" if case.authorization_number else ""
        return Stage(name=name, status="done", text=f"{word}{number}")
    if case.state == "not_required":
        return Stage(name=name, status="skipped", text="No authorization is needed")
    if case.state in ("denied", "cancelled", "expired", "not_covered"):
        return Stage(name=name, status="stopped", text=word)
    if case.state == "documented":
        return Stage(name=name, status="skipped", text="No authorization was wanted")
    if case.state in ("ready", "submitting", "pended") or facts.submission_id:
        return Stage(name=name, status="now", text=word)
    return Stage(name=name, status="later", text="Not sent")
