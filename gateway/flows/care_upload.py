"""Visits of an outside clinic: handed in by staff, shown, and counted only after a person confirmed them.

The bytes are kept as they came. A confirmed visit becomes a Procedure of the EHR, whose record names the file it was
read from; from there it is counted like any other. Source: spec/clinical.md §2.1; security T32.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from gateway.cases.states import CaseState
from gateway.clinical.protocol_names import IDENTIFIERS, urn_of
from gateway.clinical.protocol_visits import (
    MAX_BYTES,
    Bounds,
    Person,
    Visit,
    build_procedure,
    read_person,
    read_visits,
)
from gateway.clinical.therapy import read_sessions
from gateway.errors import Conflict, InputError, NotFound, TooLarge
from gateway.fhir.codes import CPT
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.care_access import require_running
from gateway.flows.care_calendar import WATCH
from gateway.flows.care_chart import Reading, read_now
from gateway.flows.care_facts import Kept, TimerFacts, read_facts
from gateway.flows.ledger import FHIR_JSON, Act, Item
from gateway.flows.services import Services
from gateway.policy.access import CaseFacts, require_access
from gateway.store import Tx
from gateway.store.care_rows import TimerRow, UploadRow
from gateway.store.rows import CaseRow

MOST_BYTES = MAX_BYTES
"""Largest file that is taken."""
MEDIA_TYPES = {".csv": "text/csv", ".json": FHIR_JSON}
"""Ending of a file's name → media type under which it is read and kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a file would add."""

    upload: UploadRow
    """The file."""
    visits: tuple[Visit, ...]
    """What it says."""
    known_days: frozenset[date]
    """Days of sessions that are on file already."""

    @property
    def fresh(self) -> tuple[Visit, ...]:
        """Visits that would be added: they count, and their day is not on file yet; one for each day."""
        days: dict[date, Visit] = {}
        for visit in self.visits:
            if visit.counts and visit.day not in self.known_days:
                days.setdefault(visit.day, visit)
        return tuple(days.values())


def media_type_of(name: str) -> str:
    """How a file of that name is read. InputError for another ending than `.csv` and `.json`."""
    found = next((kind for ending, kind in MEDIA_TYPES.items() if name.lower().endswith(ending)), "")
    if not found:
        raise InputError("A .csv file or a FHIR Bundle as .json is expected.", code="visits.kind", status=415)
    return found


def hand_in(services: Services, actor: Actor, case_id: str, raw: bytes, media_type: str) -> Preview:
    """Read a file of visits, keep its bytes and show what it would add; nothing counts yet.

    Raises TooLarge, InputError for a file that cannot be used, Conflict where no care runs, EhrError.
    """
    case = _load(services, actor, case_id, "care.upload")
    require_running(services, case)
    if len(raw) > MAX_BYTES:
        raise TooLarge("A file of visits has at most one megabyte; export only this patient's visits.")
    reading = read_now(services, case, with_appointments=False)
    visits = read_visits(raw, media_type, _person(case, reading), _bounds(reading))
    upload_id = services.new_id()

    def once() -> CaseRow:
        current = _load(services, actor, case_id, "care.upload")
        timer = require_running(services, current)
        row = UploadRow(
            tenant_id=current.tenant_id,
            upload_id=upload_id,
            timer_id=timer.timer_id,
            case_id=current.case_id,
            digest=hashlib.sha256(raw).hexdigest(),
            media_type=media_type,
            created_by=actor.label,
            created_at=services.clock.now(),
            visits=_write(visits, _days(reading)),
        )
        act = Act(
            verb="care-upload",
            about=(Item.body(raw, media_type),),
            actor=actor,
            note={"kind": "visits-shown", "count": len(visits), "digest": row.digest},
        )
        return ledger.append(services, current, act, also=lambda tx: _insert(tx, row))

    ledger.retry_on_conflict(once)
    return show(services, actor, case_id, upload_id)


def show(services: Services, actor: Actor, case_id: str, upload_id: str) -> Preview:
    """A file that was handed in, and what it adds. NotFound."""
    case = _load(services, actor, case_id, "care.read")
    with services.store.read() as tx:
        upload = tx.care_uploads.get(case.tenant_id, upload_id)
    if upload.case_id != case.case_id:
        raise NotFound("There is no such upload.")
    content: Mapping[str, Any] = json.loads(upload.visits)
    return Preview(
        upload=upload,
        visits=tuple(Visit(**{**item, "day": date.fromisoformat(item["day"])}) for item in content["visits"]),
        known_days=frozenset(date.fromisoformat(day) for day in content["known_days"]),
    )


def list_uploads(services: Services, actor: Actor, case_id: str) -> tuple[UploadRow, ...]:
    """Files that were handed in for the case's newest timer, oldest first."""
    case = _load(services, actor, case_id, "care.read")
    with services.store.read() as tx:
        timers = tx.timers.of_case(case.tenant_id, case.case_id)
        return tx.care_uploads.of_timer(case.tenant_id, timers[0].timer_id) if timers else ()


