"""Inputs, salted records, and people who sign with a key of their own."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from provenance import (
    NPI,
    Agent,
    Entity,
    Identifier,
    Report,
    StrictJsonError,
    digest,
    jcs,
    new_case_tag,
    ni_uri,
    practitioner_role,
    salted_record,
    verify_package,
)
from provenance.certificates import ALGORITHM, Purpose, issue_authority, issue_crl, issue_leaf, make_key
from provenance.checks.lineage import OUTSIDE
from tests.provenance_case import START, CaseBuilder, anchors, body, dump, key_ring, pack, patient, resource
from tests.provenance_forge import signer_of

OPEN = {"HEAD_MISSING", "PROOF_MISSING"}
LIBRARY = b'{ "url":"https://payer.example.org/Library/neck", "resourceType":"Library" }'
BY_BYTES, BY_FORM = ni_uri(digest(LIBRARY)), ni_uri(digest(jcs(LIBRARY)))


def report_of(case: CaseBuilder) -> Report:
    return verify_package(case.package(), anchors())


@pytest.mark.parametrize(
    "kind, uri, kept, codes",
    [
        ("Library", BY_FORM, True, ""),
        ("Library", BY_BYTES, True, ""),
        ("Binary", BY_BYTES, True, ""),
        ("Library", BY_FORM, False, "LINEAGE"),
        ("Binary", BY_BYTES, False, "LINEAGE"),
        ("Observation", BY_FORM, True, "LINEAGE"),
        ("Patient", BY_FORM, True, "LINEAGE"),
        ("", BY_FORM, True, "LINEAGE"),
    ],
)
def test_outside_text_counts_when_it_is_in_the_package(kind: str, uri: str, kept: bool, codes: str) -> None:
    case = CaseBuilder(ring=key_ring())
    if kept:
        case.keep(LIBRARY)
    entity = Entity(role="source", reference="https://payer.example.org/Library/neck", type=kind, digest_uri=uri)
    case.record("evaluate", [resource(patient())], entities=[entity])
    report = report_of(case)
    assert set(report.codes) == OPEN | set(codes.split())
    assert (report.lineage.found, report.lineage.of) == (0 if codes else 1, 1)


def test_no_clinical_type_may_come_from_outside() -> None:
    clinical = {
        "Patient",
        "Observation",
        "Condition",
        "Procedure",
        "MedicationRequest",
        "QuestionnaireResponse",
        "Coverage",
    }
    assert not OUTSIDE & clinical


def test_output_of_a_later_event_or_of_the_event_itself_is_no_input() -> None:
    case = CaseBuilder(ring=key_ring())
    own = ni_uri(digest(jcs(dump(patient()))))
    entity = Entity(role="source", reference="", type="Patient", digest_uri=own)
    case.record("evaluate", [resource(patient())], entities=[entity])
    case.record("evaluate", [resource(patient())], entities=[entity])
    report = report_of(case)
    assert set(report.codes) == OPEN | {"LINEAGE"}
    assert [finding.seq for finding in report.findings if finding.code == "LINEAGE"] == [0]


def test_salted_record_cannot_be_guessed_from_its_digest() -> None:
    one, two = (salted_record("auth-context", {"acr": "mfa"}) for _ in range(2))
    assert one != two
    read = json.loads(one)
    assert read["kind"] == "auth-context"
    assert read["acr"] == "mfa"
    assert len(base64.urlsafe_b64decode(read["salt"] + "==")) == 16
    assert salted_record("trace", {"b": 1, "a": 2}, lambda size: bytes(size)) == (
        b'{"a":2,"b":1,"kind":"trace","salt":"AAAAAAAAAAAAAAAAAAAAAA"}'
    )


@pytest.mark.parametrize("content", [{"salt": "x"}, {"kind": "x"}])
def test_record_does_not_set_its_own_kind_or_salt(content: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="set here"):
        salted_record("trace", content)


def test_record_that_is_no_json_is_refused() -> None:
    with pytest.raises(StrictJsonError):
        salted_record("trace", {"at": START})


def test_case_tags_are_random_and_of_the_right_form() -> None:
    tags = {new_case_tag() for _ in range(50)}
    assert len(tags) == 50
    assert {len(tag) for tag in tags} == {22}


PERSON = Identifier(system=NPI, value="1999999992")


class Practitioner:
    """A person with a key of their own, under an authority of the auditor's trust (mode P)."""

    def __init__(self) -> None:
        self.authority = issue_authority(Purpose.PERSON, "Practitioners", START)
        key = make_key(Purpose.PERSON)
        leaf = issue_leaf(Purpose.PERSON, "Dr. Invented", PERSON, key, self.authority, START)
        self.signer = signer_of(key, leaf, Purpose.PERSON)
        self.party = practitioner_role(key="p1", name="Dr. Invented", npi=PERSON.value)
        self.crl = issue_crl(self.authority, [], START)

    def anchors(self) -> bytes:
        row = {
            "purpose": "person",
            "algs": [ALGORITHM[Purpose.PERSON]],
            "certificate": base64.b64encode(self.authority[1].public_bytes(Encoding.DER)).decode(),
        }
        file = json.loads(anchors())
        return json.dumps({**file, "anchors": [*file["anchors"], row]}).encode()


@pytest.fixture(scope="module")
def practitioner() -> Practitioner:
    return Practitioner()


def attested(practitioner: Practitioner, **changes: object) -> bytes:
    case = CaseBuilder(ring=key_ring())
    case.record("ehr-extract", [resource(patient())])
    arguments = {
        "agents": [Agent(role="attester", who=practitioner.party)],
        "signer": practitioner.signer,
        "signer_who": practitioner.party,
        **changes,
    }
    case.record("red-flag-attest", [body(3, b"statement text")], **arguments)  # type: ignore[arg-type]
    contents = case.contents()
    certificates = [*contents.certificates, *practitioner.signer.chain]
    revocation = {**contents.revocation, "person.crl": practitioner.crl}
    return pack(replace(contents, certificates=certificates, revocation=revocation), key_ring(), case.now)


def test_person_may_sign_with_a_key_of_their_own(practitioner: Practitioner) -> None:
    report = verify_package(attested(practitioner), practitioner.anchors())
    assert set(report.codes) == OPEN, report.to_text()
    assert [row.mode for row in report.events] == ["E", "P"]
    assert report.events[1].signer == f"{NPI}|{PERSON.value}"


def test_person_unknown_to_the_auditor_is_not_believed(practitioner: Practitioner) -> None:
    report = verify_package(attested(practitioner), anchors())
    assert set(report.codes) == OPEN | {"CHAIN_UNTRUSTED"}
    assert report.verdict == "INDETERMINATE"


def test_organization_does_not_sign_as_a_person(practitioner: Practitioner) -> None:
    signed = attested(practitioner, signer=key_ring().signer("event"))
    report = verify_package(signed, practitioner.anchors())
    assert set(report.codes) == OPEN | {"KEY_PURPOSE", "SAN_MISMATCH", "TENANT_MISMATCH"}


def test_person_does_not_sign_as_the_organization(practitioner: Practitioner) -> None:
    case = CaseBuilder(ring=key_ring())
    signed = attested(practitioner, signer_who=case.who)
    report = verify_package(signed, practitioner.anchors())
    assert set(report.codes) == OPEN | {"KEY_PURPOSE", "SAN_MISMATCH"}
