"""What the CDS services remember: each token once, each panel once a day, each card's answer once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.clock import FixedClock
from gateway.store import Store
from gateway.store.hooks import CARD_LIFE
from gateway.store.rows import HookCardRow
from tests.postgres import store_url

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
DAY = timedelta(hours=24)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FixedClock) -> Iterator[Store]:
    opened = Store.open(store_url(request.param, tmp_path), clock=clock)
    yield opened
    opened.close()


def _use(store: Store, tenant: str, token: str, until: datetime) -> bool:
    with store.begin() as tx:
        return tx.hooks.use_token(tenant, token, until)


@pytest.mark.threat("T9")
def test_a_token_counts_once_for_each_tenant_until_it_ends(store: Store, clock: FixedClock) -> None:
    until = NOW + timedelta(minutes=5)
    uses = [("a", "t1"), ("a", "t1"), ("b", "t1"), ("a", "t2"), ("b", "t1")]
    assert [_use(store, tenant, token, until) for tenant, token in uses] == [True, False, True, True, False]
    clock.instant = until
    assert _use(store, "a", "t1", until) is False
    clock.instant = until + timedelta(seconds=1)
    assert _use(store, "a", "t1", until + DAY) is True


def test_a_panel_is_free_again_after_its_time_and_not_before(store: Store, clock: FixedClock) -> None:
    def claim(tenant: str, key: str) -> bool:
        with store.begin() as tx:
            return tx.hooks.claim_panel(tenant, key, DAY)

    assert [claim("a", "k"), claim("a", "k"), claim("b", "k"), claim("a", "l")] == [True, False, True, True]
    clock.instant = NOW + DAY - timedelta(seconds=1)
    assert claim("a", "k") is False
    clock.instant = NOW + DAY
    assert [claim("a", "k"), claim("a", "k")] == [True, False]


def test_an_answer_to_a_card_counts_once_and_reaches_its_own_tenant_alone(store: Store, clock: FixedClock) -> None:
    row = HookCardRow(
        tenant_id="a", card_id="c", case_id="x", service="order-sign", choices='{"s":"timer"}', shown_at=NOW
    )
    with store.begin() as tx:
        tx.hooks.keep_card(row)
        assert tx.hooks.find_card("a", "c") == row
        assert tx.hooks.find_card("b", "c") is None
        assert tx.hooks.answer_card("b", "c", "accepted", NOW) is False
        assert tx.hooks.answer_card("a", "c", "overridden", NOW) is True
        assert tx.hooks.answer_card("a", "c", "accepted", NOW) is False
        found = tx.hooks.find_card("a", "c")
    assert found is not None
    assert (found.outcome, found.answered_at) == ("overridden", NOW)
    clock.instant = NOW + CARD_LIFE + timedelta(seconds=1)
    with store.begin() as tx:
        tx.hooks.keep_card(HookCardRow(tenant_id="a", card_id="d", service="order-sign", shown_at=clock.now()))
        assert tx.hooks.find_card("a", "c") is None
