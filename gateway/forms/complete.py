"""Completion: a person says that the form is done. Never automatic (dtr:spec-144, spec-145)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.forms.session import FormSession, response_as_sent
from gateway.forms.signatures import Sign, with_signatures
from gateway.forms.validate import Finding, check_sheet
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_guide import OriginAuthor


def complete(
    questionnaire: Json,
    response: Json,
    author: OriginAuthor,
    now: datetime,
    session: FormSession | None = None,
    sign: Sign | None = None,
) -> dict[str, Any]:
    """The completed response as it is sent: without switched-off or empty items and private marks.

    `author` is the person who completes it, `sign` what signs where the form demands it. Raises InputError:
    `form.author` without one, `form.adaptive` when only the payer's service may complete it, `form.blocked` when the
    form cannot be completed here, `form.incomplete` while required questions are open, `form.invalid` when an answer
    does not fit, `form.signature` where one is demanded and not given; `expression` holds the addresses.
    """
    if not author.is_known:
        raise InputError("Only a person can complete a form.", code="form.author")
    if dtr_sdc.is_adaptive(questionnaire):
        text = "The payer's service completes this form; ask it for the next questions."
        raise InputError(text, code="form.adaptive", status=422)
    session = session or FormSession.of_response(questionnaire)
    sheet = session.sheet(response)
    require_fit(check_sheet(session, sheet))
    done = response_as_sent(session, sheet)
    done |= {"status": _completed_status(response), "authored": session.launch_time(now)}
    if author.practitioner:
        done["author"] = {"reference": author.practitioner}
    return with_signatures(session.form, in_order(done), sign)


def _completed_status(response: Json) -> str:
    return "amended" if response.get("status") in ("amended", "completed") else "completed"


def require_fit(findings: list[Finding]) -> None:
    """Raise InputError for the most telling kind of error among the findings; see `complete`."""
    errors = [finding for finding in findings if finding.severity == "error"]
    for code, reason, sentence in (
        ("blocked", "form.blocked", "The form cannot be completed here"),
        ("required", "form.incomplete", "Required questions are still open"),
        ("", "form.invalid", "Answers do not fit their questions"),
    ):
        chosen = [finding for finding in errors if not code or finding.code == code]
        if chosen:
            places = ", ".join(finding.link_id for finding in chosen if finding.link_id)
            detail = places or " ".join(finding.sentence for finding in chosen)
            raise InputError(f"{sentence}: {detail}", code=reason, status=422, expression=places)


_ORDER = (
    "resourceType",
    "id",
    "meta",
    "contained",
    "extension",
    "identifier",
    "questionnaire",
    "_questionnaire",
    "status",
    "subject",
    "encounter",
    "authored",
    "author",
    "source",
    "item",
)


def in_order(response: Json) -> dict[str, Any]:
    """Elements in the order of the resource definition; unknown ones before the items."""
    known = {key: response[key] for key in _ORDER[:-1] if key in response}
    others = {key: value for key, value in response.items() if key not in _ORDER}
    return {**known, **others, **({"item": response["item"]} if "item" in response else {})}
