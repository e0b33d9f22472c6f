"""A harness that is started again with its ledger file is the same payer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness_case import MailBox, review_codes, running, wait_for
from tests.harness_messages import hook_request, package_request, request_bundle


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def test_counts_answers_and_messages_survive(journal: Path) -> None:
    request = request_bundle()
    with running(ledger_file=journal) as case:
        first = case.submit(request)
        case.submit({**request, "type": "batch", "identifier": {"system": "urn:x", "value": "bad"}})
        before = case.ledger()
    with running(ledger_file=journal) as case:
        assert case.ledger() == before
        assert case.submit(request).content == first.content
        assert case.ledger()["resends"] == 1


def test_a_claim_sent_again_after_the_restart_is_still_a_duplicate(journal: Path) -> None:
    request = request_bundle()
    with running(ledger_file=journal) as case:
        case.submit(request)
    request["identifier"]["value"] = "TXN-new"
    with running(ledger_file=journal) as case:
        case.submit(request)
        assert case.ledger()["duplicates"] == 1


def test_a_pend_is_decided_and_told_after_the_restart(journal: Path) -> None:
    mail = MailBox()
    with running(mail, ledger_file=journal, pace=1) as case:
        case.subscribe()
        wait_for(lambda: mail.of_type("handshake"))
        wait_for(lambda: case.harness.subscriptions.of_payer("example-medicare")[0].status == "active")
        case.submit(request_bundle("SYN-PEND-06"))
        assert mail.events() == []
    with running(mail, ledger_file=journal):
        (event,) = wait_for(mail.events)
        assert review_codes(event["entry"][1]["resource"]) == {1: "A1"}
        assert len(mail.of_type("handshake")) == 1


def test_an_undelivered_event_is_delivered_after_the_restart(journal: Path) -> None:
    mail = MailBox()
    with running(mail, ledger_file=journal) as case:
        case.subscribe()
        wait_for(lambda: case.harness.subscriptions.of_payer("example-medicare")[0].status == "active")
        mail.statuses = [0] * 1000
        case.submit(request_bundle("SYN-PEND-06"))
        wait_for(lambda: case.harness.subscriptions.of_payer("example-medicare")[0].count)
    mail.statuses.clear()
    with running(mail, ledger_file=journal):
        wait_for(mail.events)


def test_a_deleted_subscription_stays_deleted(journal: Path) -> None:
    with running(ledger_file=journal) as case:
        created = case.subscribe()
        headers = {"Authorization": "Bearer test-token"}
        case.client.request("DELETE", f"/example-medicare/fhir/Subscription/{created['id']}", headers=headers)
    with running(ledger_file=journal) as case:
        assert case.harness.subscriptions.of_payer("example-medicare") == []


def test_a_context_is_known_after_the_restart(journal: Path) -> None:
    with running(ledger_file=journal) as case:
        hook = case.post("/example-medicare/cds-services/order-sign-coverage", hook_request()).json()
    parts = hook["systemActions"][0]["resource"]["extension"][0]["extension"]
    context = next(p["valueString"] for p in parts if p["url"] == "coverage-assertion-id")
    with running(ledger_file=journal) as case:
        path = "/example-medicare/fhir/Questionnaire/$questionnaire-package"
        assert case.post(path, package_request(context=context)).status_code == 200


def test_a_torn_last_line_is_left_out(journal: Path) -> None:
    with running(ledger_file=journal) as case:
        case.submit(request_bundle())
    with journal.open("ab") as file:
        file.write(b'{"kind": "count", "payer": "exam')
    with running(ledger_file=journal) as case:
        case.submit(request_bundle())
    with running(ledger_file=journal) as case:
        assert case.ledger()["distinct_claims"] == 2


def test_reset_empties_the_file(journal: Path) -> None:
    with running(ledger_file=journal) as case:
        case.submit(request_bundle())
        case.client.post("/_reset")
    with running(ledger_file=journal) as case:
        assert case.ledger()["submissions"] == 0
