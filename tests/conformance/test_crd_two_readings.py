"""Two independent readings of CRD meet: our hook requests pass the simulated payer's own checks."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.profiles.crd_2_2_1 import (
    HookAuthorization,
    HookRequest,
    build_configuration,
    build_order_sign_request,
    build_orders_bundle,
    fill_prefetch,
    find_service,
    read_discovery,
)
from gateway.profiles.guides import crd_guide
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.hook_checks import check_hook
from payer_endpoints.harness.hook_rules import discovery, rules_of
from tests import pas_samples as sample

PAYER = Payer(slug="example", name="Example Plan", identifier="P-1")
BASE = "https://gw.example.org/payer-fhir"
CHART = {
    f"{resource['resourceType']}/{resource['id']}": resource
    for resource in (sample.patient(), sample.practitioner(), sample.role(), sample.clinic(), sample.insurer())
}


def find(query: str) -> dict[str, Any] | None:
    """A small EHR: reads, and searches by id."""
    kind, _, rest = query.partition("?")
    if not rest:
        return CHART.get(query)
    wanted = rest.removeprefix("_id=").split(",")
    found = [CHART[f"{kind}/{name}"] for name in wanted if f"{kind}/{name}" in CHART]
    entries = [{"fullUrl": f"{BASE}/{kind}/{item['id']}", "resource": item} for item in found]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def hook_request(guide: Guide) -> dict[str, Any]:
    service = find_service(read_discovery(discovery(guide)), "order-sign")
    assert service is not None
    habits = crd_guide(guide.value)
    coverage = {**sample.coverage(), "contained": [{**sample.insurer(), "id": "p"}], "payor": [{"reference": "#p"}]}
    orders = build_orders_bundle(BASE, [sample.order()], draft=habits.sends_draft)
    context = {"userId": "Practitioner/prac1", "patientId": "pat1", "draftOrders": orders}
    request = HookRequest(
        hook_instance="d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        fhir_server=BASE,
        authorization=HookAuthorization(
            access_token="t", expires_in_seconds=30, scope="patient/*.rs", subject="payer", patient="pat1"
        ),
        service=service,
        requested_version=habits.requested_version,
        configuration=build_configuration(service),
    )
    return build_order_sign_request(
        request,
        user="Practitioner/prac1",
        patient_id="pat1",
        orders=[sample.order()],
        prefetch=fill_prefetch(service.prefetch, context, find, today=sample.today(), coverage=coverage, base=BASE),
        draft=habits.sends_draft,
    )


@pytest.mark.requirement("crd:found-25")
@pytest.mark.parametrize("guide", list(Guide))
def test_hook_request_is_accepted(guide: Guide) -> None:
    body = parse_json(dump_json(hook_request(guide)))
    assert [
        f"{fault.status} {fault.issue.at}: {fault.issue.text}" for fault in check_hook(body, PAYER, rules_of(guide))
    ] == []
