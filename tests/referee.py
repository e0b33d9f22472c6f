"""The HL7 validator over what we emit: found beside the project, skipped with a reason where it is absent."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import shared_folder

JUDGED = ("submit", "inquire", "subscription", "notification", "attachment")
"""Operations whose messages are PAS Bundles or Subscriptions."""


def require_referee() -> Path:
    """The referee's command; skips unless PA_GATEWAY_REFEREE is set, and where it, Java or its cache is missing.

    Opt-in, since its engine takes a minute on two busy cores.
    """
    if not os.environ.get("PA_GATEWAY_REFEREE"):
        pytest.skip("set PA_GATEWAY_REFEREE=1 to judge by the HL7 validator")
    command = shared_folder() / "tools" / "referee" / "referee"
    if not command.is_file():
        pytest.skip("the referee is not beside the project")
    if shutil.which("java") is None:
        pytest.skip("the referee needs Java")
    home = Path(os.environ.get("REFEREE_HOME", Path.home() / ".cache" / "pa-referee"))
    if not (home / "lib" / "referee.jar").is_file():
        pytest.skip("the referee is not built; run its --setup once")
    return command


def read_ledger(ledger: Path) -> Iterator[dict[str, str]]:
    """Messages of a payer ledger file, one dict each."""
    for line in ledger.read_text("utf-8").splitlines():
        record = json.loads(line)
        if record.get("kind") == "message":
            yield record


def save_messages(ledger: Path, out: Path) -> list[Path]:
    """Write every PAS Bundle and Subscription that was exchanged, requests and responses, one file each."""
    saved = []
    for record in read_ledger(ledger):
        for side in ("request", "response"):
            body = base64.b64decode(record.get(side) or "")
            kind = _kind(body)
            if kind in ("Bundle", "Subscription", "Parameters") and any(w in record["operation"] for w in JUDGED):
                path = out / f"{int(record['number']):04d}-{record['operation']}-{side}-{kind}.json".replace("$", "")
                path.write_bytes(body)
                saved.append(path)
    return saved


def judge(command: Path, files: Iterable[Path], preset: str = "pas-2.2.1") -> list[str]:
    """Error lines of the referee over these files; empty when there are none."""
    paths = [str(path) for path in files]
    done = subprocess.run(
        [str(command), "--preset", preset, *paths], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == 0:
        return []
    return [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()] or [done.stdout]


def _kind(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return str(found.get("resourceType", "")) if isinstance(found, dict) else ""
