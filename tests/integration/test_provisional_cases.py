"""Cases of orders that a hook announced: nothing leaves before the signature, ids may change, a week is the end."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.charts import DemoChart, all_charts
from gateway.fhir.json import dump_json
from gateway.flows import care, care_start, intercept_signed
from gateway.store.rows import CaseRow
from gateway.web import pages
from tests import cds_caller
from tests.acceptance.test_red_flag import MYELOPATHY, SLUG, attest, fill
from tests.flows_house import BASE, EHR_URL, NOW, STAFF, House, open_house
from tests.instrument_house import PASSWORD, admit
from tests.web_house import Browser

pytestmark = pytest.mark.timeout(120)
CHARTS: dict[str, DemoChart] = {chart.chart_id: chart for chart in all_charts()}


def _without_order(chart: DemoChart) -> dict[str, Any]:
    """The chart before its order was saved."""
    entries = [
        entry for entry in chart.bundle["entry"] if cds_caller.reference(entry["resource"]) != chart.order_reference
    ]
    return {**chart.bundle, "entry": entries}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, [_without_order(CHARTS[name]) for name in ("P01", "P02", "P09")]) as found:
        yield found


def sign(house: House, name: str, *orders: Any) -> list[str]:
    """The hook at signing; ids of all cases."""
    address = f"{BASE}/cds-services/order-sign"
    headers = {
        "Authorization": f"Bearer {cds_caller.token(address, house.clock.now())}",
        "Content-Type": "application/json",
    }
    body = cds_caller.hook(CHARTS[name], "order-sign", *orders, server=EHR_URL)
    answer = house.call("POST", "/cds-services/order-sign", by="", content=dump_json(body), headers=headers)
    assert answer.status_code == 200, answer.text
    return [case["case_id"] for case in house.call("GET", "/cases").json()["cases"]]


def save(house: House, name: str, order_id: str = "saved-1", **changes: Any) -> dict[str, Any]:
    """The order as the EHR stores it under an id of its own, signed; gives it."""
    order = cds_caller.order_of(CHARTS[name], id=order_id, **{"status": "active", "identifier": ...} | changes)
    house.ehr_store.update("ServiceRequest", order_id, order, None)
    return order


def settled(house: House, case_id: str, state: str = "") -> CaseRow:
    """The case after it had time to come to rest."""
    house.clock.instant += timedelta(seconds=65)
    house.sweep.run(house.clock.now())
    house.work()
    case = house.case(case_id)
    assert not state or case.state == state, case.next_action
    return case


def after(house: House, case_id: str, **wait: float) -> CaseRow:
    """The case when so much time has passed."""
    house.clock.instant += timedelta(**wait)
    house.sweep.run(house.clock.now())
    house.work()
    return house.case(case_id)


def verbs(house: House, case_id: str) -> list[str]:
    return [event.verb for event in house.events(case_id)]


def ready(house: House) -> str:
    """A provisional case whose packet is sealed."""
    (case_id,) = sign(house, "P01", cds_caller.unsaved(CHARTS["P01"]))
    settled(house, case_id, "documenting")
    house.complete_forms(case_id)
    settled(house, case_id, "ready")
    return case_id


def test_nothing_leaves_before_the_order_is_seen_signed_and_then_it_does(house: House) -> None:
    case_id = ready(house)
    assert house.facts(case_id).document
    refused = house.call("POST", f"/cases/{case_id}/release")
    assert refused.status_code == 409
    assert "signed" in refused.json()["detail"]
    assert house.call("GET", f"/cases/{case_id}").json()["signed_at"] is None
    assert house.payers.sent("$submit") == []
    written = [url for method, url, _ in house.ehr.seen if method in ("PUT", "POST") and not url.endswith("_search")]
    assert written == [], "the EHR has no such order yet"
    save(house, "P01", "another-id")
    case = after(house, case_id, hours=1)
    assert (case.order_reference, case.signed_at) == ("ServiceRequest/another-id", house.clock.now())
    assert house.facts(case_id).is_unsaved is False
    case = house.work_on(case_id, lambda row: row.state in ("approved", "documenting", "pended"))
    if case.state == "documenting":
        house.complete_forms(case_id)
        case = house.work_on(case_id, lambda row: row.state == "approved")
    assert len(house.payers.sent("$submit")) == 1
    assert house.ehr_store.read("ServiceRequest", "another-id").resource["extension"]


def test_an_order_posted_when_it_is_signed_takes_over_its_case_under_the_new_id(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    order = save(house, "P02", "saved-9")
    answer = house.post(order)
    assert [(item["case_id"], item["is_new"]) for item in answer.json()["cases"]] == [(case_id, False)]
    house.work()
    case = house.case(case_id)
    assert (case.order_reference, case.state) == ("ServiceRequest/saved-9", "held")
    assert case.signed_at is not None
    assert verbs(house, case_id).count("order-entry") == 2
    assert house.post(order).json()["cases"][0]["case_id"] == case_id
    assert house.count() == 1


def test_the_same_order_by_its_identifier_is_found_whatever_its_content(house: House) -> None:
    identifier = [{"system": "urn:example:orders", "value": "4711"}]
    (case_id,) = sign(house, "P02", cds_caller.order_of(CHARTS["P02"], id="draft-1", identifier=identifier))
    settled(house, case_id, "held")
    order = save(house, "P02", "saved-2", identifier=identifier, priority="urgent", bodySite=...)
    assert house.post(order).json()["cases"][0]["case_id"] == case_id
    assert house.case(case_id).order_reference == "ServiceRequest/saved-2"


def test_two_orders_that_ask_for_the_same_are_nobodys(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    save(house, "P02", "saved-1")
    save(house, "P02", "saved-2")
    case = after(house, case_id, hours=1)
    assert case.signed_at is None
    assert house.facts(case_id).is_unsaved


@pytest.mark.parametrize(
    "changes",
    [
        {"code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72156"}]}},
        {"subject": {"reference": CHARTS["P01"].patient_reference}},
        {
            "reasonReference": ...,
            "reasonCode": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.12"}]}],
        },
        {"status": "draft"},
    ],
)
def test_another_order_or_one_still_unsigned_is_not_taken_for_it(house: House, changes: dict[str, Any]) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    save(house, "P02", **changes)
    assert after(house, case_id, hours=1).signed_at is None


def test_an_order_never_signed_is_dropped_after_a_week_and_not_before(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    begun = house.clock.now()
    settled(house, case_id, "held")
    house.work_on(
        case_id, lambda row: row.due_at is None or row.due_at > begun + timedelta(days=6, hours=23), tries=400
    )
    assert house.case(case_id).state == "held"
    case = house.work_on(case_id, lambda row: row.state == "cancelled")
    assert house.clock.now() >= begun + timedelta(days=7)
    assert house.clock.now() < begun + timedelta(days=7, hours=1)
    (event,) = [item for item in house.events(case_id) if item.verb == "cancel"]
    assert event.note["reason"] == "the order was never signed"
    assert "never signed" in case.next_action


def test_an_order_closed_before_it_was_signed_ends_its_case(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    save(house, "P02", "saved-1", status="revoked")
    case = after(house, case_id, hours=1)
    assert case.state == "cancelled"
    assert "closed" in case.next_action


def test_an_ehr_that_is_away_is_looked_at_again(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    save(house, "P02")
    house.ehr.rules.append(lambda request: httpx.Response(403, json={}))
    case = after(house, case_id, hours=1)
    assert (case.state, case.signed_at) == ("held", None)
    house.ehr.rules.clear()
    assert after(house, case_id, hours=7).signed_at is not None


def test_a_draft_that_changes_is_checked_anew_in_its_own_case(house: House) -> None:
    draft = cds_caller.unsaved(CHARTS["P02"])
    (case_id,) = sign(house, "P02", draft)
    settled(house, case_id, "held")
    changed = copy.deepcopy(draft)
    changed["code"]["coding"][0]["code"] = "72156"
    assert sign(house, "P02", changed) == [case_id]
    assert house.case(case_id).state == "checking"
    case = settled(house, case_id, "held")
    assert case.service_code == "72156"
    assert len(house.payers.sent("order-sign-coverage")) == 2


def test_a_draft_under_another_temporary_id_keeps_its_case(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    assert sign(house, "P02", cds_caller.unsaved(CHARTS["P02"], "draft-2")) == [case_id]
    case = house.case(case_id)
    assert (case.order_reference, house.facts(case_id).is_unsaved) == ("ServiceRequest/draft-2", True)
    assert len(house.payers.sent("order-sign-coverage")) == 1
    assert settled(house, case_id, "held").signed_at is None
    save(house, "P02")
    assert after(house, case_id, hours=1).order_reference == "ServiceRequest/saved-1"


def test_an_order_that_is_saved_as_draft_under_its_id_waits_for_its_signature(house: House) -> None:
    draft = cds_caller.unsaved(CHARTS["P02"])
    house.ehr_store.update("ServiceRequest", "draft-1", draft, None)
    (case_id,) = sign(house, "P02", draft)
    settled(house, case_id, "held")
    assert house.facts(case_id).is_unsaved is False
    assert house.case(case_id).signed_at is None
    house.ehr_store.update("ServiceRequest", "draft-1", {**draft, "status": "active"}, None)
    assert after(house, case_id, hours=1).signed_at is not None


@pytest.mark.threat("T15")
@pytest.mark.parametrize(("owner", "code"), [("P09", "72141"), ("P02", "73221")])
def test_another_order_under_the_id_of_a_draft_is_not_taken_for_it(house: House, owner: str, code: str) -> None:
    """Ids of drafts are the screen's own: an order of another patient, or for another service, may have one."""
    other = cds_caller.order_of(CHARTS[owner], id="1", status="active", identifier=...)
    other["code"] = {"coding": [other["code"]["coding"][0] | {"code": code}]}
    house.ehr_store.update("ServiceRequest", "1", other, None)
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"], "1"))
    settled(house, case_id, "held")
    case = after(house, case_id, hours=1)
    assert (case.state, case.signed_at, case.service_code) == ("held", None, "72141")
    assert verbs(house, case_id).count("order-entry") == 1
    save(house, "P02")
    case = after(house, case_id, hours=7)
    assert (case.order_reference, case.service_code) == ("ServiceRequest/saved-1", "72141")
    assert case.signed_at is not None


