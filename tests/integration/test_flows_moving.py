"""A case never hangs and never loops: whatever a step does, it ends with an answer, a timer or a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Busy, Conflict, PayerRejected
from gateway.flows import ledger
from gateway.store.rows import BreakerRow
from tests.integration.flows_house import House, answered, open_house

NAMES = (
    "broken", "busy", "unauthorised", "breaker", "conflict", "stale-ehr", "gone-payer", "subscription",
)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("moving")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-APPROVE-01")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _as_it_was(house: House) -> Iterator[None]:
    yield
    for between in house.payers.values():
        between.instead.clear()
        between.calls.clear()
    with house.services.store.begin() as tx:
        tx.breakers.save(BreakerRow(tenant_id="main", payer="example-medicare"))


def _raise(error: Exception) -> Any:
    def instead(*_: Any, **__: Any) -> Any:
        raise error

    return instead


def test_unexpected_error_ends_with_a_person(house: House) -> None:
    house.payer().instead["call_hook"] = _raise(KeyError("PHI"))
    case_id = house.post("broken")
    house.run()
    case = house.case(case_id)
    assert case.state == "needs_attention"
    assert "failed on this step" in case.next_action
    assert "PHI" not in case.next_action
    assert not house.jobs.failed


def test_busy_database_is_waited_for(house: House) -> None:
    house.payer().instead["call_hook"] = _raise(Busy("busy", code="busy.database"))
    case_id = house.post("busy")
    house.run()
    assert house.case(case_id).state == "checking"
    house.payer().instead.clear()
    house.wait(20)
    assert house.case(case_id).state == "documenting"


def test_unauthorised_is_not_asked_for_ever(house: House) -> None:
    house.payer().instead["call_hook"] = lambda real, *_: answered(401)
    case_id = house.post("unauthorised")
    house.run()
    for _ in range(3):
        house.wait(120)
    assert house.case(case_id).state == "needs_attention"
    assert house.payer().calls.count("call_hook") <= 3


def test_unauthorised_subscription_is_not_asked_for_ever(house: House) -> None:
    house.payer().instead["create_subscription"] = _raise(PayerRejected("no", http_answer=401))
    case_id = house.to_state("subscription")
    for _ in range(3):
        house.wait(120)
    assert house.case(case_id).state == "needs_attention"
    assert house.payer().calls.count("create_subscription") <= 3
    assert house.payer().calls.count("submit") == 0


def test_open_breaker_leaves_one_job(house: House) -> None:
    with house.services.store.begin() as tx:
        until = house.clock.now() + timedelta(seconds=30)
        tx.breakers.save(
            BreakerRow(tenant_id="main", payer="example-medicare", state="open", failures=9, opened_until=until)
        )
    case_id = house.to_state("breaker")
    assert house.case(case_id).state == "submitting"
    assert len([job for job in house.jobs.waiting() if job[1][1] == case_id]) <= 1
    house.wait(40)
    assert house.case(case_id).state == "approved"


def test_lasting_conflict_ends_with_a_person(house: House) -> None:
    house.payer().instead["call_hook"] = _raise(Conflict("no such move", code="case.transition"))
    case_id = house.post("conflict")
    house.run()
    assert house.case(case_id).state == "needs_attention"
    assert house.payer().calls.count("call_hook") == 1


def test_held_case_keeps_its_timer_through_failing_writes(house: House) -> None:
    ehr = house.services.ehr("ehr")
    real, failures = type(ehr).update, 2

    def update(self: Any, resource: Any, version: str) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Conflict("changed", code="ehr.changed") if failures else PayerRejected("down", http_answer=503)
        return real(self, resource, version)

    type(ehr).update = update  # type: ignore[method-assign]
    try:
        case_id = house.post("week-three-held")
        house.run()
        sentence = house.case(case_id).next_action
        timer = ledger.held_until(house.facts(case_id))
        house.wait(15)
        house.wait(30)
    finally:
        type(ehr).update = real  # type: ignore[method-assign]
    case = house.case(case_id)
    assert [item.done for item in house.facts(case_id).write_backs] == [True]
    assert case.state == "held"
    assert timer is not None
    assert case.due_at == timer
    assert case.next_action == sentence
    before = len(house.verbs(case_id))
    house.wait((timer - house.clock.now()).total_seconds() + 1)
    assert "payer-need" in house.verbs(case_id)[before:]
    assert house.case(case_id).state != "checking"
    assert not house.failing_codes(case_id)


def test_ehr_that_always_refuses_is_given_up(house: House) -> None:
    ehr = house.services.ehr("ehr")
    real, calls = type(ehr).update, 0

    def update(self: Any, resource: Any, version: str) -> Any:
        nonlocal calls
        calls += 1
        raise Conflict("changed", code="ehr.changed")

    type(ehr).update = update  # type: ignore[method-assign]
    try:
        case_id = house.post("stale-ehr")
        house.run()
        for _ in range(5):
            house.wait(120)
    finally:
        type(ehr).update = real  # type: ignore[method-assign]
    assert calls <= 3 * 4
    assert house.facts(case_id).pending_write_back() is None
    assert house.case(case_id).state == "documenting"


def test_payer_row_that_is_gone_needs_a_person(house: House) -> None:
    case_id = house.post("gone-payer")
    rows = house.services.directory._rows
    row = rows.pop("example-medicare")
    try:
        house.run()
        assert house.case(case_id).state == "needs_attention"
        assert "directory" in house.case(case_id).next_action
        assert not house.jobs.failed
    finally:
        rows["example-medicare"] = row
