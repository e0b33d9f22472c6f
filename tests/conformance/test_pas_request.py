"""PAS request Bundles: the rules of the guide, one test each."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.bundle import BundleIndex
from gateway.fhir.check import check_structure
from gateway.fhir.extensions import extension_value, extensions
from gateway.fhir.json import dump_json
from gateway.profiles.pas_2_2_1 import CareTeamMember, PasItem, Supporting, build_request_bundle
from gateway.profiles.urls import pas
from tests import pas_samples as sample


@pytest.fixture
def bundle() -> dict[str, Any]:
    return build_request_bundle(sample.request(), sample.uuids())


@pytest.mark.requirement("pas:spec-11")
def test_request_serialises_as_json_and_is_structurally_sound(bundle: dict[str, Any]) -> None:
    assert check_structure(dump_json(bundle)) == []


@pytest.mark.requirement("pas:spec-12")
def test_first_entry_is_the_claim(bundle: dict[str, Any]) -> None:
    assert bundle["type"] == "collection"
    assert bundle["entry"][0]["resource"]["resourceType"] == "Claim"
    assert sample.claim_of(bundle)["use"] == "preauthorization"
    assert bundle["identifier"] == {"system": "urn:example:txn", "value": "TXN-1"}
    assert bundle["timestamp"] == "2026-03-02T10:00:05Z"


@pytest.mark.requirement("pas:spec-13")
@pytest.mark.requirement("pas:spec-18")
def test_every_reference_leads_to_an_entry_of_the_same_bundle(bundle: dict[str, Any]) -> None:
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    nested = [e["fullUrl"] for inner in sample.of_type(bundle, "Bundle") for e in inner["entry"]]
    for reference in sample.references(bundle):
        assert reference in {*urls, *nested}, reference


def test_every_entry_is_reached_from_the_claim(bundle: dict[str, Any]) -> None:
    index, reached = BundleIndex(bundle), set[str]()
    waiting = [bundle["entry"][0]["fullUrl"]]
    while waiting:
        url = waiting.pop()
        found = index.resolve(url)
        if url not in reached and found is not None:
            reached.add(url)
            waiting += sample.references(found)
    assert reached == {entry["fullUrl"] for entry in bundle["entry"]}


@pytest.mark.requirement("pas:spec-14")
@pytest.mark.requirement("pas:spec-15")
def test_each_instance_appears_once(bundle: dict[str, Any]) -> None:
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    nested = [e["fullUrl"] for inner in sample.of_type(bundle, "Bundle") for e in inner["entry"]]
    assert len({*urls, *nested}) == len(urls) + len(nested)
    assert len(sample.of_type(bundle, "Practitioner")) == 1
    assert len(sample.of_type(bundle, "Patient")) == 1


@pytest.mark.requirement("pas:spec-16")
def test_full_urls_are_lower_case_uuids(bundle: dict[str, Any]) -> None:
    pattern = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(pattern, entry["fullUrl"]) for entry in bundle["entry"])


@pytest.mark.requirement("pas:spec-17")
def test_the_same_uuids_make_the_same_bytes_and_others_do_not() -> None:
    first = dump_json(build_request_bundle(sample.request(), sample.uuids()))
    assert first == dump_json(build_request_bundle(sample.request(), sample.uuids()))
    assert first != dump_json(build_request_bundle(sample.request(), sample.uuids(1000)))


@pytest.mark.requirement("pas:spec-20")
@pytest.mark.requirement("pas:spec-22")
def test_supporting_information_is_pointed_to_with_unique_sequences() -> None:
    whole = sample.request()
    more = (*whole.supporting, Supporting(content=sample.observation("obs2")))
    bundle = build_request_bundle(sample.request(supporting=more, messages=("please hurry", " ")), sample.uuids())
    infos = sample.claim_of(bundle)["supportingInfo"]
    assert [info["sequence"] for info in infos] == [1, 2, 3, 4]
    kinds = [BundleIndex(bundle).resolve(i["valueReference"]["reference"]) for i in infos[:3]]
    assert [found and found["resourceType"] for found in kinds] == ["DocumentReference", "Bundle", "Observation"]
    assert infos[3]["valueString"] == "please hurry"
    assert sample.claim_of(bundle)["item"][0]["informationSequence"] == [1, 2, 3]


@pytest.mark.requirement("pas:spec-21")
def test_sealed_bytes_travel_unchanged_and_inline(bundle: dict[str, Any]) -> None:
    (document,) = sample.of_type(bundle, "DocumentReference")
    attachment = document["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]) == b'{"sealed":1.00}'
    assert attachment["contentType"] == "application/fhir+json"
    assert "url" not in attachment
    assert {"status", "type", "category", "subject"} <= set(document)


def test_form_travels_as_bundle_with_the_response_first(bundle: dict[str, Any]) -> None:
    (nested,) = sample.of_type(bundle, "Bundle")
    assert nested["type"] == "collection"
    assert [e["resource"]["resourceType"] for e in nested["entry"]] == ["QuestionnaireResponse", "Observation"]
    answers = [item["answer"][0]["valueReference"] for item in nested["entry"][0]["resource"]["item"]]
    assert answers == [{"reference": nested["entry"][1]["fullUrl"]}, {"display": "an old one"}]
    assert nested["entry"][0]["resource"]["subject"] == sample.claim_of(bundle)["patient"]


@pytest.mark.requirement("pas:spec-23")
def test_what_the_ehr_adds_stays_behind(bundle: dict[str, Any]) -> None:
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert "text" not in resource
        assert set(resource.get("meta", {})) <= {"profile"}
        assert "https://ehr.example.org/profile" not in str(resource)
        assert "https://ehr.example.org/vip" not in str(resource)


def test_social_security_number_and_home_phone_stay_at_home(bundle: dict[str, Any]) -> None:
    text = dump_json(bundle).decode()
    assert "987-65-4320" not in text
    assert "555-555-0199" not in text


def test_claim_has_every_mandatory_element(bundle: dict[str, Any]) -> None:
    claim = sample.claim_of(bundle)
    mandatory = {"identifier", "status", "type", "use", "patient", "created", "insurer", "provider", "priority"}
    assert mandatory | {"insurance", "item"} <= set(claim)
    assert claim["insurance"][0]["focal"] is True
    assert "related" not in claim
    item = claim["item"][0]
    assert {"sequence", "category", "productOrService", "locationCodeableConcept"} <= set(item)
    for name in ("extension-serviceItemRequestType", "extension-certificationType", "extension-requestedService"):
        assert len(extensions(item, pas(name))) == 1


def test_service_code_is_written_under_its_canonical_system(bundle: dict[str, Any]) -> None:
    coding = sample.claim_of(bundle)["item"][0]["productOrService"]["coding"]
    assert coding == [{"system": sample.CPT, "code": "72141"}]
    assert sample.of_type(bundle, "ServiceRequest")[0]["code"]["coding"] == coding


def test_dates_move_from_the_order_to_the_item(bundle: dict[str, Any]) -> None:
    (order,) = sample.of_type(bundle, "ServiceRequest")
    assert not [name for name in order if name.startswith("occurrence")]
    assert sample.claim_of(bundle)["item"][0]["servicedPeriod"] == {"start": "2026-03-10", "end": "2026-04-10"}


def test_diagnoses_come_from_the_order_with_their_dot(bundle: dict[str, Any]) -> None:
    (diagnosis,) = sample.claim_of(bundle)["diagnosis"]
    assert diagnosis["diagnosisCodeableConcept"]["coding"][0]["code"] == "M54.12"
    assert diagnosis["type"][0]["coding"][0]["code"] == "principal"


def test_coverage_names_the_relationship_in_both_systems(bundle: dict[str, Any]) -> None:
    (coverage,) = sample.of_type(bundle, "Coverage")
    assert [coding["code"] for coding in coverage["relationship"]["coding"]] == ["self", "18"]
    assert len(coverage["identifier"]) == 1
    assert len(coverage["payor"]) == 1
    assert "subscriber" not in coverage


def test_member_id_stands_on_the_patient_too(bundle: dict[str, Any]) -> None:
    (patient,) = sample.of_type(bundle, "Patient")
    assert [identifier["value"] for identifier in patient["identifier"]] == ["M-1", "MRN-1"]
    assert patient["identifier"][0]["type"]["coding"][0]["code"] == "MB"


def test_document_information_names_report_type_and_control_number(bundle: dict[str, Any]) -> None:
    first = sample.claim_of(bundle)["supportingInfo"][0]
    (information,) = extensions(first, pas("extension-documentInformation"))
    assert extension_value(information, "controlNumber") == "ACN-1"
    assert extension_value(information, "reportTypeCode")["coding"][0]["code"] == "M1"


def test_expedited_request_says_so_twice() -> None:
    claim = sample.claim_of(build_request_bundle(sample.request(is_expedited=True), sample.uuids()))
    assert claim["priority"]["coding"][0]["code"] == "stat"
    level = extension_value(claim, pas("extension-levelOfServiceCode"))
    assert level["coding"][0]["code"] == "U"


@pytest.mark.requirement("crd:resp-46")
def test_one_coverage_information_in_force_goes_along() -> None:
    order = sample.order()
    expired = sample.coverage_information(assertion="OLD", covered="covered")
    expired["extension"].append({"url": "expiry-date", "valueDate": "2026-02-01"})
    order["extension"] = [
        expired,
        sample.coverage_information(assertion="A-1", covered="covered"),
        sample.coverage_information("Coverage/other", "B-1", covered="covered"),
        sample.coverage_information("https://ehr.example.org/fhir/Coverage/cov1", "A-2", covered="covered"),
    ]
    bundle = build_request_bundle(sample.request(order=order), sample.uuids())
    (sent,) = extensions(sample.of_type(bundle, "ServiceRequest")[0], sample.COVERAGE_INFORMATION)
    assert extension_value(sent, "coverage-assertion-id") == "A-2"
    assert extension_value(sent, "coverage") == sample.claim_of(bundle)["insurance"][0]["coverage"]


def test_item_is_linked_to_its_own_care_team_members() -> None:
    anaesthetist = sample.role("role2", "prac2")
    member = CareTeamMember(
        provider=anaesthetist, practitioner=sample.practitioner("prac2", "1999912011"), item_sequences=(2,)
    )
    code = sample.order()["code"]
    items = (PasItem(sequence=1, product_or_service=code), PasItem(sequence=2, product_or_service=code))
    claim = sample.claim_of(build_request_bundle(sample.request(care_team=(member,), items=items), sample.uuids()))
    scopes = [extension_value(entry, pas("extension-careTeamClaimScope")) for entry in claim["careTeam"]]
    assert scopes == [True, False]
    assert "careTeamSequence" not in claim["item"][0]
    assert claim["item"][1]["careTeamSequence"] == [2]


REFUSED = [
    ("no member id", {"coverage": {**sample.coverage(), "identifier": [], "subscriberId": ""}}, "pas.member-id"),
    ("member id without system", {"coverage": {**sample.coverage(), "identifier": []}}, "pas.member-system"),
    ("patient without name", {"patient": {**sample.patient(), "name": [{"text": "Sam"}]}}, "pas.patient-name"),
    ("payer without name", {"insurer": {"resourceType": "Organization"}}, "pas.organization-name"),
    ("no NPI", {"practitioner": {**sample.practitioner(), "identifier": []}}, "pas.npi"),
    (
        "unknown service",
        {"order": {**sample.order(), "code": {"coding": [{"system": "urn:x", "code": "1"}]}}},
        "pas.service-code",
    ),
    ("unknown order type", {"order": {**sample.order(), "resourceType": "Task"}}, "pas.service-code"),
    (
        "unknown supporting type",
        {"supporting": (Supporting(content={"resourceType": "Device"}),)},
        "pas.supporting-type",
    ),
    (
        "report that is no laboratory report",
        {"supporting": (Supporting(content={"resourceType": "DiagnosticReport", "category": [{"text": "imaging"}]}),)},
        "pas.supporting-type",
    ),
    (
        "dependent without subscriber",
        {"coverage": {**sample.coverage(), "relationship": {"coding": [{"code": "child"}]}}},
        "pas.subscriber",
    ),
    ("sequence twice", {"items": (PasItem(sequence=1, product_or_service={}),) * 2}, "pas.sequence"),
]


@pytest.mark.parametrize(("what", "change", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_the_profiles_demand_is_named_when_it_is_missing(what: str, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        build_request_bundle(sample.request(**change), sample.uuids())
    assert caught.value.reason == reason
    assert caught.value.http_status == 422
    assert "Sam" not in caught.value.diagnostics()


def test_dependent_goes_with_the_subscriber_as_a_patient() -> None:
    relationship = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "child"}]
    }
    holder = {"resourceType": "RelatedPerson", "id": "rp1", "name": [{"family": "Synthetic"}], "gender": "male"}
    changed = {**sample.coverage(), "relationship": relationship}
    bundle = build_request_bundle(sample.request(coverage=changed, subscriber=holder), sample.uuids())
    (coverage,) = sample.of_type(bundle, "Coverage")
    found = BundleIndex(bundle).resolve(coverage["subscriber"]["reference"])
    assert found is not None
    assert found["meta"]["profile"] == [pas("profile-subscriber")]
    assert [coding["code"] for coding in coverage["relationship"]["coding"]] == ["child"]


def test_reference_to_another_server_is_not_taken_for_ours() -> None:
    order = {**sample.order(), "requester": {"reference": "https://other.example.org/fhir/Practitioner/prac1"}}
    bundle = build_request_bundle(sample.request(order=order), sample.uuids())
    assert "requester" not in sample.of_type(bundle, "ServiceRequest")[0]


def test_referenced_resources_go_along_only_where_something_refers_to_them() -> None:
    observation = {**sample.observation("o2"), "specimen": {"reference": "Specimen/s1"}}
    others = ({"resourceType": "Specimen", "id": "s1"}, {"resourceType": "Device", "id": "unasked"})
    whole = sample.request(supporting=(Supporting(content=observation),), referenced=others)
    bundle = build_request_bundle(whole, sample.uuids())
    assert len(sample.of_type(bundle, "Specimen")) == 1
    assert sample.of_type(bundle, "Device") == []


def test_practitioner_without_a_role_gets_one_with_the_clinics_telecom() -> None:
    bundle = build_request_bundle(sample.request(practitioner_role=None), sample.uuids())
    (role,) = sample.of_type(bundle, "PractitionerRole")
    assert role["telecom"] == [{"system": "phone", "value": "555-555-0140"}]
    silent = {**sample.clinic(), "telecom": []}
    bundle = build_request_bundle(sample.request(practitioner_role=None, requestor=silent), sample.uuids())
    assert sample.of_type(bundle, "PractitionerRole") == []
    assert "careTeam" not in sample.claim_of(bundle)


def test_inputs_are_not_changed() -> None:
    whole = sample.request()
    before = dump_json([whole.patient, whole.coverage, whole.order, whole.insurer, whole.requestor])
    build_request_bundle(whole, sample.uuids())
    assert dump_json([whole.patient, whole.coverage, whole.order, whole.insurer, whole.requestor]) == before