def test_a_signed_order_that_cannot_be_checked_is_looked_at_no_faster(house: House) -> None:
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    save(house, "P02")

    def unknown(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(404, json={}) if "/Patient/" in request.url.path else None

    house.ehr.rules.append(unknown)
    after(house, case_id, hours=1)
    held = verbs(house, case_id).count("hold")
    for _ in range(5):
        after(house, case_id, seconds=30)
    assert verbs(house, case_id).count("hold") == held == 1


def test_what_is_attested_before_the_order_is_saved_is_kept_and_written_afterwards(house: House) -> None:
    """The card at signing leads to the template while the EHR does not hold the order yet."""
    admit(house, CHARTS["P02"], BASE)
    pages.install(house.app)
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    case, browser = settled(house, case_id, "held"), Browser(house.app, BASE)
    browser.sign_in("cleo", PASSWORD)
    fill(browser, case, MYELOPATHY)
    kept = attest(browser, case)
    assert kept.status_code == 409
    assert "The attestation is kept" in kept.text
    patient = case.patient_reference.partition("/")[2]
    ehr = house.services.ehr("ehr")
    found = [item for item in ehr.search("Observation", patient_id=patient).resources if item.get("identifier")]
    assert found == [], "nothing is begun that cannot be ended"
    assert "not in the EHR yet" in browser.get(f"/cases/{case_id}/neuro-exam/support").text
    save(house, "P02")
    after(house, case_id, hours=1)
    browser.sign_in("cleo", PASSWORD)
    address = f"/cases/{case_id}/red-flag/{SLUG}"
    assert browser.submit(address, f"{address}/write", {}).status_code == 303
    house.work()
    assert house.facts(case_id).verdict == "RED_FLAG_BYPASS"
    (impression,) = ehr.search("ClinicalImpression", patient_id=patient).resources
    assert impression["supportingInfo"] == [{"reference": "ServiceRequest/saved-1"}]


@pytest.mark.parametrize("status", ["", "draft", "revoked"])
def test_conservative_care_outlives_the_week_of_an_order_that_waits_for_it(house: House, status: str) -> None:
    """The panel offers to keep the order as a draft, or to close it, while care runs (spec/clinical.md §1.8)."""
    (case_id,) = sign(house, "P02", cds_caller.unsaved(CHARTS["P02"]))
    settled(house, case_id, "held")
    screens = frozenset(house.services.concepts.red_flags.screens)
    said = care_start.Confirmation(negative=screens, choice=care_start.NO_DRUG)
    timer_id = care_start.start(house.services, STAFF, case_id, said).timer_id
    if status:
        save(house, "P02", status=status)
    for _ in range(9):
        case = after(house, case_id, days=1)
    assert case.state == "held", case.next_action
    care.cancel(house.services, STAFF, case_id, "the patient moved away")
    with house.services.store.read() as tx:
        assert tx.timers.get("main", timer_id).reason == "by-person"
    states = [after(house, case_id, days=1).state for _ in range(9)]
    assert states[-1] == "cancelled"
    assert ("cancelled" in states[:6]) is (status == "revoked"), "the week of an open order begins anew"


def test_looks_grow_apart_and_end_with_the_week() -> None:
    begun = NOW
    at, looks = begun, []
    while at < begun + intercept_signed.KEPT_FOR:
        at = intercept_signed.next_look(begun, at)
        looks.append(at)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert looks[0] == begun + timedelta(minutes=2)
    assert looks[-1] == begun + timedelta(days=7)
    assert max(gaps) <= timedelta(hours=6)
    assert len(looks) < 40
