"""What people at the pages read: a case with everything that belongs beside it, in one piece.

Reading only. Who may read is asked here; what a page looks like is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import provenance
from gateway.cases.facts import Facts, FormFact, RequestedDocument, read_facts
from gateway.cases.states import CaseState
from gateway.errors import GatewayError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows import evidence, forms, ledger, submit, views
from gateway.flows.actors import Actor
from gateway.flows.evaluate import is_stopped
from gateway.flows.outcome import Outcome, decide_outcome, in_force
from gateway.flows.services import Services
from gateway.forms.documents import MAX_BYTES, build_attachment
from gateway.forms.view import Choice, FormRow, FormView
from gateway.policy.access import CaseFacts, decide_access, require_access
from gateway.store.queries import COUNTED_UP_TO, read_worklist
from gateway.store.rows import CaseFilter, CaseRow, EventRow, ObjectRow, SessionRow, SubmissionRow

__all__ = [
    "COUNTED",
    "COUNTED_UP_TO",
    "CaseFilter",
    "CaseLine",
    "CaseSheet",
    "Choice",
    "FormRow",
    "FormSheet",
    "FormView",
    "Lines",
    "MAX_BYTES",
    "RequestedDocument",
    "SessionRow",
    "activity_words",
    "build_attachment",
    "count_lines",
    "list_lines",
    "load_events",
    "load_object",
    "open_case",
    "open_form",
    "payer_names",
    "verify",
]

ACTIONS = ("release", "recheck", "override", "cancel", "inquire")
"""What a person may do to a case, as named in the access table after `case.`."""

COUNTED = 1000
"""Counters of saved filters count so far, since each page shows several; that many means "or more"."""
DAMAGED = "What was read from the chart cannot be opened any more. Verify the case, then check it again."
"""Shown where stored bytes are missing or changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """One line of the worklist."""

    case: CaseRow
    """The row."""
    facts: Facts
    """What the case remembers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """One page of the worklist."""

    lines: tuple[CaseLine, ...]
    """Its lines."""
    count: int
    """How many cases the filter shows, up to `COUNTED_UP_TO`."""
    after: str
    """Where the next page begins; empty on the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSheet:
    """One case and what belongs beside it."""

    case: CaseRow
    """The row."""
    facts: Facts
    """What the case remembers."""
    allowed: frozenset[str]
    """Actions that this person may do to the case as it stands now: names of `ACTIONS` and more."""
    waits: tuple[str, ...]
    """Why a sealed packet has not left, one sentence each; empty when it may leave or is not sealed."""
    is_releasable: bool
    """Whether a person may release the packet now."""
    is_busy: bool
    """The gateway still has work of its own to do on the case."""
    evaluation: Mapping[str, Any]
    """The clinical evaluation in force; empty where none was made."""
    submissions: tuple[SubmissionRow, ...]
    """Everything sent, oldest first."""
    events: tuple[EventRow, ...]
    """The history, oldest first."""
    records: Mapping[str, str]
    """`Type/id` of the chart → digest of its exact bytes, as last read."""
    findings: tuple[str, ...]
    """What could not be read from the chart, in words."""
    patient: Json
    """The Patient as last read; empty before that."""
    payer_name: str
    """Name of the payer; its slug when the row is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormSheet:
    """One form of a case."""

    sheet: CaseSheet
    """Its case."""
    form: FormFact
    """What the case remembers of it."""
    view: FormView | None
    """Questions, answers and origins; None before it is filled from the chart."""
    can_answer: bool
    """Whether this person may change answers now."""


def list_lines(services: Services, actor: Actor, chosen: CaseFilter, *, after: str = "", limit: int = 50) -> Lines:
    """One page of the tenant's worklist, our own moves first. InputError for a made-up `after`."""
    require_access(actor.caller, "worklist.read")
    page = read_worklist(services.store, actor.tenant, chosen, after=after, limit=limit)
    lines = tuple(CaseLine(case=row, facts=read_facts(row.facts)) for row in page.rows)
    return Lines(lines=lines, count=page.count, after=page.after)


def count_lines(services: Services, actor: Actor, filters: Mapping[str, CaseFilter]) -> dict[str, int]:
    """How many cases each filter shows, up to `COUNTED`, read at one instant."""
    require_access(actor.caller, "worklist.read")
    with services.store.read() as tx:
        return {name: tx.cases.count(actor.tenant, chosen, at_most=COUNTED) for name, chosen in filters.items()}


def activity_words(verb: str) -> str:
    """What an event is, in the words of its signed statement; the code itself where it has none."""
    row = provenance.ACTIVITIES.get(verb)
    return row.display if row else verb


def payer_names(services: Services) -> dict[str, str]:
    """Slug → name of every payer of the directory."""
    return {row.slug: row.name for row in services.directory}


