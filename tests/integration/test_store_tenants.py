"""Tenants stay apart even where a query forgets to ask: row-level security on PostgreSQL (T14)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from gateway.clock import FixedClock
from gateway.store import CaseRow, EventRow, Store, Tx
from gateway.store.tables import cases, metadata
from tests.postgres import shared_cluster, store_url

pytestmark = pytest.mark.threat("T14")
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
TENANTS = ("north", "south")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url("postgresql", tmp_path))
    for tenant in TENANTS:
        with opened.begin() as tx:
            tx.cases.insert(
                CaseRow(
                    tenant_id=tenant,
                    case_id="same",
                    order_key="k",
                    state="received",
                    created_at=NOW,
                    updated_at=NOW,
                    due_at=NOW,
                    patient_label=f"Ada {tenant}",
                )
            )
            tx.objects.put(tenant, "same", b"x", "text/plain")
            tx.events.append(
                EventRow(tenant_id=tenant, case_id="same", seq=0, at=NOW, actor="gateway", verb="case-open")
            )
    yield opened
    opened.close()


@pytest.mark.parametrize("table", sorted(name for name in metadata.tables))
def test_every_table_is_bound(store: Store, table: str) -> None:
    with store.read() as tx:
        asked = sa.text("SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = :name")
        assert tx.connection.execute(asked, {"name": table}).scalar() is True


@pytest.mark.parametrize("table", ["cases", "case_words", "events", "objects"])
def test_a_query_without_condition_sees_its_tenant_alone(store: Store, table: str) -> None:
    for tenant in TENANTS:
        with store.read() as tx:
            tx.cases.get(tenant, "same")
            seen = tx.connection.execute(sa.text(f"SELECT DISTINCT tenant_id FROM {table}")).scalars().all()
            assert seen == [tenant]


def test_a_transaction_that_named_nobody_sees_nothing(store: Store) -> None:
    with store.read() as tx:
        assert tx.connection.execute(sa.select(sa.func.count()).select_from(cases)).scalar() == 0


def test_a_pooled_connection_forgets_its_tenant(store: Store) -> None:
    engine = sa.create_engine(store.engine.url, pool_size=1, max_overflow=0)
    narrow = Store(engine, store._clock)
    with narrow.begin() as tx:
        tx.cases.get("north", "same")
    with narrow.begin() as tx:
        assert tx.connection.execute(sa.select(sa.func.count()).select_from(cases)).scalar() == 0
        assert tx.cases.get("south", "same").patient_label == "Ada south"
    narrow.close()


def test_writing_for_another_tenant_fails(store: Store) -> None:
    moved = sa.text("UPDATE cases SET tenant_id = 'south', case_id = 'moved'")
    with store.engine.connect() as connection:
        Tx(connection, FixedClock(NOW)).cases.get("north", "same")
        with pytest.raises(DBAPIError, match="row-level security"):
            connection.execute(moved)


def test_an_update_without_condition_stays_inside(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.get("north", "same")
        assert tx.connection.execute(sa.text("UPDATE cases SET next_action = 'x'")).rowcount == 1
    with store.read() as tx:
        assert tx.cases.get("south", "same").next_action == ""


def test_one_transaction_may_serve_several_tenants_in_turn(store: Store) -> None:
    with store.read() as tx:
        for tenant in (*TENANTS, *TENANTS):
            assert tx.cases.get(tenant, "same").tenant_id == tenant
        assert {case.tenant_id for case in tx.cases.due(NOW)} == set(TENANTS)
        assert tx.cases.get("north", "same").tenant_id == "north"


def test_the_role_of_the_tests_is_bound(store: Store) -> None:
    """The canary: as superuser every test above would pass for the wrong reason or fail."""
    assert store.separates_tenants


def test_a_superuser_is_warned_of(store: Store) -> None:
    admin = store.engine.url.set(username=shared_cluster().admin)
    with structlog.testing.capture_logs() as logs:
        unbound = Store.open(admin.render_as_string(hide_password=False))
    assert not unbound.separates_tenants
    assert [entry["event"] for entry in logs] == ["store.row-security-bypassed"]
    unbound.close()
