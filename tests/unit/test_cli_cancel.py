"""`pa-gateway case cancel`: it asks first, and nothing that was sent is withdrawn without a reason."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from gateway.cases.facts import Facts
from gateway.cli import main
from gateway.flows.services import Services
from gateway.store.rows import CaseRow, SubmissionRow
from tests.web_house import NOW, add_case, open_house

Cancel = Callable[..., tuple[int, str]]
REASON = ("--reason", "Scheduled elsewhere")


class Terminal(io.StringIO):
    """Standard input of a person at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_house(tmp_path / "house")


@pytest.fixture
def cancel(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cancel:
    """Runs the command on a case as the entry point does; its exit code and what it said on standard error."""
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'store.url = "{services.settings.store.url}"\nkeys.directory = "{tmp_path / "keys"}"\n'
        '[ehr.ehr]\nbase_url = "https://ehr.example.org/fhir"\n'
    )

    def once(case: CaseRow, *words: str, given: io.StringIO | None = None) -> tuple[int, str]:
        monkeypatch.setattr(
            sys, "argv", ["pa-gateway", "case", "cancel", case.case_id, "--settings", str(path), *words]
        )
        monkeypatch.setattr(sys, "stdin", given or io.StringIO("y\n"))
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        structlog.reset_defaults()
        return code, " ".join(capsys.readouterr().err.replace("│", " ").split())

    monkeypatch.setattr(sys, "argv", ["pa-gateway", "keys", "init", "--settings", str(path)])
    with pytest.raises(SystemExit) as made:
        main()
    assert not made.value.code
    return once


def _state(services: Services, case: CaseRow) -> str:
    with services.store.read() as tx:
        return str(tx.cases.get(case.tenant_id, case.case_id).state)


def _approved(services: Services) -> CaseRow:
    """A case whose request the payer has approved."""
    facts = Facts(submission_id="s1", answered="s1", authorization_numbers=("AUTH-77",))
    case = add_case(services, "approved", facts)
    row = SubmissionRow(
        tenant_id=case.tenant_id,
        submission_id="s1",
        case_id=case.case_id,
        kind="submit",
        endpoint="example-open/pas",
        request_digest="0" * 64,
        created_at=NOW,
        state="answered",
        attempts=1,
    )
    with services.store.begin() as tx:
        tx.submissions.insert(row)
        return tx.cases.update(
            case.tenant_id, case.case_id, case.version, decision="approved", authorization_number="AUTH-77"
        )


def test_without_a_terminal_it_wants_yes(services: Services, cancel: Cancel) -> None:
    case = add_case(services, "held")
    code, said = cancel(case)
    assert (code, _state(services, case)) == (2, "held")
    assert "add --yes" in said
    assert cancel(case, "--yes")[0] == 0
    assert _state(services, case) == "cancelled"


@pytest.mark.parametrize(("answer", "code", "state"), [("n\n", 1, "held"), ("\n", 1, "held"), ("y\n", 0, "cancelled")])
def test_at_a_terminal_it_asks(services: Services, cancel: Cancel, answer: str, code: int, state: str) -> None:
    case = add_case(services, "held")
    ended, said = cancel(case, given=Terminal(answer))
    assert (ended, _state(services, case)) == (code, state)
    assert "Close the case for good?" in said


@pytest.mark.parametrize("words", [("--yes",), ("--yes", "--reason", " no "), ()])
def test_what_was_sent_is_not_withdrawn_without_a_reason(
    services: Services, cancel: Cancel, words: tuple[str, ...]
) -> None:
    case = _approved(services)
    code, said = cancel(case, *words, given=Terminal("y\n"))
    assert (code, _state(services, case)) == (2, "approved")
    assert "say in a few words why it is withdrawn" in said


def test_a_withdrawal_is_asked_for_with_the_number(services: Services, cancel: Cancel) -> None:
    case = _approved(services)
    code, said = cancel(case, *REASON, given=Terminal("n\n"))
    assert (code, _state(services, case)) == (1, "approved")
    assert "approved, authorization AUTH-77. Withdraw the request at the payer and close the case?" in said
    assert cancel(case, *REASON)[0] == 2, "a reason alone is no yes"
