"""What leaves, and to whom: a payer sees one case, the EHR gets no reference to a stranger, days are the practice's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import AccessError, NotFound
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import answer, facade, packet
from gateway.flows.extract import Kept, Snapshot
from gateway.flows.intake import Posted, accept_orders
from gateway.flows.services import NPI
from gateway.reasoning.record import RecordSnapshot
from tests.integration.flows_house import SYSTEM, House, open_house

MEMBERS = dict.fromkeys(("seen", "draft", "day"), "SYN-APPROVE-01")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("limits")
    with open_house(folder, MEMBERS) as opened:
        yield opened


def _kept(resource: Mapping[str, Any]) -> Kept:
    reference = f"{resource['resourceType']}/{resource['id']}"
    raw = dump_json(dict(resource))
    return Kept(reference=reference, digest="", full_url=reference, resource=resource, raw=raw)


def test_payer_sees_no_other_order_of_the_patient(house: House) -> None:
    case = house.case(house.post("seen"))
    order_type, _, order_id = case.order_reference.partition("/")
    other: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": "other",
        "subject": {"reference": case.patient_reference},
    }
    drug: dict[str, Any] = {
        "resourceType": "MedicationRequest",
        "id": "drug",
        "subject": {"reference": case.patient_reference},
    }
    order: dict[str, Any] = {
        "resourceType": order_type,
        "id": order_id,
        "subject": {"reference": case.patient_reference},
        "basedOn": [{"reference": "ServiceRequest/other"}],
        "supportingInfo": [{"reference": "MedicationRequest/drug"}],
    }
    snapshot = Snapshot(kept=tuple(_kept(item) for item in (order, other, drug)), findings=())
    find = facade.finder(snapshot, case)
    assert find(case.order_reference) is not None
    assert find("ServiceRequest/other") is None
    assert find("MedicationRequest/drug") is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "a.é", "é.é", "e30." + "0" * 64])
def test_made_up_token_is_refused(house: House, token: str) -> None:
    with pytest.raises(AccessError):
        facade.read_as_payer(house.services, token, "Patient", [])


def test_token_ends(house: House) -> None:
    case = house.case(house.post("seen"))
    house.run()
    token = facade.issue_token(house.services, case, timedelta(seconds=30))
    assert facade.read_as_payer(house.services, token, case.patient_reference, [])
    with pytest.raises(NotFound):
        facade.read_as_payer(house.services, token, "Observation/1", [])
    house.clock.instant += timedelta(seconds=31)
    with pytest.raises(AccessError):
        facade.read_as_payer(house.services, token, case.patient_reference, [])


def test_ehr_gets_no_reference_to_a_stranger(house: House) -> None:
    case = house.case(house.post("seen"))
    payers_own = {
        "resourceType": "ClaimResponse",
        "patient": {"reference": "Patient/77"},
        "addItem": [{"provider": [{"reference": "Practitioner/12"}, {"reference": "#inside"}]}],
        "error": [{"code": {"text": "x"}, "extension": [{"valueReference": {"reference": "urn:uuid:1"}}]}],
    }
    written = dump_json(answer.for_ehr(payers_own, case, house.services)).decode()
    for foreign in ("Patient/77", "Practitioner/12", "#inside", "urn:uuid:1"):
        assert f'"reference":"{foreign}"' not in written
    assert f'"reference":"{case.patient_reference}"' in written


def test_requestor_is_never_the_payer(house: House) -> None:
    case = house.case(house.post("seen"))
    payer = {"resourceType": "Organization", "id": "payer", "identifier": [{"system": NPI, "value": "1000000004"}]}
    clinic = {"resourceType": "Organization", "id": "clinic", "identifier": [{"system": NPI, "value": "1999910015"}]}
    role = {
        "resourceType": "PractitionerRole",
        "id": "role",
        "practitioner": {"reference": "Practitioner/1"},
        "organization": {"reference": "Organization/clinic"},
    }
    order_type, _, order_id = case.order_reference.partition("/")
    order = {"resourceType": order_type, "id": order_id, "requester": {"reference": "Practitioner/1"}}
    coverage = {"resourceType": "Coverage", "id": case.coverage_reference.partition("/")[2]}
    charts: list[list[dict[str, Any]]] = [[payer, order, coverage], [payer, clinic, role, order, coverage]]
    snapshots = [Snapshot(kept=tuple(_kept(item) for item in chart), findings=()) for chart in charts]
    found = [packet.insurer_and_requestor(case, snapshot, house.services)[1] for snapshot in snapshots]
    assert found[0]["name"] == house.services.settings.tenant.name
    assert found[1]["id"] == "clinic"


def test_day_is_the_day_at_the_practice(house: House) -> None:
    now = house.clock.instant
    house.clock.instant = datetime(2026, 7, 2, 3, tzinfo=UTC)
    try:
        assert house.services.today().isoformat() == "2026-07-01"
    finally:
        house.clock.instant = now


@pytest.mark.parametrize("zone", ["", "../../etc/passwd", "Nowhere/Else", ["x"], None])
def test_zone_that_is_none_is_not_taken(house: House, zone: Any) -> None:
    url = "http://hl7.org/fhir/StructureDefinition/timezone"
    location = {"resourceType": "Location", "id": "1", "extension": [{"url": url, "valueCode": zone}]}
    assert house.services.zone_of(RecordSnapshot([location])) == house.services.settings.tenant.practice_zone


def test_order_that_is_signed_later_goes_on_when_it_is_posted_again(house: House) -> None:
    ehr = house.services.ehr("ehr")
    chart = house.charts["draft"]
    current = ehr.read(*chart.order_reference.split("/"))
    draft = ehr.update({**current.resource, "status": "draft"}, current.etag or current.version)
    case_id = house.post("draft")
    house.run()
    house.answer_forms(case_id)
    waiting = house.case(case_id)
    assert (waiting.state, waiting.move) == ("ready", "us")
    assert waiting.next_action == "The order has not been seen signed in the EHR."
    written = ehr.read(*chart.order_reference.split("/"))
    ehr.update({**written.resource, "status": "active"}, written.etag or draft.version)
    assert house.post("draft") == case_id
    house.run()
    house.answer_forms(case_id)
    assert house.case(case_id).state == "approved"
    assert not house.failing_codes(case_id)


def test_posted_order_is_one_case_however_often(house: House) -> None:
    body = parse_json(dump_json(house.charts["day"].bundle))
    wanted = {house.charts["day"].order_reference, house.charts["day"].patient_reference}
    wanted.add(house.charts["day"].coverage_reference)
    body["entry"] = [
        entry
        for entry in body["entry"]
        if f"{entry['resource']['resourceType']}/{entry['resource']['id']}" in wanted
        or entry["resource"]["resourceType"] == "Organization"
    ]
    posted = Posted(raw=dump_json(body), media_type="application/fhir+json", resource=body)
    first = accept_orders(house.services, SYSTEM, posted)
    second = accept_orders(house.services, SYSTEM, replace(posted))
    assert [item.is_new for item in (*first, *second)] == [True, False]
    assert first[0].case.case_id == second[0].case.case_id
