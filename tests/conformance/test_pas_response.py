"""PAS responses of both versions: what is read from them, and that reading never fails on a part."""

from __future__ import annotations

import json
import tarfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import PayerUnreadable
from gateway.profiles.pas_2_2_1 import (
    build_request_bundle,
    echoes_request,
    read_inquiry_answer,
    read_inquiry_issues,
    read_pas_answer,
)
from tests import pas_answers as payer
from tests import pas_samples as sample

CODES = [
    ("approved", payer.item(code="A1", number="AUTH1"), "A1", "A1", True),
    ("denied", payer.item(code="A3"), "A3", "A3", True),
    ("pended", payer.item(code="A4"), "A4", "A4", True),
    ("modified", payer.item(code="A6"), "A6", "A6", True),
    ("partly", payer.item(code="A2"), "A2", "A2", True),
    ("cancelled", payer.item(code="C"), "C", "C", True),
    ("contact payer", payer.item(code="CT"), "CT", "CT", True),
    ("no action", payer.item(code="NA"), "NA", "NA", True),
    ("unknown code", payer.item(code="ZZ"), None, "ZZ", True),
    ("lower case is another code", payer.item(code="a1"), None, "a1", True),
    ("foreign system", payer.item(code="A1", system="urn:example:codes"), None, "A1", False),
    ("no code", payer.item(code="", number="N"), None, "", False),
]


@pytest.mark.requirement("pas:spec-34")
@pytest.mark.parametrize(("what", "item", "code", "sent", "known"), CODES, ids=[case[0] for case in CODES])
def test_decision_is_the_review_action_code(
    what: str, item: dict[str, Any], code: str | None, sent: str, known: bool
) -> None:
    (review,) = read_pas_answer(payer.answer(payer.claim_response(item))).items
    assert (review.sequence, review.action_code, review.sent_code, review.system_known) == (1, code, sent, known)


def test_first_known_code_of_several_counts() -> None:
    item = payer.item(code="ZZ")
    item["adjudication"].append(payer.review("A3"))
    (review,) = read_pas_answer(payer.claim_response(item)).items
    assert review.action_code == "A3"


def test_header_review_stands_in_for_an_item_without_one() -> None:
    response = payer.claim_response({"itemSequence": 1}, adjudication=[payer.review("A1", number="H1")])
    answer = read_pas_answer(payer.answer(response))
    assert answer.header_review is not None
    assert answer.header_review.action_code == "A1"
    assert (answer.items[0].action_code, answer.items[0].from_header, answer.items[0].number) == ("A1", True, "H1")


@pytest.mark.requirement("pas:conf-8")
def test_every_number_is_kept_with_its_kind() -> None:
    item = payer.item(code="A1", number="AUTH1")
    item["extension"] = [
        {"url": f"{payer.PAS}extension-authorizationNumber", "valueString": "BB1"},
        {"url": f"{payer.PAS}extension-administrationReferenceNumber", "valueString": "NT1"},
        {"url": f"{payer.PAS}extension-itemPreAuthPeriod", "valuePeriod": {"start": "2026-03-02", "end": "2026-06-01"}},
        {"url": f"{payer.PAS}extension-itemPreAuthIssueDate", "valueDate": "2026-03-02"},
    ]
    answer = read_pas_answer(payer.answer(payer.claim_response(item, preAuthRef="REF")))
    found = {(number.kind, number.value, number.sequence) for number in answer.numbers}
    assert found == {
        ("review", "AUTH1", 1),
        ("authorization", "BB1", 1),
        ("administration", "NT1", 1),
        ("pre-auth-ref", "REF", None),
    }
    period = answer.items[0].period
    assert period is not None
    assert (period.starts_on, period.ends_on) == (date(2026, 3, 2), date(2026, 6, 1))
    assert answer.items[0].issued_on == date(2026, 3, 2)


