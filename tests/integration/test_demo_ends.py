"""`pa-gateway demo` that is told to end takes with it what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest


@pytest.mark.timeout(120)
@pytest.mark.parametrize("options", [(), ("--once",)])
def test_sigterm_ends_the_children_too(tmp_path: Path, options: tuple[str, ...]) -> None:
    environment = {**os.environ, "PA_GATEWAY__DEMO__DIRECTORY": str(tmp_path)}
    command = [sys.executable, "-m", "gateway.cli", "demo", *options]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as demo:
        assert demo.stderr is not None
        line = next(line for line in demo.stderr if "EHR at http" in line)
        address = line.split()[-1]
        assert urlsplit(address).port
        assert httpx.get(f"{address}/metadata", timeout=30).status_code in (200, 401)
        demo.send_signal(signal.SIGTERM)
        rest = demo.stderr.read()
        assert demo.wait(60) == 130, "as Ctrl+C: " + rest
    assert "Traceback" not in rest
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/metadata", timeout=30)
