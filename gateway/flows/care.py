"""What people do to conservative care: start a timer, sign its drafts, end it.

A start makes drafts and a row; a job writes the drafts to the EHR. Nothing becomes final before a clinician signs,
and no drug is proposed that nobody chose. Source: spec/clinical.md §2.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import provenance
from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.clinical.concepts import diagnoses
from gateway.clinical.conditions import is_active
from gateway.clinical.protocol import Choice, packaged_protocol
from gateway.clinical.protocol_choice import Offer, offer_drugs
from gateway.clinical.protocol_resources import Reported, Start, build_drafts
from gateway.clock import write_instant
from gateway.errors import Conflict, InputError, NotFound
from gateway.fhir.json import dump_json
from gateway.fhir.references import reference_text
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.care_calendar import SOON, WATCH, due_rows
from gateway.flows.care_chart import Reading, judge, read_now
from gateway.flows.care_day import last_day
from gateway.flows.care_end import ending, without_hold
from gateway.flows.care_facts import Kept, TimerFacts
from gateway.flows.care_facts import read_facts as read_timer
from gateway.flows.care_pilot import orderer, require_timer
from gateway.flows.extract import load_snapshot
from gateway.flows.ledger import FHIR_JSON, Act, Item
from gateway.flows.services import Services
from gateway.policy.access import CaseFacts, require_access
from gateway.reasoning.record import reference_of
from gateway.store import Tx
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow

NO_DRUG = "none"
"""What a person says who wants no drug; saying nothing is refused."""
MIN_REASON = 5
"""Least number of characters of a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What starting a timer would do."""

    screens: tuple[tuple[str, str], ...]
    """Code and words of each red-flag screen that must be confirmed as negative; none is ticked."""
    offer: Offer
    """Drugs to choose from; none is chosen."""
    day_zero: date
    """Day 0; an earlier one where care of this problem was begun before."""
    days: int
    """Days to the decision."""
    rule: str
    """Rule row, `id|version`."""
    rule_status: str
    """illustrative or verified."""
    drafts: tuple[tuple[str, str], ...]
    """Type and words of each draft that will be made."""
    is_restart: bool
    """An earlier timer gave day 0."""

    @property
    def ends_on(self) -> date:
        """Day of the decision."""
        return self.day_zero + timedelta(days=self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """What a person said when starting a timer."""

    negative: frozenset[str]
    """Codes of the screens confirmed as negative."""
    choice: str
    """Key of the drug chosen, or `none`."""
    reported: str = ""
    """RxNorm ingredient that the patient takes already; empty for none."""
    reported_since: date | None = None
    """Since when."""
    reported_as_needed: bool = True
    """Taken as needed only."""


def propose(services: Services, actor: Actor, case_id: str) -> Proposal:
    """What starting a timer would do, from the chart as last read. Conflict where it makes no sense."""
    case, facts = _load(services, actor, case_id, "care.start")
    if not facts.snapshot:
        raise Conflict("The chart has not been read yet; try again in a moment.", code="care.not-read")
    reading = judge(services, case, load_snapshot(services, case, facts))
    _require_startable(services, case, reading)
    start, is_restart = _start_of(services, case, reading, None, None, "", services.new_id())
    drafts = build_drafts(start, packaged_protocol(), reading.chart.concepts)
    return Proposal(
        screens=_screens(reading),
        offer=offer_drugs(reading.chart, packaged_protocol()),
        day_zero=start.day_zero,
        days=start.days,
        rule=f"{reading.rule.rule_id}|{reading.rule.version}",
        rule_status=reading.rule.status,
        drafts=tuple((str(draft["resourceType"]), _words(key, draft)) for key, draft in drafts.items()),
        is_restart=is_restart,
    )


def start(services: Services, actor: Actor, case_id: str, said: Confirmation) -> TimerRow:
    """Start the timer: store it with its milestones and drafts; a job writes the drafts to the EHR.

    Raises InputError where a screen is not confirmed or no choice of a drug was made, Conflict where a timer runs
    already, a red flag is open, or the pilot does not include the clinician, EhrError where the chart cannot be read.
    """
    case, _ = _load(services, actor, case_id, "care.start")
    reading = read_now(services, case, with_appointments=False)
    _require_startable(services, case, reading)
    _require_negative(reading, said)
    choice, reported = _choice(said), _reported(services, reading, said)

    def once() -> CaseRow:
        now_case, facts = _load(services, actor, case_id, "care.start")
        timer_id = services.new_id()
        made, _ = _start_of(services, now_case, reading, choice, reported, actor.practitioner, timer_id)
        return _store(services, actor, now_case, facts, reading, made, said)

    return _newest(services, ledger.retry_on_conflict(once))


def sign(services: Services, actor: Actor, case_id: str, keys: frozenset[str]) -> TimerRow:
    """A clinician signs the drafts: those of `drug` and `referral` that are not in `keys` are declined.

    The plan, its Tasks and the screens always become active with it. Raises Conflict where nothing waits for it.
    """

    def once() -> CaseRow:
        case, _ = _load(services, actor, case_id, "care.sign")
        timer = require_running(services, case)
        facts = read_timer(timer)
        if timer.phase != "draft":
            raise Conflict("This plan is signed already.", code="care.signed")
        if any(not item.reference for item in facts.resources):
            raise Conflict("The drafts are still being written to the EHR; try again in a moment.", code="care.writing")
        return _signed(services, actor, case, timer, facts, keys)

    return _newest(services, ledger.retry_on_conflict(once))


def cancel(services: Services, actor: Actor, case_id: str, reason: str) -> TimerRow:
    """A person ends the timer with a reason that is kept. Conflict where none runs."""
    if len(reason.strip()) < MIN_REASON:
        raise InputError("Say in a few words why conservative care ends.", code="care.reason", status=422)

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "care.cancel")
        timer = require_running(services, case)
        end = ending(services, case, timer, read_timer(timer), "cancelled", "by-person", actor=actor, words=reason)
        sentence = end.sentence if case.state == CaseState.HELD else ""
        facts = without_hold(services, facts)
        return ledger.append(services, case, end.act, next_action=sentence, facts=facts, also=end.also)

    return _newest(services, ledger.retry_on_conflict(once))


def require_running(services: Services, case: CaseRow) -> TimerRow:
    """The timer that runs for the case; Conflict where none does."""
    facts = read_facts(case.facts)
    with services.store.read() as tx:
        timer = tx.timers.get(case.tenant_id, facts.timer) if facts.timer else None
    if timer is None or timer.state != "running":
        raise Conflict("No conservative care runs for this case.", code="care.none")
    return timer


def _load(services: Services, actor: Actor, case_id: str, action: str) -> tuple[CaseRow, Facts]:
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    return case, read_facts(case.facts)


def _newest(services: Services, case: CaseRow) -> TimerRow:
    with services.store.read() as tx:
        return tx.timers.get(case.tenant_id, read_facts(case.facts).timer)


def _require_startable(services: Services, case: CaseRow, reading: Reading) -> None:
    """Steps: (1) a red flag goes first; (2) something is missing at all; (3) the pilot includes the clinician."""
    if reading.found.red_flag != "none":  # (1)
        raise Conflict(
            "A red-flag question is open; document it before conservative care is started.", code="care.red-flag"
        )
    if reading.found.verdict == "PASS":  # (2)
        raise Conflict("The rule is satisfied already; check the case again instead.", code="care.satisfied")
    require_timer(services, _practitioner(case, reading))  # (3)
    with services.store.read() as tx:
        earlier = tx.timers.of_episode(case.tenant_id, episode_key(case, reading.chart.region.name))
    if any(timer.state == "running" for timer in earlier):
        raise Conflict(
            "Conservative care already runs for this patient and problem; open that timer.", code="care.running"
        )


def _practitioner(case: CaseRow, reading: Reading) -> str:
    return orderer(reading.snapshot.record, reference_text(reading.order.get("requester")))


def episode_key(case: CaseRow, region: str) -> str:
    """Hex digest of patient and region: what one timer runs for."""
    parts = (case.ehr_id, case.patient_reference, region)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _screens(reading: Reading) -> tuple[tuple[str, str], ...]:
    labels = {flag.screen: flag.label for flag in reading.chart.concepts.red_flag}
    return tuple((code, labels.get(code, code)) for code in reading.chart.concepts.red_flags.screens)


def _require_negative(reading: Reading, said: Confirmation) -> None:
    missing = [label for code, label in _screens(reading) if code not in said.negative]
    if missing:
        raise InputError(
            f"Confirm each red-flag screen as negative first; not confirmed: {', '.join(missing)}.",
            code="care.screens",
            status=422,
        )


def _choice(said: Confirmation) -> Choice | None:
    if said.choice == NO_DRUG:
        return None
    found = packaged_protocol().choice_named(said.choice)
    if found is None:
        raise InputError("Choose a drug, or say that none is wanted.", code="care.choice", status=422)
    return found


def _reported(services: Services, reading: Reading, said: Confirmation) -> Reported | None:
    """The drug that the patient takes already, as told."""
    if not said.reported:
        return None
    drug = services.concepts.drug_of(said.reported)
    if drug is None or said.reported_since is None or said.reported_since > reading.today:
        raise InputError(
            "Name the drug the patient takes and the day since when; the day may not be in the future.",
            code="care.reported",
            status=422,
        )
    return Reported(
        ingredient=drug.ingredient,
        label=drug.name,
        since=said.reported_since,
        as_needed=said.reported_as_needed,
    )


def _start_of(
    services: Services,
    case: CaseRow,
    reading: Reading,
    choice: Choice | None,
    reported: Reported | None,
    screened_by: str,
    timer_id: str,
) -> tuple[Start, bool]:
    """Everything a timer is made from, and whether an earlier one of the episode gave day 0."""
    outcome = reading.outcome
    day_zero = _earlier_day_zero(services, case, reading)
    made = Start(
        timer_id=timer_id,
        patient=case.patient_reference,
        problem=_problem(reading),
        practitioner=_practitioner(case, reading),
        owner=services.settings.pilot.coordinator,
        screened_by=screened_by,
        day_zero=day_zero or reading.today,
        days=reading.found.required_days,
        zone=reading.zone,
        at=services.clock.now(),
        choice=choice,
        reported=reported,
        outcome=outcome,
        measure=reading.chart.concepts.measure_named(outcome.measure) if outcome else None,
    )
    return made, day_zero is not None


def _earlier_day_zero(services: Services, case: CaseRow, reading: Reading) -> date | None:
    """Day 0 of the episode's last timer while that one could still run; None where a new count begins."""
    with services.store.read() as tx:
        earlier = tx.timers.of_episode(case.tenant_id, episode_key(case, reading.chart.region.name))
    if not earlier:
        return None
    longest = earlier[0].days + packaged_protocol().expires_after_days
    return earlier[0].started_on if (reading.today - earlier[0].started_on).days < longest else None


