"""What the payer says counts once, for the request it is about, whenever and however it comes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest

from gateway.cases.states import CaseState
from gateway.clients.payer import Exchange
from gateway.errors import Conflict, PayerTimedOut
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import actions, attach, desk, ledger, notices
from gateway.flows.actions import INQUIRY_INTERVAL
from gateway.flows.advance import advance
from gateway.profiles import pas_2_2_1 as pas
from gateway.store.rows import BreakerRow
from tests.integration.flows_house import PERSON, House, answered, open_house

MEMBERS = {
    **dict.fromkeys(
        (
            "late", "old", "cancelled", "poison", "refused", "refused-cancel", "again", "ask-first", "asked",
            "withdrawn", "withdraw-fails", "overtaken", "no-action", "unread", "overridden", "recheck-later",
            "duplicate", "lost",
        ),
        "SYN-APPROVE-01",
    ),
    "in-error": "SYN-ERROR-01",
    "cannot-tell": "SYN-INDETERMINATE-01",
    "unknown-code": "SYN-ODD-01",
}  # fmt: skip


class Payer:
    """The simulated payer, of which a test keeps what it sent and to which it gives other answers."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.between = house.payer()
        self.endpoint = self.header = ""
        self.answers: list[dict[str, Any]] = []
        self.sent: list[bytes] = []
        self.number = 0
        self.reset()

    def reset(self) -> None:
        """As it was: everything goes through."""
        self.between.instead.clear()
        self.between.calls.clear()
        self.sent.clear()
        self.between.instead.update(create_subscription=self._subscribe, submit=self._submit)

    def _subscribe(self, real: Any, body: bytes) -> Exchange:
        channel = parse_json(body)["channel"]
        self.endpoint, self.header = channel["endpoint"], channel["header"][0].partition(": ")[2]
        found: Exchange = real(body)
        return found

    def _submit(self, real: Any, body: bytes) -> Exchange:
        self.sent.append(body)
        found: Exchange = real(body)
        self.answers.append(parse_json(found.response_bytes))
        return found

    def times_out(self) -> None:
        """The request arrives and its answer does not; inquiries find nothing."""

        def submit(real: Any, body: bytes) -> Exchange:
            self._submit(real, body)
            raise PayerTimedOut("late")

        self.between.instead["submit"] = submit
        self.between.instead["inquire"] = lambda real, body: answered(404)

    def notify(self, bundle: Any, number: int | None = None) -> str:
        """Deliver a notification about a response Bundle."""
        self.number += 1
        event = [
            {"name": "event-number", "valueString": str(number or self.number)},
            {"name": "focus", "valueReference": {"reference": "urn:uuid:focus"}},
        ]
        status = [
            {"name": "subscription", "valueReference": {"reference": "Subscription/1"}},
            {"name": "type", "valueCode": "event-notification"},
            {"name": "notification-event", "part": event},
        ]
        entries = [
            {"fullUrl": "urn:uuid:status", "resource": {"resourceType": "Parameters", "parameter": status}},
            {"fullUrl": "urn:uuid:focus", "resource": bundle},
        ]
        body = dump_json({"resourceType": "Bundle", "type": "history", "entry": entries})
        token = self.endpoint.rpartition("/")[2]
        return notices.receive(self.house.services, token, self.header, body)


@pytest.fixture(scope="module")
def _opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("answers")
    with open_house(folder, MEMBERS) as opened:
        yield opened


@pytest.fixture(scope="module")
def _payer(_opened: House) -> Payer:
    return Payer(_opened)


@pytest.fixture
def house(_opened: House) -> House:
    """One house for the module; every test has a patient of its own."""
    return _opened


@pytest.fixture
def payer(_payer: Payer, house: House) -> Iterator[Payer]:
    """The payer, behaving again after the test."""
    _payer.reset()
    yield _payer
    _payer.reset()
    with house.services.store.begin() as tx:
        tx.breakers.save(BreakerRow(tenant_id="main", payer="example-medicare"))


def _with_review(bundle: Any, code: str, created: str = "") -> Any:
    """The answer with another review action code, made at another instant."""
    text = dump_json(bundle).decode()
    for old in ("A1", "A4"):
        text = text.replace(f'"code":"{old}"', f'"code":"{code}"')
    changed = parse_json(text.encode())
    for entry in changed["entry"]:
        if entry["resource"]["resourceType"] == "ClaimResponse":
            entry["resource"]["disposition"] = code
            if created:
                entry["resource"]["created"] = created
    return changed


