"""What a request is about: who sent it, for which member, which services, after which prior. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.answers import claim_key, claim_of
from payer_endpoints.harness.book import Authorization
from payer_endpoints.harness.reading import (
    as_objects,
    as_text,
    at,
    codings,
    entries,
    extension,
    identifier_key,
    identifier_values,
    member_id,
    resources,
    type_of,
)
from payer_endpoints.harness.request_checks import coverage_reference


def sender_of(bundle: Json) -> str:
    """Interchange sender id of the Claim, else the requestor's first identifier value, else ""."""
    _, claim = claim_of(bundle)
    transmission = extension(claim, names.PAS + "extension-TransmissionIdentifiers")
    sent = extension(transmission, "interchangeSenderID")
    return as_text(at(sent, "valueString")) or next(iter(_provider_identifiers(bundle)), "")


def senders_of(bundle: Json) -> tuple[str, ...]:
    """Every id under which a subscription may follow this request (pas.md §10)."""
    return tuple(dict.fromkeys([sender_of(bundle), *_provider_identifiers(bundle)]))


def member_of(bundle: Json) -> str:
    """Member number of the Claim's coverage."""
    return member_id(dict(entries(bundle)).get(coverage_reference(claim_of(bundle)[1]), {}))


def prior_key(bundle: Json) -> str:
    """Identifier of the Claim that an update follows: of the Claim brought along, else as named (2.0.1)."""
    related = as_objects(claim_of(bundle)[1].get("related"))[0]
    prior = dict(entries(bundle)).get(as_text(at(related, "claim", "reference")), {})
    return claim_key(prior) or identifier_key(at(related, "claim", "identifier"))


def provider_npis(bundle: Json) -> set[str]:
    """NPIs of every organization and practitioner of the request."""
    kinds = ("Organization", "Practitioner", "PractitionerRole")
    return {
        number
        for kind in kinds
        for _, resource in resources(bundle, kind)
        for number in identifier_values(resource, names.NPI)
    }


def services_of(claim: Json) -> set[str]:
    """Codes of the items asked for; the code alone, since CPT and HCPCS systems are interchanged (pas.md §4)."""
    return {code for item in as_objects(claim.get("item")) for _, code in codings(item.get("productOrService")) if code}


def diagnoses_of(claim: Json) -> set[str]:
    """Diagnosis codes of a Claim, upper case and without dots."""
    listed = as_objects(claim.get("diagnosis"))
    return {
        code.replace(".", "").upper() for item in listed for _, code in codings(item.get("diagnosisCodeableConcept"))
    }


def codes_of(authorization: Authorization) -> Mapping[int, str]:
    """Review action code of each item, by sequence."""
    return {int(sequence): code for sequence, _, code in (entry.partition(":") for entry in authorization.codes)}


def _provider_identifiers(bundle: Json) -> list[str]:
    listed: dict[str, Any] = dict(entries(bundle))
    provider = listed.get(as_text(at(claim_of(bundle)[1], "provider", "reference")), {})
    if type_of(provider) == "PractitionerRole":
        provider = listed.get(as_text(at(provider, "organization", "reference")), provider)
    return [value for value in identifier_values(provider) if value]
