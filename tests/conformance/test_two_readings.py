"""Two independent readings of the guides agree: what the gateway writes the simulated payers accept, and what they
write the gateway understands. A url misread by one of the two fails here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.profiles import crd_2_2_1, dtr_2_0_1, dtr_2_2_0, pas_2_0_1, pas_2_2_1
from gateway.profiles.pas_attachment import Attachment, build_attachment_parameters
from payer_endpoints.harness import Payer
from tests import pas_samples as sample
from tests.harness_case import ENDPOINT, Case, MailBox, running, wait_for, write_form
from tests.harness_messages import document_reference, ehr_coverage, ehr_order, sealed_document

PAYER = Payer(slug="example-medicare", name="Example Plan", identifier="P-1")
GUIDES = [pytest.param(pas_2_2_1, "", id="2.2"), pytest.param(pas_2_0_1, "/2.0.1", id="2.0.1")]


@pytest.fixture
def mail() -> MailBox:
    return MailBox()


@pytest.fixture
def case(tmp_path: Path, mail: MailBox) -> Iterator[Case]:
    with running(mail, payers=(PAYER,), forms=write_form(tmp_path)) as found:
        yield found


def request(member: str, **changes: Any) -> pas_2_2_1.PasRequest:
    cover = sample.coverage()
    cover["identifier"][0]["value"] = cover["subscriberId"] = member
    return sample.request(coverage=cover, **changes)


def post(case: Case, path: str, body: Any) -> Any:
    answer = case.post(f"/example-medicare{path}", dump_json(body))
    assert answer.status_code < 300, answer.text
    return parse_json(answer.content) if answer.content else None


def errors(case: Case) -> list[str]:
    return [f"{f['at']}: {f['text']}" for f in case.ledger()["findings"] if f["severity"] != "warning"]


DECISIONS = [
    ("SYN-APPROVE-01", ["A1"]),
    ("SYN-DENY-01", ["A3"]),
    ("SYN-MODIFY-01", ["A6"]),
    ("SYN-PEND-06", ["A4"]),
    ("SYN-CONTACT-01", ["CT"]),
    ("SYN-SATISFIED-01", ["NA"]),
    ("SYN-ODD-01", [None]),
    ("SYN-ERROR-01", []),
]


@pytest.mark.parametrize(("guide", "prefix"), GUIDES)
@pytest.mark.parametrize(("member", "codes"), DECISIONS)
def test_a_request_is_accepted_and_its_answer_read(
    case: Case, guide: Any, prefix: str, member: str, codes: list[str | None]
) -> None:
    sent = guide.build_request_bundle(request(member), sample.uuids())
    answer = guide.read_pas_answer(post(case, f"{prefix}/fhir/Claim/$submit", sent), sent)
    assert errors(case) == []
    assert [item.action_code for item in answer.items] == codes
    assert answer.missing_references == ()
    assert bool(answer.errors) is (codes == [])
    assert answer.request_identifier == ("urn:trnorg:9012345678", "PA-1")


@pytest.mark.parametrize(("guide", "prefix"), GUIDES)
def test_details_of_decisions_are_read(case: Case, guide: Any, prefix: str) -> None:
    def decided(member: str, start: int) -> Any:
        numbered = request(
            member, bundle_identifier=("urn:t", str(start)), claim_identifier=("urn:trnorg:1", str(start))
        )
        sent = guide.build_request_bundle(numbered, sample.uuids(start))
        (item,) = guide.read_pas_answer(post(case, f"{prefix}/fhir/Claim/$submit", sent), sent).items
        return item

    approved, denied, modified = (
        decided("SYN-APPROVE-01", 1),
        decided("SYN-DENY-01", 101),
        decided("SYN-MODIFY-01", 201),
    )
    assert approved.number.startswith("AUTH")
    assert approved.period is not None
    assert [reason.code for reason in denied.reasons] == ["44"]
    assert denied.notes
    assert modified.add_items or modified.authorized_detail


@pytest.mark.parametrize(("guide", "prefix"), GUIDES)
def test_documents_are_asked_for_and_taken(case: Case, mail: MailBox, guide: Any, prefix: str) -> None:
    body = guide.build_subscription(ENDPOINT, "CLINIC01" if not prefix else "1999910015", ("X-Secret: s",))
    created = post(case, f"{prefix}/fhir/Subscription", body)
    assert created["status"] == "requested"
    sent = guide.build_request_bundle(request("SYN-INFO-01"), sample.uuids())
    answer = guide.read_pas_answer(post(case, f"{prefix}/fhir/Claim/$submit", sent), sent)
    (wanted,) = answer.document_requests
    assert (wanted.loinc_codes, wanted.line_numbers) == (("11506-3",), (1,))
    parameters = build_attachment_parameters(
        tracking_id=(wanted.control_number_system, wanted.control_number),
        member_id=("", "SYN-INFO-01"),
        organization_id=(sample.NPI, "1999910015"),
        attachments=[
            Attachment(content=document_reference("Patient/1", sealed_document()), code=("http://loinc.org", "11506-3"))
        ],
        service_on=date(2026, 3, 10),
    )
    post(case, f"{prefix}/fhir/$submit-attachment", parameters)
    (event, *_) = wait_for(mail.events)
    read = guide.read_notification(event)
    assert (read.type, read.status, read.events_since_start) == ("event-notification", "active", 1)
    (told,) = read.events
    assert told.number == 1
    if prefix:
        assert told.response_bundle is None, "2.0.1 tells ids only, and the payer is asked"
    else:
        assert [item.action_code for item in guide.read_pas_answer(told.response_bundle, sent).items] == ["A1"]
    assert errors(case) == []


@pytest.mark.parametrize(("guide", "prefix"), GUIDES)
def test_an_inquiry_finds_what_was_sent(case: Case, guide: Any, prefix: str) -> None:
    asked = request("SYN-APPROVE-01")
    sent = guide.build_request_bundle(asked, sample.uuids())
    post(case, f"{prefix}/fhir/Claim/$submit", sent)
    body = post(case, f"{prefix}/fhir/Claim/$inquire", guide.build_inquiry_bundle(asked, sample.uuids(900)))
    (found,) = guide.read_inquiry_answer(body)
    answer = guide.read_pas_answer(found, sent)
    assert guide.echoes_request(answer, ("urn:trnorg:9012345678", "PA-1"))
    assert errors(case) == []


@pytest.mark.parametrize(("guide", "prefix"), GUIDES)
def test_an_update_and_a_cancellation_are_accepted(case: Case, guide: Any, prefix: str) -> None:
    items = tuple(pas_2_2_1.PasItem(sequence=place, product_or_service=sample.order()["code"]) for place in (1, 2))
    sent = guide.build_request_bundle(request("SYN-APPROVE-01", items=items), sample.uuids())
    post(case, f"{prefix}/fhir/Claim/$submit", sent)
    one = change(2, changes=(pas_2_2_1.ItemChange(sequence=1, cancel=True),))
    second = guide.build_update_bundle(sent, one, sample.uuids(500))
    answer = guide.read_pas_answer(post(case, f"{prefix}/fhir/Claim/$submit", second), second)
    assert [item.action_code for item in answer.items] == ["C", "A1"]
    third = guide.build_update_bundle(second, change(3, cancel_all=True), sample.uuids(700))
    answer = guide.read_pas_answer(post(case, f"{prefix}/fhir/Claim/$submit", third), third)
    assert [item.action_code for item in answer.items] == ["C", "C"]
    assert errors(case) == []
    assert case.ledger()["duplicates"] == 0


def change(number: int, **changes: Any) -> pas_2_2_1.ClaimUpdate:
    return pas_2_2_1.ClaimUpdate(
        bundle_identifier=("urn:example:txn", f"TXN-{number}"),
        claim_identifier=("urn:trnorg:9012345678", f"PA-{number}"),
        created_at=sample.NOW,
        codes=sample.CODES,
        coverage=sample.coverage(),
        **changes,
    )


def hook(case: Case, member: str, prefix: str = "") -> tuple[Any, Any]:
    """(order as sent, the answer read)."""
    services = crd_2_2_1.read_discovery(case.client.get(f"/example-medicare{prefix}/cds-services").json())
    service = crd_2_2_1.find_service(services, "order-sign")
    assert service is not None
    cover = ehr_coverage(member)
    cover["payor"][0]["identifier"]["value"] = "P-1"
    authorization = crd_2_2_1.HookAuthorization(
        access_token="t", expires_in_seconds=30, scope="patient/*.rs", subject="payer", patient="pat-1"
    )
    asked = crd_2_2_1.HookRequest(
        hook_instance="6f2ad6a6-4a0c-4b4c-9b63-3a6f3a5d4f10",
        fhir_server="https://gateway.example.org/payer-fhir",
        authorization=authorization,
        service=service,
        requested_version="" if prefix else "2.2",
        configuration=crd_2_2_1.build_configuration(service),
    )
    order = ehr_order("draft" if prefix else "active")
    body = crd_2_2_1.build_order_sign_request(
        asked,
        user="Practitioner/doc-1",
        patient_id="pat-1",
        orders=[order],
        prefetch={"coverage": {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": cover}]}},
        draft=bool(prefix),
    )
    answer = post(case, f"{prefix}/cds-services/{service.id}", body)
    return order, crd_2_2_1.read_hook_response(answer)


@pytest.mark.parametrize("prefix", ["", "/2.0.1"])
@pytest.mark.parametrize(
    ("member", "covered", "need"),
    [
        ("SYN-APPROVE-01", "covered", "auth-needed"),
        ("SYN-SATISFIED-01", "covered", "satisfied"),
        ("SYN-DOCS-01", "covered", "no-auth"),
        ("SYN-PERFORMER-01", "covered", "performpa"),
        ("SYN-CONDITIONAL-01", "conditional", "conditional"),
        ("SYN-NOTCOVERED-01", "not-covered", ""),
    ],
)
def test_a_hook_is_accepted_and_its_answer_read(case: Case, prefix: str, member: str, covered: str, need: str) -> None:
    order, answer = hook(case, member, prefix)
    assert errors(case) == []
    (action,) = answer.system_actions
    assert crd_2_2_1.match_action(action, [order]) is not None
    assert crd_2_2_1.order_differences(order, action.resource) == []
    (information,) = crd_2_2_1.read_coverage_informations(action.resource)
    assert (information.covered, information.pa_needed or "") == (covered, need)
    assert information.assertion_id


@pytest.mark.parametrize(("guide", "prefix"), [(dtr_2_2_0, ""), (dtr_2_0_1, "/2.0.1")])
def test_a_package_is_asked_for_and_read(case: Case, guide: Any, prefix: str) -> None:
    _, answer = hook(case, "SYN-APPROVE-01", prefix)
    order = answer.system_actions[0].resource
    (information,) = crd_2_2_1.read_coverage_informations(order)
    cover = ehr_coverage("SYN-APPROVE-01")
    body = guide.build_package_parameters(cover, order, context=information.assertion_id)
    read = guide.read_package_answer(post(case, f"{prefix}/fhir/Questionnaire/$questionnaire-package", body))
    (package,) = read.packages
    assert package.draft_response is not None
    assert package.libraries
    assert package.value_sets
    assert errors(case) == []
    assert [f["text"] for f in case.ledger()["findings"] if f["operation"] == "questionnaire-package"] == []
