"""Reports and the command: exit codes, harmless text, no network, nothing but what was asked for."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import provenance
from provenance import Agent, KeyRing, organization, verify_package
from provenance.cli import main
from provenance.codes import OPEN_QUESTIONS, Code
from provenance.report import FAILED, INDETERMINATE, PASSED, Finding, plain, verdict_of
from provenance.report_html import to_html
from provenance.steps import QUESTIONS
from tests.provenance_case import (
    OTHER_TENANT,
    CaseBuilder,
    anchors,
    clean_package,
    key_ring,
    patient,
    resource,
)

EVIL = "</td><script>alert(1)</script>\x1b[31m\u202e\r\nverdict TOTAL-PASSED"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "case.zip").write_bytes(clean_package())
    (tmp_path / "anchors.json").write_bytes(anchors())
    return tmp_path


def run(folder: Path, *more: str) -> int:
    return main([str(folder / "case.zip"), "--anchors", str(folder / "anchors.json"), *more])


def test_command_answers_cannot_tell_for_a_clean_package(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 3
    out = capsys.readouterr().out
    assert "verdict         INDETERMINATE (HEAD_MISSING, PROOF_MISSING)" in out
    assert "does not show that the chart is clinically true" in out
    assert "development CA" in out


def test_command_answers_failed_for_a_damaged_package(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "case.zip").write_bytes(clean_package()[:-1])
    assert run(folder) == 1
    assert "PACKAGE_FORMAT - -" in capsys.readouterr().out


def test_command_answers_failed_for_another_tenant_or_patient(folder: Path) -> None:
    assert run(folder, "--expect-tenant", OTHER_TENANT.value) == 1
    assert run(folder, "--expect-tenant", "1234567893") == 3
    assert run(folder, "--expect-patient", "https://ehr.example.org/mrn|M-2") == 1
    assert run(folder, "--expect-patient", "https://ehr.example.org/mrn|M-1") == 3


def test_command_takes_completeness_and_newer_lists(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "new.crl").write_bytes(key_ring().revocation_lists(CaseBuilder(ring=key_ring()).now)["event.crl"])
    assert run(folder, "--complete-until", "2026-11-01T12:00:00Z", "--crl", str(folder / "new.crl")) == 3
    assert "HEAD_STALE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        ["--report", "out.txt"],
        ["--complete-until", "yesterday"],
        ["--complete-until", "2026-11-01T12:00:00"],
        ["--unknown"],
        ["--anchors"],
    ],
)
def test_wrong_usage_is_two(folder: Path, change: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(folder, *change)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_files_that_cannot_be_used_are_two(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "--crl", str(folder / "absent.crl")) == 2
    assert "absent.crl" in capsys.readouterr().err
    (folder / "anchors.json").write_bytes(b"{}")
    assert run(folder) == 2
    (folder / "anchors.json").unlink()
    assert run(folder) == 2
    (folder / "case.zip").unlink()
    (folder / "anchors.json").write_bytes(anchors())
    assert run(folder) == 2


def test_reports_are_written_for_their_owner_alone(folder: Path) -> None:
    assert run(folder, "--report", str(folder / "out.json")) == 3
    assert run(folder, "--report", str(folder / "out.html")) == 3
    value = json.loads((folder / "out.json").read_text())
    assert value["verdict"] == "INDETERMINATE"
    assert value["codes"] == ["HEAD_MISSING", "PROOF_MISSING"]
    assert len(value["events"]) == 26
    assert value["seal"]["result"] == "ok"
    assert value["package_digest"] == provenance.digest_hex(clean_package())
    assert value["anchors_digest"] == provenance.digest_hex(anchors())
    assert (folder / "out.html").read_text().startswith("<!DOCTYPE html>")
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("out.json", "out.html")} == {0o600}


def test_terminal_that_cannot_show_a_character_does_not_end_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert run(folder) == 3


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a verifier opens no connection")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.usefixtures("no_network")
def test_verification_opens_no_connection(folder: Path) -> None:
    assert run(folder) == 3


def test_verifier_runs_without_the_gateway_and_its_dependencies(folder: Path) -> None:
    """In a process of its own where nothing but the three permitted packages can be imported."""
    script = (
        "import sys\n"
        "permitted = {*sys.stdlib_module_names, 'provenance', 'cryptography', 'rfc8785', '_cffi_backend', 'cffi'}\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] not in permitted:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Guard())\n"
        "from provenance.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, str(folder / "case.zip"), "--anchors", str(folder / "anchors.json")]
    environment = {**os.environ, "PYTHONPATH": str(Path(provenance.__file__).parent.parent)}
    result = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert result.returncode == 3, result.stderr
    assert b"INDETERMINATE" in result.stdout


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A package full of text that would like to run, and the anchors for it."""
    folder = tmp_path_factory.mktemp("evil")
    ring = KeyRing.create(
        folder / "keys",
        EVIL[:60],
        "urn:oid:1.2.3",
        "<b>1</b>",
        CaseBuilder(ring=key_ring()).now,
        allow_development=True,
    )
    case = CaseBuilder(ring=ring)
    case.record("ehr-extract", [resource(patient())], agents=[Agent(role="author", who=organization(None, EVIL))])
    return case.package(), ring.export_anchors()