def open_case(services: Services, actor: Actor, case_id: str) -> CaseSheet:
    """The case with everything beside it. NotFound, also for another tenant's."""
    case = views.readable(services, actor, case_id)
    facts = read_facts(case.facts)
    with services.store.read() as tx:
        submissions = tx.submissions.for_case(case.tenant_id, case.case_id)
        events = tx.events.list(case.tenant_id, case.case_id)
    records, findings = _manifest(services, case, facts)
    waits, is_releasable = _release(services, case, facts)
    return CaseSheet(
        case=case,
        facts=facts,
        allowed=_allowed(services, actor, case, facts),
        waits=waits,
        is_releasable=is_releasable,
        is_busy=views.is_busy(case, facts),
        evaluation=_evaluation(services, case),
        submissions=submissions,
        events=events,
        records=records,
        findings=findings,
        patient=_patient(services, case, records),
        payer_name=payer_names(services).get(case.payer, case.payer),
    )


def open_form(services: Services, actor: Actor, case_id: str, form_id: str) -> FormSheet:
    """One form of a case. NotFound for a case or form that is not there."""
    sheet = open_case(services, actor, case_id)
    require_access(actor.caller, "form.read", _about(sheet.case))
    form = sheet.facts.form(form_id)
    if form is None:
        raise NotFound("The case has no such form.")
    view = forms.view_of(services, sheet.case, sheet.facts, form)
    can_answer = "form.answer" in sheet.allowed and form.status != "completed" and view is not None
    return FormSheet(sheet=sheet, form=form, view=view, can_answer=can_answer)


def load_events(services: Services, actor: Actor, case_id: str, after_seq: int) -> tuple[EventRow, ...]:
    """Events of the case behind a number. NotFound."""
    case = views.readable(services, actor, case_id)
    with services.store.read() as tx:
        return tx.events.list(case.tenant_id, case.case_id, after_seq)


def load_object(services: Services, actor: Actor, case_id: str, digest: str) -> tuple[ObjectRow, bytes]:
    """Bytes kept for the case and what is known of them. NotFound; IntegrityError for damaged bytes."""
    case = views.readable(services, actor, case_id)
    with services.store.read() as tx:
        described = tx.objects.describe(case.tenant_id, case.case_id, digest)
        return described, tx.objects.get(case.tenant_id, case.case_id, digest)


def verify(services: Services, actor: Actor, case_id: str) -> provenance.Report:
    """What `pa-verify` says of the case's evidence with our own anchors. NotFound, AccessError."""
    case = views.readable(services, actor, case_id)
    require_access(actor.caller, "audit.verify", _about(case))
    return evidence.verify(services, case)


def _about(case: CaseRow) -> CaseFacts:
    return CaseFacts(tenant=case.tenant_id, state=CaseState(case.state))


def _allowed(services: Services, actor: Actor, case: CaseRow, facts: Facts) -> frozenset[str]:
    """What may be done: by the access table first, then by what the case has behind it."""
    about = _about(case)
    named = {action: f"case.{action}" for action in (*ACTIONS, "evidence")}
    named |= {action: action for action in ("form.answer", "form.continue", "form.complete", "audit.verify")}
    named |= {action: action for action in ("template.answer", "exam.record", "measure.enter", "care.start")}
    found = {name for name, action in named.items() if decide_access(actor.caller, action, about).allowed}
    if not facts.submission_id:
        found.discard("inquire")
    if facts.timer or case.state != CaseState.HELD:
        found.discard("care.start")
    if not is_stopped(case, facts):
        found.discard("override")
    outcome = decide_outcome(case, facts, in_force(services, case, facts))
    if outcome is not Outcome.NOTHING:
        found.discard("override")
        if outcome is Outcome.HELD or case.state != CaseState.NEEDS_ATTENTION:
            found.discard("recheck")
    return frozenset(found)


def _release(services: Services, case: CaseRow, facts: Facts) -> tuple[tuple[str, ...], bool]:
    if case.state != CaseState.READY or not facts.document:
        return (), False
    decision = submit.decide(services, case, facts)
    return decision.reasons, decision.person_may_release


def _manifest(services: Services, case: CaseRow, facts: Facts) -> tuple[dict[str, str], tuple[str, ...]]:
    """Records of the chart by reference; where their list is damaged, a sentence instead of no page at all."""
    if not facts.snapshot:
        return {}, ()
    try:
        manifest = parse_json(ledger.load_object(services, case, facts.snapshot))
    except GatewayError:
        return {}, (DAMAGED,)
    records = {line["reference"]: line["digest"] for line in manifest["resources"]}
    return records, tuple(str(finding) for finding in manifest["findings"])


def _evaluation(services: Services, case: CaseRow) -> Mapping[str, Any]:
    try:
        return views.evaluation(services, case)
    except GatewayError:
        return {}  # as above: the case is shown, `verify` says what is damaged


def _patient(services: Services, case: CaseRow, records: Mapping[str, str]) -> Json:
    digest = records.get(case.patient_reference)
    if digest is None:
        return {}
    try:
        found: Json = parse_json(ledger.load_object(services, case, digest))
    except GatewayError:
        return {}  # as above
    return found