def _problem(reading: Reading) -> str:
    """`Condition/id` that is treated: the order's own reason first, else an active problem of the rule."""
    record, wanted = reading.snapshot.record, set(reading.rule.indications)
    own = [record.find(reference_text(item)) for item in reading.order.get("reasonReference") or ()]
    candidates = [item for item in own if item is not None] + list(record.of_type("Condition"))
    for condition in candidates:
        named = condition.get("resourceType") == "Condition" and set(diagnoses(condition.get("code"))) & wanted
        if named and is_active(condition, reading.chart):
            return reference_of(condition)
    raise Conflict(
        "The problem that is to be treated is not on the patient's problem list; record it first.",
        code="care.problem",
    )


def _words(key: str, draft: Mapping[str, Any]) -> str:
    code = draft.get("code") or draft.get("medicationCodeableConcept") or draft.get("description") or {}
    named = str(code.get("text", "")) if isinstance(code, Mapping) else ""
    return str(draft.get("title") or named or key.replace("-", " "))


def _store(
    services: Services, actor: Actor, case: CaseRow, facts: Facts, reading: Reading, made: Start, said: Confirmation
) -> CaseRow:
    """The timer, its milestones and its drafts in one transaction with the person's event."""
    drafts = {
        key: dump_json(draft) for key, draft in build_drafts(made, packaged_protocol(), reading.chart.concepts).items()
    }
    kept = tuple(Kept(key=key, draft=hashlib.sha256(raw).hexdigest()) for key, raw in drafts.items())
    timer = _row(services, case, reading, made, kept)
    record = provenance.salted_record("care-start", _said(made, said, reading))
    act = Act(
        verb="care-start",
        about=(Item.body(record, "application/json"),),
        sources=_evidence(reading),
        actor=actor,
        policy=(f"urn:pa-gateway:rule:{reading.rule.rule_id}|{reading.rule.version}",),
        note={"kind": "timer-start", "until": made.ends_on.isoformat(), "count": len(drafts)},
    )
    calendar = due_rows(timer, services.clock.now())

    def also(tx: Tx) -> None:
        tx.timers.insert(timer)
        tx.care_due.insert(calendar)

    return ledger.append(
        services,
        case,
        act,
        next_action=f"Conservative care until {made.ends_on.isoformat()}; a clinician signs the drafts.",
        facts=replace(facts, timer=timer.timer_id, held_until=_held_until(facts, timer)),
        objects=[(raw, FHIR_JSON) for raw in drafts.values()],
        also=also,
    )


