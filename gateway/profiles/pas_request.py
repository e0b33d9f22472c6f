"""PAS request Bundles: the whole of a submission, built from what the EHR gave and the payer's codes.

The result is a plain dict for `gateway.fhir.json.dump_json`: collection, Claim first, every resource
the Claim reaches and no other, each once, under `urn:uuid:` addresses (spec/pas.md §3, §4, §16;
pas:spec-12 to spec-23). Addresses come from `new_uuid`, so a build can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from gateway.fhir import Json
from gateway.fhir.bundle import build_bundle
from gateway.fhir.instants import write_instant
from gateway.fhir.reading import text
from gateway.profiles.pas_claim import (
    Addresses,
    ItemContext,
    TeamEntry,
    care_team,
    check_sequences,
    claim_header,
    claim_item,
    claim_items,
    diagnosis_list,
    request_days,
)
from gateway.profiles.pas_graph import EntryPool, identity
from gateway.profiles.pas_input import CareTeamMember, PasItem, PasRequest
from gateway.profiles.pas_order import derive_order
from gateway.profiles.pas_resources import (
    derive_beneficiary,
    derive_coverage,
    derive_organization,
    derive_practitioner,
    derive_practitioner_role,
    derive_subscriber,
    member_identifier,
    role_telecom,
)
from gateway.profiles.pas_supporting import add_supporting, binaries_by_name, clean, supporting_info
from gateway.profiles.urls import pas

NewUuid = Callable[[], str]
REQUEST_BUNDLE = "profile-pas-request-bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A claim and the entries it reaches, before they are wrapped."""

    pool: EntryPool
    claim: dict[str, Any]
    claim_url: str


def build_request_bundle(request: PasRequest, new_uuid: NewUuid) -> dict[str, Any]:
    """The Bundle of a first submission.

    `InputError` (`pas.*`, with the expression to repair) when the EHR's resources lack what the
    profiles demand. Source: spec/pas.md §3.1, §4, §16.
    """
    built = build_claim(request, EntryPool(new_uuid, request.ehr_base), "profile-claim")
    return wrap(request.bundle_identifier, request, REQUEST_BUNDLE, built.pool.close(built.claim_url))


def build_claim(request: PasRequest, pool: EntryPool, profile: str) -> Built:
    """The Claim with its lists, and the pool that holds everything it points to."""
    items = claim_items(request)
    check_sequences(items)
    at = add_parties(pool, request, items)
    team = add_care_team(pool, request, at)
    claim = claim_header(request, profile, at)
    members = care_team(team)
    claim |= {"careTeam": members} if members else {}
    supporting = _supporting(pool, request, at.patient)
    claim |= {"supportingInfo": supporting} if supporting else {}
    diagnoses = diagnosis_list(request)
    claim |= {"diagnosis": diagnoses} if diagnoses else {}
    claim["insurance"] = [{"sequence": 1, "focal": True, "coverage": {"reference": at.coverage}}]
    claim["item"] = [_item(request, item, at, team, claim) for item in items]
    for resource in request.referenced:
        if not pool.holds(resource):
            pool.put(pool.reserve(resource), clean(resource))
    return Built(pool=pool, claim=claim, claim_url=pool.put(pool.new_url(), claim))


def add_parties(
    pool: EntryPool, request: PasRequest, items: tuple[PasItem, ...], *, with_orders: bool = True
) -> Addresses:
    """Patient, coverage, insurer, requestor and orders as entries."""
    member = member_identifier(request.coverage, request.member_id)
    patient = pool.add(derive_beneficiary(request.patient, member), request.patient)
    codes = request.codes
    insurer = derive_organization(request.insurer, "profile-insurer", codes.organization_type_payer)
    requestor = derive_organization(request.requestor, "profile-requestor", codes.organization_type_provider)
    insurer_url = pool.add(insurer, request.insurer)
    requestor_url = pool.add(requestor, request.requestor)
    subscriber = ""
    if request.subscriber is not None and identity(request.subscriber) != identity(request.patient):
        subscriber = pool.add(derive_subscriber(request.subscriber, member), request.subscriber)
    coverage = derive_coverage(
        request.coverage, member, codes, beneficiary=patient, payor=insurer_url, subscriber=subscriber
    )
    return Addresses(
        patient=patient,
        insurer=insurer_url,
        requestor=requestor_url,
        coverage=pool.add(coverage, request.coverage),
        services={item.sequence: _add_order(pool, request, item) for item in items} if with_orders else {},
    )


