"""Rows of a repeating group, added and taken out by a person."""

from __future__ import annotations

from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.extract import load_snapshot
from gateway.flows.form_cases import author_of, guide_of, load_package, open_form, require_seen, session_of
from gateway.flows.forms import keep_answers
from gateway.flows.services import Services
from gateway.forms.answers import add_repetition, remove_repetition
from gateway.store.rows import CaseRow


def add_row(services: Services, actor: Actor, case_id: str, form_id: str, address: str) -> tuple[CaseRow, str]:
    """Add an empty row to the group that `address` is a row of; the case, and the address of the new row.

    Raises NotFound, Conflict for a form that is done, InputError for a group that does not repeat.
    """
    made: list[str] = []

    def once() -> CaseRow:
        case, facts, form = open_form(services, actor, case_id, form_id, "form.answer")
        parts, before = load_package(services, case, form), ledger.load_object(services, case, form.response)
        session = session_of(services, case, parts, load_snapshot(services, case, facts))
        now = services.clock.now()
        working, new = add_repetition(parts, parse_json(before), address, now, guide_of(services, case))
        made.append(new)
        return keep_answers(services, actor, case, facts, form, session, before, working, (new,))

    return ledger.retry_on_conflict(once), made[-1]


def remove_row(
    services: Services, actor: Actor, case_id: str, form_id: str, address: str, *, seen: str = ""
) -> CaseRow:
    """Take out the row at `address` with its answers; the chart does not bring it back. Raises as `add_row`.

    `seen` is the digest of the answers that the person was shown, where known: Conflict where there are others.
    """

    def once() -> CaseRow:
        case, facts, form = open_form(services, actor, case_id, form_id, "form.answer")
        require_seen(form, seen)
        parts, before = load_package(services, case, form), ledger.load_object(services, case, form.response)
        session = session_of(services, case, parts, load_snapshot(services, case, facts))
        present: Json = parse_json(before)
        author, now = author_of(actor), services.clock.now()
        working = remove_repetition(parts, present, address, author, now, guide_of(services, case))
        return keep_answers(services, actor, case, facts, form, session, before, working, (address,))

    return ledger.retry_on_conflict(once)
