"""An act is recorded once, together with what it changes, whoever else acts at the same moment."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, NotFound
from gateway.flows import ledger
from gateway.flows.intake import Posted, accept_orders
from gateway.flows.ledger import Act, Item
from gateway.store import Tx
from gateway.store.rows import CaseRow
from tests.acceptance.posts import STRANGERS, bundle, order
from tests.flows_house import SYSTEM, House, open_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, [STRANGERS]) as opened:
        yield opened


@pytest.fixture
def case(house: House) -> CaseRow:
    return house.open_case(order("o1", "covered", "of-covered"))


def _act(words: bytes = b"{}", **more: Any) -> Act:
    return Act(verb="evaluate", about=(Item.body(words, "application/json"),), **more)


def _objects(house: House, case: CaseRow) -> set[str]:
    with house.services.store.read() as tx:
        return {row.digest for row in tx.objects.list("main", case.case_id)}


def test_an_act_is_an_event_a_version_and_its_bytes(house: House, case: CaseRow) -> None:
    changed = ledger.append(house.services, case, _act(b'{"a":1}'), to=CaseState.CHECKING, facts=Facts(need="d"))
    assert (changed.state, changed.version) == ("checking", case.version + 1)
    assert house.facts(case.case_id).need == "d"
    assert [(event.seq, event.verb) for event in house.events(case.case_id)] == [
        (0, "case-open"),
        (1, "order-entry"),
        (2, "evaluate"),
    ]
    assert hashlib.sha256(b'{"a":1}').hexdigest() in _objects(house, case)


def test_a_stale_case_is_a_conflict_and_leaves_nothing(house: House, case: CaseRow) -> None:
    ledger.append(house.services, case, _act())
    before, jobs = _objects(house, case), len(house.jobs.waiting())
    with pytest.raises(Conflict) as caught:
        ledger.append(house.services, case, _act(b'{"late":true}'), to=CaseState.CHECKING)
    assert caught.value.reason.startswith("conflict")
    assert len(house.events(case.case_id)) == 3
    assert _objects(house, case) == before
    assert len(house.jobs.waiting()) == jobs
    assert house.case(case.case_id).state == "received"


def test_a_failure_beside_the_case_takes_everything_back(house: House, case: CaseRow) -> None:
    def fail(tx: Tx) -> None:
        raise NotFound("There is no such thing.")

    with pytest.raises(NotFound):
        ledger.append(house.services, case, _act(), to=CaseState.CHECKING, also=fail)
    assert house.case(case.case_id) == case
    assert len(house.events(case.case_id)) == 2


def test_a_move_that_is_not_allowed_is_refused_before_anything_is_signed(house: House, case: CaseRow) -> None:
    with pytest.raises(Conflict):
        ledger.append(house.services, case, _act(), to=CaseState.APPROVED)
    assert len(house.events(case.case_id)) == 2


def test_acts_of_many_threads_make_one_gapless_history(house: House, case: CaseRow) -> None:
    def act(number: int) -> None:
        def once() -> CaseRow:
            now = ledger.load(house.services, "main", case.case_id)
            return ledger.append(house.services, now, _act(f'{{"n":{number}}}'.encode()))

        ledger.retry_on_conflict(once, tries=60)

    threads = [threading.Thread(target=act, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = house.events(case.case_id)
    assert [event.seq for event in events] == list(range(10))
    assert len({event.jws_digest for event in events}) == 10
    assert house.case(case.case_id).version == case.version + 8


def test_only_a_conflict_of_rows_is_tried_again() -> None:
    tries: list[str] = []

    def act(code: str) -> CaseRow:
        tries.append(code)
        raise Conflict("No.", code=code)

    for code, count in (("conflict.version", 4), ("case.state", 1)):
        tries.clear()
        with pytest.raises(Conflict):
            ledger.retry_on_conflict(lambda code=code: act(code), tries=4)  # type: ignore[misc]
        assert len(tries) == count


def test_new_cases_are_stored_all_or_none(house: House, case: CaseRow) -> None:
    """One of two orders has its case already, unknown to the one who stores: neither is stored."""
    with house.services.store.read() as tx:
        known = tx.cases.get("main", case.case_id)
    fresh = replace(known, case_id=house.services.new_id(), order_key="another")
    drafts = [_draft(fresh), _draft(replace(known, case_id=house.services.new_id()))]
    with pytest.raises(Conflict):
        ledger.open_cases(house.services, drafts)
    assert house.count() == 1
    with pytest.raises(NotFound):
        house.case(fresh.case_id)


def _draft(row: CaseRow) -> ledger.NewCase:
    return ledger.NewCase(
        row=row,
        facts=Facts(),
        actor=SYSTEM,
        task=b'{"resourceType":"Task"}',
        order=b'{"resourceType":"ServiceRequest"}',
        order_address="https://ehr.example.org/fhir/ServiceRequest/o1",
        body=b"{}",
        body_type="application/json",
    )


def test_the_same_order_at_the_same_moment_is_one_case(house: House) -> None:
    body = bundle(order("twin-a", "covered", "of-covered"), order("twin-b", "covered", "of-covered"))
    seen: list[tuple[str, ...]] = []

    def post() -> None:
        posted = Posted(raw=b"{}", media_type="application/fhir+json", resource=body)
        accepted = accept_orders(house.services, SYSTEM, posted)
        seen.append(tuple(item.case.case_id for item in accepted))

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert len(set(seen)) == 1
    assert house.count() == 2


def test_an_item_is_named_by_its_bytes_and_typed_by_its_address() -> None:
    item = Item.resource("https://ehr.example.org/fhir/Patient/1/_history/4", b'{"resourceType":"Patient"}')
    assert (item.type, item.digest) == ("Patient", hashlib.sha256(item.raw).hexdigest())
    assert Item.body(b"x").reference == Item.body(b"x").reference != Item.body(b"y").reference
    assert Item.body(b"x").type == "Binary"
    assert Item.local("Task", b"{}", "k").reference == "urn:uuid:k"
