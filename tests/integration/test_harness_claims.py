"""PAS of the simulated payers end to end in process: decisions, resends, updates, inquiries, documents."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness_case import Case, code_of, part_of, review_codes, running, wait_for
from tests.harness_messages import (
    PAS,
    Resource,
    attachment,
    cancel_bundle,
    document_reference,
    entry_of,
    inquiry_bundle,
    request_bundle,
    sealed_document,
)


@pytest.fixture
def case() -> Iterator[Case]:
    with running() as found:
        yield found


def response(bundle: Resource) -> Resource:
    return entry_of(bundle, "ClaimResponse")[1]


def extension(element: Resource, name: str) -> Any:
    for item in element.get("extension", []):
        if item["url"] == f"{PAS}extension-{name}":
            return next(value for key, value in item.items() if key.startswith("value"))
    return None


@pytest.mark.requirement("pas:spec-30")
@pytest.mark.requirement("pas:spec-33")
def test_an_approval_carries_a_number_and_echoes_the_request(case: Case) -> None:
    request = request_bundle("SYN-APPROVE-01", codes=("72141", "72156"))
    answer = case.submit(request).json()
    assert answer["entry"][0]["resource"]["resourceType"] == "ClaimResponse"
    assert answer["identifier"] == request["identifier"]
    assert review_codes(answer) == {1: "A1", 2: "A1"}
    item = response(answer)["item"][0]
    assert part_of(item["adjudication"][0], "number").startswith("AUTH")
    assert extension(item, "itemPreAuthPeriod")["start"] == extension(item, "itemPreAuthIssueDate")
    sent = {entry["fullUrl"]: entry["resource"] for entry in request["entry"]}
    echoed = {entry["fullUrl"]: entry["resource"] for entry in answer["entry"][1:]}
    assert all(sent[url] == resource for url, resource in echoed.items())
    assert {resource["resourceType"] for resource in echoed.values()} == {"Patient", "Organization"}
    assert response(answer)["request"]["reference"] == request["entry"][0]["fullUrl"]


def test_a_denial_has_a_reason_a_note_and_a_reviewer(case: Case) -> None:
    found = response(case.submit(request_bundle("SYN-DENY-01")).json())
    adjudication = found["item"][0]["adjudication"][0]
    assert code_of(adjudication) == "A3"
    assert part_of(adjudication, "reasonCode")["coding"] == [
        {"system": "https://codesystem.x12.org/external/886", "code": "44"}
    ]
    assert part_of(adjudication, "number") is None
    assert found["processNote"][0]["number"] in found["item"][0]["noteNumber"]
    assert any(item["url"].endswith("claimResponseReviewer") for item in found["extension"])
    assert found["outcome"] == "complete"


@pytest.mark.requirement("pas:spec-36")
def test_a_modification_keeps_the_item_and_adds_what_is_authorized(case: Case) -> None:
    found = response(case.submit(request_bundle("SYN-MODIFY-01")).json())
    assert code_of(found["item"][0]["adjudication"][0]) == "A6"
    (added,) = found["addItem"]
    assert added["itemSequence"] == [1]
    assert added["quantity"]["value"] == 1
    assert code_of(added["adjudication"][0]) == "A1"
    assert part_of(added["adjudication"][0], "number").startswith("AUTH")


def test_a_pend_is_decided_later_and_told(case: Case) -> None:
    case.subscribe()
    request = request_bundle("SYN-PEND-06")
    answer = case.submit(request).json()
    assert review_codes(answer) == {1: "A4"}
    assert extension(response(answer)["item"][0], "administrationReferenceNumber").startswith("PEND")
    (event,) = wait_for(case.mail.events)
    told = event["entry"][1]["resource"]
    assert review_codes(told) == {1: "A1"}
    assert response(told)["request"]["reference"] == request["entry"][0]["fullUrl"]


def test_a_wanted_document_brings_the_approval(case: Case) -> None:
    case.subscribe()
    request = request_bundle("SYN-INFO-01")
    answer = case.submit(request).json()
    url, wanted = entry_of(answer, "CommunicationRequest")
    assert response(answer)["communicationRequest"] == [{"reference": url}]
    assert wanted["payload"] == [{"contentString": "11506-3"}]
    tracking = wanted["identifier"][0]["value"]
    paper = document_reference("Patient/1", sealed_document())
    body = attachment("SYN-INFO-01", tracking, paper)
    assert case.post("/example-medicare/fhir/$submit-attachment", body).status_code == 200
    (event,) = wait_for(case.mail.events)
    assert review_codes(event["entry"][1]["resource"]) == {1: "A1"}
    assert case.ledger()["attachments"] == 1


def test_nothing_is_decided_before_the_last_document(case: Case) -> None:
    answer = case.submit(request_bundle("SYN-INFO-01")).json()
    tracking = entry_of(answer, "CommunicationRequest")[1]["identifier"][0]["value"]
    paper = document_reference("Patient/1", sealed_document())
    path = "/example-medicare/fhir/$submit-attachment"
    assert case.post(path, attachment("SYN-INFO-01", tracking, paper, final=False)).status_code == 200
    (held,) = case.harness.book.of_member("example-medicare", "SYN-INFO-01")
    assert held.is_pended
    assert not held.due_at
    assert case.post(path, attachment("SYN-INFO-01", tracking, paper)).status_code == 200
    wait_for(lambda: not case.harness.book.of_member("example-medicare", "SYN-INFO-01")[0].is_pended)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("no tracking id", lambda b: b["parameter"].pop(0)),
        ("two tracking ids", lambda b: b["parameter"].append(b["parameter"][0])),
        ("unknown name", lambda b: b["parameter"].append({"name": "Extra", "valueString": "x"})),
        ("for a claim", lambda b: b["parameter"][1].update(valueCode="claim")),
        ("no organization", lambda b: b["parameter"].pop(2)),
        ("no member", lambda b: b["parameter"].pop(3)),
        ("unknown member", lambda b: b["parameter"][3]["valueIdentifier"].update(value="nobody")),
        ("no content", lambda b: b["parameter"][4]["part"].pop(1)),
        ("two contents", lambda b: b["parameter"][4]["part"].append(b["parameter"][4]["part"][1])),
        ("content no resource", lambda b: b["parameter"][4]["part"][1].update(resource=5)),
        ("unsigned document", lambda b: b["parameter"][4]["part"][1].update(resource=unsigned())),
        ("parameters no list", lambda b: b.update(parameter=7)),
    ],
)
@pytest.mark.requirement("cdex:CONF-025")
def test_a_bad_attachment_is_refused(case: Case, name: str, change: Any) -> None:
    case.submit(request_bundle("SYN-INFO-01"))
    body = attachment("SYN-INFO-01", "ACN-1", document_reference("Patient/1", sealed_document()))
    change(body)
    answer = case.post("/example-medicare/fhir/$submit-attachment", body)
    assert answer.status_code == 400, name
    assert case.ledger()["attachments"] == 0


def unsigned() -> Resource:
    return document_reference("Patient/1", sealed_document(signed=False))


def test_an_unasked_document_is_kept(case: Case) -> None:
    case.submit(request_bundle("SYN-APPROVE-01"))
    body = attachment("SYN-APPROVE-01", "CTRL-1", document_reference("Patient/1", sealed_document()))
    assert case.post("/example-medicare/fhir/$submit-attachment", body).status_code == 200


def test_a_resend_gets_the_same_answer_and_counts_as_one(case: Case) -> None:
    request = request_bundle()
    first, second = case.submit(request), case.submit(request)
    assert first.content == second.content
    counts = case.ledger()
    assert (counts["submissions"], counts["distinct_claims"], counts["resends"], counts["duplicates"]) == (2, 1, 1, 0)


def test_the_same_transaction_with_other_content_is_a_duplicate(case: Case) -> None:
    request = request_bundle()
    case.submit(request)
    request["timestamp"] = "2026-11-23T10:00:06Z"
    answer = case.submit(request)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["code"] == "duplicate"
    assert case.ledger()["duplicates"] == 1


def test_the_same_claim_under_a_new_transaction_is_a_duplicate(case: Case) -> None:
    request = request_bundle()
    case.submit(request)
    request["identifier"]["value"] = "TXN-again"
    assert case.submit(request).status_code == 200
    counts = case.ledger()
    assert (counts["distinct_claims"], counts["duplicates"], counts["suspected_duplicates"]) == (1, 1, 0)
    assert "duplicate" in [finding["code"] for finding in counts["findings"]]


def test_another_claim_for_the_same_service_is_suspected(case: Case) -> None:
    case.submit(request_bundle())
    case.submit(request_bundle())
    counts = case.ledger()
    assert (counts["distinct_claims"], counts["duplicates"], counts["suspected_duplicates"]) == (2, 0, 1)


def test_a_new_request_after_a_denial_is_not_suspected(case: Case) -> None:
    case.submit(request_bundle("SYN-DENY-01"))
    case.submit(request_bundle("SYN-DENY-01"))
    assert case.ledger()["suspected_duplicates"] == 0


@pytest.mark.requirement("pas:spec-39")
def test_a_malformed_request_is_refused_and_found(case: Case) -> None:
    request = request_bundle()
    del request["timestamp"]
    answer = case.submit(request)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Bundle.timestamp"]
    counts = case.ledger()
    assert (counts["submissions"], counts["refused"]) == (0, 1)
    assert counts["findings"][0]["operation"] == "submit"


def test_a_refusal_repeats_nothing_of_the_message(case: Case) -> None:
    request = request_bundle()
    request["entry"][4]["resource"]["birthDate"] = "19800402-private"
    answer = case.submit(request)
    assert answer.status_code == 400
    assert "private" not in answer.text
    assert "private" not in str(case.ledger())


def test_cancelling_everything_answers_cancelled_for_every_item(case: Case) -> None:
    prior = request_bundle(codes=("72141", "72156"))
    case.submit(prior)
    answer = case.submit(cancel_bundle(prior))
    assert review_codes(answer.json()) == {1: "C", 2: "C"}
    assert case.ledger()["updates"] == 1


@pytest.mark.requirement("pas:spec-34")
def test_cancelling_one_item_leaves_the_other_as_it_was(case: Case) -> None:
    prior = request_bundle(codes=("72141", "72156"))
    before = part_of(response(case.submit(prior).json())["item"][1]["adjudication"][0], "number")
    answer = case.submit(cancel_bundle(prior, (1,))).json()
    assert review_codes(answer) == {1: "C", 2: "A1"}
    assert part_of(response(answer)["item"][1]["adjudication"][0], "number") == before


def test_an_update_of_an_update_is_known(case: Case) -> None:
    first = request_bundle(codes=("72141", "72156"))
    case.submit(first)
    second = cancel_bundle(first, (1,))
    case.submit(second)
    third = copy.deepcopy(second)
    third["entry"] = [e for e in third["entry"] if e["fullUrl"] != second["entry"][1]["fullUrl"]]
    third["entry"][0]["resource"]["related"][0]["claim"]["reference"] = (
        "urn:uuid:" + "0" * 8 + "-0000" * 3 + "-" + "0" * 12
    )
    prior = copy.deepcopy(second["entry"][0]["resource"])
    prior.pop("related")
    prior["meta"] = {"profile": [f"{PAS}profile-claim"]}
    third["entry"].insert(1, {"fullUrl": "urn:uuid:" + "0" * 8 + "-0000" * 3 + "-" + "0" * 12, "resource": prior})
    third["entry"][0]["resource"]["identifier"][0]["value"] = "PA-third"
    third["identifier"]["value"] = "TXN-third"
    answer = case.submit(third)
    assert answer.status_code == 200, answer.text
    assert review_codes(answer.json()) == {1: "C", 2: "A1"}


def test_an_update_of_something_unknown_is_a_business_error(case: Case) -> None:
    answer = case.submit(cancel_bundle(request_bundle()))
    found = response(answer.json())
    assert (answer.status_code, found["outcome"]) == (200, "error")
    assert found["error"][0]["code"]["coding"][0]["system"].endswith("/901")
    assert "item" not in found


def test_after_a_denial_no_update_is_taken(case: Case) -> None:
    prior = request_bundle("SYN-DENY-01")
    case.submit(prior)
    assert response(case.submit(cancel_bundle(prior)).json())["outcome"] == "error"


class TestInquiry:
    def inquire(self, case: Case, body: Resource, payer: str = "example-medicare") -> Resource:
        answer = case.post(f"/{payer}/fhir/Claim/$inquire", body)
        assert answer.status_code == 200, answer.text
        found: Resource = answer.json()
        return found

    def test_what_was_asked_for_the_member_comes_back(self, case: Case) -> None:
        sent = request_bundle("SYN-INFO-01")
        case.submit(sent)
        (returned,) = self.inquire(case, inquiry_bundle("SYN-INFO-01"))["parameter"]
        assert returned["name"] == "return"
        found = response(returned["resource"])
        assert found["meta"]["profile"] == [f"{PAS}profile-claiminquiryresponse"]
        assert "communicationRequest" not in found
        assert found["request"]["identifier"]["value"] == entry_of(sent, "Claim")[1]["identifier"][0]["value"]
        kinds = {entry["resource"]["resourceType"] for entry in returned["resource"]["entry"]}
        assert "CommunicationRequest" not in kinds

    @pytest.mark.requirement("pas:spec-43")
    @pytest.mark.parametrize(("code", "count"), [("", 1), ("72141", 1), ("99999", 0)])
    def test_a_service_narrows_the_search(self, case: Case, code: str, count: int) -> None:
        case.submit(request_bundle())
        found = self.inquire(case, inquiry_bundle("SYN-APPROVE-01", code=code))
        assert len(found.get("parameter", [])) == count

    def test_nothing_found_is_no_error(self, case: Case) -> None:
        assert self.inquire(case, inquiry_bundle("SYN-P01")) == {"resourceType": "Parameters"}

    @pytest.mark.requirement("pas:spec-52")
    def test_another_provider_sees_nothing(self, case: Case) -> None:
        case.submit(request_bundle())
        body = inquiry_bundle("SYN-APPROVE-01")
        body["entry"][1]["resource"]["identifier"][0]["value"] = "1679576722"
        assert "parameter" not in self.inquire(case, body)

    def test_another_payer_knows_nothing(self, case: Case) -> None:
        case.submit(request_bundle())
        body = inquiry_bundle("SYN-APPROVE-01", payer="example-open")
        assert "parameter" not in self.inquire(case, body, "example-open")

    def test_a_number_finds_its_authorization(self, case: Case) -> None:
        answer = case.submit(request_bundle()).json()
        number = part_of(response(answer)["item"][0]["adjudication"][0], "number")
        for value, count in ((number, 1), ("AUTH0", 0)):
            body = inquiry_bundle("SYN-APPROVE-01")
            item = body["entry"][0]["resource"]["item"][0]
            item["extension"].append({"url": f"{PAS}extension-authorizationNumber", "valueString": value})
            assert len(self.inquire(case, body).get("parameter", [])) == count

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("no member", lambda b: entry_of(b, "Coverage")[1].pop("identifier")),
            ("a request profile", lambda b: b.update(meta={"profile": [f"{PAS}profile-pas-request-bundle"]})),
            ("no insurer", lambda b: b["entry"][0]["resource"].pop("insurer")),
            ("no claim", lambda b: b["entry"].pop(0)),
        ],
    )
    def test_an_inquiry_without_its_keys_is_refused(self, case: Case, name: str, change: Any) -> None:
        body = inquiry_bundle("SYN-APPROVE-01")
        change(body)
        assert case.post("/example-medicare/fhir/Claim/$inquire", body).status_code == 400, name
