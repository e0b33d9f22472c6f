"""Reading what an EHR posted, without any EHR."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InputError
from gateway.flows.orders import (
    MAX_ORDERS,
    ORDER_TYPES,
    OrderPointer,
    PostedOrder,
    coverage_references,
    is_id,
    order_identity,
    patient_reference,
    read_posted,
    service_of,
)

ORDER: dict[str, Any] = {"resourceType": "ServiceRequest", "id": "o1", "status": "active"}
MEDICINE: dict[str, Any] = {"resourceType": "MedicationRequest", "id": "m1", "status": "active"}
INSURED = {"insurance": [{"reference": "Coverage/c1"}]}


def _bundle(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources]}


def _read(body: Any) -> tuple[PostedOrder, ...]:
    found = read_posted(body)
    assert isinstance(found, tuple)
    return found


def _code(body: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_posted(body)
    assert caught.value.http_status in (400, 422)
    return caught.value.reason


@pytest.mark.parametrize("kind", ORDER_TYPES)
def test_each_order_type_of_crd_is_an_order(kind: str) -> None:
    (order,) = _read({"resourceType": kind, "id": "x"})
    assert (order.reference, order.expression) == (f"{kind}/x", kind)


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        ([ORDER], ["ServiceRequest/o1"]),
        ([ORDER, MEDICINE], ["ServiceRequest/o1", "MedicationRequest/m1"]),
        ([{**ORDER, **INSURED}, MEDICINE], ["ServiceRequest/o1"]),
        ([ORDER, {**MEDICINE, **INSURED}], ["MedicationRequest/m1"]),
        ([{**ORDER, **INSURED}, {**MEDICINE, **INSURED}], ["ServiceRequest/o1", "MedicationRequest/m1"]),
        ([{**ORDER, "status": "completed"}, {**MEDICINE, **INSURED}], ["MedicationRequest/m1"]),
        ([{**ORDER, "status": "revoked", **INSURED}, MEDICINE], ["MedicationRequest/m1"]),
        ([ORDER, dict(ORDER)], ["ServiceRequest/o1"]),
        ([{"resourceType": "Patient", "id": "p"}, ORDER], ["ServiceRequest/o1"]),
    ],
)
def test_orders_that_ask_are_told_from_those_that_came_along(resources: list[Any], asked: list[str]) -> None:
    assert [order.reference for order in _read(_bundle(*resources))] == asked


def test_an_order_knows_where_it_stood() -> None:
    found = _read(_bundle({"resourceType": "Patient", "id": "p"}, ORDER))
    assert [order.expression for order in found] == ["Bundle.entry[1].resource"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "order.resource-type"),
        ({"resourceType": ""}, "order.resource-type"),
        ({"resourceType": []}, "order.resource-type"),
        ({"resourceType": "Patient"}, "order.resource-type"),
        ({"resourceType": "Bundle"}, "order.missing"),
        ({"resourceType": "Bundle", "entry": {}}, "order.missing"),
        ({"resourceType": "Bundle", "entry": ["x"]}, "order.missing"),
        ({"resourceType": "Bundle", "entry": [{"resource": []}]}, "order.entry"),
        ({"resourceType": "Bundle", "entry": [{"resource": [ORDER]}]}, "order.entry"),
        (_bundle({"id": "o1"}), "order.entry"),
        (_bundle({"resourceType": "Patient"}), "order.missing"),
        (_bundle({**ORDER, "status": "completed"}), "order.status"),
        (_bundle({**ORDER, "id": ""}), "order.id"),
        (_bundle(ORDER, {**ORDER, "priority": "stat"}), "order.duplicate"),
        (_bundle(*({**ORDER, "id": str(number)} for number in range(MAX_ORDERS + 1))), "order.too-many"),
    ],
)
def test_what_cannot_be_taken_has_a_code(body: Any, code: str) -> None:
    assert _code(body) == code


def test_a_hundred_thousand_orders_are_counted_before_they_are_read() -> None:
    assert _code(_bundle(*({**ORDER, "id": str(number)} for number in range(100_000)))) == "order.too-many"


@pytest.mark.parametrize(
    ("server", "order", "reference"),
    [
        ("https://ehr.example.org/fhir", "ServiceRequest/1", "ServiceRequest/1"),
        ("https://ehr.example.org/fhir/", "ServiceRequest/1", "ServiceRequest/1"),
        (" https://ehr.example.org/fhir ", "ServiceRequest/1/_history/3", "ServiceRequest/1"),
        ("https://ehr.example.org/fhir", "https://ehr.example.org/fhir/DeviceRequest/d-1", "DeviceRequest/d-1"),
        ("https://ehr.example.org/fhir", {"reference": "ServiceRequest/1"}, "ServiceRequest/1"),
    ],
)
def test_a_pointer_names_a_base_and_an_order(server: str, order: Any, reference: str) -> None:
    found = read_posted({"fhirServer": server, "order": order})
    assert found == OrderPointer(server="https://ehr.example.org/fhir", reference=reference)


@pytest.mark.parametrize(
    ("server", "order"),
    [
        ("https://ehr.example.org/fhir", "https://other.example.org/fhir/ServiceRequest/1"),
        ("https://ehr.example.org/fhir", "https://ehr.example.org/fhir/x/ServiceRequest/1"),
        ("https://ehr.example.org/fhir", "Patient/1"),
        ("https://ehr.example.org/fhir", "ServiceRequest/.."),
        ("https://ehr.example.org/fhir", "ServiceRequest/1?_format=xml"),
        ("https://ehr.example.org/fhir", None),
        ("", "ServiceRequest/1"),
        (7, "ServiceRequest/1"),
    ],
)
def test_a_pointer_that_leads_elsewhere_is_refused(server: Any, order: Any) -> None:
    assert _code({"fhirServer": server, "order": order}) == "order.pointer"


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        *((value, True) for value in ("a", "A-1.b", "x" * 64, "...")),
        *((value, False) for value in ("x" * 65, "", ".", "..", "a/b", "ä", "a b", "a\n", 5, None)),
    ],
)
def test_ids_are_those_of_fhir_and_no_paths(value: Any, fits: bool) -> None:
    assert is_id(value) is fits


@pytest.mark.parametrize(
    ("order", "reference"),
    [
        ({"subject": {"reference": "Patient/1"}}, "Patient/1"),
        ({"patient": {"reference": "Patient/2"}}, "Patient/2"),
        ({"subject": {"display": "x"}, "patient": {"reference": "Patient/2"}}, "Patient/2"),
        ({"subject": "Patient/1"}, ""),
        ({"subject": [{"reference": {}}]}, ""),
        ({}, ""),
    ],
)
def test_the_patient_is_subject_or_patient(order: Any, reference: str) -> None:
    assert patient_reference(order) == reference


@pytest.mark.parametrize(
    ("insurance", "references"),
    [
        ([{"reference": "Coverage/1"}, {"reference": "Coverage/2"}], ("Coverage/1", "Coverage/2")),
        ([{"reference": "Coverage/1"}, {"reference": "Coverage/1"}], ("Coverage/1",)),
        ([{"reference": "ClaimResponse/1"}], ()),
        ([{"reference": "urn:uuid:1"}, {"reference": "#c"}], ("urn:uuid:1", "#c")),
        ([{"identifier": {"value": "1"}}], ()),
        ({"reference": "Coverage/1"}, ("Coverage/1",)),
        ("Coverage/1", ()),
        (None, ()),
    ],
)
def test_coverages_are_named_by_insurance(insurance: Any, references: tuple[str, ...]) -> None:
    assert coverage_references({"insurance": insurance}) == references


@pytest.mark.parametrize(
    ("identifier", "identity"),
    [
        ([{"system": "urn:s", "value": "1"}], "urn:s|1"),
        ([{"value": "1"}, {"system": "urn:s", "value": "2"}], "urn:s|2"),
        ([{"system": "urn:s", "value": "1" * 300}], "ehr|ServiceRequest/o1"),
        ([{"system": {"x": 1}, "value": [1]}], "ehr|ServiceRequest/o1"),
        (5, "ehr|ServiceRequest/o1"),
        (None, "ehr|ServiceRequest/o1"),
    ],
)
def test_an_order_is_known_by_its_identifier_or_its_id(identifier: Any, identity: str) -> None:
    assert order_identity({**ORDER, "identifier": identifier}, "ehr") == identity


@pytest.mark.parametrize(
    ("concept", "shown"),
    [
        ({"coding": [{"code": "1", "display": "MRI"}]}, ("1", "MRI")),
        ({"coding": [{"code": "1", "display": "MRI"}], "text": "an MRI"}, ("1", "an MRI")),
        ({"text": "a\n  b\tc"}, ("", "a b c")),
        ({"text": "x" * 5000}, ("", "x" * 200)),
        ({"coding": "x"}, ("", "")),
        ({"coding": [5]}, ("", "")),
        ("x", ("", "")),
        ([], ("", "")),
    ],
)
def test_a_service_is_shown_on_one_line(concept: Any, shown: tuple[str, str]) -> None:
    assert service_of({"code": concept}) == shown
    assert service_of({"medicationCodeableConcept": concept}) == shown
