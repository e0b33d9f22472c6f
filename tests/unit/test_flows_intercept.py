"""Parts of the CDS services that need no EHR: time, callers, categories, text of cards, choices of feedback."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gateway.clients.key_sets import FetchedKeys, FixedKeys
from gateway.clinical.panel import RED_FLAG, TIMER, build_panel
from gateway.clinical.panel_category import category_of
from gateway.clinical.rules import load_concepts
from gateway.clock import FixedClock
from gateway.errors import SettingsError
from gateway.flows.intercept_budget import Budget
from gateway.flows.intercept_cards import PAGES, TASKS, panel_text
from gateway.flows.intercept_cases import without_access
from gateway.flows.intercept_clients import open_callers
from gateway.flows.intercept_draft import content_of
from gateway.flows.intercept_feedback import chosen_of
from gateway.profiles.crd_serving import Feedback
from gateway.reasoning.record import RecordSnapshot
from gateway.settings import Settings
from gateway.store.rows import HookCardRow
from tests import cds_caller
from tests.clinical_charts import ICD, RULES, base, both, concept, condition, drop, judge, observation, order, put, ref

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
CONCEPTS = load_concepts()


def test_waiting_is_bounded_and_not_counted_as_our_own_time() -> None:
    gate, done = Event(), Future[None]()
    done.set_result(None)
    budget = Budget(total_seconds=60, ehr_seconds=30)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(gate.wait, 30)
        queued = pool.submit(gate.wait, 30)
        assert budget.wait_for([late, queued, done], 0.05) == {done}
        assert queued.cancelled()
        gate.set()
    assert budget.waited_seconds >= 0.05
    assert budget.own_seconds <= time.monotonic() - budget.started - budget.waited_seconds + 0.001
    assert 0 < budget.left_for_ehr_seconds <= 30 < budget.left_seconds <= 60


def test_reading_has_the_same_share_of_any_budget() -> None:
    usual, half = Budget(), Budget.of(2.25)
    assert (usual.total_seconds, usual.ehr_seconds) == (4.5, 2.0)
    assert (half.total_seconds, half.ehr_seconds) == (2.25, 1.0)


def test_a_budget_that_is_over_leaves_nothing() -> None:
    budget = Budget(total_seconds=0, ehr_seconds=0)
    assert (budget.left_seconds, budget.left_for_ehr_seconds) == (0, 0)


def _settings(folder: Path, **client: Any) -> Settings:
    ehr = {"ehr": {"base_url": "https://ehr.example.org/fhir"}}
    named = {key: value for key, value in ({"issuer": "i"} | client).items() if value is not None}
    return Settings.model_validate({"ehr": ehr, "cds_clients": {"a": named}, "tenant": {"id": "clinic"}})


def test_callers_come_from_the_settings_with_the_tenant_of_the_house(tmp_path: Path) -> None:
    file = cds_caller.key_file(tmp_path)
    (fixed,) = open_callers(_settings(tmp_path, jwks_file=file), FixedClock(NOW))
    assert (fixed.tenant, fixed.ehr_id, fixed.jwks_url, type(fixed.keys)) == ("clinic", "ehr", "", FixedKeys)
    assert fixed.keys.find(cds_caller.KEY_ID) is not None
    (fetched,) = open_callers(_settings(tmp_path, jwks_url="https://ehr.example.org/keys"), FixedClock(NOW))
    assert (fetched.jwks_url, type(fetched.keys)) == ("https://ehr.example.org/keys", FetchedKeys)


@pytest.mark.parametrize(
    "client",
    [
        {"ehr": "other", "jwks_url": "https://x.example.org/k"},
        {},
        {"jwks_file": "/nowhere/keys.json"},
        {"jwks_url": "http://x.example.org/k"},
        {"jwks_url": "https://x.example.org:8443/k"},
        {"jwks_url": "https://user@x.example.org/k"},
    ],
)
@pytest.mark.threat("T1")
def test_a_caller_that_cannot_be_trusted_is_refused_at_start(tmp_path: Path, client: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        open_callers(_settings(tmp_path, **client), FixedClock(NOW))


def test_a_key_file_that_holds_no_keys_is_refused_at_start(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("[]", "utf-8")
    with pytest.raises(SettingsError):
        open_callers(_settings(tmp_path, jwks_file=file), FixedClock(NOW))


def _reason(code: str) -> Any:
    return put(order(reasonCode=[concept(code, ICD)], reasonReference=[]))


@pytest.mark.parametrize(
    ("change", "category"),
    [
        (_reason("C79.51"), "RF4"),
        (_reason("C50.911"), "RF4"),
        (_reason("G95.20"), "RF2"),
        (_reason("G95.89"), "RF6"),
        (_reason("M46.22"), "RF3"),
        (_reason("S12.9XXA"), "RF5"),
        (_reason("M50.00"), "RF2"),
        (
            put(
                observation(
                    "hoffmann",
                    "2026-02-10",
                    "right",
                    valueCodeableConcept=concept("52101004", "http://snomed.info/sct"),
                )
            ),
            "RF2",
        ),
        (
            both(
                put(condition(id="met", code=concept("C79.51", ICD))),
                put(order(reasonReference=[ref("Condition/met")])),
            ),
            "RF4",
        ),
    ],
)
def test_the_template_opens_at_what_raised_the_question(change: Any, category: str) -> None:
    chart = base()
    change(chart)
    found = judge(change)
    assert found.red_flag == "incomplete"
    rule = RULES["ill-novitas"]
    assert category_of(found, RecordSnapshot(chart.values()), chart["order"], rule, CONCEPTS) == category


def test_a_begun_exception_is_told_first_and_offers_nothing_but_itself() -> None:
    change = both(_reason("C79.51"), drop("drug", "s2026", "plan", "ndi", "referral"))
    panel = build_panel(judge(change), RULES["ill-novitas"], date(2026, 2, 16))
    assert panel is not None
    assert panel.choices == (RED_FLAG,)
    text = panel_text(panel, ("NOTE: x",), ("Observation",))
    first, rule, facts, note, unseen = text.split("\n\n")
    assert first.startswith("- A reason of the order raises a red-flag question.")
    assert rule.startswith("Rule: ")
    assert facts == panel.summary
    assert (note, unseen) == (
        "Note: NOTE: x",
        "Not read in time, so what they hold is not counted: Observation.",
    )


def test_every_choice_has_its_page_and_its_draft() -> None:
    panel = build_panel(judge(drop("drug")), RULES["ill-novitas"], date(2026, 2, 16))
    assert panel is not None
    assert TIMER in panel.choices
    assert {choice.code for choice in panel.choices} == set(PAGES) == set(TASKS)


@pytest.mark.threat("T1")
@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (
            b'{"a": 1.50, "fhirAuthorization" : {"access_token":"t"} , "z":[]}',
            b'{"a": 1.50, "fhirAuthorization" : null , "z":[]}',
        ),
        (
            b'{"x":{"access_token":"t"},"fhirAuthorization":{"access_token":"t"}}',
            b'{"x":null,"fhirAuthorization":null}',
        ),
        (b'{"fhirAuthorization":"t","y":"t"}', b'{"fhirAuthorization":null,"y":null}'),
        (b'{"a":{"fhirAuthorization":1}}', b'{"a":{"fhirAuthorization":1}}'),
        (b'{"hook":"order-sign"}', b'{"hook":"order-sign"}'),
        (b'{"fhirAuthorization": {}, "x": {}}', b'{"fhirAuthorization": {}, "x": {}}'),
        (b'{"fhirAuthorization": 1, "x": 111}', b'{"fhirAuthorization": 1, "x": 111}'),
    ],
)
def test_a_kept_request_has_its_bytes_and_not_its_token(raw: bytes, kept: bytes) -> None:
    assert without_access(raw) == kept


def test_only_suggestions_of_the_card_count_as_chosen() -> None:
    card = HookCardRow(
        tenant_id="t",
        card_id="c",
        service="order-sign",
        shown_at=NOW,
        choices=json.dumps({"u1": "timer", "u2": "upgrade"}),
    )
    item = Feedback(card="c", outcome="accepted", accepted=("u2", "u9"), reason="", comment="")
    assert chosen_of(card, item) == ("upgrade",)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"id": "x", "status": "active", "identifier": [{"value": "1"}], "meta": {"versionId": "2"}}, True),
        ({"authoredOn": "2026-03-01", "priority": "stat", "note": [{"text": "n"}]}, True),
        ({"subject": {"reference": "https://ehr.example.org/fhir/Patient/p", "display": "P"}}, True),
        ({"code": concept("72142", "http://www.ama-assn.org/go/cpt")}, False),
        ({"subject": {"reference": "Patient/q"}}, False),
        ({"reasonReference": []}, False),
        ({"resourceType": "DeviceRequest"}, False),
        ({"bodySite": [concept("1", "http://snomed.info/sct")]}, False),
    ],
)
def test_what_an_order_asks_for_does_not_depend_on_how_it_is_kept(changes: dict[str, Any], is_same: bool) -> None:
    assert (content_of(order()) == content_of(order() | changes)) is is_same
