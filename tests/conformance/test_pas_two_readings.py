"""Two independent readings of PAS meet: what our builders write, the simulated payer's own checks accept.

The harness never imports `gateway.profiles`, so one misread rule cannot be wrong on both sides and pass.
"""

from __future__ import annotations

from datetime import date, timedelta
from types import ModuleType
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.profiles import pas_2_0_1, pas_2_2_1
from gateway.profiles.pas_2_2_1 import Attachment, ClaimUpdate, ItemChange, PasItem, Supporting
from payer_endpoints.harness.attachments import check_attachment
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.inquiries import check_inquiry
from payer_endpoints.harness.request_checks import check_request
from tests import pas_samples as sample

PAYER = Payer(slug="example", name="Example Plan", identifier="P-1")
GUIDES = [(pas_2_2_1, Guide.STU2_2), (pas_2_0_1, Guide.STU2)]
EVIDENCE = (*sample.request().supporting[1:], Supporting(content=sample.observation("o2")))
"""Supporting information without the sealed document, whose content the harness opens and judges."""


def read_back(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource as it arrives."""
    parsed: dict[str, Any] = parse_json(dump_json(resource))
    return parsed


def told(issues: Any) -> list[str]:
    return [f"{issue.at}: {issue.text}" for issue in issues]


@pytest.mark.parametrize(("ours", "theirs"), GUIDES, ids=["2.2", "2.0.1"])
def test_requests_of_every_kind_are_accepted(ours: ModuleType, theirs: Guide) -> None:
    order = {**sample.order(), "extension": [sample.coverage_information(covered="covered")]}
    for change in ({}, {"is_expedited": True}, {"order": order}, {"practitioner_role": None}, {"messages": ("x",)}):
        bundle = ours.build_request_bundle(sample.request(supporting=EVIDENCE, **change), sample.uuids())
        assert told(check_request(read_back(bundle), PAYER, theirs)) == []


@pytest.mark.parametrize(("ours", "theirs"), GUIDES, ids=["2.2", "2.0.1"])
def test_updates_and_cancellations_are_accepted(ours: ModuleType, theirs: Guide) -> None:
    first = ours.build_request_bundle(sample.request(supporting=EVIDENCE), sample.uuids())
    changes = (ItemChange(sequence=1, starts_on=date(2026, 4, 1)),)
    added = (PasItem(sequence=2, product_or_service=sample.order()["code"], starts_on=date(2026, 4, 1)),)
    cases: tuple[dict[str, Any], ...] = (
        {"changes": changes, "added_items": added},
        {"changes": (ItemChange(sequence=1, cancel=True),), "added_items": added},
        {"added_supporting": (Supporting(content=sample.observation("o9")),), "cancelled_supporting": (1,)},
        {"cancel_all": True},
    )
    for number, change in enumerate(cases, start=2):
        update = ClaimUpdate(
            bundle_identifier=("urn:example:txn", f"TXN-{number}"),
            claim_identifier=("urn:trnorg:9012345678", f"PA-{number}"),
            created_at=sample.NOW + timedelta(days=1),
            codes=sample.CODES,
            **change,
        )
        bundle = ours.build_update_bundle(first, update, sample.uuids(500))
        assert told(check_request(read_back(bundle), PAYER, theirs)) == []


@pytest.mark.parametrize(("ours", "theirs"), GUIDES, ids=["2.2", "2.0.1"])
def test_inquiries_are_accepted(ours: ModuleType, theirs: Guide) -> None:
    for keys in (None, ours.InquiryKeys(administration_number="NT1"), ours.InquiryKeys(is_service_agnostic=True)):
        bundle = ours.build_inquiry_bundle(sample.request(), sample.uuids(), keys)
        assert told(check_inquiry(read_back(bundle), PAYER, theirs)) == []


def test_attachments_are_accepted() -> None:
    body = pas_2_2_1.build_attachment_parameters(
        tracking_id=("urn:example:acn", "ACN-77"),
        member_id=("urn:example:members", "M-1"),
        attachments=[Attachment(content=sample.response(), line_items=(1, 2))],
        provider_id=(sample.NPI, "1999911013"),
        service_on=date(2026, 3, 10),
    )
    assert told(check_attachment(read_back(body))) == []
