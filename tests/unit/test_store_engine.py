"""Opening a database: urls, modes, versions."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import SettingsError
from gateway.store import Store
from gateway.store.migrate import HEAD, alembic_config, current_revision


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.mark.threat("T37")
def test_new_file_and_its_companions_are_ours_alone(home: Path) -> None:
    before = os.umask(0o022)
    store = Store.open(f"sqlite:///{home}/gateway.db")
    os.umask(before)
    with store.begin() as tx:
        tx.connection.execute(sa.text("CREATE TABLE probe (a)"))
    assert _mode(home) == 0o700
    files = sorted(path.name for path in home.iterdir())
    assert files == ["gateway.db", "gateway.db-shm", "gateway.db-wal"]
    assert {_mode(home / name) for name in files} == {0o600}
    store.close()


@pytest.mark.threat("T37")
@pytest.mark.parametrize("target, mode", [("gateway.db", 0o640), ("gateway.db", 0o604), (".", 0o750), (".", 0o701)])
def test_wider_modes_are_refused(home: Path, target: str, mode: int) -> None:
    Store.open(f"sqlite:///{home}/gateway.db").close()
    (home / target).chmod(mode)
    with pytest.raises(SettingsError, match="can be read by others"):
        Store.open(f"sqlite:///{home}/gateway.db")


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://h/d", "nonsense", "", "postgresql+psycopg2://h/d"]
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(SettingsError, match=r"store\.url") as caught:
        Store.open(url)
    assert "secret" not in caught.value.message


def test_url_with_a_password_stays_out_of_the_message() -> None:
    with pytest.raises(SettingsError) as caught:
        Store.open("postgresql+psycopg://u:canary-secret@127.0.0.1:1/d")
    assert "canary" not in caught.value.message


def test_missing_file_is_not_made_unless_asked(home: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        Store.open(f"sqlite:///{home}/gateway.db", create=False)
    assert not home.exists()


def test_tables_of_another_version_are_refused(home: Path) -> None:
    url = f"sqlite:///{home}/gateway.db"
    store = Store.open(url)
    with store.begin() as tx:
        tx.connection.execute(sa.text("UPDATE gateway_version SET version_num = '0000'"))
    store.close()
    with pytest.raises(SettingsError, match="no tables of this version"):
        Store.open(url, create=False)


def test_head_is_the_newest_revision(home: Path) -> None:
    from alembic.script import ScriptDirectory

    store = Store.open(f"sqlite:///{home}/gateway.db")
    with store.engine.begin() as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_current_head() == HEAD
    assert current_revision(store.engine) == HEAD
    store.close()


def test_sqlite_settings_hold_on_every_connection(home: Path) -> None:
    store = Store.open(f"sqlite:///{home}/gateway.db")
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
    with store.read() as one, store.read() as two:
        for tx in (one, two):
            found = {name: tx.connection.execute(sa.text(f"PRAGMA {name}")).scalar() for name in wanted}
            assert found == wanted
    store.close()
