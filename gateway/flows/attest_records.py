"""What an attestation is made of, and the records that follow from it.

The same records are put on trial, to see what a rule would say of them, and into the EHR. Nothing is read or
written here but through the shelf that is given. Source: spec/clinical.md §4.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import provenance
from gateway.clinical.attestation import Choices, Offer, build_condition, finding_lines, is_positive
from gateway.clinical.concepts import Concepts
from gateway.clinical.impression import GATEWAY, Basis, Signing, build_attestation_record, build_impression
from gateway.clinical.instruments import Instrument, RedFlagTemplate
from gateway.clinical.instruments_extract import Context, answered_on, extract_observations, observation_key
from gateway.errors import AccessError
from gateway.fhir import Json
from gateway.fhir.reading import one, text
from gateway.fhir.references import reference_text
from gateway.flows.actors import Actor
from gateway.flows.instruments_write import Shelf
from gateway.flows.services import NPI, Services

URGENT: Final = "urgent"
"""Priority of an order that is to be decided in the shorter time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One attestation with everything that its records are made of."""

    instrument: Instrument
    template: RedFlagTemplate
    response: Json
    choices: Choices
    offers: tuple[Offer, ...]
    concepts: Concepts
    order: Json
    signing: Signing
    statement: str

    @property
    def order_reference(self) -> str:
        """`Type/id` of the order."""
        return f"{self.order['resourceType']}/{self.order['id']}"

    @property
    def context(self) -> Context:
        """What its findings share."""
        return Context(
            subject=one(self.order.get("subject")),
            performer=(self.signing.clinician,),
            encounter=one(self.order.get("encounter")) or None,
        )


def changed_order(order: Json, deed: Deed) -> dict[str, Any]:
    """The order with the priority and the date that the clinician asked for; nothing else is touched."""
    changed = dict(order)
    if deed.choices.is_expedited and text(order.get("priority")) in ("", "routine"):
        changed["priority"] = URGENT
    if deed.choices.renews_order:
        changed["authoredOn"] = instant_text(deed.signing.at)
    return changed


def put_all(deed: Deed, shelf: Shelf, change: Callable[[], object]) -> None:
    """Steps: (1) findings; (2) chosen codes with their evidence; (3) the assessment; (4) the order; (5) who attests.

    The Provenance comes last: before it stands, nothing is attested in the chart.
    """
    observations = extract_observations(deed.instrument.questionnaire, deed.response, deed.concepts, deed.context)
    placed = [(shelf.put(observation_key(item, deed.concepts), item), item) for item in observations]  # (1)
    conditions = [
        shelf.put(f"condition-{offer.candidate.code}", _condition(deed, offer, placed)) for offer in _chosen(deed)
    ]
    impression = shelf.put("impression", _impression(deed, placed, conditions))  # (3)
    change()  # (4)
    record = build_attestation_record(
        [impression, deed.order_reference],
        deed.signing,
        deed.concepts,
        activity=deed.concepts.red_flags.attestation,
        statement=by_digest(deed.statement),
    )
    shelf.put("attestation", record)  # (5)


def _chosen(deed: Deed) -> list[Offer]:
    return [offer for offer in deed.offers if offer.candidate.code in deed.choices.codes]


def _condition(deed: Deed, offer: Offer, placed: Sequence[tuple[str, Json]]) -> dict[str, Any]:
    found = (*offer.evidence, *offer.texts)
    known = [item.reference for item in found if item.reference]
    lines = {item.line for item in found if not item.reference}
    fresh = [reference for reference, item in placed if finding_lines([item])[0] in lines]
    context = deed.context
    own = {"subject": context.subject, **({"encounter": context.encounter} if context.encounter else {})}
    return build_condition(offer, own, dict.fromkeys([*known, *fresh]), deed.signing.clinician, deed.signing.at)


def _impression(deed: Deed, placed: Sequence[tuple[str, Json]], conditions: Sequence[str]) -> dict[str, Any]:
    screens = frozenset(deed.concepts.red_flags.screens)
    found = [
        (reference, finding_lines([item])[0])
        for reference, item in placed
        if is_positive(item, deed.concepts) and not deed.concepts.local(item.get("code")) & screens
    ]
    basis = Basis(
        subject=deed.context.subject,
        encounter=deed.context.encounter,
        effective=answered_on(deed.response, deed.instrument.questionnaire, deed.concepts),
        findings=tuple(found),
        examined=tuple(reference for reference, _ in placed),
        problems=(*conditions, *_reasons(deed.order)),
        order=deed.order_reference,
    )
    return build_impression(deed.template, basis, deed.signing, deed.concepts, deed.statement)


def _reasons(order: Json) -> list[str]:
    named = [reference_text(item) for item in order.get("reasonReference") or ()]
    return [reference for reference in named if reference.startswith("Condition/")]


def signing_of(services: Services, practitioner: str, zone: str) -> Signing:
    """Who signs now, for the tenant's organization."""
    tenant = services.settings.tenant
    return Signing(
        clinician={"reference": practitioner},
        organization={
            "type": "Organization",
            "identifier": {"system": NPI, "value": tenant.npi},
            "display": tenant.name,
        },
        device={"type": "Device", "identifier": {"system": "urn:ietf:rfc:3986", "value": DEVICE}, "display": GATEWAY},
        at=services.clock.now().astimezone(ZoneInfo(zone)).replace(microsecond=0),
    )


DEVICE: Final = "urn:oid:2.25.94492686211768030265051248232142081200"
"""Business identifier of the gateway as a device: the root of its own identifiers."""


def by_digest(statement: str) -> dict[str, Any]:
    """A Reference to the exact words by their digest; the words are kept with the case."""
    uri = provenance.ni_uri(provenance.digest(statement.encode()))
    return {"type": "Binary", "identifier": {"system": "urn:ietf:rfc:3986", "value": uri}}


def instant_text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def require_practitioner(actor: Actor) -> str:
    """Reference of the person's Practitioner. AccessError where their sign-in names none."""
    if not actor.practitioner:
        raise AccessError(
            "Your sign-in names no Practitioner of the EHR; ask whoever runs the gateway to add it.",
            code="access.practitioner",
        )
    return actor.practitioner


def proof_of(actor: Actor, signing: Signing, statement: str, **more: Any) -> bytes:
    """Who said what, when, and how they proved who they are; `more` are plain JSON values of the act."""
    return provenance.salted_record(
        "auth-context",
        {
            "clinician": signing.clinician["reference"],
            "name": actor.name or actor.id,
            "user": actor.label,
            "session": hashlib.sha256(actor.session.encode()).hexdigest(),
            "method": "password",
            "at": instant_text(signing.at),
            "statement": statement,
            "statement_sha256": hashlib.sha256(statement.encode()).hexdigest(),
            **more,
        },
    )
