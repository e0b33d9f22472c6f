"""Statements: the shape of the Provenance, the exact content of the signature, and what is refused."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws as joserfc_jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, RSAKey

from provenance import (
    ACTIVITIES,
    NPI,
    Agent,
    Entity,
    Identifier,
    Party,
    StatementError,
    StrictJsonError,
    Target,
    b64u,
    digest,
    gateway_device,
    jcs,
    jws_digest,
    ni_uri,
    organization,
    person,
    practitioner_role,
)
from provenance.activities import ROLES, SIGNATURE_TYPES, VERIFICATION
from provenance.canonical import unb64u
from provenance.document import signature_jws
from provenance.fhir_signature import instant
from provenance.urls import BINDING
from tests.provenance_case import (
    CASE_TAG,
    START,
    TENANT,
    CaseBuilder,
    body,
    clean_case,
    dump,
    key_ring,
    patient,
    resource,
    uuid,
)


@pytest.fixture
def case() -> CaseBuilder:
    return CaseBuilder(ring=key_ring())


def header_of(provenance: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(unb64u(signature_jws(provenance["signature"][0]).split(".")[0]))
    return value


def test_provenance_says_what_when_and_who(case: CaseBuilder) -> None:
    event = case.record("ehr-extract", [resource(patient())], occurred="2026-11-01", policy=["https://x|1"])
    resource_ = event.provenance
    assert json.loads(event.body) == resource_
    assert resource_["target"][0]["reference"] == "https://ehr.example.org/fhir/Patient/p1/_history/1"
    assert resource_["target"][0]["type"] == "Patient"
    assert resource_["target"][0]["identifier"] == {
        "system": "urn:ietf:rfc:3986",
        "value": ni_uri(digest(jcs(dump(patient())))),
    }
    assert (resource_["occurredDateTime"], resource_["recorded"]) == ("2026-11-01", "2026-11-01T12:00:00Z")
    assert resource_["policy"] == ["https://x|1"]
    assert resource_["reason"][0]["coding"][0]["code"] == "COVAUTH"
    codings = resource_["activity"]["coding"]
    assert codings[0]["system"] == "urn:oid:2.25.94492686211768030265051248232142081200.1"
    assert [coding["code"] for coding in codings] == ["ehr-extract", "CREATE"]
    assert "id" not in resource_
    assert "meta" not in resource_


def test_gateway_acts_as_a_device_for_the_tenant(case: CaseBuilder) -> None:
    """US Core provenance-1 wants onBehalfOf of a Device; HRex wants the owner said once."""
    provenance = case.record("ehr-extract", [resource(patient())]).provenance
    agent, device = provenance["agent"][0], provenance["contained"][0]
    assert agent["type"]["coding"][0]["code"] == "assembler"
    assert agent["who"]["reference"] == "#gateway"
    assert agent["onBehalfOf"]["identifier"] == TENANT.as_fhir()
    assert device["version"] == [{"value": "0.1.0"}]
    assert "owner" not in device
    assert provenance["signature"][0]["who"] == {"type": "Organization", "identifier": TENANT.as_fhir()}


def test_person_acts_in_a_role_inside_the_statement(case: CaseBuilder) -> None:
    human = practitioner_role(
        key="p1",
        name="Dr. Invented",
        npi="1999999992",
        practitioner="https://ehr.example.org/fhir/Practitioner/1",
        employer=organization(TENANT, "Example Clinic"),
        role="physician",
        telecom=("phone", "555-0100"),
    )
    provenance = case.record(
        "manual-answer",
        [resource(patient())],
        agents=[
            Agent(role="author", who=human),
            Agent(role="informant", who=person("https://ehr.example.org/fhir/Patient/p1", "Patient")),
            Agent(role="verifier", who=human),
        ],
    ).provenance
    role = provenance["contained"][1]
    assert role["practitioner"]["identifier"] == {"system": NPI, "value": "1999999992"}
    assert role["practitioner"]["reference"] == "https://ehr.example.org/fhir/Practitioner/1"
    assert role["telecom"] == [{"system": "phone", "value": "555-0100"}]
    assert [agent["who"]["type"] for agent in provenance["agent"]] == [
        "Device",
        "PractitionerRole",
        "Patient",
        "PractitionerRole",
    ]
    assert [item["id"] for item in provenance["contained"]] == ["gateway", "p1"]


def test_transmitter_comes_from_the_code_system_of_us_core(case: CaseBuilder) -> None:
    ehr = organization(None, "Example Hospital", "https://ehr.example.org/fhir/Organization/1")
    provenance = case.record(
        "ehr-extract", [resource(patient())], agents=[Agent(role="transmitter", who=ehr)]
    ).provenance
    systems = [agent["type"]["coding"][0]["system"] for agent in provenance["agent"]]
    assert systems == [
        "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type",
    ]


def test_header_binds_case_place_bytes_and_provenance(case: CaseBuilder) -> None:
    first = case.record("case-open", [resource(patient())])
    second = case.record("ehr-extract", [resource(patient()), body(7, b"%PDF")])
    header = header_of(second.provenance)
    bound = {name: value for name, value in second.provenance.items() if name != "signature"}
    assert set(header) == {"alg", "canon", "sigT", "srCms", "typ", "x5t#S256", BINDING}
    assert (header["alg"], header["typ"], header["sigT"]) == ("ES256", "JOSE", "2026-11-01T12:01:00Z")
    assert header["canon"] == "http://hl7.org/fhir/canonicalization/json"
    assert header["x5t#S256"] == key_ring().signer("event").x5t
    assert header[BINDING] == {
        "v": 1,
        "case": CASE_TAG,
        "seq": 1,
        "prev": jws_digest(first.jws),
        "pd": b64u(digest(jcs(json.dumps(bound).encode()))),
        "raw": [b64u(digest(dump(patient()))), b64u(digest(b"%PDF"))],
    }
    assert header_of(first.provenance)[BINDING]["prev"] is None
    assert jcs(unb64u(second.jws.split(".")[0])) == unb64u(second.jws.split(".")[0])


def test_result_repeats_what_others_need(case: CaseBuilder) -> None:
    event = case.record("ehr-extract", [resource(patient()), body(7, b"%PDF")])
    assert event.jws == signature_jws(event.provenance["signature"][0])
    assert event.jws_digest == b64u(digest(event.jws.encode()))
    assert event.target_digests == (ni_uri(digest(jcs(dump(patient())))), ni_uri(digest(b"%PDF")))
    assert event.raw_digests == (digest(dump(patient())).hex(), digest(b"%PDF").hex())


def attached(jws: str, payload: bytes) -> str:
    protected, _, signature = jws.split(".")
    return f"{protected}.{b64u(payload)}.{signature}"


class AnyHeader(joserfc_jws.JWSRegistry):
    """joserfc with its size limits and its list of header names lifted; its mathematics stays."""

    def __init__(self) -> None:
        super().__init__(algorithms=["ES256", "RS256"], strict_check_header=False)
        self.max_header_length = self.max_payload_length = 10**7


def oracle(jws: str, payload: bytes, purpose: str) -> bool:
    """What a library that shares no code with ours says of a signature."""
    certificate = x509.load_der_x509_certificate(key_ring().signer(purpose).chain[0])
    pem = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = (ECKey if purpose == "event" else RSAKey).import_key(pem)
    try:
        joserfc_jws.deserialize_compact(attached(jws, payload), key, registry=AnyHeader())
    except BadSignatureError:
        return False
    return True


def test_payload_is_one_resource_bare_or_several_in_an_array(case: CaseBuilder) -> None:
    one = case.record("case-open", [resource(patient())])
    two = case.record("ehr-extract", [resource(patient()), body(7, b"%PDF")])
    scan = case.record("ehr-extract", [body(7, b"%PDF")])
    canonical, name = jcs(dump(patient())), json.dumps(ni_uri(digest(b"%PDF"))).encode()
    assert oracle(one.jws, canonical, "event")
    assert oracle(two.jws, b"[" + canonical + b"," + name + b"]", "event")
    assert oracle(scan.jws, name, "event")
    assert not oracle(two.jws, b"[" + name + b"," + canonical + b"]", "event")
    assert not oracle(one.jws, canonical + b" ", "event")


def test_sealed_document_verifies_with_another_library() -> None:
    document = clean_case().document
    assert document is not None
    bundle = json.loads(document)
    jws = signature_jws(bundle.pop("signature"))
    assert oracle(jws, jcs(json.dumps(bundle).encode()), "seal")


def test_binary_is_signed_as_bytes_even_when_it_is_a_resource(case: CaseBuilder) -> None:
    raw = dump({"resourceType": "Binary", "contentType": "application/pdf", "data": "JVBERg=="})
    event = case.record("ehr-extract", [Target(reference=uuid(9), type="Binary", raw=raw)])
    assert event.target_digests == (ni_uri(digest(raw)),)


def test_body_of_any_type_is_stated_as_binary(case: CaseBuilder) -> None:
    target = Target(reference=uuid(9), type="Bundle", raw=b'{"resourceType":"Bundle"}', resource_json=False)
    assert case.record("submit", [target]).provenance["target"][0]["type"] == "Binary"


def test_answers_are_named_inside_the_target(case: CaseBuilder) -> None:
    answers = resource({"resourceType": "QuestionnaireResponse", "status": "in-progress"}, uuid(3))
    event = case.record("manual-answer", [replace(answers, elements=("a1", "a2"))])
    assert event.provenance["target"][0]["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/targetElement", "valueUri": "a1"},
        {"url": "http://hl7.org/fhir/StructureDefinition/targetElement", "valueUri": "a2"},
    ]


def test_entity_names_role_reference_and_digest(case: CaseBuilder) -> None:
    entity = Entity(role="source", reference="", type="Library", digest_uri=ni_uri(digest(b"x")), display="rule")
    provenance = case.record("evaluate", [resource(patient())], entities=[entity]).provenance
    assert provenance["entity"] == [
        {
            "role": "source",
            "what": {
                "type": "Library",
                "identifier": {"system": "urn:ietf:rfc:3986", "value": ni_uri(digest(b"x"))},
                "display": "rule",
            },
        }
    ]


def test_building_again_after_a_conflict_gives_the_same_statement_at_the_next_place(case: CaseBuilder) -> None:
    first = case.record("case-open", [resource(patient())])
    recorded = START + timedelta(minutes=5)
    second = case.record("ehr-extract", [resource(patient())], recorded=recorded)
    case.events.pop()
    again = case.record("ehr-extract", [resource(patient())], recorded=recorded)
    assert {**second.provenance, "signature": None} == {**again.provenance, "signature": None}
    assert header_of(again.provenance)[BINDING]["prev"] == first.jws_digest


def test_narrative_is_escaped(case: CaseBuilder) -> None:
    payer = organization(None, '<script>alert("x")</script>&')
    div = case.record("payer-need", [body(1, b"{}")], agents=[Agent(role="author", who=payer)]).provenance["text"][
        "div"
    ]
    assert "<script>" not in div
    assert "&lt;script&gt;" in div


TENANT_PARTY = organization(TENANT, "Example Clinic")
REFUSED: dict[str, dict[str, Any]] = {
    "unknown activity": {"activity": "dance"},
    "short case tag": {"case_tag": "abc"},
    "case tag that is no base64url": {"case_tag": "AAECAwQFBgcICQoLDA0OD="},
    "number below zero": {"seq": -1},
    "first event with a predecessor": {"previous_jws": "a..b"},
    "later event without one": {"seq": 1},
    "time without a zone": {"recorded": datetime(2026, 11, 1, 12)},
    "no targets": {"targets": []},
    "target without a reference": {
        "targets": [Target(reference="", type="Patient", raw=b'{"resourceType":"Patient"}')]
    },
    "target of another type": {"targets": [Target(reference=uuid(1), type="Patient", raw=b'{"resourceType":"Group"}')]},
    "target that is no object": {"targets": [Target(reference=uuid(1), type="Patient", raw=b"[]")]},
    "agent of an unknown role": {"agents": [Agent(role="boss", who=TENANT_PARTY)]},
    "practitioner without a role": {
        "agents": [Agent(role="author", who=Party(type="Practitioner", identifier=TENANT))]
    },
    "device on nobody's behalf": {
        "agents": [Agent(role="assembler", who=gateway_device("1")), Agent(role="author", who=TENANT_PARTY)]
    },
    "signer who is no agent": {"signer_who": organization(Identifier(system=NPI, value="1999999984"), "Other")},
    "signer without an identifier": {"signer_who": organization(None, "Example Clinic")},
    "entity of an R5 role": {
        "entities": [Entity(role="instantiates", reference="", type="Library", digest_uri=ni_uri(digest(b"")))]
    },
    "entity without a digest": {"entities": [Entity(role="source", reference=uuid(1), type="Library", digest_uri="")]},
    "unknown purpose of the signature": {"signature_types": ["1.2.3"]},
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_statement_that_would_not_verify_is_refused(case: CaseBuilder, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"activity": "ehr-extract", "targets": [resource(patient())], **change}
    with pytest.raises(StatementError):
        case.record(arguments.pop("activity"), arguments.pop("targets"), **arguments)


def test_target_that_is_not_strict_json_is_refused(case: CaseBuilder) -> None:
    raw = b'{"resourceType":"Patient","active":true,"active":false}'
    with pytest.raises(StrictJsonError):
        case.record("ehr-extract", [Target(reference=uuid(1), type="Patient", raw=raw)])


def test_instants_are_whole_seconds_in_utc() -> None:
    assert instant(datetime(2026, 11, 1, 23, 59, 59, 999_999, tzinfo=UTC)) == "2026-11-01T23:59:59Z"
    assert instant(datetime(2026, 11, 1, 7, 0, tzinfo=timezone(timedelta(hours=-5)))) == "2026-11-01T12:00:00Z"


@pytest.mark.parametrize("code", ACTIVITIES)
def test_every_activity_can_be_stated_and_its_signature_says_verification(case: CaseBuilder, code: str) -> None:
    event = case.record(code, [resource(patient())])
    kinds = [row["code"] for row in event.provenance["signature"][0]["type"]]
    assert kinds[0] == VERIFICATION
    assert [row["commId"]["id"] for row in header_of(event.provenance)["srCms"]] == [
        f"urn:oid:{kind}" for kind in kinds
    ]
    assert set(kinds) <= set(SIGNATURE_TYPES)


def test_void_and_further_purposes_can_be_stated(case: CaseBuilder) -> None:
    event = case.record(
        "correct", [resource(patient())], data_operation="NULLIFY", signature_types=["1.2.840.10065.1.12.1.1"]
    )
    assert [coding["code"] for coding in event.provenance["activity"]["coding"]] == ["correct", "NULLIFY"]
    assert "1.2.840.10065.1.12.1.1" in [row["code"] for row in event.provenance["signature"][0]["type"]]
    assert "transmitter" in ROLES


def test_data_of_a_signature_is_base64_of_the_jws_on_one_line() -> None:
    signature = clean_case().events[0].provenance["signature"][0]
    assert base64.b64decode(signature["data"]).decode() == clean_case().events[0].jws
    assert "\n" not in signature["data"]
    assert signature["sigFormat"] == "application/jose"
    assert signature["targetFormat"] == (
        "application/fhir+json;canonicalization=http://hl7.org/fhir/canonicalization/json"
    )
