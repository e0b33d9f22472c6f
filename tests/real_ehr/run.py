"""Carry P01, P02, P06 and P09 through against HAPI FHIR, by settings alone, and look for the write-back there.

    python -m tests.real_ehr.run

Needs Java and the built `hapi-ehr` tool beside the project. The charts are the demonstration's own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.charts import demo_charts
from gateway.demo.script import Demo, run_once
from gateway.fhir.json import dump_json
from gateway.settings import Settings
from tests.conftest import shared_folder

SCENARIOS = {"approved": "P01", "week-three-held": "P02", "pended-approved": "P06", "red-flag": "P09"}
"""Scenario of the demonstration → the worked case its chart is made from."""
COVERAGE_INFORMATION = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"


class Absent(Exception):
    """The server cannot be started here; the message says why."""


def find_tool() -> Path:
    """Folder of the `hapi-ehr` tool. Raises Absent."""
    folder = shared_folder() / "tools" / "hapi-ehr"
    if not (folder / "hapi-ehr").is_file():
        raise Absent("the hapi-ehr tool is not beside the project")
    if shutil.which("java") is None:
        raise Absent("Java is not installed")
    home = Path(os.environ.get("HAPI_EHR_HOME", Path.home() / ".cache" / "hapi-ehr"))
    if not home.is_dir():
        raise Absent("hapi-ehr is not built; run its --setup once")
    return folder


@contextmanager
def running_hapi(token: str) -> Iterator[str]:
    """FHIR base of a HAPI server loaded with the charts of the scenarios; ended afterwards."""
    folder = find_tool()
    process = subprocess.Popen(
        [str(folder / "hapi-ehr"), "--port", "0", "--token", token],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) < 2 or words[0] != "ready":
            raise Absent("hapi-ehr did not start")
        _load(folder, words[1], token)
        yield words[1]
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _load(folder: Path, base: str, token: str) -> None:
    with tempfile.TemporaryDirectory() as out:
        paths = []
        for chart in demo_charts():
            if chart.scenario in SCENARIOS:
                path = Path(out) / f"{chart.scenario}.json"
                path.write_bytes(dump_json(chart.bundle))
                paths.append(str(path))
        command = [str(folder / "hapi-ehr-load"), "--token", token, base, *paths]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise Absent(f"the charts were not loaded: {done.stderr[-300:]}")


def check_written(base: str, token: str, report: dict[str, Any]) -> list[str]:
    """What is missing in the EHR, one line each."""
    wrong = []
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"}
    with httpx.Client(base_url=base, headers=headers, timeout=30) as ehr:
        for case in report["cases"]:
            order = ehr.get(f"/{case['order']}").json()
            if not any(item["url"] == COVERAGE_INFORMATION for item in order.get("extension", ())):
                wrong.append(f"{case['scenario']}: no coverage-information on the order")
            if case["state"] != "approved":
                continue
            identifier = f"urn:ietf:rfc:3986|urn:uuid:{case['case_id']}"
            for kind in ("ClaimResponse", "Task"):
                found = ehr.get(f"/{kind}", params={"identifier": identifier}).json().get("entry", [])
                if len(found) != 1:
                    wrong.append(f"{case['scenario']}: {len(found)} {kind} instead of one")
                elif case["authorization_number"] not in str(found[0]["resource"]):
                    wrong.append(f"{case['scenario']}: {kind} lacks the authorization number")
    return wrong


def run(tell: Callable[[str], None]) -> list[str]:
    """The whole check; what is wrong, one line each. Raises Absent."""
    token = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="pa-real-ehr-") as folder, running_hapi(token) as base:
        token_file = Path(folder) / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(token, "utf-8")
        settings = Settings.model_validate(
            {
                "demo": {
                    "directory": Path(folder) / "demo",
                    "ehr_base_url": base,
                    "ehr_token_file": token_file,
                    "scenarios": tuple(SCENARIOS),
                }
            }
        )
        wrong: list[str] = []
        seen: list[dict[str, Any]] = []

        def look(demo: Demo) -> None:
            seen.append(demo.report())
            wrong.extend(check_written(base, token, seen[0]))

        _, unexpected = run_once(settings, tell, look)
        for case in seen[0]["cases"]:
            tell(f"{SCENARIOS[case['scenario']]}: {case['state']} {case['authorization_number']}")
        return [*unexpected, *wrong]


def main() -> int:
    """Command line of the script: 0 all well, 1 something is wrong, 3 it cannot be run here."""
    try:
        wrong = run(lambda line: print(line, flush=True))
    except Absent as reason:
        print(f"skipped: {reason}")
        return 3
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
