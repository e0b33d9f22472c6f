"""The sealed document: spliced, signed and verified without rewriting a byte."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from provenance import (
    DocumentEntry,
    Identifier,
    StatementError,
    StrictJsonError,
    assemble_document,
    jcs,
    seal_document,
    slice_entries,
    verify_document,
)
from provenance.canonical import unb64u
from provenance.document import document_payload, signature_jws
from provenance.errors import JwsError
from provenance.slices import add_member
from tests.provenance_case import OTHER_TENANT, START, TENANT, anchors, key_ring, uuid

COMPOSITION = b'{ "resourceType" : "Composition", "title":"caf\xc3\xa9 \\u00e9 } ]" }'
OBSERVATION = b'{"resourceType":"Observation","id":"o1","meta":{"versionId":"1"},"valueQuantity":{"value":91.50}}'
IDENTIFIER = Identifier(system="urn:ietf:rfc:3986", value=uuid(1))


def plain() -> bytes:
    entries = [
        DocumentEntry(full_url=uuid(2), raw=COMPOSITION),
        DocumentEntry(full_url="https://ehr.example.org/fhir/Observation/o1", raw=OBSERVATION),
    ]
    return assemble_document(identifier=IDENTIFIER, timestamp=START, entries=entries)


def sealed(bundle: bytes | None = None) -> bytes:
    return seal_document(bundle or plain(), key_ring().signer("seal"), START, TENANT)


def codes(document: bytes, expect: Identifier | None = None) -> set[str]:
    lists = list(key_ring().revocation_lists(START).values())
    return {
        finding.code.value
        for finding in verify_document(document, anchors(), expect_signer=expect, revocation_lists=lists)
    }


def test_document_holds_the_bytes_that_were_received() -> None:
    document = plain()
    assert json.loads(document)["type"] == "document"
    assert [entry.raw for entry in slice_entries(document)] == [COMPOSITION, OBSERVATION]
    assert [entry.full_url for entry in slice_entries(sealed())] == [
        uuid(2),
        "https://ehr.example.org/fhir/Observation/o1",
    ]
    assert [entry.raw for entry in slice_entries(sealed())] == [COMPOSITION, OBSERVATION]


def test_sealing_changes_no_byte_that_was_there() -> None:
    text = plain().replace(b"}]}", b"}]\n}\n")
    result = sealed(text)
    end = text.rindex(b"}")
    assert result.startswith(text[:end])
    assert result.endswith(text[end:])


def test_signature_has_the_members_of_the_profile() -> None:
    signature = json.loads(sealed())["signature"]
    assert set(signature) == {"type", "when", "who", "targetFormat", "sigFormat", "data"}
    assert signature["type"] == [
        {
            "system": "urn:iso-astm:E1762-95:2013",
            "code": "1.2.840.10065.1.12.1.5",
            "display": "Verification Signature",
        }
    ]
    assert signature["when"] == "2026-11-01T12:00:00Z"
    assert signature["who"]["identifier"] == TENANT.as_fhir()
    assert signature["targetFormat"].endswith("canonicalization=http://hl7.org/fhir/canonicalization/json#document")
    header = json.loads(unb64u(signature_jws(signature).split(".")[0]))
    assert set(header) == {"alg", "sigT", "srCms", "x5c"}
    assert header["alg"] == "RS256"
    assert header["sigT"] == signature["when"]
    assert header["x5c"] == [base64.b64encode(der).decode() for der in key_ring().signer("seal").chain]
    assert header["srCms"][0]["commId"]["id"] == "urn:oid:1.2.840.10065.1.12.1.5"


def test_payload_leaves_out_id_meta_and_signature_of_the_root_alone() -> None:
    bundle = {
        "resourceType": "Bundle",
        "id": "x",
        "meta": {},
        "entry": [{"resource": {"id": "y", "meta": {"tag": []}}}],
    }
    payload = document_payload({**bundle, "signature": {}})
    assert payload == b'{"entry":[{"resource":{"id":"y","meta":{"tag":[]}}}],"resourceType":"Bundle"}'


def test_sealed_document_verifies() -> None:
    assert codes(sealed()) == set()
    assert codes(sealed(), TENANT) == set()


def test_document_stays_sealed_through_what_a_server_may_do() -> None:
    """A server may set id and meta of the Bundle, reorder members and change white space."""
    bundle = json.loads(sealed())
    stored = {"id": "b1", "meta": {"versionId": "7"}, **dict(reversed(bundle.items()))}
    assert codes(json.dumps(stored, indent=3).encode()) == set()


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda b: b.pop("signature"), "BUNDLE_SIG"),
        (lambda b: b.update(signature=[]), "BUNDLE_SIG"),
        (lambda b: b.update(type="collection"), "BUNDLE_SIG"),
        (lambda b: b["entry"].pop(), "BUNDLE_SIG"),
        (lambda b: b["entry"][1]["resource"].pop("meta"), "BUNDLE_SIG"),
        (lambda b: b["signature"].pop("data"), "HEADER_POLICY"),
        (lambda b: b["signature"].update(data="%%%"), "HEADER_POLICY"),
        (lambda b: b["signature"].update(data=b["signature"]["data"] + "\n"), "HEADER_POLICY"),
        (lambda b: b["signature"].update(data=5), "HEADER_POLICY"),
        (lambda b: b["signature"].update(when="2026-11-01T12:00:01Z"), "HEADER_POLICY"),
        (lambda b: b["signature"].update(sigFormat="image/png"), "HEADER_POLICY"),
        (lambda b: b["signature"].update(targetFormat="application/fhir+json"), "HEADER_POLICY"),
        (lambda b: b["signature"].update(type=[]), "HEADER_POLICY"),
        (lambda b: b["signature"].update(onBehalfOf={}), "HEADER_POLICY"),
        (lambda b: b["signature"]["who"].pop("identifier"), "SAN_MISMATCH"),
        (lambda b: b["signature"].pop("who"), "SAN_MISMATCH"),
        (lambda b: b["signature"]["who"]["identifier"].update(value="1"), "SAN_MISMATCH TENANT_MISMATCH"),
    ],
)
def test_changed_document_is_named_by_its_code(change: Any, code: str) -> None:
    bundle = json.loads(sealed())
    change(bundle)
    assert codes(json.dumps(bundle).encode()) == set(code.split())


def test_document_of_another_organization_is_not_the_expected_one() -> None:
    assert codes(sealed(), OTHER_TENANT) == {"TENANT_MISMATCH"}


def test_document_that_is_no_json_or_no_object() -> None:
    assert codes(b"{") == {"STRICT_JSON"}
    assert codes(b"[]") == {"BUNDLE_SIG"}


def test_without_revocation_data_the_question_stays_open() -> None:
    found = verify_document(sealed(), anchors())
    assert {finding.code.value for finding in found} == {"REVOCATION_UNKNOWN"}


def test_document_is_sealed_once() -> None:
    with pytest.raises(StrictJsonError):
        sealed(sealed())


@pytest.mark.parametrize("bundle", [b"[]", b"{}", b"{", b'{"a":1,"a":1}', b'{"a":1e400}'])
def test_text_that_is_no_bundle_is_not_sealed(bundle: bytes) -> None:
    with pytest.raises(StrictJsonError):
        sealed(bundle)


@pytest.mark.parametrize("first", [b'{"resourceType":"Patient"}'])
def test_document_begins_with_its_composition(first: bytes) -> None:
    with pytest.raises(StatementError):
        assemble_document(identifier=IDENTIFIER, timestamp=START, entries=[DocumentEntry(full_url=uuid(2), raw=first)])
    with pytest.raises(StatementError):
        assemble_document(identifier=IDENTIFIER, timestamp=START, entries=[])


def test_entry_that_is_not_strict_json_does_not_enter_a_document() -> None:
    entries = [DocumentEntry(full_url=uuid(2), raw=COMPOSITION), DocumentEntry(full_url=uuid(3), raw=b'{"a":1}}')]
    with pytest.raises(StrictJsonError):
        assemble_document(identifier=IDENTIFIER, timestamp=START, entries=entries)


def test_slices_are_found_in_any_spelling() -> None:
    first = b'{"resource" : {"a": [1, {"b":"]}"}]} , "fullUrl":"x"}'
    text = b'\n{ "entry" : [ ' + first + b' , {} , 5 , {"fullUrl":null}]\t,"type":"x"}'
    assert [(entry.full_url, entry.raw) for entry in slice_entries(text)] == [
        ("x", b'{"a": [1, {"b":"]}"}]}'),
        ("", b""),
        ("", b""),
    ]
    assert slice_entries(b'{"resourceType":"Bundle","entry":{}}') == ()
    with pytest.raises(StrictJsonError):
        slice_entries(b"[]")


def test_member_is_added_before_the_last_brace() -> None:
    assert add_member(b'{"a":"}"} ', "b", b"1") == b'{"a":"}","b":1} '
    with pytest.raises(StrictJsonError):
        add_member(b'{"b":1}', "b", b"1")


def test_signature_without_text_of_a_jws_is_an_error() -> None:
    with pytest.raises(JwsError):
        signature_jws(None)
    assert jcs(b"{}") == b"{}"