@pytest.mark.requirement("pas:spec-36")
@pytest.mark.requirement("pas:spec-37")
def test_modification_is_linked_to_its_item_and_extras_are_told_apart() -> None:
    granted = {"itemSequence": [1], "productOrService": {"text": "x"}, "quantity": {"value": 4}}
    granted["adjudication"] = [payer.review("A1", number="AUTH2")]
    extra = {"itemSequence": [9], "productOrService": {"text": "y"}, "adjudication": [payer.review("A1")]}
    answer = read_pas_answer(payer.claim_response(payer.item(code="A6"), addItem=[granted, extra]))
    (review,) = answer.items
    assert [(added.number, added.action_code) for added in review.add_items] == [("AUTH2", "A1")]
    assert review.add_items[0].quantity == {"value": 4}
    assert [item.item_sequences for item in answer.extra_items] == [(9,)]


def test_reasons_and_linked_notes_are_verbatim() -> None:
    item = payer.item(code="A3", reason="0V")
    item["noteNumber"] = [2]
    notes = [{"number": 1, "text": "other"}, {"number": 2, "text": "Six weeks first."}, {"text": "unnumbered"}]
    answer = read_pas_answer(payer.claim_response(item, processNote=notes))
    assert [reason.code for reason in answer.items[0].reasons] == ["0V"]
    assert answer.items[0].notes == ("Six weeks first.",)
    assert set(answer.notes) == {"other", "Six weeks first.", "unnumbered"}
    assert answer.remarks == ()


def test_denial_without_any_reason_is_remarked() -> None:
    remarks = read_pas_answer(payer.claim_response(payer.item(code="A3"))).remarks
    assert any("without reason" in remark for remark in remarks)


ERRORS = [
    ("2.2.1", {"extension": [{"url": "error", "valueString": "NM103"}]}),
    ("2.0.1", {"valueString": "NM103"}),
]


@pytest.mark.parametrize(("version", "element"), ERRORS, ids=[case[0] for case in ERRORS])
def test_business_errors_are_read_in_both_versions(version: str, element: dict[str, Any]) -> None:
    followup = {"coding": [{"system": f"{payer.X12}889", "code": "C"}]}
    error = {
        "code": {"coding": [{"system": f"{payer.X12}901", "code": "T4"}]},
        "extension": [
            {"url": f"{payer.PAS}extension-errorFollowupAction", "valueCodeableConcept": followup},
            {"url": f"{payer.PAS}extension-errorPath", "valueString": "Bundle.entry[1]"},
            {"url": f"{payer.PAS}extension-errorElement", **element},
        ],
    }
    answer = read_pas_answer(payer.claim_response(outcome="error", error=[error]))
    assert answer.items == ()
    (found,) = answer.errors
    assert (found.code, found.followup_actions, found.path, found.element) == ("T4", ("C",), "Bundle.entry[1]", "NM103")


@pytest.mark.requirement("pas:ainfo-2")
def test_document_requests_one_per_document() -> None:
    category = [{"coding": [{"system": f"{payer.X12}755", "code": "M1"}]}]
    by_type = payer.communication_request(category=category, payload=[], identifier=[{"value": "ACN-78"}])
    older = payer.communication_request(payload=[{"contentString": "11506-3"}, {"contentString": "18842-5"}])
    response = payer.claim_response(payer.item(code="A4"), communicationRequest=[{"reference": payer.FIRST_OTHER}])
    answer = read_pas_answer(payer.answer(response, payer.communication_request(), by_type, older))
    found = [(r.control_number, r.loinc_codes, r.report_types, r.line_numbers) for r in answer.document_requests]
    assert found == [
        ("ACN-77", ("11506-3",), (), (1,)),
        ("ACN-78", (), ("M1",), (1,)),
        ("ACN-77", ("11506-3",), (), (1,)),
        ("ACN-77", ("18842-5",), (), (1,)),
    ]


@pytest.mark.requirement("pas:ainfo-3")
@pytest.mark.parametrize("traced", [True, False])
def test_questionnaire_request_carries_its_dtr_context(traced: bool) -> None:
    item = payer.item(code="A4")
    if traced:
        item["extension"] = [{"url": f"{payer.PAS}extension-itemTraceNumber", "valueIdentifier": {"value": "CTX-9"}}]
    wanted = payer.communication_request(payload=[{"contentString": "102089-0"}])
    (request,) = read_pas_answer(payer.answer(payer.claim_response(item), wanted)).document_requests
    assert request.is_questionnaire
    assert request.context == ("CTX-9" if traced else "PA-1")


