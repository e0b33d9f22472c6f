"""The HL7 validator over what we emit: found beside the project, skipped with a reason where it is absent."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import shared_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """An error that the validator reports and that our output must carry all the same."""

    id: str
    """Message id of the validator."""
    place: str
    """Part of the path."""
    words: str
    """Part of the text."""
    reason: str
    """Why."""


EXPLAINED = (
    Explained(
        id="Extension_EXT_Unknown_NotHere",
        place="",
        words="http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/",
        reason="The form is a DTR 2.2.0 response; no package of DTR 2.2 is at hand that knows its extensions.",
    ),
    Explained(
        id="Extension_EXT_Unknown_NotHere",
        place="",
        words="urn:oid:2.25.94492686211768030265051248232142081200.6",
        reason="The extension that names the wording is our own; no package at hand can know it.",
    ),
    Explained(
        id="Type_Specific_Checks_DT_OID_Valid",
        place=".questionnaire",
        words="|1.0.0",
        reason="A canonical may be an OID with a version; the validator takes the version for a part of the OID.",
    ),
)
"""Everything here is a limit of the judge or of the guide, never a wish of ours."""
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


def judge(command: Path, files: Iterable[Path], preset: str = "pas-2.2.1") -> tuple[int, list[str]]:
    """(files judged, errors that nothing explains): one line per error with file, place, id and text."""
    paths = [str(path) for path in files]
    done = subprocess.run(
        [str(command), "--preset", preset, "--json", *paths], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode == 3:
        pytest.skip("the referee could not run")
    verdicts = json.loads(done.stdout)["verdicts"]
    lines = [
        f"{Path(str(verdict['file'])).name}: {issue['path']} [{issue['id']}] {issue['text'][:200]}"
        for verdict in verdicts
        for issue in verdict["issues"]
        if issue["severity"] in ("error", "fatal") and not explain(issue)
    ]
    return len(verdicts), lines


def explain(issue: dict[str, str]) -> str:
    """Why an error of the validator is none of ours; empty when nothing explains it."""
    for known in EXPLAINED:
        if issue["id"] == known.id and known.words in issue["text"] and known.place in issue["path"]:
            return known.reason
    return ""


def _kind(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    return str(found.get("resourceType", "")) if isinstance(found, dict) else ""
