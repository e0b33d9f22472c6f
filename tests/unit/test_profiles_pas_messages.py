"""Inquiries, attachments and Tasks; and that both versions offer the same names."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.extensions import extension_value
from gateway.fhir.parameters import parameter_resources, parameter_value, parameters
from gateway.profiles import pas_2_0_1, pas_2_2_1
from gateway.profiles.pas_2_2_1 import (
    Attachment,
    DocumentRequest,
    InquiryKeys,
    attachment_url,
    build_attachment_parameters,
    build_inquiry_bundle,
    requested_code,
    split_kinds,
)
from gateway.profiles.urls import pas
from tests import pas_samples as sample

LOINC_REQUEST = DocumentRequest(control_number="A1", loinc_codes=("11506-3",), line_numbers=(1, 2))
TYPE_REQUEST = DocumentRequest(control_number="A2", report_types=("M1",))
FORM_REQUEST = DocumentRequest(control_number="A3", is_questionnaire=True, context="CTX", loinc_codes=("102089-0",))


def test_inquiry_names_requestor_payer_patient_and_service() -> None:
    bundle = build_inquiry_bundle(sample.request(), sample.uuids())
    claim = sample.claim_of(bundle)
    assert claim["meta"]["profile"] == [pas("profile-claim-inquiry")]
    assert "supportingInfo" not in claim
    assert claim["billablePeriod"] == {"start": "2026-03-10", "end": "2026-04-10"}
    assert claim["item"] == [
        {
            "sequence": 1,
            "productOrService": {"coding": [{"system": sample.CPT, "code": "72141"}]},
            "servicedPeriod": {"start": "2026-03-10", "end": "2026-04-10"},
        }
    ]
    (patient,) = sample.of_type(bundle, "Patient")
    assert patient["identifier"][0]["value"] == "M-1"
    assert sample.of_type(bundle, "ServiceRequest") == []


@pytest.mark.requirement("pas:spec-43")
def test_inquiry_by_number_is_service_agnostic() -> None:
    keys = InquiryKeys(authorization_number="BB", administration_number="NT")
    (item,) = sample.claim_of(build_inquiry_bundle(sample.request(), sample.uuids(), keys))["item"]
    assert item["productOrService"]["coding"][0]["code"] == "not-applicable"
    assert extension_value(item, pas("extension-authorizationNumber")) == "BB"
    assert extension_value(item, pas("extension-administrationReferenceNumber")) == "NT"


def attached(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "tracking_id": ("urn:example:acn", "ACN-77"),
        "member_id": ("urn:example:members", "M-1"),
        "attachments": [
            Attachment(
                content={"resourceType": "DocumentReference"}, code=("http://loinc.org", "11506-3"), line_items=(1,)
            )
        ],
        "organization_id": (sample.NPI, "1999910015"),
    }
    return build_attachment_parameters(**{**given, **changes})


def test_attachment_parameters_follow_cdex() -> None:
    body = attached(payer_id=("urn:p", "P"), administration_number="NT1", service_on=date(2026, 3, 10), is_final=False)
    names = [parameter["name"] for parameter in parameters(body)]
    closed = "TrackingId AdminRefNumber AttachTo PayerId OrganizationId MemberId ServiceDate Attachment Final"
    assert names == closed.split()
    assert parameter_value(body, "TrackingId") == {"system": "urn:example:acn", "value": "ACN-77"}
    assert parameter_value(body, "AttachTo") == "preauthorization"
    assert parameter_value(body, "Final") is False
    (attachment,) = parameters(body, "Attachment")
    assert parameter_value(attachment, "LineItem") == "1"
    assert parameter_value(attachment, "Code") == {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]}
    assert parameter_resources(attachment, "Content") == ({"resourceType": "DocumentReference"},)


@pytest.mark.parametrize(
    "change", [{"attachments": []}, {"organization_id": None}, {"tracking_id": ("", "")}, {"member_id": ("", "")}]
)
def test_attachment_without_a_mandatory_part_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        attached(**change)


def test_reply_repeats_the_code_that_was_asked_for() -> None:
    assert requested_code(LOINC_REQUEST) == ("http://loinc.org", "11506-3")
    assert requested_code(TYPE_REQUEST) == ("https://codesystem.x12.org/005010/755", "M1")
    assert requested_code(FORM_REQUEST) is None


def test_attachment_address_ends_in_the_operation_once() -> None:
    for url in (
        "https://p.example.org/fhir",
        "https://p.example.org/fhir/",
        "https://p.example.org/fhir/$submit-attachment",
    ):
        assert attachment_url(url) == "https://p.example.org/fhir/$submit-attachment"
    with pytest.raises(InputError):
        attachment_url("")


def task(requests: tuple[DocumentRequest, ...], guide: Any = pas_2_2_1, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "identifier": ("urn:example:tasks", "1"),
        "patient": "Patient/pat1",
        "claim": {"identifier": {"value": "PA-1"}},
        "payer": (sample.NPI, "1234567893"),
        "organization": (sample.NPI, "1999910015"),
        "payer_url": "https://p.example.org/fhir",
    }
    built: dict[str, Any] = guide.build_task(requests=requests, **{**given, **changes})
    return built


@pytest.mark.requirement("pas:ainfo-7")
def test_each_kind_of_request_gets_its_own_task() -> None:
    kinds = split_kinds((LOINC_REQUEST, FORM_REQUEST, TYPE_REQUEST, LOINC_REQUEST))
    assert kinds == ((LOINC_REQUEST, LOINC_REQUEST), (FORM_REQUEST,), (TYPE_REQUEST,))
    with pytest.raises(InputError):
        task((LOINC_REQUEST, TYPE_REQUEST))


@pytest.mark.requirement("pas:ainfo-4")
@pytest.mark.requirement("pas:ainfo-5")
def test_task_lists_every_code_for_every_line() -> None:
    built = task((LOINC_REQUEST,), due_on=date(2026, 4, 1))
    assert built["code"]["coding"][0]["code"] == "attachment-request-code"
    assert built["restriction"]["period"]["end"] == "2026-04-01"
    wanted = [
        (extension_value(entry, pas("extension-serviceLineNumber")), entry["valueCodeableConcept"]["coding"][0]["code"])
        for entry in built["input"][1:]
    ]
    assert wanted == [(1, "11506-3"), (2, "11506-3")]
    assert built["input"][0]["valueUrl"] == "https://p.example.org/fhir"


@pytest.mark.requirement("pas:ainfo-6")
def test_questionnaire_task_carries_the_context() -> None:
    built = task((FORM_REQUEST,))
    assert built["code"]["coding"][0]["code"] == "attachment-request-questionnaire"
    assert built["input"][1]["valueString"] == "CTX"
    older = task((FORM_REQUEST,), pas_2_0_1)
    assert older["input"][1]["valueIdentifier"]["value"] == "CTX"


def test_task_that_cannot_be_done_says_why() -> None:
    built = task((TYPE_REQUEST,), status="failed", status_reason="No such document exists.")
    assert (built["status"], built["statusReason"]["text"]) == ("failed", "No such document exists.")
    with pytest.raises(InputError):
        task((TYPE_REQUEST,), status="draft")


def test_both_versions_offer_the_same_names() -> None:
    assert set(pas_2_0_1.__all__) == set(pas_2_2_1.__all__)


@pytest.mark.parametrize("guide", [pas_2_0_1, pas_2_2_1], ids=["2.0.1", "2.2.1"])
def test_request_of_each_version_carries_only_what_it_knows(guide: Any) -> None:
    bundle = guide.build_request_bundle(sample.request(), sample.uuids())
    text = str(bundle)
    later = guide is pas_2_2_1
    assert ("extension-documentInformation" in text) is later
    assert ("extension-TransmissionIdentifiers" in text) is later
    assert ("profile-documentreference" in text) is later
