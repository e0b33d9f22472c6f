"""`Claim/$inquire`: query by example. Source: spec/pas.md §9; answers as §3.3.

Requestor organization, payer and one member must be named. The inquiry's own identifiers are no search keys. Callers
see an authorization where member number and an NPI of requestor or ordering provider match (spec-52, spec-53).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.answers import claim_of, instant
from payer_endpoints.harness.book import Authorization, Book
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.outcomes import Issue, errors_of, operation_outcome
from payer_endpoints.harness.reading import (
    as_objects,
    as_text,
    at,
    entries,
    extension,
    identifier_key,
    parse_body,
    profiles,
    resources,
    type_of,
)
from payer_endpoints.harness.request_checks import check_bundle, check_people
from payer_endpoints.harness.request_reading import diagnoses_of, member_of, provider_npis, services_of


class Inquiries:
    """The inquiry desk of every payer."""

    def __init__(self, book: Book, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._book, self._ledger, self._now = book, ledger, now

    def inquire(
        self, payer: Payer, guide: Guide, body: bytes, message: int
    ) -> tuple[dict[str, Any] | None, list[Issue]]:
        """(Parameters with 0..* return, or the bare Bundle of 2.0.1, []) or (None, what is wrong)."""
        bundle, reason = parse_body(body)
        issues = (
            [Issue(text=reason, code="structure", at="Bundle")]
            if bundle is None
            else check_inquiry(bundle, payer, guide)
        )
        self._ledger.find(payer.slug, "inquire", message, *issues)
        if bundle is None or errors_of(issues):
            return None, errors_of(issues)
        self._ledger.count(payer.slug, "inquiries")
        found = [item for item in self._book.of_member(payer.slug, member_of(bundle)) if matches(bundle, item)]
        answers = [_as_inquiry_answer(item) for item in found]
        return (_wrap(answers) if guide is Guide.STU2_2 else _wrap_old(answers, instant(self._now()))), []


def _wrap(answers: list[dict[str, Any]]) -> dict[str, Any]:
    returned = [{"name": "return", "resource": answer} for answer in answers]
    return {"resourceType": "Parameters"} | ({"parameter": returned} if returned else {})


def _wrap_old(answers: list[dict[str, Any]], now: str) -> dict[str, Any]:
    """2.0.1: one bare Bundle; nothing found is an OperationOutcome in it, since a Bundle needs an entry."""
    listed: dict[str, Json] = {}
    for answer in answers:
        listed |= dict(entries(answer))
    if not listed:
        nothing = Issue(text="Nothing was found.", severity="information", code="informational")
        listed[f"urn:uuid:{uuid4()}"] = operation_outcome([nothing])
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [names.PAS + "profile-pas-inquiry-response-bundle"]},
        "type": "collection",
        "timestamp": now,
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in listed.items()],
    }


def check_inquiry(bundle: Json, payer: Payer, guide: Guide) -> list[Issue]:
    """Everything wrong with an inquiry Bundle."""
    issues = list(check_bundle(bundle, "profile-pas-inquiry-request-bundle"))
    claims = resources(bundle, "Claim")
    if errors_of(issues) or len(claims) != 1:
        return issues or [Issue(text="An inquiry holds exactly one Claim.", at="Bundle.entry")]
    claim = claims[0][1]
    if names.PAS + "profile-claim-inquiry" not in profiles(claim):
        issues.append(Issue(text="Claim.meta.profile must name profile-claim-inquiry.", at="Claim.meta.profile"))
    if guide is Guide.STU2 and not as_objects(claim.get("item")):
        issues.append(Issue(text="An inquiry has at least one item.", at="Claim.item"))
    if guide is Guide.STU2 and "identifier" not in claim:
        pass  # 0..1 there
    elif len(as_objects(claim.get("identifier"))) != 1 or not identifier_key(as_objects(claim["identifier"])[0]):
        issues.append(Issue(text="An inquiry has one identifier with system and value.", at="Claim.identifier"))
    if claim.get("use") != "preauthorization" or claim.get("status") != "active":
        issues.append(Issue(text="use is preauthorization, status is active.", at="Claim"))
    return issues + list(check_people(bundle, claim, payer, guide))


def matches(bundle: Json, held: Authorization) -> bool:
    """Whether the held authorization is one of those the inquiry describes."""
    _, claim = claim_of(bundle)
    if not held.answer or not provider_npis(bundle) & set(held.npis):
        return False
    numbers = _reference_numbers(claim)
    if numbers:
        return bool(numbers & {held.number, f"PEND{held.number[4:]}"})
    wanted = services_of(claim) - {names.NOT_APPLICABLE}
    diagnoses = diagnoses_of(claim)
    if wanted and not wanted & set(held.services):
        return False
    return not diagnoses or bool(diagnoses & set(held.diagnoses))


def _reference_numbers(claim: Json) -> set[str]:
    found = set()
    for element in (claim, *as_objects(claim.get("item"))):
        for name in ("authorizationNumber", "administrationReferenceNumber"):
            found.add(as_text(at(extension(element, f"{names.PAS}extension-{name}"), "valueString")))
    return found - {""}


def _as_inquiry_answer(held: Authorization) -> dict[str, Any]:
    """The newest answer under the inquiry profiles, without requests for documents."""
    answer, _ = parse_body(held.answer)
    listed = []
    for url, resource in entries(answer or {}):
        if type_of(resource) == "CommunicationRequest":
            continue
        if type_of(resource) == "ClaimResponse":
            resource = {key: value for key, value in resource.items() if key != "communicationRequest"}
            resource["meta"] = {"profile": [names.PAS + "profile-claiminquiryresponse"]}
        listed.append({"fullUrl": url, "resource": resource})
    profile = {"profile": [names.PAS + "profile-pas-inquiry-response-bundle"]}
    return {**(answer or {}), "meta": profile, "entry": listed}