def _broken(*_: Any) -> Any:
    raise KeyError("PHI")


def _gives_up(house: House, name: str) -> str:
    """A case whose request was sent until it was given up."""
    case_id = house.to_state(name)
    for _ in range(4):
        house.wait(120)
    assert house.case(case_id).state == "needs_attention"
    return case_id


def _submissions(house: House, case_id: str) -> list[tuple[str, str]]:
    with house.services.store.read() as tx:
        found = tx.submissions.for_case("main", case_id)
    return sorted(((row.kind, row.state) for row in found), reverse=True)


def test_notification_after_the_tries_gave_up_is_the_answer(house: House, payer: Payer) -> None:
    payer.times_out()
    case_id = _gives_up(house, "late")
    assert len(set(payer.sent)) == 1
    payer.notify(payer.answers[-1])
    house.run()
    assert house.case(case_id).state == "approved"
    assert _submissions(house, case_id) == [("submit", "answered")]
    assert house.verbs(case_id).count("submit") == 1
    assert not house.failing_codes(case_id)


def test_notification_of_a_cancelled_case_does_not_loop(house: House, payer: Payer) -> None:
    payer.between.instead["submit"] = lambda real, body: answered(400)
    case_id = house.to_state("cancelled")
    payer.reset()
    actions.cancel(house.services, PERSON, case_id)
    house.run()
    events = len(house.verbs(case_id))
    for _ in range(3):
        house.wait(60)
    assert house.case(case_id).state == "cancelled"
    assert len(house.verbs(case_id)) == events


def test_notification_taken_by_a_case_that_closed_meanwhile(house: House, payer: Payer) -> None:
    case_id = house.to_state("no-action")
    case = house.case(case_id)
    payer.notify(_with_review(payer.answers[-1], "A3"))
    with house.services.store.begin() as tx:
        tx.cases.update("main", case_id, house.case(case_id).version, state=CaseState.NOT_REQUIRED.value)
    house.run()
    for _ in range(2):
        house.wait(60)
    after = house.case(case_id)
    assert case.state == "approved"
    assert after.state == "needs_attention"
    assert "closed" in after.next_action
    with house.services.store.read() as tx:
        assert all(row.processed_at for row in tx.notifications.for_case("main", case_id))


