"""A throw-away PostgreSQL cluster for tests: made from the system's own programs, gone afterwards.

`initdb` and `pg_ctl` refuse to run as root; then the work is done as the system user `postgres`
through `runuser` or `su`. Without the programs, or without such a user, `start_cluster` says why.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from gateway.jobs.dbos_adapter import DbosJobs
from gateway.store import Store

_SETTINGS = {  # the server itself is never killed in a test, so its disk may be slow to hear of things
    "listen_addresses": "'127.0.0.1'",
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "'128MB'",
    "log_min_messages": "fatal",
}


ROLE = "gateway"
"""Role that the gateway connects as, so that row-level security binds it."""


class Unavailable(Exception):
    """PostgreSQL cannot be started here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running server on a loopback port; `new_database` gives an empty database's url."""

    port: int
    admin: str
    """Superuser, for making databases only."""
    folder: Path
    programs: Path

    def url(self, database: str) -> str:
        """SQLAlchemy url of a database in this cluster, as the role that owns it and is no superuser."""
        return f"postgresql+psycopg://{ROLE}@127.0.0.1:{self.port}/{database}"

    def as_admin(self, *statements: sql.Composable) -> None:
        """Runs statements as the superuser, outside any transaction."""
        where = f"host=127.0.0.1 port={self.port} user={self.admin} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def new_database(self, template: str = "template0") -> str:
        """Makes a database, empty or a copy of `template`, and returns its url."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        names = (sql.Identifier(name), sql.Identifier(template), sql.Identifier(ROLE))
        self.as_admin(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*names))
        return self.url(name)


def find_programs() -> Path:
    """Folder that holds `initdb` and `pg_ctl`; raises Unavailable."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    for folder in [*reversed(versions), *on_path]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise Unavailable("PostgreSQL's initdb and pg_ctl are not installed")


def _as_owner(command: list[str]) -> list[str]:
    """`command`, run as the user `postgres` where we are root."""
    if os.geteuid() != 0:
        return command
    if shutil.which("runuser"):
        return ["runuser", "-u", "postgres", "--", *command]
    return ["su", "postgres", "-s", "/bin/sh", "-c", shlex.join(command)]


def _run(command: list[str]) -> None:
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    done = subprocess.run(_as_owner(command), cwd="/", timeout=60, check=False, **quiet)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise Unavailable(f"{Path(command[0]).name} failed: {done.stderr.decode(errors='replace').strip()[-300:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prepare_folder() -> tuple[Path, str]:
    folder = Path(tempfile.mkdtemp(prefix="pa-pg-", dir="/tmp"))
    if os.geteuid() != 0:
        return folder, pwd.getpwuid(os.geteuid()).pw_name
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        folder.rmdir()
        raise Unavailable("running as root and there is no user `postgres` to run the server as") from None
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return folder, "postgres"


def _settings(port: int, folder: Path) -> str:
    values = _SETTINGS | {"port": str(port), "unix_socket_directories": f"'{folder}'"}
    return " ".join(f"-c {name}={value}" for name, value in values.items())


@contextmanager
def start_cluster() -> Iterator[Cluster]:
    """A running cluster in a temporary folder; stopped and removed at the end. Raises Unavailable."""
    programs = find_programs()
    folder, user = _prepare_folder()
    kept, port = folder / "kept", _free_port()
    control = [str(programs / "pg_ctl"), "-D", str(kept), "-w", "-t", "30"]
    try:
        _run([str(programs / "initdb"), "-D", str(kept), "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"])
        _run([*control, "-l", str(folder / "log"), "-o", _settings(port, folder), "start"])
        try:
            cluster = Cluster(port=port, admin=user, folder=folder, programs=programs)
            cluster.as_admin(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
            yield cluster
        finally:
            _run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _shared() -> Cluster | Unavailable:
    running = ExitStack()
    try:
        cluster = running.enter_context(start_cluster())
    except Unavailable as reason:
        return reason
    atexit.register(running.close)
    return cluster


def shared_cluster() -> Cluster:
    """One cluster for the whole test process; skips the test, with the reason, where there is none."""
    found = _shared()
    if isinstance(found, Unavailable):
        pytest.skip(str(found))
    return found


@functools.cache
def _prepared_database() -> str:
    url = shared_cluster().new_database()
    _prepare(url)
    return url.rsplit("/", 1)[1]


@functools.cache
def _prepared_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.db"
        _prepare(f"sqlite:///{path}")
        return path.read_bytes()


def _prepare(url: str) -> None:
    """Makes the tables of the store and of the jobs."""
    store = Store.open(url)
    DbosJobs(store.engine).close()
    store.close()


def store_url(kind: str, folder: Path) -> str:
    """Url of a fresh store with all its tables: `sqlite` in `folder`, or `postgresql` in the shared cluster.

    A copy of one prepared database, since making the tables takes longer than most tests.
    """
    if kind == "postgresql":
        return shared_cluster().new_database(_prepared_database())
    home = folder / "kept"
    home.mkdir(mode=0o700)
    path = home / "gateway.db"
    path.touch(mode=0o600)
    path.write_bytes(_prepared_file())
    return f"sqlite:///{path}"