def confirm(services: Services, actor: Actor, case_id: str, upload_id: str) -> UploadRow:
    """A person looked at the visits: they are written to the EHR by a job and count from there.

    Conflict where the file was confirmed or discarded before, or no care runs.
    """

    def once() -> CaseRow:
        case = _load(services, actor, case_id, "care.upload")
        timer = require_running(services, case)
        preview = show(services, actor, case_id, upload_id)
        _require_open(preview.upload, timer)
        facts, objects = _with_visits(timer, read_facts(timer), preview)
        raw = ledger.load_object(services, case, preview.upload.digest)
        act = Act(
            verb="care-upload",
            about=(Item.body(raw, preview.upload.media_type),),
            actor=actor,
            note={"kind": "visits-confirmed", "count": len(objects), "digest": preview.upload.digest},
        )

        def also(tx: Tx) -> None:
            tx.care_uploads.update(timer.tenant_id, upload_id, preview.upload.version, state="counted")
            tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, facts=facts.to_text())
            soon = services.clock.now() + timedelta(minutes=1)
            tx.care_due.move(timer.tenant_id, timer.timer_id, WATCH, soon, 0)

        return ledger.append(services, case, act, objects=[(item, FHIR_JSON) for item in objects], also=also)

    ledger.retry_on_conflict(once)
    return show(services, actor, case_id, upload_id).upload


def discard(services: Services, actor: Actor, case_id: str, upload_id: str) -> UploadRow:
    """A person does not want the visits; the bytes and the history stay. Conflict as in `confirm`."""

    def once() -> CaseRow:
        case = _load(services, actor, case_id, "care.upload")
        preview = show(services, actor, case_id, upload_id)
        _require_open(preview.upload, None)
        raw = ledger.load_object(services, case, preview.upload.digest)
        act = Act(
            verb="care-upload",
            about=(Item.body(raw, preview.upload.media_type),),
            actor=actor,
            note={"kind": "visits-discarded", "digest": preview.upload.digest},
        )
        return ledger.append(services, case, act, also=lambda tx: _discarded(tx, preview.upload))

    ledger.retry_on_conflict(once)
    return show(services, actor, case_id, upload_id).upload


def _insert(tx: Tx, row: UploadRow) -> None:
    tx.care_uploads.insert(row)


def _discarded(tx: Tx, upload: UploadRow) -> None:
    tx.care_uploads.update(upload.tenant_id, upload.upload_id, upload.version, state="discarded")


def _load(services: Services, actor: Actor, case_id: str, action: str) -> CaseRow:
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    return case


def _require_open(upload: UploadRow, timer: TimerRow | None) -> None:
    if upload.state != "previewed":
        raise Conflict("These visits were confirmed or discarded already.", code="visits.done")
    if timer is not None and upload.timer_id != timer.timer_id:
        raise Conflict("These visits were handed in for an earlier timer; hand the file in again.", code="visits.timer")


def _person(case: CaseRow, reading: Reading) -> Person:
    """The patient of the chart, known also by the member numbers of the coverages."""
    patient = reading.snapshot.record.find(case.patient_reference) or {}
    return read_person(patient, reading.snapshot.record.of_type("Coverage"))


def _bounds(reading: Reading) -> Bounds:
    therapy = reading.chart.concepts.therapy
    return Bounds(
        first=reading.chart.from_on,
        today=reading.today,
        zone=reading.zone,
        counted=frozenset(reading.rule.pt.counts),
        shown=frozenset(therapy.evaluation_codes) | frozenset(therapy.referral_codes),
    )


def _days(reading: Reading) -> list[date]:
    """Days of sessions that are on file about the problem."""
    return sorted({item.day for item in read_sessions(reading.chart) if item.is_certain})


def _write(visits: tuple[Visit, ...], known: list[date]) -> str:
    lines = [{**asdict(visit), "day": visit.day.isoformat()} for visit in visits]
    return json.dumps({"visits": lines, "known_days": [day.isoformat() for day in known]})


def _with_visits(timer: TimerRow, facts: TimerFacts, preview: Preview) -> tuple[TimerFacts, list[bytes]]:
    """The facts with one Procedure to be written for each fresh visit, and the bytes of these."""
    referral = facts.resource("referral")
    objects: list[bytes] = []
    for visit in preview.fresh:
        key = f"visit-{hashlib.sha256(f'{visit.day}|{visit.code}'.encode()).hexdigest()[:12]}"
        if facts.resource(key) is not None:
            continue
        raw = dump_json(
            build_procedure(
                visit,
                {"system": IDENTIFIERS, "value": urn_of(timer.timer_id, key)},
                timer.patient_reference,
                facts.problem,
                referral.reference if referral and not referral.is_declined else "",
                CPT,
            )
        )
        kept = Kept(
            key=key,
            draft=hashlib.sha256(raw).hexdigest(),
            source=preview.upload.digest,
            source_type=preview.upload.media_type,
        )
        facts = facts.with_resource(kept)
        objects.append(raw)
    return replace(facts, hold_until=""), objects