def add_care_team(pool: EntryPool, request: PasRequest, at: Addresses) -> list[TeamEntry]:
    """The ordering practitioner and further members, members of the whole claim first."""
    ordering = request.practitioner_role or request.practitioner
    first = CareTeamMember(provider=ordering, practitioner=request.practitioner) if ordering else None
    members = ([first] if first else []) + list(request.care_team)
    entries = [entry for entry in (_team_entry(pool, request, member, at) for member in members) if entry]
    return sorted(entries, key=lambda entry: bool(entry.item_sequences))


def wrap(
    identifier: tuple[str, str], request: PasRequest, profile: str, members: list[tuple[str, Json]]
) -> dict[str, Any]:
    """The Bundle around the entries: identifier and timestamp are mandatory."""
    return build_bundle(
        "collection",
        members,
        meta={"profile": [pas(profile)]},
        identifier={"system": identifier[0], "value": identifier[1]},
        timestamp=write_instant(request.created_at.astimezone(UTC)),
    )


def _item(
    request: PasRequest, item: PasItem, at: Addresses, team: list[TeamEntry], claim: dict[str, Any]
) -> dict[str, Any]:
    """One item, linked to its own team, to all diagnoses and to all additional information."""
    evidence = [info["sequence"] for info in claim.get("supportingInfo", ()) if "valueReference" in info]
    links = {
        "careTeamSequence": [n for n, member in enumerate(team, start=1) if item.sequence in member.item_sequences],
        "diagnosisSequence": [diagnosis["sequence"] for diagnosis in claim.get("diagnosis", ())],
        "informationSequence": evidence,
    }
    context = ItemContext(
        codes=request.codes,
        claim_identifier=request.claim_identifier,
        days=request_days(request),
        service=at.services.get(item.sequence, ""),
        links=links,
    )
    return claim_item(item, context)


def _add_order(pool: EntryPool, request: PasRequest, item: PasItem) -> str:
    order = item.requested_service or request.order
    on = request.created_at.date()
    return pool.add(derive_order(order, request.coverage, on, request.assertion_id), order)


def _team_entry(pool: EntryPool, request: PasRequest, member: CareTeamMember, at: Addresses) -> TeamEntry | None:
    url = _provider_url(pool, request, member, at)
    if not url:
        return None
    return TeamEntry(
        url=url,
        item_sequences=member.item_sequences,
        role=member.role or request.codes.care_team_role,
        qualification=member.qualification,
    )


def _provider_url(pool: EntryPool, request: PasRequest, member: CareTeamMember, at: Addresses) -> str:
    """Address of a PractitionerRole or Organization, never of a Practitioner; empty when no role can be made."""
    provider, practitioner = member.provider, member.practitioner
    kind = text(provider.get("resourceType"))
    if kind == "Organization":
        return pool.add(derive_organization(provider, "profile-organization", ""), provider)
    if kind == "Practitioner":
        provider, practitioner = {"resourceType": "PractitionerRole"}, provider
    if practitioner is None:
        return ""
    person = pool.add(derive_practitioner(practitioner), practitioner)
    telecom = role_telecom(provider, practitioner, request.requestor)
    if not telecom:
        return ""
    role = derive_practitioner_role(provider, telecom, practitioner=person, organization=at.requestor)
    return pool.add(role, provider)


def _supporting(pool: EntryPool, request: PasRequest, patient: str) -> list[dict[str, Any]]:
    """Additional information first, then free messages; sequences are unique (pas:spec-22)."""
    binaries = binaries_by_name(request.referenced, request.binaries)
    listed = [
        add_supporting(pool, item, number, request.codes, patient, binaries)
        for number, item in enumerate(request.supporting, start=1)
    ]
    words = [message.strip() for message in request.messages if message.strip()]
    return listed + [
        supporting_info(number, "freeFormMessage", valueString=message)
        for number, message in enumerate(words, start=len(listed) + 1)
    ]
