"""The running product for tests that knock at its doors: EHR, simulated payers and gateway as processes on loopback."""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from gateway.demo.charts import DemoChart, all_charts
from gateway.demo.processes import House, end, open_house, wait_ready
from gateway.demo.script import Demo, read_person
from gateway.fhir.json import dump_json
from gateway.settings import Settings
from tests.acceptance.posts import STRANGERS

FHIR = "application/fhir+json"
XML = "application/fhir+xml"
MORE_CLIENTS: Mapping[str, tuple[str, ...]] = {"other-clinic": ("system",), "reader": ("auditor",), "desk": ("staff",)}
"""Clients beside those of the demonstration; the first belongs to another tenant."""


@dataclass(kw_only=True)
class Server:
    """A running house and the callers that tests play."""

    house: House
    charts: dict[str, DemoChart]
    """Worked cases by their id, all in the EHR."""
    secrets: dict[str, str] = field(repr=False)
    """Client secret by client id."""

    @property
    def url(self) -> str:
        """Base of the gateway."""
        return self.house.gateway_urls[0]

    @cached_property
    def client(self) -> httpx.Client:
        """One connection pool for all requests."""
        return httpx.Client(base_url=self.url, timeout=60)

    def send(self, method: str, path: str, *, by: str = "demo", **more: Any) -> httpx.Response:
        """One request by a client; `by=""` sends no credentials."""
        headers = {"Authorization": f"Bearer {self.secrets[by]}"} if by else {}
        return self.client.request(method, path, headers={**headers, **more.pop("headers", {})}, **more)

    def post(
        self, body: Any, media_type: str = FHIR, *, by: str = "demo-ehr", key: str = "", **headers: str
    ) -> httpx.Response:
        """`POST /orders` with a body of bytes or of JSON."""
        named = {"Content-Type": media_type, **({"Idempotency-Key": key} if key else {}), **headers}
        content = body if isinstance(body, bytes) else dump_json(body)
        return self.send("POST", "/orders", by=by, content=content, headers=named)

    def case_ids(self) -> set[str]:
        """Every case of the tenant."""
        listed = self.send("GET", "/cases", params={"limit": 500}).json()["cases"]
        assert len(listed) < 500
        return {case["case_id"] for case in listed}

    def peak_kib(self) -> int:
        """Largest memory of the gateway process since `forget_peak`, in KiB."""
        status = Path(f"/proc/{self.house.gateways[0].pid}/status").read_text("ascii")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])

    def forget_peak(self) -> int:
        """Begin to measure memory anew; gives the memory held now, in KiB."""
        Path(f"/proc/{self.house.gateways[0].pid}/clear_refs").write_text("5", "ascii")
        return self.peak_kib()

    def log(self) -> str:
        """What the gateway wrote to standard error so far."""
        return (self.house.folder / "gateway-1.log").read_text("utf-8", "replace")

    def ehr(self, path: str, **query: str) -> Any:
        """What the EHR answers to a read or search."""
        token = (self.house.folder / "ehr-token").read_text("utf-8")
        answer = httpx.get(f"{self.house.ehr_url}/{path}", params=query, headers={"Authorization": f"Bearer {token}"})
        return answer.json()

    def play(self, case_id: str, chart: DemoChart, state: str, seconds: float = 60) -> dict[str, Any]:
        """Play the person for a case until it rests in `state` (or has to be looked at); gives it as shown."""
        person = replace(read_person(), expected={chart.scenario: state})
        demo = Demo(house=self.house, person=person, tell=lambda line: None, charts={case_id: chart})
        demo.wait(seconds)
        shown: dict[str, Any] = self.send("GET", f"/cases/{case_id}").json()
        return shown

    def until_still(self, case_id: str, seconds: float = 30) -> dict[str, Any]:
        """The case as soon as the gateway has nothing to do on it, or as it stands when time is over."""
        until = monotonic() + seconds
        while True:
            shown: dict[str, Any] = self.send("GET", f"/cases/{case_id}").json()
            if not shown["busy"] or monotonic() > until:
                return shown
            sleep(0.1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The house with the worked cases, further clients, and one gateway process."""
    folder = tmp_path_factory.mktemp("server")
    charts = {chart.chart_id: chart for chart in all_charts()}
    with _ehr(folder, charts) as (url, token_file):
        demo = {"directory": folder, "ehr_base_url": url, "ehr_token_file": token_file}
        settings = Settings.model_validate({"demo": demo})
        with open_house(settings, list(charts.values()), lambda line: None) as house:
            opened = Server(house=house, charts=charts, secrets=_secrets(house))
            _add_clients(opened)
            with opened.client:
                yield opened


@contextmanager
def _ehr(folder: Path, charts: Mapping[str, DemoChart]) -> Iterator[tuple[str, Path]]:
    """A synthetic EHR with the worked cases and a few people with troubles."""
    files, token_file = folder / "charts", folder / "token"
    files.mkdir()
    for name, bundle in {**{key: chart.bundle for key, chart in charts.items()}, "strangers": STRANGERS}.items():
        (files / f"{name}.json").write_bytes(dump_json(bundle))
    token_file.write_text(secrets.token_urlsafe(24), "utf-8")
    command = [sys.executable, "-m", "gateway.demo.ehr_server", "--port", "0", "--token-file", str(token_file)]
    with (folder / "ehr.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, "--charts", str(files)], stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder
        )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1], token_file
    finally:
        end(process)


def _secrets(house: House) -> dict[str, str]:
    known = {"demo-ehr": house.ehr_secret, "demo": house.person_secret, "demo-auditor": house.auditor_secret}
    return known | {name: secrets.token_urlsafe(24) for name in MORE_CLIENTS}


def _add_clients(server: Server) -> None:
    """Write further clients into the settings and start the gateway again."""
    path = server.house.folder / "settings.toml"
    tenant = f"demo-{server.house.folder.name.removeprefix('run-')}"
    lines = ""
    for name, roles in MORE_CLIENTS.items():
        digest = hashlib.sha256(server.secrets[name].encode()).hexdigest()
        its = "other" if name == "other-clinic" else tenant
        lines += f'{name} = {{ secret_sha256 = "{digest}", tenant = "{its}", roles = {json.dumps(roles)} }}\n'
    head, mark, rest = path.read_text("utf-8").partition('["clients"]\n')
    assert mark
    text = (head + mark + lines + rest).replace('["server"]\n', '["server"]\nhook_seconds = 60\n')
    path.write_text(text, "utf-8")  # hooks have time on a machine that runs other tests as well
    end(server.house.gateways[0])
    assert server.house.start_gateway is not None
    server.house.gateways[0] = server.house.start_gateway(0)
    wait_ready(server.url, server.house.gateways[0], server.house.folder / "gateway-1.log")
