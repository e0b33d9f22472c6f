"""A case on its pages: overview, timeline, what was exchanged, and the exact bytes of each thing kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from gateway.errors import GatewayError, NotFound
from gateway.fhir.json import parse_json, pretty_json
from gateway.fhir.narrative import SafeHtml, sanitise
from gateway.flows import decided, desk, exchanges
from gateway.flows.instruments_measure import case_trends
from gateway.web import chips, history, stages
from gateway.web.case_actions import DONE, buttons
from gateway.web.page import Page
from gateway.web.trends import draw

MAX_SHOWN: Final = 1_000_000
"""Bytes of an object that are shown in a page; the download has all of them."""
_TEXT_TYPES: Final = ("application/fhir+json", "application/json", "application/fhir+xml", "application/xml", "text/")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STATUS_WORDS: Final = {
    "met": "met",
    "unmet": "missing",
    "indeterminate": "cannot tell",
    "waived": "waived",
    "not_required": "not asked",
}
ELEMENTS: Final = {
    "DURATION": "Duration of conservative care",
    "PHARM": "Medication",
    "PT_REFERRAL": "Therapy referral",
    "PT_SESSIONS": "Therapy sessions",
    "OUTCOME": "Outcome score",
    "ACTIVITY": "Activity advice",
    "REEVAL": "Re-evaluation",
    "RED_FLAG": "Red flag",
}
"""Elements of the clinical rules in words; others are shown by their own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of the clinical rule, as a line."""

    name: str
    status: str
    is_missing: bool
    line: str
    evidence: tuple[tuple[str, str], ...]
    """(reference, digest); the digest is empty where the record is not kept."""


def head(sheet: desk.CaseSheet, tab: str) -> dict[str, Any]:
    """What every page of a case shows above its own content."""
    return {
        "case": sheet.case,
        "facts": sheet.facts,
        "sheet": sheet,
        "chip": chips.case_chip(sheet.case, sheet.facts),
        "move": chips.move_of(sheet.case, sheet.facts),
        "birth": str(sheet.patient.get("birthDate") or "") or sheet.case.patient_birth_on,
        "tab": tab,
    }


def overview(page: Page) -> Response:
    """Where the case stands, what is missing, what the payer said, what can be done."""
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    answer, is_damaged = _answer(page, sheet)
    return page.show(
        "case.html",
        **head(sheet, "overview"),
        stages=stages.stages_of(sheet.case, sheet.facts),
        status_words=stages.STATUS_WORDS,
        elements=_elements(sheet),
        answer=answer,
        is_damaged=is_damaged,
        sent=[row for row in sheet.submissions if row.attempts],
        buttons=buttons(sheet),
        can_answer="form.answer" in sheet.allowed,
        done=DONE.get(page.query("done"), ""),
        drawings=draw(case_trends(page.services, sheet)),
    )


def _answer(page: Page, sheet: desk.CaseSheet) -> tuple[decided.PayerAnswer | None, bool]:
    """The payer's answer, and whether its stored bytes are damaged; the case is shown all the same."""
    try:
        return decided.read_answer(page.services, sheet.case, sheet.facts), False
    except GatewayError:
        return None, True


def timeline(page: Page) -> Response:
    """The history, oldest first."""
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    who = page.query("who") if page.query("who") in history.WHO else ""
    lines = history.lines(page.services, history.chosen(sheet.events, who))
    return page.show("timeline.html", **head(sheet, "timeline"), lines=lines, who=who, choices=history.WHO)


def exchange(page: Page) -> Response:
    """What was sent and what came back, as often as it was."""
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    found = exchanges.list_exchanges(page.services, sheet.case, sheet.events)
    lines = history.lines(page.services, (item.event for item in found))
    exchanged = list(zip(found, lines, strict=True))
    return page.show("exchange.html", **head(sheet, "exchange"), submissions=sheet.submissions, exchanged=exchanged)


def show_object(page: Page) -> Response:
    """One thing that was kept: readable, with its digest, and as a download."""
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    kept, body = desk.load_object(page.services, page.who.actor, sheet.case.case_id, _digest(page))
    text = _text(kept.media_type, body[:MAX_SHOWN]) if len(body) <= MAX_SHOWN else ""
    resource = _resource(body) if text else {}
    return page.show(
        "object.html",
        **head(sheet, "exchange"),
        kept=kept,
        name=_name(sheet, kept.digest, resource),
        text=pretty_json(resource) if resource else text,
        raw=text,
        narrative=_narrative(resource),
    )


def download(page: Page) -> Response:
    """The exact bytes, as a file; never shown by the browser as a page of ours (security T21)."""
    kept, body = desk.load_object(page.services, page.who.actor, page.part("case_id"), _digest(page))
    ending = "json" if "json" in kept.media_type else "xml" if "xml" in kept.media_type else "bin"
    headers = {"Content-Disposition": f'attachment; filename="{kept.digest[:16]}.{ending}"'}
    return Response(body, 200, headers, "application/octet-stream")


def _digest(page: Page) -> str:
    if not _DIGEST.fullmatch(page.part("digest")):
        raise NotFound("There is no such object.")
    return page.part("digest")


def _elements(sheet: desk.CaseSheet) -> list[Element]:
    """Elements of the clinical rule: missing ones first, then undecided ones, then the others."""
    found = [_element(sheet, element) for element in sheet.evaluation.get("elements") or ()]
    return sorted(found, key=lambda element: not element.is_missing)


def _element(sheet: desk.CaseSheet, element: Mapping[str, Any]) -> Element:
    status = str(element.get("status", ""))
    return Element(
        name=_element_name(str(element.get("element", ""))),
        status=_STATUS_WORDS.get(status, status),
        is_missing=status in ("unmet", "indeterminate"),
        line=str(element.get("line") or ""),
        evidence=tuple((str(ref), sheet.records.get(str(ref), "")) for ref in element.get("evidence") or ()),
    )


def _element_name(code: str) -> str:
    return ELEMENTS.get(code, code.replace("_", " ").capitalize())


def _text(media_type: str, body: bytes) -> str:
    if not media_type.startswith(_TEXT_TYPES):
        return ""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def _resource(body: bytes) -> Mapping[str, Any]:
    try:
        found = parse_json(body)
    except GatewayError:
        return {}
    return found if isinstance(found, dict) else {}


def _name(sheet: desk.CaseSheet, digest: str, resource: Mapping[str, Any]) -> str:
    for reference, known in sheet.records.items():
        if known == digest:
            return reference
    return str(resource.get("resourceType") or "Object")


def _narrative(resource: Mapping[str, Any]) -> SafeHtml | None:
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    return sanitise(div) if isinstance(div, str) and div else None
