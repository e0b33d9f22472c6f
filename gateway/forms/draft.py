"""The draft response a form starts from: a person's earlier one, the payer's, or a blank one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.forms.launch import LaunchContext
from gateway.forms.marks import answer_id, values_of
from gateway.forms.session import FormSession
from gateway.forms.slots import Sheet, without_empty
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_sdc import extensions, value_of
from gateway.reasoning.record import reference_of

OTHER_PATIENT: Final = "The payer's draft is about another patient and was not used."
OTHER_ORDER: Final = "The payer's draft is about another order or coverage and was not used."
ELSEWHERE: Final = "The payer's draft pointed at records outside the EHR; those answers were left out."


def blank_response(session: FormSession, launch: LaunchContext, now: datetime, response_id: str) -> dict[str, Any]:
    """An in-progress response without answers, with the header that the guide version wants."""
    questionnaire = session.package.questionnaire
    response: dict[str, Any] = {
        "resourceType": "QuestionnaireResponse",
        "id": response_id,
        **session.guide.build_response_header(launch.response_context()),
        "questionnaire": session.form.canonical or _own_name(questionnaire),
    }
    if questionnaire.get("title"):
        shown = [{"url": f"{urls.CORE}display", "valueString": questionnaire["title"]}]
        response["_questionnaire"] = {"extension": shown}
    response |= {
        "status": "in-progress",
        "subject": {"reference": reference_of(launch.patient)},
        "authored": session.launch_time(now),
    }
    return response


def _own_name(questionnaire: Json) -> str:
    """Name of a form that the payer gave no url, as forms of reference implementations have none.

    A canonical must be there and absolute; this one stands for the form's very content.
    """
    return uuid5(NAMESPACE_URL, hashlib.sha256(dump_json(questionnaire)).hexdigest()).urn


def with_payer_draft(blank: dict[str, Any], draft: Json | None, session: FormSession) -> tuple[dict[str, Any], str]:
    """The blank response with the payer's answers marked as such, and a finding when its draft was not used."""
    if draft is None or not draft.get("item"):
        return _with_intended_use(blank, draft), ""
    finding = _not_ours(draft, blank)
    if finding:
        return blank, finding
    response = _with_intended_use(blank, draft)
    response["item"] = [without_empty(item) for item in draft["item"] if isinstance(item, Mapping)]
    return _with_server_origins(response, session)


def _with_intended_use(blank: dict[str, Any], draft: Json | None) -> dict[str, Any]:
    """The payer knows what the answers are for; its word stands over our assumption."""
    said = list(extensions(draft, urls.INTENDED_USE)) if draft else []
    if not said:
        return blank
    kept = [one for one in blank.get("extension") or () if one.get("url") != urls.INTENDED_USE]
    return {**blank, "extension": [*kept, *said]}


def _not_ours(draft: Json, blank: Json) -> str:
    subject = str((draft.get("subject") or {}).get("reference", ""))
    if subject and not _same(subject, str(blank["subject"]["reference"])):
        return OTHER_PATIENT
    ours = {str(value["reference"]) for value in _references(blank)}
    for reference in _references(draft):
        if not any(_same(str(reference.get("reference", "")), own) for own in ours):
            return OTHER_ORDER
    return ""


def _references(response: Json) -> Iterator[Mapping[str, Any]]:
    for url in (urls.QR_CONTEXT, urls.QR_COVERAGE):
        for extension in extensions(response, url):
            value = value_of(extension)
            if isinstance(value, Mapping):
                yield value


def _same(one: str, two: str) -> bool:
    """The same resource, whichever of the two is absolute."""
    tail = "/".join(one.split("/_history/")[0].split("/")[-2:])
    return tail == "/".join(two.split("/")[-2:])


def _with_server_origins(response: dict[str, Any], session: FormSession) -> tuple[dict[str, Any], str]:
    """Payer answers get their origin where the payer left it out (DTR 2.2: auto-server).

    An answer that points at a server instead of the EHR is left out (dtr:spec-139).
    """
    sheet = Sheet(session.form, response)
    finding = ""
    for slot in sheet.walk():
        kept = [answer for answer in slot.answers if not _points_elsewhere(answer)]
        if len(kept) < len(slot.answers):
            finding = ELSEWHERE
            slot.set_answers(kept)
        for position, answer in enumerate(slot.answers):
            if not values_of([answer])[0]:
                continue
            answer.setdefault("id", answer_id(slot.address, position))
            if session.guide.read_origin(answer) is None:
                origin = session.guide.information_origin(session.guide.AUTO_SERVER)
                answer["extension"] = [origin, *(answer.get("extension") or ())]
    return sheet.response, finding


def _points_elsewhere(answer: Json) -> bool:
    value = answer.get("valueReference")
    return isinstance(value, Mapping) and "://" in str(value.get("reference", ""))