def test_unreadable_notification_is_set_aside_once(house: House, payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = house.to_state("poison")
    payer.notify(_with_review(payer.answers[-1], "A3"))
    monkeypatch.setattr("gateway.flows.answer.take_notification", _broken)
    house.run()
    events = len(house.verbs(case_id))
    for _ in range(3):
        house.wait(60)
    assert house.case(case_id).state == "needs_attention"
    assert len(house.verbs(case_id)) == events
    with house.services.store.read() as tx:
        found = tx.notifications.for_case("main", case_id)
    assert [bool(row.quarantined) for row in found] == [True]


def test_older_answer_does_not_replace_a_newer_one(house: House, payer: Payer) -> None:
    case_id = house.to_state("overtaken")
    payer.notify(_with_review(payer.answers[-1], "A4", "2020-01-01T00:00:00Z"))
    house.run()
    assert house.case(case_id).state == "approved"


def test_answer_to_an_earlier_request_is_not_taken_for_the_new_one(house: House, payer: Payer) -> None:
    case_id = house.to_state("in-error")
    assert house.case(case_id).state == "needs_attention"
    first = payer.answers[-1]
    actions.check_again(house.services, PERSON, case_id)
    house.run()
    house.answer_forms(case_id)
    assert len({parse_json(body)["identifier"]["value"] for body in payer.sent}) == 2
    payer.notify(_with_review(first, "A1"))
    house.run()
    assert house.case(case_id).state == "needs_attention"
    assert not house.failing_codes(case_id)


def test_refused_request_can_be_made_anew(house: House, payer: Payer) -> None:
    payer.between.instead["submit"] = lambda real, body: answered(400)
    case_id = house.to_state("refused")
    assert house.case(case_id).state == "needs_attention"
    payer.reset()
    actions.check_again(house.services, PERSON, case_id)
    house.run()
    house.answer_forms(case_id)
    assert house.case(case_id).state == "approved"
    assert _submissions(house, case_id) == [("submit", "refused"), ("submit", "answered")]
    assert not house.failing_codes(case_id)


def test_refused_request_can_be_cancelled(house: House, payer: Payer) -> None:
    payer.between.instead["submit"] = lambda real, body: answered(422)
    case_id = house.to_state("refused-cancel")
    actions.cancel(house.services, PERSON, case_id)
    assert house.case(case_id).state == "cancelled"
    assert not house.failing_codes(case_id)


def test_unknown_outcome_is_only_sent_again_with_the_same_bytes(house: House, payer: Payer) -> None:
    payer.times_out()
    case_id = _gives_up(house, "again")
    with pytest.raises(Conflict):
        actions.override(house.services, PERSON, case_id, "go on without asking")
    assert "override" not in desk.open_case(house.services, PERSON, case_id).allowed
    payer.between.instead.pop("submit")
    payer.reset()
    payer_before = payer.answers[-1]
    actions.check_again(house.services, PERSON, case_id)
    house.run()
    assert house.case(case_id).state == "approved"
    assert payer.answers[-1]["identifier"] == payer_before["identifier"]
    assert _submissions(house, case_id) == [("submit", "answered")]
    assert not house.failing_codes(case_id)


def test_unknown_outcome_is_cancelled_only_after_asking(house: House, payer: Payer) -> None:
    payer.times_out()
    case_id = _gives_up(house, "asked")
    with pytest.raises(Conflict):
        actions.cancel(house.services, PERSON, case_id)
    house.clock.instant += INQUIRY_INTERVAL + timedelta(seconds=1)
    actions.inquire(house.services, PERSON, case_id)
    actions.cancel(house.services, PERSON, case_id)
    assert house.case(case_id).state == "cancelled"
    assert not house.failing_codes(case_id)


def _as_duplicate(bundle: Any) -> Any:
    """The same answer, saying only that the request is there already."""
    changed = parse_json(dump_json(bundle))
    for entry in changed["entry"]:
        if entry["resource"]["resourceType"] == "ClaimResponse":
            for name in ("item", "adjudication", "preAuthRef", "addItem"):
                entry["resource"].pop(name, None)
            entry["resource"] |= {"outcome": "error", "error": [{"code": {"text": "Duplicate request"}}]}
    return changed


def _says_duplicate(payer: Payer) -> None:
    def submit(real: Any, body: bytes) -> Exchange:
        return answered(200, _as_duplicate(parse_json(payer._submit(real, body).response_bytes)))

    payer.between.instead["submit"] = submit


def test_duplicate_is_asked_about_and_is_no_denial(house: House, payer: Payer) -> None:
    _says_duplicate(payer)
    payer.between.instead["inquire"] = lambda real, body: answered(200, payer.answers[-1])
    case_id = house.to_state("duplicate")
    assert house.case(case_id).state == "approved"
    assert len(payer.sent) == 1
    assert _submissions(house, case_id) == [("submit", "answered")]
    assert not house.failing_codes(case_id)


def test_duplicate_that_cannot_be_found_goes_to_a_person(house: House, payer: Payer) -> None:
    _says_duplicate(payer)
    payer.between.instead["inquire"] = lambda real, body: answered(404)
    case_id = house.to_state("lost")
    case = house.case(case_id)
    assert case.state == "needs_attention"
    assert "already" in case.next_action
    assert case.decision == ""
    assert len(payer.sent) == 1
    told = [verb for verb in house.verbs(case_id) if verb != "write-back"]
    assert told[-1] == "payer-response", "the payer's bytes are kept"
    assert not house.failing_codes(case_id)


def test_payer_that_cannot_tell_is_asked_again_and_then_a_person_is(house: House, payer: Payer) -> None:
    case_id = house.to_state("cannot-tell")
    case = house.case(case_id)
    assert case.state == "checking"
    assert "asked again" in case.next_action
    for _ in range(4):
        house.wait(120)
    assert house.case(case_id).state == "needs_attention"
    assert house.verbs(case_id).count("payer-need") == 3, "as often as the payer's row allows, each answer kept"
    assert not house.failing_codes(case_id)


def test_approved_case_is_withdrawn_and_the_page_offers_it(house: House, payer: Payer) -> None:
    case_id = house.to_state("withdrawn")
    assert "cancel" in desk.open_case(house.services, PERSON, case_id).allowed
    actions.cancel(house.services, PERSON, case_id, "scheduled elsewhere")
    house.run()
    assert house.case(case_id).state == "cancelled"
    assert _submissions(house, case_id) == [("submit", "answered"), ("cancel", "answered")]
    assert not house.failing_codes(case_id)


def test_ehr_hears_that_a_denied_case_was_cancelled(house: House, payer: Payer) -> None:
    case_id = house.to_state("denied")
    assert house.case(case_id).state == "denied"
    actions.cancel(house.services, PERSON, case_id)
    house.run()
    patient = house.case(case_id).patient_reference.partition("/")[2]
    found = house.services.ehr("ehr").search("Task", {"patient": patient})
    ours = [item.resource for item in found if f"urn:uuid:{case_id}" in dump_json(item.resource).decode()]
    assert [task["status"] for task in ours] == ["cancelled"]
    assert not house.failing_codes(case_id)


def test_failed_withdrawal_never_becomes_a_second_request(house: House, payer: Payer) -> None:
    case_id = house.to_state("withdraw-fails")
    payer.times_out()
    actions.cancel(house.services, PERSON, case_id)
    for _ in range(5):
        house.wait(120)
    assert house.case(case_id).state == "needs_attention"
    payer.reset()
    actions.check_again(house.services, PERSON, case_id)
    house.run()
    assert house.case(case_id).state == "cancelled"
    assert _submissions(house, case_id) == [("submit", "answered"), ("cancel", "answered")]
    assert not house.failing_codes(case_id)


def test_answer_that_could_not_be_taken_is_read_again(
    house: House, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(pas, "read_pas_answer", _broken)
        case_id = house.to_state("unread")
    assert house.case(case_id).state == "needs_attention"
    assert len(payer.sent) == 1
    actions.check_again(house.services, PERSON, case_id)
    house.run()
    assert house.case(case_id).state == "approved"
    assert len(payer.sent) == 1
    assert house.verbs(case_id).count("submit") == 1
    assert not house.failing_codes(case_id)


def test_code_that_nobody_knows_is_not_asked_anew(house: House, payer: Payer) -> None:
    case_id = house.to_state("unknown-code")
    assert house.case(case_id).state == "needs_attention"
    with pytest.raises(Conflict):
        actions.check_again(house.services, PERSON, case_id)
    payer.notify(_with_review(payer.answers[-1], "A1"))
    house.run()
    assert ledger.load(house.services, "main", case_id).state in ("approved", "needs_attention")


def test_pend_does_not_wait_in_silence(house: House, payer: Payer) -> None:
    case_id = house.to_state("pended-approved")
    case = house.case(case_id)
    assert case.state == "pended"
    assert case.due_at is not None
    assert case.due_at > house.clock.now()
    with house.services.store.begin() as tx:
        row = tx.subscriptions.for_payer("main", "example-medicare")[0]
        tx.subscriptions.update("main", row.subscription_id, row.version, status="off")
    payer.between.calls.clear()
    house.wait(24 * 3600 + 1)
    assert payer.between.calls.count("create_subscription") == 1
    assert payer.between.calls.count("submit") == 0
    with house.services.store.begin() as tx:
        late = house.clock.now() + timedelta(hours=1)
        tx.cases.update("main", case_id, house.case(case_id).version, deadline_at=late, due_at=late)
    house.wait(3601)
    case = house.case(case_id)
    assert (case.state, case.move) == ("pended", "us")
    assert "time to decide is over" in case.next_action
    assert case.due_at is not None
    assert case.due_at > house.clock.now()


def test_documents_are_sent_once_by_two_jobs(house: House, payer: Payer) -> None:
    case_id = house.to_state("pended-information")
    asked = house.facts(case_id).requests[0]
    chosen = attach.show_choices(house.services, PERSON, case_id)[0]["reference"]
    sent: list[bytes] = []

    def slowly(real: Any, body: bytes) -> Any:
        sent.append(body)
        sleep(0.3)
        return real(body)

    payer.between.instead["submit_attachment"] = slowly
    attach.attach(house.services, PERSON, case_id, asked.control_number, [chosen])
    both = [Thread(target=advance, args=(house.services, "main", case_id)) for _ in range(2)]
    for job in both:
        job.start()
    for job in both:
        job.join()
    house.run()
    assert len(sent) == 1
    assert [item.sent for item in house.facts(case_id).requests] == [True]
    assert not house.failing_codes(case_id)
