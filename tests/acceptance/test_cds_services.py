"""The week-three order through CDS Hooks, over real HTTP, as the demonstration's EHR sends it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from gateway.demo import hook_call
from gateway.demo.hook_keys import sign_call
from gateway.fhir.json import dump_json
from gateway.profiles.crd_discovery import read_discovery
from tests.acceptance.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
FACTS = (
    "M54.2 primary | day 21 of 42 (week 3 of 6) since symptom onset, no treatment start documented | "
    "no PT CPT codes on file | no structured NSAID order found | no NDI score documented | "
    "activity advice not documented"
)
RULE = "Rule: Unknown payer default-strict v0.1.0 (illustrative, not a payer policy), effective 2026-01-01"


def _settings(server: Server) -> Any:
    return tomllib.loads((server.house.folder / "settings.toml").read_text("utf-8"))


def _call(server: Server, name: str, hook: str = "order-sign", **changes: Any) -> httpx.Response:
    settings = _settings(server)
    body = hook_call.build_call(server.charts[name], hook, settings["ehr"]["ehr"]["base_url"]) | changes
    return hook_call.post(server.house.folder, settings, f"/cds-services/{hook}", body)


@pytest.fixture(scope="module")
def signed(server: Server) -> Mapping[str, Any]:
    """The answer to the first order-sign of worked case P02, and the cases it opened."""
    before = server.case_ids()
    answer = _call(server, "P02")
    assert answer.status_code == 200, answer.text
    return {"answer": answer.json(), "cases": server.case_ids() - before}


def test_discovery_names_the_services_to_everybody(server: Server) -> None:
    services = read_discovery(httpx.get(f"{server.url}/cds-services").json())
    assert {service.id for service in services} == {"order-select", "order-sign"}
    assert all(service.prefetch["patient"] == "Patient/{{context.patientId}}" for service in services)


def test_the_panel_says_what_the_payer_will_miss(server: Server, signed: Mapping[str, Any]) -> None:
    (card,) = signed["answer"]["cards"]
    assert (card["indicator"], card["summary"]) == ("warning", "Prior authorization risk: conservative-care gap")
    facts, rule, lines, *_ = card["detail"].split("\n\n")
    assert (facts, rule) == (FACTS, RULE)
    assert len(lines.splitlines()) == 7
    assert [item["label"] for item in card["suggestions"]] == [
        "Document Red-Flag Exception",
        "Start Conservative-Care Timer",
        "Upgrade to M54.12 with Neuro Exam Template",
    ]


def test_its_links_lead_to_pages_of_the_case(server: Server, signed: Mapping[str, Any]) -> None:
    (case_id,) = signed["cases"]
    links = [link["url"] for link in signed["answer"]["cards"][0]["links"]]
    assert links == [f"{server.url}/cases/{case_id}/{page}" for page in ("red-flag", "timer", "neuro-exam")]
    for link in links:
        answer = httpx.get(link)  # nobody is signed in: the page asks for that, and is there
        assert answer.status_code in (302, 303), answer.text
        assert "sign-in" in answer.headers["location"]


def test_the_payers_coverage_information_is_on_the_order(signed: Mapping[str, Any]) -> None:
    (action,) = signed["answer"]["systemActions"]
    (extension,) = action["resource"]["extension"]
    parts = {part["url"]: part for part in extension["extension"]}
    assert action["type"] == "update"
    assert parts["pa-needed"]["valueCode"] == "auth-needed"
    assert action["resource"]["status"] == "draft"


def test_the_case_is_provisional_and_holds(server: Server, signed: Mapping[str, Any]) -> None:
    (case_id,) = signed["cases"]
    until = monotonic() + 40
    while (shown := server.send("GET", f"/cases/{case_id}").json())["state"] != "held" and monotonic() < until:
        sleep(0.2)
    assert (shown["state"], shown["clinical"]["verdict"], shown["submissions"]) == ("held", "GAP", [])


def test_feedback_and_repetition(server: Server, signed: Mapping[str, Any]) -> None:
    (case_id,), (card,) = signed["cases"], signed["answer"]["cards"]
    assert _call(server, "P02").json()["cards"] == []
    assert _call(server, "P02", "order-select").json()["cards"] == []
    override = {"reason": {"code": "override-specialist-request"}, "userComment": "Zzyxqa Canary"}
    entry = {"card": card["uuid"], "outcome": "overridden", "overrideReason": override}
    path = "/cds-services/order-sign/feedback"
    for _ in range(2):
        taken = hook_call.post(server.house.folder, _settings(server), path, {"feedback": [entry]})
        assert taken.status_code == 200, taken.text
    events = server.send("GET", f"/cases/{case_id}/events").json()["events"]
    (event,) = [item for item in events if item["verb"] == "advice-answer"]
    assert (event["note"]["action"], event["note"]["reason"]) == ("overridden", "specialist-request")
    assert "Zzyxqa" not in json.dumps(events) + server.log()


def test_a_red_flag_order_opens_its_template_and_a_complete_chart_needs_nothing(server: Server) -> None:
    (card,) = _call(server, "P10").json()["cards"]
    assert card["links"][0]["url"].endswith("/red-flag?category=RF4")
    assert _call(server, "P01").json()["cards"] == []


@pytest.mark.threat("T9")
def test_bad_tokens_foreign_servers_and_hostile_bodies_never_end_in_a_5xx(server: Server) -> None:
    address = f"{server.url}/cds-services/order-sign"
    settings = _settings(server)
    before = server.case_ids()
    issuer = settings["cds_clients"]["demo-ehr"]["issuer"]
    assert _call(server, "P03", fhirServer="http://127.0.0.1:1/fhir").status_code == 422
    for audience in (address.replace("sign", "select"), f"{server.url}/cds-services", "https://elsewhere.example.org"):
        token = sign_call(server.house.folder, issuer, audience)
        answer = httpx.post(address, json={}, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, answer.text
    bodies = (
        b"",
        b"{}",
        b"[",
        b"null",
        b'{"hook":"order-sign"}',
        b"\xff",
        b"[" * 20_000,
        dump_json({"hook": {"a": []}}),
    )
    for body in bodies:
        token = sign_call(server.house.folder, issuer, address)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = httpx.post(address, content=body, headers=headers)
        assert answer.status_code == 400, (body[:20], answer.status_code, answer.text)
    assert server.case_ids() == before


def test_the_demonstrations_ehr_can_be_played_from_the_command_line(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hook_call.main(["--run", str(server.house.folder), "--scenario", "none"]) == 2
    run = ["--run", str(server.house.folder)]
    assert hook_call.main([*run, "--feedback", "00000000-0000-4000-8000-000000000000"]) == 0
    assert "received" in capsys.readouterr().out
