"""The demonstration's processes: started on free loopback ports, waited for, and ended.

Everything lies in one folder per run: database, keys, payer rows, settings, tokens, logs.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any

import httpx
from argon2 import PasswordHasher

import provenance
from gateway.demo.charts import DemoChart, demo_charts
from gateway.demo.hook_keys import write_keys
from gateway.errors import SettingsError
from gateway.settings import Settings
from payer_endpoints.directory import PayerRow, load_directory

START_SECONDS = 90
"""How long a process may take until it answers; a busy machine is slow to start."""
PORTS = range(18_000, 32_000)
"""Ports tried: below the range from which systems take ports for outgoing connections, so that a gateway that
is started again finds its port free."""
DOWN_SECONDS = 6
"""How long the payer that is down stays down."""
SLOW_SECONDS = 6
"""How long the slow payer takes for its first answer."""
PATIENCE_SECONDS = 2.5
"""How long the gateway waits for that payer: shorter, so that the answer comes too late."""
DOWN_PAYER = "example-down"
SLOW_PAYER = "example-slow"


@dataclass(slots=True, kw_only=True)
class House:
    """Addresses and secrets of a running demonstration."""

    folder: Path
    """Where everything of this run lies."""
    ehr_url: str = ""
    """FHIR base of the EHR."""
    harness_url: str = ""
    """Base of the simulated payers."""
    gateway_urls: list[str] = field(default_factory=list)
    """Base of each gateway process."""
    ehr_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """Client secret of the EHR."""
    person_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """API secret of the person at the pages."""
    auditor_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """Client secret of the auditor."""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9), repr=False)
    """Password of the person `demo` at the pages."""
    gateways: list[subprocess.Popen[str]] = field(default_factory=list, repr=False)
    """The gateway processes, for tests that end them."""
    start_gateway: Callable[[int], subprocess.Popen[str]] | None = field(default=None, repr=False)
    """Starts gateway process number n again."""

    def anchors(self) -> bytes:
        """Trust anchors of this run's keys."""
        ring = provenance.KeyRing.open(self.folder / "keys", allow_development=True)
        return ring.export_anchors(datetime.now(UTC))


@contextmanager
def open_house(settings: Settings, charts: Sequence[DemoChart], tell: Callable[[str], None]) -> Iterator[House]:
    """Start EHR, payers and gateway, give their addresses, and end them all. Raises SettingsError."""
    if settings.demo.gateway_processes > 1 and settings.store.url.startswith("sqlite"):
        raise SettingsError("demo.gateway_processes: more than one process needs PostgreSQL in store.url.")
    folder = _new_folder(settings)
    house = House(folder=folder)
    running: list[subprocess.Popen[str]] = []
    try:
        _start_ehr(settings, house, charts, running)
        tell(f"EHR at {house.ehr_url}")
        _start_payers(house, running)
        tell(f"payers at {house.harness_url}")
        _start_gateways(settings, house)
        tell(f"gateway at {', '.join(house.gateway_urls)}")
        yield house
    finally:
        for process in (*house.gateways, *reversed(running)):
            end(process)


def end(process: subprocess.Popen[str], seconds: float = 8) -> None:
    """Ask a process to end; kill it when it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)
    if process.stdout is not None:
        process.stdout.close()


def _new_folder(settings: Settings) -> Path:
    name = f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = settings.demo.directory.resolve() / name
    folder.mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def _start_ehr(
    settings: Settings, house: House, charts: Sequence[DemoChart], running: list[subprocess.Popen[str]]
) -> None:
    token_file = house.folder / "ehr-token"
    if settings.demo.ehr_base_url:
        house.ehr_url = settings.demo.ehr_base_url.rstrip("/")
        given = settings.demo.ehr_token_file
        _secret_file(token_file, given.read_text("utf-8").strip() if given else "")
        return
    _secret_file(token_file, secrets.token_urlsafe(24))
    command = ["-m", "gateway.demo.ehr_server", "--port", "0", "--token-file", str(token_file), "--demo"]
    process = _start(house, "ehr", command, running)
    house.ehr_url = _ready_line(process, "ehr")


def _start_payers(house: House, running: list[subprocess.Popen[str]]) -> None:
    token = secrets.token_urlsafe(24)
    _secret_file(house.folder / "payer-token", token)
    down_port = free_port()
    command = ["-m", "payer_endpoints.harness", "--port", "0", "--down-port", str(down_port)]
    command += ["--down-seconds", str(DOWN_SECONDS), "--slow-seconds", str(SLOW_SECONDS)]
    command += ["--token", token, "--ledger", str(house.folder / "payer-ledger.jsonl")]
    process = _start(house, "payers", command, running)
    house.harness_url = _ready_line(process, "payers")
    _write_payer_rows(house, f"http://127.0.0.1:{down_port}")


def _start_gateways(settings: Settings, house: House) -> None:
    ports = [free_port() for _ in range(settings.demo.gateway_processes)]
    house.gateway_urls = [f"http://127.0.0.1:{port}" for port in ports]
    path = house.folder / "settings.toml"
    path.write_text(_settings_text(settings, house), "utf-8")
    path.chmod(0o600)

    def start(number: int) -> subprocess.Popen[str]:
        command = ["-m", "gateway.cli", "serve", "--settings", str(path), "--port", str(ports[number])]
        started: list[subprocess.Popen[str]] = []
        return _start(house, f"gateway-{number + 1}", command, started)

    house.start_gateway = start
    for number, url in enumerate(house.gateway_urls):
        house.gateways.append(start(number))
        wait_ready(url, house.gateways[number], house.folder / f"gateway-{number + 1}.log")


def wait_ready(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until a gateway answers that it is ready. Raises SettingsError with the end of its log."""
    until = monotonic() + START_SECONDS
    while monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            pass
        sleep(0.1)
    tail = log.read_text("utf-8", "replace")[-600:] if log.exists() else ""
    raise SettingsError(f"A gateway process did not become ready. The end of its log: {tail}")