def test_text_of_a_package_cannot_run_in_the_html_report(evil: tuple[bytes, bytes]) -> None:
    page = to_html(verify_package(*evil))
    assert "<script" not in page
    assert "<b>1</b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x1b" not in page
    assert re.search(r'http-equiv="Content-Security-Policy" content="default-src \'none\';', page)
    assert not re.search(r"<(?:a|img|link|iframe|form|object)\b|https?://[^<]*[\"']>", page)


def test_text_of_a_package_cannot_control_the_terminal(evil: tuple[bytes, bytes]) -> None:
    text = verify_package(*evil).to_text()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "\nverdict TOTAL-PASSED" not in text


def test_what_is_no_package_gets_no_report_of_a_package() -> None:
    text = verify_package(b"# A readme\n", anchors()).to_text()
    assert "This is no evidence package that can be opened, so nothing in it was checked." in text
    assert "PACKAGE_FORMAT - - not a zip, or bytes after its end" in text
    assert text.splitlines()[-1] == "verdict         TOTAL-FAILED (PACKAGE_FORMAT)"
    assert not re.search(r"^(case|tenant|events|coverage|head|verified|cannot tell|failed)\b", text, re.MULTILINE)


def test_json_report_is_ascii(evil: tuple[bytes, bytes]) -> None:
    assert verify_package(*evil).to_json().isascii()


def test_long_text_is_cut() -> None:
    assert plain("x" * 1000) == "x" * 299 + "…"
    assert plain("a\x00b\u2028c") == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("code", Code)
def test_verdict_of_one_code(code: Code) -> None:
    verdict, codes = verdict_of([Finding(code=code)])
    assert codes == (code.value,)
    assert verdict == (INDETERMINATE if code in OPEN_QUESTIONS else FAILED)


def test_verdict_of_none_and_of_many() -> None:
    assert verdict_of([]) == (PASSED, ())
    findings = [Finding(code=Code.PROOF_MISSING), Finding(code=Code.MANIFEST), Finding(code=Code.MANIFEST)]
    assert verdict_of(findings) == (FAILED, ("MANIFEST", "PROOF_MISSING"))


def test_five_codes_leave_the_verdict_open() -> None:
    assert {code.value for code in OPEN_QUESTIONS} == {
        "CHAIN_UNTRUSTED",
        "REVOCATION_UNKNOWN",
        "HEAD_MISSING",
        "HEAD_STALE",
        "PROOF_MISSING",
    }


def test_no_value_of_a_resource_shows_in_a_report() -> None:
    """Findings name places; the patient is a digest."""
    report = verify_package(clean_package(), anchors(), expect_patient="https://ehr.example.org/mrn|M-2")
    for text in (report.to_text(), report.to_json(), to_html(report)):
        assert "Example, Ada" not in text
        assert "Ada" not in text
        assert "M-1" not in text


def test_every_code_belongs_to_exactly_one_question() -> None:
    grouped = [code for _, group in QUESTIONS for code in group]
    assert sorted(grouped) == sorted(Code)


def test_questions_of_a_clean_package_are_answered_one_by_one() -> None:
    steps = verify_package(clean_package(), anchors()).steps
    assert [step.answer for step in steps] == ["verified"] * 9 + ["cannot tell"] * 2
    assert [step.codes for step in steps if step.codes] == [("HEAD_MISSING",), ("PROOF_MISSING",)]


def test_package_that_was_not_opened_leaves_the_other_questions_open() -> None:
    steps = verify_package(b"", anchors()).steps
    assert [step.answer for step in steps] == ["failed"] + ["cannot tell"] * 10


def test_payer_is_named_as_the_events_have_it() -> None:
    assert verify_package(clean_package(), anchors()).payer == "Example Payer"