@pytest.mark.requirement("pas:spec-33")
def test_echoes_resolve_against_our_own_request() -> None:
    sent = build_request_bundle(sample.request(), sample.uuids())
    claim = sample.claim_of(sent)
    response = payer.claim_response(
        payer.item(),
        patient=claim["patient"],
        request={"reference": sent["entry"][0]["fullUrl"]},
        insurer={"reference": "Organization/payer1"},
    )
    assert read_pas_answer(payer.answer(response), sent).missing_references == ()
    assert len(read_pas_answer(payer.answer(response)).missing_references) == 3


@pytest.mark.requirement("pas:spec-40")
def test_outcome_beside_a_decision_is_for_technical_staff() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "informational"}]}
    answer = read_pas_answer(payer.answer(payer.claim_response(payer.item()), outcome))
    assert [issue.severity for issue in answer.issues] == ["warning"]


NO_ANSWER: list[dict[str, Any]] = [
    {},
    {"resourceType": "OperationOutcome"},
    {"resourceType": "Bundle"},
    {"resourceType": "Bundle", "entry": "x"},
    {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "OperationOutcome"}}]},
]


@pytest.mark.parametrize("body", NO_ANSWER)
def test_body_without_claim_response_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(PayerUnreadable) as caught:
        read_pas_answer(body)
    assert caught.value.reason == "pas.no-answer"


ODD = [
    {"resourceType": "ClaimResponse", "item": "x", "addItem": 3, "error": None, "processNote": {"text": 4}},
    {"resourceType": "ClaimResponse", "item": [None, {"adjudication": [{"extension": [{"url": 1}]}]}]},
    {"resourceType": "ClaimResponse", "item": {"itemSequence": "1"}, "communicationRequest": "x", "request": []},
    {"resourceType": "ClaimResponse", "identifier": {"value": 3}, "meta": [], "preAuthPeriod": "2026"},
]


@pytest.mark.requirement("pas:conf-7")
@pytest.mark.parametrize("response", ODD)
def test_odd_shapes_are_read_without_failing(response: dict[str, Any]) -> None:
    answer = read_pas_answer(response)
    assert all(item.action_code is None for item in answer.items)


@pytest.mark.requirement("pas:spec-44")
def test_inquiry_answers_of_both_versions() -> None:
    hit = payer.answer(payer.claim_response(payer.item()))
    assert read_inquiry_answer({"resourceType": "Parameters"}) == ()
    for name in ("return", "responseBundle"):
        body = {"resourceType": "Parameters", "parameter": [{"name": name, "resource": hit}]}
        assert read_inquiry_answer(body) == (hit,)
    assert read_inquiry_answer(hit) == (hit,)
    two = payer.answer(payer.claim_response(payer.item()), payer.claim_response(payer.item(code="A3")))
    assert [read_pas_answer(bundle).items[0].action_code for bundle in read_inquiry_answer(two)] == ["A1", "A3"]
    nothing = payer.answer(
        {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "not-found"}]}
    )
    assert read_inquiry_answer(nothing) == ()
    assert [issue.code for issue in read_inquiry_issues(nothing)] == ["not-found"]


def test_hit_is_ours_only_when_it_names_our_request() -> None:
    mine = read_pas_answer(payer.claim_response(payer.item()))
    assert echoes_request(mine, ("urn:trnorg:9012345678", "PA-1"))
    assert not echoes_request(mine, ("urn:trnorg:9012345678", "PA-2"))
    item = payer.item()
    item["extension"] = [{"url": f"{payer.PAS}extension-itemTraceNumber", "valueIdentifier": {"value": "PA-2-1"}}]
    assert echoes_request(read_pas_answer(payer.claim_response(item)), ("urn:x", "PA-2"), ("PA-2-1",))


@pytest.mark.parametrize("version", ["2.0.1", "2.2.1"])
def test_published_answers_are_read(shared: Path, version: str) -> None:
    read = 0
    with tarfile.open(shared / "packages" / f"hl7.fhir.us.davinci-pas-{version}.tgz") as package:
        for member in package:
            if "/example/Bundle-" not in member.name or "Response" not in member.name:
                continue
            body = package.extractfile(member)
            assert body is not None
            answer = read_pas_answer(json.load(body))
            assert answer.outcome
            assert all(item.action_code for item in answer.items)
            read += 1
    assert read >= 3
