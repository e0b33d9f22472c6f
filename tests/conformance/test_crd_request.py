"""CRD hook requests, discovery and configuration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.profiles import crd_2_0_1, crd_2_2_1
from gateway.profiles.crd_2_2_1 import (
    HookAuthorization,
    HookRequest,
    build_configuration,
    build_order_dispatch_request,
    build_order_sign_request,
    find_service,
    read_discovery,
)
from tests import pas_samples as sample

DISCOVERY = {
    "services": [
        {
            "hook": "order-sign",
            "id": "crd",
            "title": "Example",
            "prefetch": {"patient": "Patient/{{context.patientId}}", "odd": 3},
            "extension": {
                "davinci-crd.version": ["2.1", "2.2"],
                "davinci-crd.configuration-options": [
                    {"code": "coverage-info", "type": "boolean", "name": "Coverage", "default": True},
                    {"code": "unsolicited-determ", "type": "boolean"},
                    {"code": "guideline", "type": "boolean"},
                    {"code": "max-cards", "type": "integer", "default": 10},
                ],
            },
        },
        {"hook": "order-dispatch", "id": "crd"},
        {"hook": "order-sign"},
        "x",
    ]
}
(SIGN, DISPATCH) = read_discovery(DISCOVERY)
REQUEST = HookRequest(
    hook_instance="d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    fhir_server="https://gw.example.org/payer-fhir/",
    authorization=HookAuthorization(
        access_token="secret-token", expires_in_seconds=30, scope="patient/*.read", subject="payer", patient="pat1"
    ),
    service=SIGN,
    configuration=build_configuration(SIGN),
)


def empties(value: Any) -> bool:
    """Whether there is a null or empty member anywhere."""
    if isinstance(value, dict):
        return not value or any(empties(item) for item in value.values())
    if isinstance(value, list):
        return not value or any(empties(item) for item in value)
    return value in (None, "")


@pytest.mark.requirement("crd:dev-1")
def test_services_are_known_by_hook_and_id() -> None:
    assert [(service.hook, service.id) for service in (SIGN, DISPATCH)] == [
        ("order-sign", "crd"),
        ("order-dispatch", "crd"),
    ]
    assert SIGN.versions == ("2.1", "2.2")
    assert SIGN.prefetch == {"patient": "Patient/{{context.patientId}}"}
    assert [(o.code, o.type, o.default) for o in SIGN.options][::3] == [
        ("coverage-info", "boolean", True),
        ("max-cards", "integer", 10),
    ]
    assert DISPATCH.versions == ()
    assert find_service((SIGN, DISPATCH), "order-dispatch") is DISPATCH
    assert find_service((SIGN,), "appointment-book") is None


def test_published_discovery_is_read(corpora: Path) -> None:
    services = read_discovery(json.loads((corpora / "crd" / "cds-services.json").read_text(encoding="utf-8")))
    assert {service.hook for service in services} >= {"order-sign", "order-dispatch", "appointment-book"}


@pytest.mark.parametrize("body", [{}, {"services": None}, {"services": "x"}, {"services": [{"hook": 1}]}])
def test_odd_discovery_has_no_services(body: dict[str, Any]) -> None:
    assert read_discovery(body) == ()


@pytest.mark.requirement("crd:found-35")
def test_configuration_keeps_coverage_information_on_and_other_cards_off() -> None:
    assert build_configuration(SIGN) == {"coverage-info": True, "unsolicited-determ": True, "guideline": False}


@pytest.mark.requirement("crd:hook-2")
@pytest.mark.requirement("crd:found-20")
@pytest.mark.requirement("crd:dev-3")
def test_order_sign_request_has_the_shape_of_the_guide() -> None:
    body = build_order_sign_request(
        REQUEST,
        user="Practitioner/prac1",
        patient_id="pat1",
        orders=[sample.order()],
        prefetch={"patient": sample.patient()},
    )
    assert body["hook"] == "order-sign"
    assert body["fhirServer"] == "https://gw.example.org/payer-fhir"
    assert body["fhirAuthorization"] == {
        "access_token": "secret-token",
        "token_type": "Bearer",
        "expires_in": 30,
        "scope": "patient/*.read",
        "subject": "payer",
        "patient": "pat1",
    }
    assert body["extension"]["davinci-crd.requestedVersion"] == "2.2"
    assert body["extension"]["davinci-crd.configuration"]["coverage-info"] is True
    context = body["context"]
    assert (context["userId"], context["patientId"]) == ("Practitioner/prac1", "pat1")
    assert "encounterId" not in context
    (entry,) = context["draftOrders"]["entry"]
    assert entry == {"fullUrl": "https://gw.example.org/payer-fhir/ServiceRequest/ord1", "resource": sample.order()}
    assert not empties(body)


@pytest.mark.requirement("crd:found-36")
def test_draft_is_written_on_the_copy_only() -> None:
    order = sample.order()
    body = build_order_sign_request(
        REQUEST, user="Practitioner/1", patient_id="pat1", orders=[order], draft=crd_2_0_1.SENDS_DRAFT
    )
    (entry,) = body["context"]["draftOrders"]["entry"]
    assert (entry["resource"]["status"], order["status"]) == ("draft", "active")
    assert entry["resource"]["id"] == order["id"]
    assert not crd_2_2_1.SENDS_DRAFT


def test_payers_before_2_2_get_no_extension() -> None:
    older = replace(REQUEST, requested_version=crd_2_0_1.REQUESTED_VERSION, configuration={})
    body = build_order_sign_request(older, user="PractitionerRole/1", patient_id="pat1", orders=[sample.order()])
    assert "extension" not in body
    dispatch = build_order_dispatch_request(
        older, patient_id="p", orders=["ServiceRequest/1"], performer="Organization/2"
    )
    assert dispatch["context"] == {"patientId": "p", "order": "ServiceRequest/1", "performer": "Organization/2"}


def test_order_dispatch_has_neither_user_nor_encounter() -> None:
    body = build_order_dispatch_request(
        REQUEST, patient_id="p", orders=["https://e.org/fhir/ServiceRequest/1"], performer="Organization/2"
    )
    assert body["context"] == {
        "patientId": "p",
        "dispatchedOrders": ["ServiceRequest/1"],
        "performer": "Organization/2",
    }


def test_token_is_not_in_the_repr() -> None:
    assert "secret-token" not in repr(REQUEST)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no order", {"orders": []}, "crd.order"),
    ("order without id", {"orders": [{"resourceType": "ServiceRequest"}]}, "crd.order"),
    ("no order type", {"orders": [{"resourceType": "Task", "id": "1"}]}, "crd.order"),
    ("user is an organization", {"user": "Organization/1"}, "crd.user"),
    ("patient as reference", {"patient_id": "Patient/1"}, "crd.id"),
    ("encounter as reference", {"encounter_id": "Encounter/1"}, "crd.id"),
]


@pytest.mark.parametrize(("what", "change", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_the_guide_forbids_is_refused(what: str, change: dict[str, Any], reason: str) -> None:
    given: dict[str, Any] = {"user": "Practitioner/1", "patient_id": "p", "orders": [sample.order()], **change}
    with pytest.raises(InputError) as caught:
        build_order_sign_request(REQUEST, **given)
    assert caught.value.reason == reason


def test_hook_instance_must_be_a_uuid() -> None:
    with pytest.raises(InputError):
        build_order_sign_request(
            replace(REQUEST, hook_instance="1"), user="Practitioner/1", patient_id="p", orders=[sample.order()]
        )


def test_both_versions_offer_the_same_names() -> None:
    assert set(crd_2_0_1.__all__) == set(crd_2_2_1.__all__)
