"""Inquiries: the question what became of an authorization, asked by example (spec/pas.md §9).

Our own trace numbers are no search keys. What a payer can find by is the member, the service and its
days, and the numbers it gave; `keys` says which of them go along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.fhir.extensions import build_extension
from gateway.profiles.pas_claim import claim_header, claim_items, diagnosis_list, request_days, serviced
from gateway.profiles.pas_graph import EntryPool
from gateway.profiles.pas_input import PasItem, PasRequest
from gateway.profiles.pas_request import NewUuid, add_parties, wrap
from gateway.profiles.pas_resources import service_concept
from gateway.profiles.urls import DATA_ABSENT_REASON_CODES, pas


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryKeys:
    """By what the payer shall search."""

    authorization_number: str = ""
    """REF-BB: number of an earlier authorization."""
    administration_number: str = ""
    """REF-NT: the payer's reference, for instance of a pend."""
    is_service_agnostic: bool = False
    """Search whatever the service (pas:spec-43)."""
    with_diagnoses: bool = False
    """Several diagnoses are several questions in one; leave off unless wanted."""


def build_inquiry_bundle(request: PasRequest, new_uuid: NewUuid, keys: InquiryKeys | None = None) -> dict[str, Any]:
    """The Bundle of an `$inquire`.

    Identifies requesting organization, payer and one patient by member id. `request.claim_identifier`
    is the inquiry's own trace. With a number of the payer, one item without service carries it.
    """
    asked = keys or InquiryKeys()
    pool = EntryPool(new_uuid, request.ehr_base)
    items = claim_items(request)
    at = add_parties(pool, request, items, with_orders=False)
    claim = claim_header(request, "profile-claim-inquiry", at)
    period = _billable(request)
    claim |= {"billablePeriod": period} if period else {}
    diagnoses = diagnosis_list(request) if asked.with_diagnoses else []
    claim |= {"diagnosis": diagnoses} if diagnoses else {}
    claim["insurance"] = [{"sequence": 1, "focal": True, "coverage": {"reference": at.coverage}}]
    claim["item"] = _items(request, items, asked)
    url = pool.put(pool.new_url(), claim)
    return wrap(request.bundle_identifier, request, "profile-pas-inquiry-request-bundle", pool.close(url))


def _items(request: PasRequest, items: tuple[PasItem, ...], asked: InquiryKeys) -> list[dict[str, Any]]:
    numbers = (
        ("extension-authorizationNumber", asked.authorization_number),
        ("extension-administrationReferenceNumber", asked.administration_number),
    )
    found = [build_extension(pas(name), "String", value) for name, value in numbers if value]
    if found or asked.is_service_agnostic:
        return [{**({"extension": found} if found else {}), "sequence": 1, "productOrService": _not_applicable()}]
    return [_item(request, item) for item in items]


def _item(request: PasRequest, item: PasItem) -> dict[str, Any]:
    days = (item.starts_on, item.ends_on) if item.starts_on else request_days(request)
    service = service_concept(item.product_or_service, "Claim.item.productOrService")
    return {"sequence": item.sequence, "productOrService": service, **serviced(*days)}


def _not_applicable() -> dict[str, Any]:
    return {"coding": [{"system": DATA_ABSENT_REASON_CODES, "code": "not-applicable"}]}


def _billable(request: PasRequest) -> dict[str, Any]:
    first, last = request_days(request)
    named = {"start": first.isoformat() if first else "", "end": last.isoformat() if last else ""}
    return {key: value for key, value in named.items() if value}