def _held_until(facts: Facts, timer: TimerRow) -> str:
    """When the held case is looked at by itself again: behind the timer, which looks more often."""
    return last_day(timer).isoformat() if facts.held_until else ""


def _row(services: Services, case: CaseRow, reading: Reading, made: Start, kept: tuple[Kept, ...]) -> TimerRow:
    facts = TimerFacts(
        region=reading.chart.region.name,
        rule=f"{reading.rule.rule_id}|{reading.rule.version}",
        problem=made.problem,
        owner=made.owner,
        screened_by=made.screened_by,
        resources=kept,
    )
    return TimerRow(
        tenant_id=case.tenant_id,
        timer_id=made.timer_id,
        case_id=case.case_id,
        ehr_id=case.ehr_id,
        patient_reference=case.patient_reference,
        episode_key=episode_key(case, reading.chart.region.name),
        practitioner=made.practitioner,
        started_on=made.day_zero,
        days=made.days,
        zone=made.zone,
        created_at=services.clock.now(),
        facts=facts.to_text(),
    )


def _said(made: Start, said: Confirmation, reading: Reading) -> dict[str, Any]:
    """What the person confirmed, as it is kept: six explicit answers, the choice, the calendar."""
    return {
        "timer": made.timer_id,
        "screens": {code: "no" for code, _ in _screens(reading)},
        "choice": said.choice,
        "reported": said.reported,
        "day_zero": made.day_zero.isoformat(),
        "decision_on": made.ends_on.isoformat(),
        "at": write_instant(made.at),
    }


