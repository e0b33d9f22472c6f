"""What becomes of a timer: signed or not, improved, flagged, ended by people, by time, by a case that moved on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.charts import all_charts
from gateway.errors import AccessError, Conflict, EhrError, InputError
from gateway.flows import actions, care, care_pilot, care_start, care_upload, care_views, desk, evidence
from gateway.flows.actors import Actor
from gateway.settings import PilotSettings
from tests.care_house import SCREENS, Patient, chart, clinician, confirmed, local, order_of
from tests.flows_house import AUDITOR, STAFF, House, Killed, open_house

NO_FORM = """
id = "default"
title = "Authorization wanted, no form"
payer = "*"
default = true
[crd]
covered = "covered"
pa_needed = "auth-needed"
[submit]
decision = "approved"
"""
CSV = "mrn,birth_date,date,code,status\nSYN-MRN-P02,1949-07-02,{day},97110,completed\n"


@contextmanager
def under_care(folder: Path, *, signed: bool = True, choice: str = "naproxen-500", **more: Any) -> Iterator[Any]:
    """A patient whose timer was started on day 0, and the case."""
    bundle = chart(**more)
    with open_house(folder, [bundle]) as house:
        patient = Patient(house, bundle)
        case_id = held(patient)
        care_start.start(house.services, STAFF, case_id, confirmed(choice))
        patient.settle()
        if signed:
            care.sign(house.services, clinician(bundle), case_id, frozenset({"drug", "referral"}))
            patient.settle()
        yield patient, case_id


def held(patient: Patient) -> str:
    """The order is handed in and held on day 0."""
    patient.house.clock.instant = local(0, "10:00")
    case_id = patient.post()
    patient.settle()
    assert patient.house.case(case_id).state == "held"
    return case_id


def status_of(patient: Patient, kind: str) -> list[str]:
    """Statuses of the resources of a type that carry one of our identifiers, sorted."""
    own = [item for item in patient.find(kind) if item.get("identifier", [{}])[0].get("system") == "urn:ietf:rfc:3986"]
    return sorted(str(item.get("status", item.get("lifecycleStatus"))) for item in own)


def test_drafts_are_written_once_and_become_active_when_signed(tmp_path: Path) -> None:
    with under_care(tmp_path, signed=False) as (patient, case_id):
        house: House = patient.house
        kinds = ("CarePlan", "MedicationRequest", "ServiceRequest", "Observation", "Goal")
        drafts = {kind: status_of(patient, kind) for kind in kinds}
        assert drafts == {
            "CarePlan": ["draft"],
            "MedicationRequest": ["draft"],
            "ServiceRequest": ["draft"],
            "Observation": ["preliminary"] * 6,
            "Goal": ["proposed"],
        }
        (plan,) = patient.find("CarePlan")
        targets = [item["reference"]["reference"] for item in plan["activity"] if "reference" in item]
        assert [target.split("/")[0] for target in targets] == ["MedicationRequest", "ServiceRequest", *["Task"] * 3]
        with pytest.raises(AccessError):
            care.sign(house.services, Actor(id="s", kind="user", tenant="main", roles=("staff",)), case_id, frozenset())
        care.sign(house.services, clinician(patient.bundle), case_id, frozenset({"referral"}))
        patient.settle()
        signed = {kind: status_of(patient, kind) for kind in kinds}
        assert signed == {
            "CarePlan": ["active"],
            "MedicationRequest": ["cancelled"],
            "ServiceRequest": ["active"],
            "Observation": ["final"] * 6,
            "Goal": ["active"],
        }
        with pytest.raises(Conflict):
            care.sign(house.services, clinician(patient.bundle), case_id, frozenset({"drug"}))
        verbs = [event.verb for event in house.events(case_id)]
        assert verbs.count("care-start") == verbs.count("care-sign") == 1
        made = [event for event in house.events(case_id) if event.note.get("kind") == "care"]
        assert {event.actor for event in made} == {"gateway"}, "what the gateway assembles is not authored by a person"
        report = evidence.verify(house.services, house.case(case_id))
        assert "FAILED" not in str(report.verdict).upper()
        exported = house.call("GET", f"/cases/{case_id}/evidence", by="ada")
        assert exported.status_code == 200


def test_a_plan_signed_in_the_ehr_is_signed(tmp_path: Path) -> None:
    with under_care(tmp_path, signed=False) as (patient, case_id):
        (plan,) = patient.find("CarePlan")
        patient.house.ehr_store.update("CarePlan", plan["id"], plan | {"status": "active"}, None)
        patient.at(1)
        assert patient.timer(case_id).phase == "signed"
        assert status_of(patient, "Observation") == ["final"] * 6
        screens = [item for item in patient.find("Observation") if item.get("identifier")]
        assert len(screens) == 6
        assert not any("performer" in item for item in screens), "who screened is not known"
        assert (status_of(patient, "MedicationRequest"), status_of(patient, "ServiceRequest")) == (["draft"], ["draft"])
        with pytest.raises(Conflict):
            care.sign(patient.house.services, clinician(patient.bundle), case_id, frozenset({"drug"}))
        found = [event for event in patient.house.events(case_id) if event.note.get("kind") == "signed-in-ehr"]
        assert [event.actor for event in found] == ["ehr:ehr"]


def test_a_start_asks_for_every_screen_a_choice_and_no_second_timer(tmp_path: Path) -> None:
    bundle = chart()
    with open_house(tmp_path, [bundle]) as house:
        patient = Patient(house, bundle)
        case_id = held(patient)
        before = len(house.events(case_id))
        refused: list[tuple[care_start.Confirmation, str]] = [
            (confirmed(negative=SCREENS - {"rf3"}), "care.screens"),
            (confirmed(negative=frozenset()), "care.screens"),
            (confirmed(negative=SCREENS | {"nope"}), "care.screens"),
            (confirmed(""), "care.choice"),
            (confirmed("aspirin"), "care.choice"),
            (confirmed(reported="999"), "care.reported"),
            (confirmed(reported="5640"), "care.reported"),
            (confirmed(reported="5640", reported_since=local(1).date()), "care.reported"),
        ]
        for said, code in refused:
            with pytest.raises(InputError) as caught:
                care_start.start(house.services, STAFF, case_id, said)
            assert caught.value.reason == code
        with pytest.raises(AccessError):
            care_start.start(house.services, AUDITOR, case_id, confirmed())
        assert len(house.events(case_id)) == before, "nothing was made"
        said = confirmed("none", reported="5640", reported_since=local(-7).date())
        care_start.start(house.services, STAFF, case_id, said)
        with pytest.raises(Conflict) as running:
            care_start.start(house.services, STAFF, case_id, confirmed())
        assert running.value.reason == "care.running"
        patient.settle()
        (statement,) = patient.find("MedicationStatement")
        assert statement["dosage"][0]["asNeededBoolean"] is True
        assert status_of(patient, "MedicationRequest") == []


def test_an_open_red_flag_goes_before_the_timer(tmp_path: Path) -> None:
    with open_house(tmp_path, [chart(screens={"rf2": True})]) as house:
        patient = Patient(house, chart(screens={"rf2": True}))
        case_id = held(patient)
        with pytest.raises(Conflict) as caught:
            care_start.start(house.services, STAFF, case_id, confirmed())
        assert caught.value.reason == "care.red-flag"


def test_improvement_ends_the_timer_and_nothing_is_sent(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        patient.score(2, 30)
        patient.at(3)
        assert patient.timer(case_id).state == "running"
        patient.score(20, 20)
        patient.at(20)
        timer = patient.timer(case_id)
        assert (timer.state, timer.reason) == ("cancelled", "improving")
        case = patient.house.case(case_id)
        assert case.state == "held"
        assert "imaging is not yet supported" in case.next_action
        patient.at(21)
        assert status_of(patient, "CarePlan") == ["revoked"]
        assert patient.house.payers.sent("/$submit") == []
        assert {row.outcome for row in patient.rows(case_id).values()} <= {"met", "missing", "void"}


def test_a_finding_reopens_the_panel_once_and_a_documented_one_is_for_the_case(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        patient.visit(5, "EMER")
        patient.at(5)
        case = patient.house.case(case_id)
        assert "emergency visit" in case.next_action
        patient.at(6)
        patient.at(7)
        alarms = [event for event in patient.house.events(case_id) if event.note.get("kind") == "alarm"]
        assert [event.note["reason"] for event in alarms] == ["emergency-visit"]
        assert sum("panel again" in str(task.get("description")) for task in patient.find("Task")) == 1
        patient.screens(9, rf2=True)
        patient.at(9)
        alarms = [event for event in patient.house.events(case_id) if event.note.get("kind") == "alarm"]
        assert [event.note["reason"] for event in alarms] == ["emergency-visit", "red-flag"]


def test_a_person_ends_it_and_a_new_timer_keeps_day_0(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        services = patient.house.services
        patient.at(10)
        with pytest.raises(InputError):
            care.cancel(services, STAFF, case_id, "no")
        care.cancel(services, STAFF, case_id, "The patient wants to wait.")
        with pytest.raises(Conflict):
            care.cancel(services, STAFF, case_id, "The patient wants to wait.")
        first = patient.timer(case_id)
        patient.settle()
        patient.house.clock.instant = local(12)
        proposal = care_start.propose(services, STAFF, case_id)
        assert (proposal.day_zero, proposal.is_restart) == (first.started_on, True)
        care_start.start(services, STAFF, case_id, confirmed("none"))
        second = patient.timer(case_id)
        assert (second.started_on, second.state) == (first.started_on, "running")
        assert second.timer_id != first.timer_id
        patient.at(12, "15:00")
        assert {name for name, row in patient.rows(case_id).items() if row.fired_at} == {"start", "baseline"}


def test_without_a_decision_it_expires_on_day_84(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        patient.at(43)
        assert "rule is not satisfied" in patient.house.case(case_id).next_action
        rows = patient.rows(case_id)
        assert (rows["decision"].outcome, rows["close-out"].fired_at) == ("missing", None)
        patient.at(56)
        assert patient.rows(case_id)["close-out"].outcome == "missing"
        patient.at(84)
        timer = patient.timer(case_id)
        assert (timer.state, timer.reason) == ("failed", "expired")
        patient.at(85)
        (task,) = [item for item in patient.find("Task") if item["status"] == "failed"]
        assert task["statusReason"] == {"text": "expired"}
        assert patient.house.case(case_id).state == "held"
        patient.house.clock.instant = local(86)
        assert not care_start.propose(patient.house.services, STAFF, case_id).is_restart, "a new count begins"


def test_what_moves_the_case_on_ends_the_timer(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        patient.at(2)
        actions.override(patient.house.services, clinician(patient.bundle), case_id, "Seen by a specialist.")
        patient.settle()
        timer = patient.timer(case_id)
        assert (timer.state, timer.reason) == ("cancelled", "override")
        assert patient.house.case(case_id).state == "documenting"


def test_a_closed_order_stops_no_care_and_one_made_in_error_does(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        _close(patient, "revoked")
        patient.at(8)
        assert patient.rows(case_id)["baseline"].outcome == "missing", "a clinician may write a new order at the end"
        assert patient.timer(case_id).state == "running"
        _close(patient, "entered-in-error")
        patient.at(9)
        timer = patient.timer(case_id)
        assert (timer.state, timer.reason) == ("cancelled", "not-applicable")


def _close(patient: Patient, status: str) -> None:
    order = patient.order | {"status": status}
    patient.house.ehr_store.update("ServiceRequest", order["id"], order, None)


def test_an_ehr_that_fails_costs_a_delay_and_no_milestone(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        down = [True]

        def refuse(request: httpx.Request) -> httpx.Response | None:
            return httpx.Response(503) if down[0] else None

        patient.house.ehr.rules.append(refuse)
        patient.at(8)
        assert patient.house.case(case_id).state == "held"
        assert patient.rows(case_id)["baseline"].fired_at is None
        (line,) = care_views.list_timers(patient.house.services, STAFF)
        assert line.is_delayed
        assert patient.timer_facts(case_id).tries == 1, "it is not hammered"
        down[0] = False
        patient.at(8, "13:00")
        assert patient.rows(case_id)["baseline"].outcome == "missing"
        patient.settle()
        assert not care_views.show_timer(patient.house.services, STAFF, case_id).is_delayed


def test_a_process_that_dies_between_ehr_and_database_makes_nothing_twice(tmp_path: Path) -> None:
    bundle = chart()
    with open_house(tmp_path, [bundle]) as house:
        patient = Patient(house, bundle)
        case_id = held(patient)
        care_start.start(house.services, STAFF, case_id, confirmed())
        count = [0]

        def die(request: httpx.Request, response: httpx.Response) -> None:
            count[0] += request.method == "POST"
            if request.method == "POST" and count[0] in (1, 5, 9):
                raise Killed

        house.ehr.after.append(die)
        for _ in range(6):
            try:
                patient.settle()
            except Killed:
                house.restart()
            house.clock.instant += timedelta(minutes=2)
        assert patient.timer_facts(case_id).resources[-1].reference
        assert {kind: len(status_of(patient, kind)) for kind in ("Goal", "MedicationRequest", "CarePlan", "Task")} == {
            "Goal": 1,
            "MedicationRequest": 1,
            "CarePlan": 1,
            "Task": 4,
        }
        patient.at(8)
        fired = [event.note["stage"] for event in house.events(case_id) if event.note.get("kind") == "milestone"]
        assert fired == ["start", "baseline"]


def test_visits_of_another_clinic_count_after_a_person_confirmed_them(tmp_path: Path) -> None:
    with under_care(tmp_path) as (patient, case_id):
        services = patient.house.services
        patient.session(3)
        patient.at(10)
        raw = "".join(
            CSV.format(day=day) if not number else CSV.format(day=day).splitlines()[1] + "\n"
            for number, day in enumerate(("2026-03-05", "2026-03-06", "2026-03-10"))
        ).encode()
        before = len(patient.house.events(case_id))
        with pytest.raises(InputError) as wrong:
            care_upload.hand_in(services, STAFF, case_id, raw.replace(b"P02", b"P03"), "text/csv")
        assert (wrong.value.reason, len(patient.house.events(case_id))) == ("visits.patient", before)
        preview = care_upload.hand_in(services, STAFF, case_id, raw, "text/csv")
        assert [visit.day.day for visit in preview.fresh] == [6, 10], "the session of the 5th is on file"
        patient.at(11)
        assert patient.timer_facts(case_id).progress["sessions"] == 1
        assert any("1 of 6 therapy sessions" in line for line in patient.house.facts(case_id).lines)
        care_upload.confirm(services, STAFF, case_id, preview.upload.upload_id)
        patient.at(11, "13:00")
        assert patient.timer_facts(case_id).progress["sessions"] == 3
        for again in (care_upload.confirm, care_upload.discard):
            with pytest.raises(Conflict):
                again(services, STAFF, case_id, preview.upload.upload_id)
        written = [event for event in patient.house.events(case_id) if str(event.note.get("stage")).startswith("visit")]
        assert len(written) == 2
        assert not any("2026" in str(event.note.get("stage")) for event in written)
        second = care_upload.hand_in(services, STAFF, case_id, raw, "text/csv")
        assert second.fresh == ()
        care_upload.discard(services, STAFF, case_id, second.upload.upload_id)
        kept = care_upload.list_uploads(services, STAFF, case_id)
        assert [item.state for item in kept] == ["counted", "discarded"]
        (plan,) = patient.find("CarePlan")
        (therapy,) = [item for item in plan["activity"] if "outcomeReference" in item]
        assert len(therapy["outcomeReference"]) == 3


def test_the_pilot_says_for_whom_the_timer_is_on(tmp_path: Path) -> None:
    bundle = chart()
    with open_house(tmp_path, [bundle]) as house:
        case_id = held(Patient(house, bundle))
        _pilot(house, timer="listed", timer_practitioners=("Practitioner/somebody-else",))
        with pytest.raises(Conflict) as caught:
            care_start.start(house.services, STAFF, case_id, confirmed())
        assert caught.value.reason == "pilot.timer"
        _pilot(house, timer="listed", timer_practitioners=(order_of(bundle)["requester"]["reference"],))
        assert care_start.start(house.services, STAFF, case_id, confirmed()).state == "running"


def test_the_pilot_says_whose_packets_leave_by_themselves(tmp_path: Path) -> None:
    bundle = next(item.bundle for item in all_charts() if item.chart_id == "P01")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "default.toml").write_text(NO_FORM)
    with open_house(tmp_path, [bundle], scenarios=tmp_path / "scenarios") as house:
        _pilot(house, submission="listed")
        patient = Patient(house, dict(bundle))
        case_id = patient.post()
        patient.settle()
        case = house.case(case_id)
        assert (case.state, house.payers.sent("/$submit")) == ("ready", [])
        assert desk.open_case(house.services, STAFF, case_id).waits == (care_pilot.WAITS,)
        _pilot(
            house, submission="listed", submission_practitioners=(order_of(patient.bundle)["requester"]["reference"],)
        )
        assert desk.open_case(house.services, STAFF, case_id).waits == ()
        _pilot(house, submission="listed")
        actions.release(house.services, STAFF, case_id)
        patient.settle()
        assert house.case(case_id).state == "approved", "a person may release it"


def _pilot(house: House, **switches: Any) -> None:
    settings = house.services.settings
    house.services.settings = settings.model_copy(update={"pilot": PilotSettings(**switches)})


def test_a_chart_that_cannot_be_read_starts_nothing(tmp_path: Path) -> None:
    bundle = chart()
    with open_house(tmp_path, [bundle]) as house:
        case_id = held(Patient(house, bundle))
        house.ehr.rules.append(lambda request: httpx.Response(503))
        with pytest.raises(EhrError):
            care_start.start(house.services, STAFF, case_id, confirmed())
        assert house.facts(case_id).timer == ""