def _start(
    house: House, name: str, command: Sequence[str], running: list[subprocess.Popen[str]]
) -> subprocess.Popen[str]:
    log: IO[str] = (house.folder / f"{name}.log").open("a", encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PA_GATEWAY")}
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=house.folder
    )
    log.close()
    running.append(process)
    return process


def _ready_line(process: subprocess.Popen[str], name: str) -> str:
    """Address in the line `ready <address> …` that a server prints when it can be used."""
    assert process.stdout is not None
    line = process.stdout.readline()
    words = line.split()
    if len(words) < 2 or words[0] != "ready":
        raise SettingsError(f"The process `{name}` of the demonstration did not start; see its log.")
    return words[1].rstrip("/")


def _write_payer_rows(house: House, down_url: str) -> None:
    """The packaged payer rows with this run's addresses, token and patience."""
    folder = house.folder / "payers"
    folder.mkdir()
    for row in load_directory(allow_loopback=True):
        base = down_url if row.slug == DOWN_PAYER else house.harness_url
        content = _at(row, f"{base}/{row.slug}", house.folder / "payer-token")
        (folder / f"{row.slug}.toml").write_text(_toml(content), "utf-8")


def _at(row: PayerRow, base: str, token_file: Path) -> dict[str, Any]:
    content: dict[str, Any] = row.model_dump(mode="json", exclude_none=True)
    content["token"] = {"kind": "static", "file": str(token_file)}
    content["crd"]["base_url"] = f"{base}/cds-services"
    content["dtr"]["base_url"] = content["pas"]["base_url"] = f"{base}/fhir"
    content["cdex"]["attachment_url"] = f"{base}/fhir/$submit-attachment"
    content["retry"] |= {"first_wait_seconds": 1, "longest_wait_seconds": 4, "max_attempts": 20}
    content["breaker"] |= {"open_seconds": 2}
    if row.slug == SLOW_PAYER:
        content["pas"]["timeouts_seconds"]["submit_read"] = PATIENCE_SECONDS
    return content


def _settings_text(settings: Settings, house: House) -> str:
    store = settings.store.url
    if store == Settings().store.url:
        store = f"sqlite:///{house.folder / 'gateway.db'}"
    tenant = f"demo-{house.folder.name.removeprefix('run-')}"
    content: dict[str, Any] = {
        "log_level": settings.log_level,
        "server": {"host": "127.0.0.1", "base_url": house.gateway_urls[0]},
        "store": {"url": store},
        "jobs": {"threads": 4, "poll_seconds": 0.05, "sweep_seconds": 1.0},
        "keys": {"directory": str(house.folder / "keys")},
        "tenant": {"id": tenant, "name": "Exampleton Spine and Family Clinic (synthetic)", "npi": "1234567893"},
        "ehr": {
            "ehr": {
                "base_url": house.ehr_url,
                "networks": ["127.0.0.0/8"],
                "plain_http": house.ehr_url.startswith("http://"),
            }
        },
        "payers": {"directories": [str(house.folder / "payers")], "allow_loopback": True},
        "clients": _clients(house, tenant),
        "cds_clients": {"demo-ehr": {"issuer": house.ehr_url, "jwks_file": str(write_keys(house.folder))}},
    }
    if (house.folder / "ehr-token").read_text("utf-8"):
        content["ehr"]["ehr"]["token_file"] = str(house.folder / "ehr-token")
    return _toml(content)


def _clients(house: House, tenant: str) -> dict[str, Any]:
    def client(secret: str, *roles: str, **more: str) -> dict[str, Any]:
        digest = hashlib.sha256(secret.encode()).hexdigest()
        return {"secret_sha256": digest, "tenant": tenant, "roles": list(roles), **more}

    return {
        "demo-ehr": client(house.ehr_secret, "system"),
        "demo": client(
            house.person_secret,
            "staff",
            "clinician",
            "auditor",
            name="Dana Demo (synthetic)",
            practitioner=_orderer(),
            password_argon2=PasswordHasher().hash(house.password),
        ),
        "demo-auditor": client(house.auditor_secret, "auditor"),
    }


def _orderer() -> str:
    """The clinician who signed the demo's orders, so that the person of the demo may attest what concerns them."""
    chart = demo_charts()[0]
    orders = (entry["resource"] for entry in chart.bundle["entry"])
    order = next(one for one in orders if f"{one['resourceType']}/{one.get('id')}" == chart.order_reference)
    return str(order["requester"]["reference"])


def _toml(content: dict[str, Any]) -> str:
    """TOML text of plain nested values; tables become inline ones below the first level."""
    lines = [f"{key} = {_value(value)}" for key, value in content.items() if not isinstance(value, dict)]
    for key, value in content.items():
        if isinstance(value, dict):
            lines.append(f"\n[{_key(key)}]")
            lines += [f"{_key(name)} = {_value(item)}" for name, item in value.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str | Path):
        return json.dumps(str(value), ensure_ascii=False)
    return json.dumps(value)


def _key(name: str) -> str:
    return json.dumps(name)


def _secret_file(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def free_port() -> int:
    """A loopback port that is free at this moment and stays so unless somebody asks for it by number."""
    for _ in range(200):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SettingsError("There is no free port on the loopback address.")
