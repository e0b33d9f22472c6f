"""Hook calls of EHRs as they are read, discovery and cards as they are written."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.profiles.crd_discovery import find_service, read_discovery
from gateway.profiles.crd_prefetch import fill_prefetch
from gateway.profiles.crd_services import (
    CHART_KEYS,
    Card,
    Suggestion,
    build_card,
    build_create_action,
    build_discovery,
    build_draft_task,
)
from gateway.profiles.crd_serving import (
    MAX_FEEDBACK,
    MAX_ORDERS,
    is_searched,
    prefetched,
    read_feedback,
    read_hook_call,
)

UUID = "0b8e2d5e-6f0c-4f8e-9a55-3b1d6f1f2c11"


def _order(name: str = "o1", kind: str = "ServiceRequest", **more: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": name, "status": "draft", "subject": {"reference": "Patient/p"}, **more}


def _bundle(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}


def _call(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "hook": "order-sign",
        "hookInstance": UUID,
        "fhirServer": "https://ehr.example.org/fhir/",
        "fhirAuthorization": {"access_token": "abc", "token_type": "Bearer", "expires_in": 30, "scope": "patient/*.rs"},
        "context": {"userId": "Practitioner/d", "patientId": "p", "draftOrders": _bundle(_order())},
        "prefetch": {"patient": {"resourceType": "Patient", "id": "p"}},
    }
    return {key: value for key, value in (body | changes).items() if value is not ...}


def _context(**changes: Any) -> dict[str, Any]:
    context = copy.deepcopy(_call()["context"]) | changes
    return _call(context={key: value for key, value in context.items() if value is not ...})


def test_a_call_is_read_whole() -> None:
    medication = {"resourceType": "Medication", "id": "m"}
    body = _context(
        encounterId="e", selections=["ServiceRequest/o1", "nonsense"], draftOrders=_bundle(_order(), medication)
    )
    call = read_hook_call(
        body | {"extension": {"davinci-crd.configuration": {"guideline": False, "x": "y"}}}, "order-sign"
    )
    assert (call.server, call.token, call.user) == ("https://ehr.example.org/fhir", "abc", "Practitioner/d")
    assert (call.patient_id, call.encounter_id, call.selections) == ("p", "e", {"ServiceRequest/o1"})
    assert [item["id"] for item in (*call.orders, *call.along)] == ["o1", "m"]
    assert (call.wants("guideline"), call.wants("coverage-info"), dict(call.configuration)) == (
        False,
        True,
        {"guideline": False},
    )
    assert "abc" not in repr(call)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ([], "hook.shape"),
        ("text", "hook.shape"),
        (None, "hook.shape"),
        (_call(hook="order-select"), "hook.name"),
        (_call(hook=["order-sign"]), "hook.name"),
        (_call(hookInstance="1"), "hook.instance"),
        (_call(hookInstance={"a": 1}), "hook.instance"),
        (_call(context=...), "hook.context"),
        (_call(context=[1]), "hook.context"),
        (_context(patientId=...), "hook.patient"),
        (_context(patientId="../x"), "hook.patient"),
        (_context(patientId=".."), "hook.patient"),
        (_context(patientId="a?b=c"), "hook.patient"),
        (_context(patientId={"reference": "Patient/p"}), "hook.patient"),
        (_context(draftOrders=...), "hook.orders"),
        (_context(draftOrders=[_order()]), "hook.orders"),
        (_context(draftOrders=_order()), "hook.orders"),
        (_context(draftOrders=_bundle(*[_order(f"o{place}") for place in range(MAX_ORDERS + 1)])), "hook.orders"),
        (_call(fhirServer=7), "hook.server"),
        (_call(fhirServer=...), "hook.server"),
    ],
)
def test_a_call_that_says_not_what_or_whom_it_is_about_is_refused(body: Any, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read_hook_call(body, "order-sign")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("orders", "found"),
    [
        (_bundle(), []),
        ({"resourceType": "Bundle", "entry": "x"}, []),
        ({"resourceType": "Bundle", "entry": [None, 1, {"resource": 5}, {}]}, []),
        (_bundle(_order(), _order(status="active"), _order("o2")), ["o1", "o2"]),
        (_bundle({"resourceType": "ServiceRequest"}, _order("o 1"), _order("..")), []),
        (_bundle(_order(kind="Patient"), _order(kind="Appointment")), []),
        (_bundle(_order("m", "MedicationRequest"), _order("v", "VisionPrescription")), ["m", "v"]),
        (_bundle({**_order(), "resourceType": {"a": 1}}), []),
    ],
)
def test_only_orders_that_can_be_named_are_taken(orders: Any, found: list[str]) -> None:
    call = read_hook_call(_context(draftOrders=orders), "order-sign")
    assert [item["id"] for item in call.orders] == found


@pytest.mark.parametrize(
    ("context", "user", "patient", "encounter"),
    [
        ({"userId": "PractitionerRole/r"}, "PractitionerRole/r", "p", ""),
        ({"userId": "Patient/p", "patientId": "Patient/q"}, "", "q", ""),
        ({"userId": 3, "encounterId": "Encounter/e"}, "", "p", "e"),
        ({"userId": ..., "encounterId": "a b"}, "", "p", ""),
    ],
)
def test_odd_names_of_people_are_understood_or_passed_over(
    context: dict[str, Any], user: str, patient: str, encounter: str
) -> None:
    call = read_hook_call(_context(**context), "order-sign")
    assert (call.user, call.patient_id, call.encounter_id) == (user, patient, encounter)


def test_a_token_that_no_header_can_carry_is_no_token() -> None:
    for value in ("a\nb", "ü", 5.5, None, {"a": 1}):
        body = _call(fhirAuthorization={"access_token": value, "scope": "x"})
        assert read_hook_call(body, "order-sign").token in ("", "5.5")


@pytest.mark.requirement("cdsh:49")
@pytest.mark.parametrize(
    ("value", "searched", "found"),
    [
        (None, True, 0),
        ({"resourceType": "Patient", "id": "p"}, True, 1),
        ({"resourceType": "Bundle", "entry": []}, True, 0),
        (
            {
                "resourceType": "Bundle",
                "entry": [{"resource": _order()}, {"resource": {"resourceType": "OperationOutcome"}}],
            },
            True,
            1,
        ),
        (
            {"resourceType": "Bundle", "link": [{"relation": "next", "url": "x"}], "entry": [{"resource": _order()}]},
            False,
            1,
        ),
        ({"resourceType": "Bundle", "link": [{"relation": "self", "url": "x"}]}, True, 0),
        ({"resourceType": "OperationOutcome", "issue": []}, False, 0),
        ({}, False, 0),
        ([], False, 0),
        ("x", False, 0),
    ],
)
def test_the_empties_of_prefetch_are_told_apart(value: Any, searched: bool, found: int) -> None:
    assert (is_searched(value), len(prefetched(value))) == (searched, found)


def test_feedback_is_read_card_by_card() -> None:
    body = {
        "feedback": [
            {
                "card": UUID.upper(),
                "outcome": "accepted",
                "acceptedSuggestions": [{"id": UUID}],
                "outcomeTimestamp": "x",
            },
            {
                "card": UUID,
                "outcome": "overridden",
                "overrideReason": {"reason": {"code": "override-other"}, "userComment": "Seen by neurology."},
            },
            {"card": UUID, "outcome": "overridden", "overrideReason": {"code": "flat", "system": "s"}},
            {"card": "x", "outcome": "accepted"},
            {"card": UUID, "outcome": "ignored"},
            "nothing",
        ]
    }
    first, second, third = read_feedback(body)
    assert (first.card, first.outcome, first.accepted) == (UUID, "accepted", (UUID,))
    assert (second.reason, second.comment) == ("override-other", "Seen by neurology.")
    assert (third.reason, third.comment) == ("flat", "")
    assert "neurology" not in repr(second)


@pytest.mark.parametrize("body", [None, [], {}, {"feedback": {}}, {"feedback": [{}] * (MAX_FEEDBACK + 1)}])
def test_another_shape_of_feedback_is_refused(body: Any) -> None:
    with pytest.raises(InputError) as caught:
        read_feedback(body)
    assert caught.value.reason == "hook.feedback"


def test_our_own_client_reads_our_discovery_and_fills_its_templates() -> None:
    services = read_discovery(build_discovery())
    assert [(service.hook, service.id, service.versions) for service in services] == [
        ("order-select", "order-select", ("2.0", "2.1", "2.2")),
        ("order-sign", "order-sign", ("2.0", "2.1", "2.2")),
    ]
    service = find_service(services, "order-sign")
    assert service is not None
    order = _order(requester={"reference": "PractitionerRole/r"})
    role = {
        "resourceType": "PractitionerRole",
        "id": "r",
        "practitioner": {"reference": "Practitioner/d"},
        "location": [{"reference": "Location/l"}],
    }
    payor = [{"reference": "Organization/payer"}]
    coverage = {"resourceType": "Coverage", "id": "c", "payor": payor}
    asked: list[str] = []

    def find(query: str) -> Any:
        asked.append(query)
        known = {"PractitionerRole": role, "Coverage": coverage}
        found = known.get(query.partition("?")[0].partition("/")[0])
        return found if found is None or "/" in query else {"resourceType": "Bundle", "entry": [{"resource": found}]}

    fill_prefetch(service.prefetch, {"patientId": "p", "draftOrders": _bundle(order)}, find)
    assert {f"{kind}?patient=p" for kind in CHART_KEYS.values()} <= {query.partition("&")[0] for query in asked}
    assert "ClinicalImpression?patient=p&_revinclude=Provenance:target" in asked
    assert {"Organization?_id=payer", "Practitioner?_id=d", "Location?_id=l", "Patient/p"} < set(asked)


@pytest.mark.requirement("crd:dev-21")
def test_a_card_has_what_hooks_and_guide_ask_for_and_nothing_empty() -> None:
    task = build_draft_task(
        code=("urn:x", "c"), words="Words", description="Do it.", patient_id="p", order="ServiceRequest/o", user=""
    )
    card = build_card(
        Card(
            uuid=UUID,
            summary="s" * 200,
            detail="d",
            indicator="warning",
            label="Gateway",
            suggestions=(
                Suggestion(uuid="u1", label="One", actions=(build_create_action(task, "Make it."),)),
                Suggestion(uuid="u2", label="Two"),
            ),
            links=(("Page", "https://gw.example.org/cases/1"),),
            overrides=({"system": "urn:x", "code": "o", "display": "Other"},),
            orders=("ServiceRequest/o",),
        )
    )
    assert len(card["summary"]) < 140
    assert card["selectionBehavior"] == "at-most-one"
    assert card["source"]["topic"]["code"] == "guideline"
    assert [set(item) for item in card["suggestions"]] == [{"uuid", "label", "actions"}, {"uuid", "label"}]
    assert card["suggestions"][0]["actions"][0]["resource"]["status"] == "draft"
    assert "requester" not in task
    assert card["links"][0]["type"] == "absolute"
    bare = build_card(Card(uuid=UUID, summary="s", detail="d", indicator="info", label="Gateway"))
    assert set(bare) == {"uuid", "summary", "detail", "indicator", "source"}
