"""Every command helps, takes the settings, and ends with the exit code that is documented."""

from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import main
from gateway.cli.checks import find_problems, is_npi
from gateway.cli.commands import build_cli
from gateway.cli.shared import exit_code, print_table
from gateway.clock import SystemClock
from gateway.errors import EhrError, InputError, IntegrityError, NotFound, PayerError, SettingsError
from gateway.flows.services import open_keys
from gateway.settings import load_settings
from tests.command_tree import commands

ALONE = {"elm evaluate", "fhirpath evaluate", "questionnaire populate", "questionnaire check", "harness serve"}
"""Commands that need no settings."""
NO_JSON = {"serve", "harness serve", "settings hash-password"}
"""Commands that print nothing to be read by machines."""


def _options(command: Any) -> dict[str, Any]:
    return {option: parameter for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help(name: str) -> None:
    if name == "harness serve":
        return
    result = CliRunner().invoke(build_cli(), [*name.split(), "--help"])
    assert result.exit_code == 0
    assert commands()[name].help
    for parameter in commands()[name].params:
        assert parameter.help, f"{name}: {parameter.opts}"


@pytest.mark.parametrize("name", sorted(set(commands()) - ALONE - {"settings hash-password"}))
def test_every_command_takes_the_settings(name: str) -> None:
    assert "--settings" in _options(commands()[name])


@pytest.mark.parametrize("name", sorted(set(commands()) - NO_JSON))
def test_every_command_prints_json(name: str) -> None:
    assert "--json" in _options(commands()[name])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 1),
        (NotFound("x"), 1),
        (SettingsError("x"), 10),
        (EhrError("x"), 20),
        (PayerError("x"), 21),
        (IntegrityError("x"), 30),
    ],
)
def test_exit_codes(error: Any, code: int) -> None:
    assert exit_code(error) == code


def test_a_table_in_a_pipe_is_never_folded(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "text"), [("a" * 50, "word " * 40), ("b", "")])
    assert capsys.readouterr().out.splitlines() == [
        "id" + " " * 50 + "text",
        "a" * 50 + "  " + ("word " * 40).rstrip(),
        "b",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "begin"),
    [
        ("STORE__URL", "mysql://x", "store.url: "),
        ("STORE__URL", "sqlite:///:memory:", "store.url: "),
        ("TENANT__NPI", "1234567890", "tenant.npi: "),
        ("TENANT__PRACTICE_ZONE", "Mars/One", "tenant.practice_zone: "),
        ("TENANT__PRACTICE_ZONE", "../etc", "tenant.practice_zone: "),
        ("EHR__OTHER__BASE_URL", "https://x.example.org", "tenant.ehr: there is no [ehr.ehr]; there are other."),
        ("EHR__EHR__BASE_URL", "http://x.example.org", "ehr.ehr.plain_http: "),
        ("EHR__EHR", '{base_url="https://x.example.org",token_file="/nope"}', "ehr.ehr.token_file: "),
        ("CLIENTS__A__NAME", "A", "clients.a.secret_sha256: neither"),
        ("CLIENTS__A__SECRET_SHA256", "abc", "clients.a.secret_sha256: 64"),
        ("CLIENTS__A__PASSWORD_ARGON2", "abc", "clients.a.password_argon2: "),
        (
            "CDS_CLIENTS__A",
            '{issuer="i",jwks_url="https://x.example.org/k"}',
            "cds_clients.a.ehr: there is no [ehr.ehr]",
        ),
        ("CDS_CLIENTS__A", '{issuer="i",ehr="ehr"}', "cds_clients.a."),
        ("CDS_CLIENTS__A", '{issuer="i",jwks_file="/nope"}', "cds_clients.a."),
    ],
)
def test_settings_that_would_fail_later_are_told(variable: str, value: str, begin: str) -> None:
    problems = list(find_problems(load_settings(None, {f"PA_GATEWAY__{variable}": value})))
    assert [problem for problem in problems if problem.startswith(begin)] == problems


def test_the_default_settings_have_no_problem() -> None:
    assert list(find_problems(load_settings(None, {}))) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1234567893", True), ("1234567890", False), ("123456789", False), ("", False), ("１２３４５６７８９３", False)],
)
def test_national_provider_identifiers(text: str, expected: bool) -> None:
    assert is_npi(text) is expected


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[server]\nprot = 1\n", "server.prot: there is no such setting; did you mean `port`?"),
        ("[servr]\nport = 1\n", "servr: there is no such setting; did you mean `server`?"),
        ("[ehr.a]\nbase_url = 'https://x'\npage_siz = 1\n", "ehr.a.page_siz: there is no such setting; did you mean"),
        ("[ehr.a]\nbase_url = 'ftp://x'\n", "ehr.a.base_url: must begin with https://"),
        ("zzzz = 1\n", "zzzz: there is no such setting"),
        ("[server\n", "is not TOML"),
    ],
)
def test_a_wrong_settings_file_is_told_with_the_key(tmp_path: Path, toml: str, said: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(toml)
    with pytest.raises(SettingsError) as raised:
        load_settings(path, {})
    assert said in raised.value.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, in an empty folder, as the entry point does."""
    monkeypatch.chdir(tmp_path)

    def once(*words: str, given: str = "") -> Ended:
        monkeypatch.setattr(sys, "argv", ["pa-gateway", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(code=int(ended.value.code or 0), out=said.out, err=said.err)

    return once


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("case", "list", "--state", "foo"), 2, "states are"),
        (("order", "post", "nothing.json"), 2, "nothing.json cannot be read."),
        (("settings", "check", "--settings", "none.toml"), 10, "none.toml cannot be read"),
        (("payer", "check", "nobody"), 1, "pa-gateway payer list"),
        (("rule", "show", "nothing"), 1, "pa-gateway rule list"),
        (("keys", "list"), 10, "keys.directory"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_a_refusal_is_one_sentence_and_a_code(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    ended = run(*words)
    assert ended.code == code, ended.err
    assert said in ended.err
    assert ended.out == ""


def test_settings_check_prints_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PA_GATEWAY__JOBS__POLL_SECONDS", "0.25")
    ended = run("settings", "check", "--json")
    assert ended.code == 0, ended.err
    shown = json.loads(ended.out)
    assert shown["jobs"]["poll_seconds"] == 0.25
    assert "example-medicare" in shown["payers_known"]


def test_keys_are_made_once_and_replaced(run: Run) -> None:
    assert run("keys", "init").code == 0
    assert run("keys", "init").code == 10
    listed = json.loads(run("keys", "rotate", "event", "--json").out)["keys"]
    assert [(key["purpose"], key["in_use"]) for key in listed] == [("seal", True), ("event", False), ("event", True)]
    assert run("keys", "export-anchors", "anchors.json").code == 0
    assert json.loads(Path("anchors.json").read_text("utf-8"))


def test_a_password_from_a_pipe_is_hashed(run: Run) -> None:
    ended = run("settings", "hash-password", given="correct horse\n")
    assert ended.out.startswith("$argon2id$")
    assert "correct horse" not in ended.out + ended.err


def test_a_taken_port_is_told_in_a_sentence(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run("serve", "--port", str(taken.getsockname()[1]))
    assert ended.code == 10
    assert "cannot listen at 127.0.0.1" in ended.err


def test_commands_that_start_together_make_one_set_of_keys(tmp_path: Path) -> None:
    settings = load_settings(None, {"PA_GATEWAY__KEYS__DIRECTORY": str(tmp_path / "keys")})
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_keys(settings, SystemClock()), range(4)))
    assert len({(keys.key_rows(), secret) for keys, secret in opened}) == 1
