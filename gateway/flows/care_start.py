"""Starting conservative care: what it would make, what a person confirms, and what comes of it.

A start makes drafts and a row; a job writes the drafts to the EHR. Nothing becomes final before a clinician signs,
and no drug is proposed that nobody chose. Source: spec/clinical.md §2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.clinical.concepts import diagnoses
from gateway.clinical.conditions import is_active
from gateway.clinical.protocol import Choice, packaged_protocol
from gateway.clinical.protocol_choice import Offer, offer_drugs
from gateway.clinical.protocol_resources import Reported, Start, build_drafts
from gateway.errors import Conflict, InputError
from gateway.fhir.references import reference_text
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.care_access import load_case, newest_timer
from gateway.flows.care_chart import Reading, judge, read_now
from gateway.flows.care_pilot import orderer, require_timer
from gateway.flows.care_store import episode_key, store_start
from gateway.flows.extract import load_snapshot
from gateway.flows.services import Services
from gateway.reasoning.record import reference_of
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow

NO_DRUG = "none"
"""What a person says who wants no drug; saying nothing is refused."""


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
    case, facts = load_case(services, actor, case_id, "care.start")
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
    case, _ = load_case(services, actor, case_id, "care.start")
    reading = read_now(services, case, with_appointments=False)
    _require_startable(services, case, reading)
    _require_negative(reading, said)
    choice, reported = _choice(said), _reported(services, reading, said)

    def once() -> CaseRow:
        now_case, facts = load_case(services, actor, case_id, "care.start")
        timer_id = services.new_id()
        made, _ = _start_of(services, now_case, reading, choice, reported, actor.practitioner, timer_id)
        return store_start(services, actor, now_case, facts, reading, made)

    return newest_timer(services, ledger.retry_on_conflict(once))


def _require_startable(services: Services, case: CaseRow, reading: Reading) -> None:
    """Steps: (1) a red flag goes first; (2) something is missing at all; (3) the pilot includes the clinician."""
    if reading.found.red_flag != "none":  # (1)
        raise Conflict(
            "A red-flag question is open; document it before conservative care is started.", code="care.red-flag"
        )
    if reading.found.verdict == "PASS":  # (2)
        raise Conflict("The rule is satisfied already; check the case again instead.", code="care.satisfied")
    require_timer(services, _practitioner(case, reading))  # (3)
    if _running(services, case, reading) is not None:
        raise Conflict(
            "Conservative care already runs for this patient and problem; open that timer.", code="care.running"
        )


def running_case(services: Services, actor: Actor, case_id: str) -> str:
    """Id of the case whose timer runs for the same patient and problem; empty where none does."""
    case, facts = load_case(services, actor, case_id, "care.start")
    if not facts.snapshot:
        return ""
    timer = _running(services, case, judge(services, case, load_snapshot(services, case, facts)))
    return timer.case_id if timer else ""


def _running(services: Services, case: CaseRow, reading: Reading) -> TimerRow | None:
    with services.store.read() as tx:
        earlier = tx.timers.of_episode(case.tenant_id, episode_key(case, reading.chart.region.name))
    return next((timer for timer in earlier if timer.state == "running"), None)


def _practitioner(case: CaseRow, reading: Reading) -> str:
    return orderer(reading.snapshot.record, reference_text(reading.order.get("requester")))


def _screens(reading: Reading) -> tuple[tuple[str, str], ...]:
    labels = {flag.screen: flag.label for flag in reading.chart.concepts.red_flag}
    return tuple((code, labels.get(code, code)) for code in reading.chart.concepts.red_flags.screens)


def _require_negative(reading: Reading, said: Confirmation) -> None:
    screens = dict(_screens(reading))
    if said.negative - set(screens):
        raise InputError(
            f"A name that was given is no red-flag screen of this case; these are: {', '.join(screens)}.",
            code="care.screens",
            status=422,
        )
    missing = [label for code, label in screens.items() if code not in said.negative]
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
        region=reading.chart.region.name,
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
    period = draft.get("restriction", {}).get("period", {})
    window = f", {period['start']} to {period['end']}" if period else ""
    return str(draft.get("title") or named or key.replace("-", " ")) + window
