"""Prefetch templates of three grammars, and the three kinds of nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.errors import EhrTimedOut, NotFound
from gateway.profiles.crd_2_2_1 import fill_prefetch

STORE: dict[str, dict[str, Any]] = {
    "Patient/p": {"resourceType": "Patient", "id": "p"},
    "Practitioner/1": {"resourceType": "Practitioner", "id": "1"},
    "Encounter/e": {
        "resourceType": "Encounter",
        "id": "e",
        "participant": [
            {"individual": {"reference": "PractitionerRole/r1"}},
            {"individual": {"reference": "https://e.org/fhir/Practitioner/3"}},
        ],
    },
    "ServiceRequest/s": {
        "resourceType": "ServiceRequest",
        "id": "s",
        "requester": {"reference": "Practitioner/1"},
        "performer": [{"reference": "PractitionerRole/r2"}],
    },
}
ROLES = {
    "resourceType": "Bundle",
    "type": "searchset",
    "entry": [
        {"resource": {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/7"}}},
        {"resource": {"resourceType": "PractitionerRole", "id": "r2", "organization": {"reference": "Organization/8"}}},
    ],
}
CONTEXT = {
    "userId": "Practitioner/1",
    "patientId": "p",
    "encounterId": "e",
    "draftOrders": {
        "resourceType": "Bundle",
        "entry": [
            {"resource": {**STORE["ServiceRequest/s"], "status": "draft"}},
            {"resource": {"resourceType": "DeviceRequest", "id": "d1", "codeReference": {"reference": "Device/9"}}},
            {"resource": {"resourceType": "DeviceRequest", "id": "d2"}},
            {
                "resource": {
                    "resourceType": "MedicationRequest",
                    "id": "m",
                    "medicationReference": {"reference": "Medication/5"},
                }
            },
        ],
    },
}


class Ehr:
    """Answers queries and remembers them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, query: str) -> dict[str, Any] | None:
        assert "{{" not in query
        self.asked.append(query)
        if query.startswith("PractitionerRole?"):
            return ROLES
        if query.startswith("Nothing?"):
            return {"resourceType": "Bundle", "type": "searchset", "entry": []}
        if query.startswith("Slow"):
            raise EhrTimedOut("The EHR did not answer in time.")
        if query.startswith("Gone"):
            raise NotFound("No such thing.")
        if "?" in query:
            return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {"resourceType": "Basic"}}]}
        return STORE.get(query)


PARTICIPANTS = "%encounter.participant.individual.resolve()"
ROLE_PERFORMERS = "context.draftOrders.entry.resource.performer.resolve().ofType(PractitionerRole).id"
ORDERS = "context.draftOrders.entry.resource"
QUERIES = [
    ("hooks 2.0 context", "Patient/{{context.patientId}}", "Patient/p"),
    ("hooks 2.0 user", "Practitioner/{{userPractitionerId}}", "Practitioner/1"),
    ("whole reference", "{{context.userId}}", "Practitioner/1"),
    ("2.0.1 by type", "DeviceRequest?_id={{context.draftOrders.DeviceRequest.id}}", "DeviceRequest?_id=d1,d2"),
    ("2.2 choice element", f"Device?_id={{{{{ORDERS}.ofType(DeviceRequest).code.resolve().id}}}}", "Device?_id=9"),
    ("2.2 as id", f"Medication?_id={{{{{ORDERS}.ofType(MedicationRequest).medication}}}}", "Medication?_id=5"),
    ("2.2 type of target", f"Organization?_id={{{{{ROLE_PERFORMERS}}}}}", "Organization?_id=r2"),
    (
        "2.2 alternatives",
        f"PractitionerRole?_id={{{{{PARTICIPANTS}.ofType(PractitionerRole).id|{ROLE_PERFORMERS}}}}}",
        "PractitionerRole?_id=r1,r2",
    ),
    ("2.2 chain", "Practitioner?_id={{%practitionerRoles.practitioner.resolve().id}}", "Practitioner?_id=7"),
    (
        "2.2 chain spelled out",
        "Practitioner?_id={{%practitionerRoles.entry.resource.practitioner.resolve().id}}",
        "Practitioner?_id=7",
    ),
    ("date", "Observation?date=ge{{today() - 90 days}}", "Observation?date=ge2025-12-02"),
    ("date forward", "Observation?date=le{{today() + 1 day}}", "Observation?date=le2026-03-03"),
    ("first", "DeviceRequest?_id={{context.draftOrders.DeviceRequest.id.first()}}", "DeviceRequest?_id=d1"),
    ("index", "DeviceRequest?_id={{context.draftOrders.DeviceRequest[1].id}}", "DeviceRequest?_id=d2"),
]


