"""`pa-gateway care …` over a database in which a timer runs; the EHR is away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from gateway.cli.commands import build_cli
from gateway.cli.shared import exit_code
from gateway.errors import GatewayError
from gateway.flows import care_start
from tests.care_house import Patient, chart, confirmed, local
from tests.flows_house import EHR_URL, STAFF, open_house


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Settings of a house in which a timer runs, and its case."""
    folder, bundle = tmp_path_factory.mktemp("care-cli"), chart()
    with open_house(folder, [bundle]) as house:
        house.clock.instant = local(0, "10:00")
        patient = Patient(house, bundle)
        case_id = patient.post()
        patient.settle()
        care_start.start(house.services, STAFF, case_id, confirmed())
        patient.settle()
        patient.at(8)
        own = house.services.settings.keys.directory.parent
        keys = shutil.copytree(own, folder / "own") / "keys"  # commands live in real time and renew keys
    settings = folder / "settings.toml"
    settings.write_text(
        f'store.url = "sqlite:///{folder / "gateway.db"}"\nkeys.directory = "{keys}"\n'
        f'[ehr.ehr]\nbase_url = "{EHR_URL}"\nnetworks = ["127.0.0.0/8"]\nplain_http = true\n'
    )
    return settings, case_id


def run(place: tuple[Path, str], *words: str) -> tuple[int, str]:
    """Exit code and standard output of a command; an error of ours gives the code it stands for."""
    result = CliRunner().invoke(build_cli(), ["care", *words, "--settings", str(place[0])])
    structlog.reset_defaults()  # a command sets up the logs of its process, for as long as that lives
    if isinstance(result.exception, GatewayError):
        return exit_code(result.exception), result.exception.diagnostics()
    return result.exit_code, result.stdout


def parsed(place: tuple[Path, str], *words: str) -> Any:
    code, out = run(place, *words, "--json")
    assert code == 0, out
    return json.loads(out)


def test_a_list_names_nobody_and_says_what_is_missing(place: tuple[Path, str]) -> None:
    (line,) = parsed(place, "list")["timers"]
    assert (line["case_id"], line["state"], line["phase"], line["days"]) == (place[1], "running", "draft", 42)
    assert [alert["milestone"] for alert in line["alerts"]] == ["baseline", "start"]
    assert "The therapy request is not signed." in line["alerts"][0]["lines"]
    assert not any(word in json.dumps(line) for word in ("Sampleton", "Barnaby", "1949-07-02", "SYN-MRN"))
    code, out = run(place, "list")
    assert code == 0
    assert out.splitlines()[0].split()[0] == "case"
    assert parsed(place, "list", "--state", "failed") == {"timers": []}
    assert run(place, "list", "--state", "strange")[0] == 2


def test_one_timer_is_shown_whole(place: tuple[Path, str]) -> None:
    found = parsed(place, "show", place[1][:8])
    assert [item["outcome"] for item in found["milestones"][:3]] == ["missing", "missing", ""]
    assert {item["phase"] for item in found["resources"] if not item["key"].startswith("alert")} == {"draft"}
    assert found["is_written"] is True
    code, out = run(place, "show", place[1])
    assert code == 0
    assert "missing: No baseline score is on file." in out


@pytest.mark.parametrize(
    "words, code",
    [
        (("start", "CASE", "--drug", "none"), 20),
        (("start", "CASE", "--propose"), 1),
        (("upload", "CASE", "absent.csv"), 2),
        (("cancel", "CASE", "--reason", "no"), 1),
        (("show", "ffffffff"), 1),
        (("start", "CASE", "--takes-since", "yesterday"), 2),
    ],
)
def test_what_cannot_be_done_ends_with_its_code(place: tuple[Path, str], words: tuple[str, ...], code: int) -> None:
    assert run(place, *(place[1] if word == "CASE" else word for word in words))[0] == code


def test_a_file_of_another_kind_is_not_read(place: tuple[Path, str], tmp_path: Path) -> None:
    file = tmp_path / "visits.xlsx"
    file.write_bytes(b"PK")
    code, said = run(place, "upload", place[1], str(file))
    assert (code, ".csv" in said) == (1, True)


def test_signing_and_ending_need_no_ehr(place: tuple[Path, str]) -> None:
    code, said = run(place, "sign", place[1], "--order", "referral")
    assert (code, "names no Practitioner" in said) == (1, True), "no order in the name of somebody else"
    signed = parsed(place, "sign", place[1])
    assert (signed["phase"], signed["is_written"]) == ("signed", False)
    assert [item["key"] for item in signed["resources"] if item["declined"]] == ["drug", "referral"]
    assert run(place, "sign", place[1])[0] == 1
    ended = parsed(place, "cancel", place[1], "--reason", "The patient wants to wait.")
    assert (ended["state"], ended["reason"]) == ("cancelled", "by-person")
    assert parsed(place, "list")["timers"] == []
