"""Writers take turns on SQLite."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Busy
from gateway.store import Store
from gateway.store.turns import Turns
from tests.postgres import store_url


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url("sqlite", tmp_path))
    yield opened
    opened.close()


def test_a_thread_that_would_wait_for_itself_is_told(store: Store) -> None:
    with store.begin(), pytest.raises(RuntimeError, match="use that one"), store.begin():
        pass
    with store.begin():
        pass


def test_reading_is_free_while_writing(store: Store) -> None:
    with store.begin(), store.read() as tx:
        assert tx.cases.count_by_state("north") == {}


def test_writers_wait_for_each_other(store: Store) -> None:
    order: list[str] = []

    def write(name: str) -> None:
        with store.begin():
            order.append(f"{name} in")
            time.sleep(0.02)
            order.append(f"{name} out")

    threads = [threading.Thread(target=write, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [entry.split()[0] for entry in order]
    assert names[::2] == names[1::2]


def test_a_turn_that_never_comes_is_busy() -> None:
    turns = Turns(enabled=True, wait_seconds=0.05)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.take():
            entered.set()
            leave.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(5)
    with pytest.raises(Busy), turns.take():
        pass
    leave.set()
    holder.join()
    with turns.take():
        pass


def test_without_turns_everybody_enters() -> None:
    turns = Turns(enabled=False)
    with turns.take(), turns.take():
        pass
