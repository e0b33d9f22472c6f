"""The harness as a process: its ready line, its late listener, dropped connections, a clean stop."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.harness_messages import TOKEN, request_bundle

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def process(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """(address, process) of a harness on a free port."""
    command = [sys.executable, "-m", "payer_endpoints.harness", "--port", "0", "--token", "test-token", *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        found = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+) pid=(\d+)\n", line)
        assert found, line + (running.stderr.read() if running.stderr and not line else "")
        assert int(found[2]) == running.pid
        yield found[1], running
    finally:
        running.terminate()
        running.wait(timeout=10)
        for stream in (running.stdout, running.stderr):
            if stream:
                stream.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number


def client(address: str) -> httpx.Client:
    return httpx.Client(base_url=address, headers=TOKEN, timeout=5, trust_env=False)


def comes_up(down: httpx.Client) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            return bool(down.get("/_health").json()["status"] == "up")
        except httpx.ConnectError:
            time.sleep(0.05)
    return False


def test_down_reset_slow_and_a_quiet_stop() -> None:
    port = free_port()
    settings = ("--down-port", str(port), "--down-seconds", "1", "--slow-seconds", "1.5")
    with process(*settings) as (address, running):
        with client(f"http://127.0.0.1:{port}") as down:
            check_down(down)
        with client(address) as payer:
            check_reset(payer)
            check_slow(payer)
        running.terminate()
        assert running.wait(timeout=10) == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""


def check_down(down: httpx.Client) -> None:
    """A payer that is down refuses connections, and answers once it is up."""
    with pytest.raises(httpx.ConnectError):
        down.get("/_health")
    assert comes_up(down)
    request = request_bundle("SYN-DOWN-01", "example-down")
    assert down.post("/example-down/fhir/Claim/$submit", json=request).status_code == 200


def check_reset(payer: httpx.Client) -> None:
    """A dropped connection is seen as one, and the request is kept."""
    order = {"payer": "example-medicare", "operation": "submit", "fault": {"kind": "reset", "first": 1}}
    payer.post("/_faults", json=order)
    request = request_bundle()
    with pytest.raises(httpx.TransportError):
        payer.post("/example-medicare/fhir/Claim/$submit", json=request)
    assert payer.post("/example-medicare/fhir/Claim/$submit", json=request).status_code == 200
    counts = payer.get("/_ledger").json()["by_payer"]["example-medicare"]
    assert (counts["submissions"], counts["resends"], counts["duplicates"]) == (2, 1, 0)


def check_slow(payer: httpx.Client) -> None:
    """A client that gives up gets the stored answer on its next try."""
    request = request_bundle("SYN-SLOW-01", "example-slow")
    with pytest.raises(httpx.ReadTimeout):
        payer.post("/example-slow/fhir/Claim/$submit", json=request, timeout=0.3)
    assert payer.post("/example-slow/fhir/Claim/$submit", json=request, timeout=1).status_code == 200
    assert payer.get("/_ledger").json()["by_payer"]["example-slow"]["resends"] == 1


def test_it_is_killed_and_comes_back_with_its_ledger(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger.jsonl")
    request = request_bundle()
    with process("--ledger", ledger) as (address, running), client(address) as payer:
        first = payer.post("/example-medicare/fhir/Claim/$submit", json=request)
        running.send_signal(signal.SIGKILL)
        running.wait(timeout=10)
    with process("--ledger", ledger) as (address, _), client(address) as payer:
        again = payer.post("/example-medicare/fhir/Claim/$submit", json=request)
        assert again.content == first.content
        assert payer.get("/_ledger").json()["distinct_claims"] == 1


def test_bad_scenarios_end_with_exit_code_10(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('id = "x"\nwrong = 1\n')
    command = [sys.executable, "-m", "payer_endpoints.harness", "--scenarios", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 10
    assert "bad.toml" in done.stderr
    assert "Traceback" not in done.stderr