def _evidence(reading: Reading) -> tuple[Item, ...]:
    cited = {reference for element in reading.found.elements for reference in element.evidence}
    cited.add(reference_of(reading.order))
    return tuple(Item.resource(item.full_url, item.raw) for item in reading.snapshot.kept if item.reference in cited)


def _signed(
    services: Services, actor: Actor, case: CaseRow, timer: TimerRow, facts: TimerFacts, keys: frozenset[str]
) -> CaseRow:
    """The clinician's event over the drafts as the EHR holds them; the job brings them to their new status."""
    wanted = tuple(
        replace(item, is_declined=item.key in ("drug", "referral") and item.key not in keys) for item in facts.resources
    )
    about = tuple(
        Item.resource(services.address(case.ehr_id, item.reference), ledger.load_object(services, case, item.raw))
        for item in wanted
        if not item.is_declined
    )
    now = services.clock.now()
    changed = replace(facts, resources=wanted, signer=actor.practitioner, signed_at=now.isoformat())
    act = Act(
        verb="care-sign",
        about=about,
        actor=actor,
        note={"kind": "timer-sign", "count": len(about), "role": ",".join(actor.roles)},
    )

    def also(tx: Tx) -> None:
        tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, phase="signed", facts=changed.to_text())
        tx.care_due.move(timer.tenant_id, timer.timer_id, WATCH, now + SOON, 0)

    until = timer.started_on + timedelta(days=timer.days)
    return ledger.append(
        services, case, act, next_action=f"Conservative care runs until {until.isoformat()}.", also=also
    )


def find_timer(services: Services, actor: Actor, case_id: str) -> tuple[CaseRow, TimerRow]:
    """A case and its newest timer. NotFound where there is none."""
    case, facts = _load(services, actor, case_id, "care.read")
    if not facts.timer:
        raise NotFound("No conservative care was started for this case.", code="care.never")
    with services.store.read() as tx:
        return case, tx.timers.get(case.tenant_id, facts.timer)