@pytest.mark.requirement("crd:found-23")
@pytest.mark.requirement("crd:found-24")
@pytest.mark.parametrize(("what", "template", "query"), QUERIES, ids=[case[0] for case in QUERIES])
def test_templates_of_every_grammar_become_queries(what: str, template: str, query: str) -> None:
    ehr = Ehr()
    templates = {
        "wanted": template,
        "encounter": "Encounter/{{context.encounterId}}",
        "practitionerRoles": f"PractitionerRole?_id={{{{{PARTICIPANTS}.ofType(PractitionerRole).id}}}}",
    }
    fill_prefetch(templates, CONTEXT, ehr, today=date(2026, 3, 2))
    assert query in ehr.asked


NOTHINGS: list[tuple[str, str, dict[str, Any]]] = [
    ("found nothing by read", "Patient/{{context.patientId}}x", {"wanted": None}),
    ("found nothing by search", "Nothing?patient={{context.patientId}}", {"wanted": None}),
    ("gone", "Gone/{{context.patientId}}", {"wanted": None}),
    ("no value", "Location/{{context.locationId}}", {}),
    ("no value among values", "Condition?patient={{context.patientId}}&x={{context.locationId}}", {}),
    ("unknown root", "CommunicationRequest?_id={{c}}", {}),
    ("unknown function", "Patient/{{context.patientId.reverse()}}", {}),
    ("empty list", "NutritionOrder?_id={{context.draftOrders.NutritionOrder.id}}", {}),
    ("unsafe value", "Patient/{{context.unsafe}}", {}),
    ("unknown key", "Practitioner?_id={{%nobody.id}}", {}),
    ("itself", "Practitioner?_id={{%wanted.id}}", {}),
    ("broken braces", "Patient/{{context.patientId", {}),
    ("empty token", "{{}}", {}),
]


@pytest.mark.parametrize(("what", "template", "expected"), NOTHINGS, ids=[case[0] for case in NOTHINGS])
def test_nothing_found_is_null_and_nothing_to_ask_is_no_key(what: str, template: str, expected: dict[str, Any]) -> None:
    context = {**CONTEXT, "unsafe": "1&_include=*"}
    assert fill_prefetch({"wanted": template}, context, Ehr()) == expected


def test_failure_that_can_be_told_is_an_outcome() -> None:
    value = fill_prefetch({"wanted": "Slow?patient={{context.patientId}}"}, CONTEXT, Ehr())["wanted"]
    assert value["resourceType"] == "OperationOutcome"
    assert value["issue"][0]["code"] == "timeout"


def test_null_may_be_left_out_for_payers_that_refuse_it() -> None:
    assert fill_prefetch({"wanted": "Nothing?x=1"}, CONTEXT, Ehr(), omit_nulls=True) == {}


@pytest.mark.requirement("crd:dev-29")
def test_only_the_chosen_coverage_appears() -> None:
    ehr, coverage = Ehr(), {"resourceType": "Coverage", "id": "c"}
    templates = {"coverage": "Coverage?patient={{context.patientId}}&status=active"}
    value = fill_prefetch(templates, CONTEXT, ehr, coverage=coverage, base="https://gw.example.org/fhir")["coverage"]
    assert [entry["resource"] for entry in value["entry"]] == [coverage]
    assert value["entry"][0]["fullUrl"] == "https://gw.example.org/fhir/Coverage/c"
    assert ehr.asked == []


def test_a_cycle_of_templates_is_left_out() -> None:
    templates = {"a": "Patient/{{%b.id}}", "b": "Patient/{{%a.id}}"}
    assert fill_prefetch(templates, CONTEXT, Ehr()) == {}


def test_each_query_is_asked_once() -> None:
    ehr = Ehr()
    fill_prefetch({"a": "Patient/{{context.patientId}}", "b": "Patient/{{context.patientId}}"}, CONTEXT, ehr)
    assert ehr.asked == ["Patient/p"]


def test_resources_of_the_context_are_given_as_they_are() -> None:
    context = {"patientId": "p", "dispatchedOrders": ["ServiceRequest/s"]}
    value = fill_prefetch({"orders": "{{context.dispatchedOrders.resolve()}}"}, context, Ehr())["orders"]
    assert value is STORE["ServiceRequest/s"]
    several = fill_prefetch({"orders": "{{context.draftOrders.DeviceRequest}}"}, CONTEXT, Ehr())["orders"]
    assert [entry["resource"]["id"] for entry in several["entry"]] == ["d1", "d2"]
