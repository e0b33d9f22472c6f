"""The payer's newest answer beside what was asked, item by item, for people to compare.

Words of the payer are shown as they came; our reading stands beside them. Source: spec/pas.md §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.cases.decisions import AuthorizationNumber, ItemDecision
from gateway.cases.facts import Facts
from gateway.fhir import Json
from gateway.fhir.bundle import resources
from gateway.fhir.json import parse_json
from gateway.flows import answer, ledger
from gateway.flows.services import Services
from gateway.policy.roll_up import decide_roll_up
from gateway.profiles import pas_2_2_1 as pas
from gateway.store.rows import CaseRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredItem:
    """One requested item and what the payer said to it."""

    sequence: int
    """Number of the item, the same for the life of the authorization."""
    requested: str
    """What was asked, in words: code, text, quantity."""
    decision: str
    """Our word for the answer."""
    action_code: str
    """Review action code as it came; empty when there was none."""
    number: str
    """Number of the item; an approval only where the item is granted."""
    authorized: tuple[str, ...]
    """What was granted in its place, in words."""
    starts_on: str
    """First day of the authorization; empty when not said."""
    ends_on: str
    """Last day; empty when not said."""
    reasons: tuple[str, ...]
    """Reasons, verbatim."""
    notes: tuple[str, ...]
    """Notes, verbatim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerAnswer:
    """The newest answer of the payer."""

    items: tuple[AnsweredItem, ...]
    """Items in the order of their sequence."""
    numbers: tuple[AuthorizationNumber, ...]
    """Every number, with its kind."""
    errors: tuple[str, ...]
    """Business errors, in the payer's words."""
    findings: tuple[str, ...]
    """What is odd about the answer, in our words."""
    disposition: str
    """Free text of the payer; never a decision."""


def read_answer(services: Services, case: CaseRow, facts: Facts) -> PayerAnswer | None:
    """The newest answer beside the request; None while there is none. The caller has checked who asks."""
    bundle = answer.load_answer_or_none(services, case, facts)
    if bundle is None or not facts.submission_id:
        return None
    with services.store.read() as tx:
        row = tx.submissions.get(case.tenant_id, facts.submission_id)
    request: Json = parse_json(ledger.load_object(services, case, row.request_digest))
    found = pas.read_pas_answer(bundle, request)
    asked = _requested(request)
    decided = decide_roll_up(found, submitted=frozenset(asked))
    reviews = {item.sequence: item for item in found.items}
    return PayerAnswer(
        items=tuple(_item(item, asked.get(item.sequence, ""), reviews.get(item.sequence)) for item in decided.items),
        numbers=decided.authorization_numbers,
        errors=tuple(_joined(error.code, error.text) for error in found.errors),
        findings=decided.findings,
        disposition=found.disposition,
    )


def _item(item: ItemDecision, requested: str, review: pas.ItemReview | None) -> AnsweredItem:
    period = review.period if review else None
    granted = review.add_items if review else ()
    return AnsweredItem(
        sequence=item.sequence,
        requested=requested,
        decision=item.decision.value,
        action_code=item.action_code or (review.sent_code if review else ""),
        number=item.number,
        authorized=tuple(_words(added.product_or_service, added.quantity) for added in granted),
        starts_on=period.starts_on.isoformat() if period and period.starts_on else "",
        ends_on=period.ends_on.isoformat() if period and period.ends_on else "",
        reasons=tuple(_joined(reason.code, reason.text) for reason in item.reasons),
        notes=item.notes,
    )


def _requested(request: Json) -> dict[int, str]:
    claim: Mapping[str, Any] = next(iter(resources(request, "Claim")), {})
    return {
        int(item["sequence"]): _words(item.get("productOrService") or {}, item.get("quantity") or {})
        for item in claim.get("item") or ()
        if "sequence" in item
    }


def _words(concept: Json, quantity: Json) -> str:
    """`73721 MRI of a joint, 1 unit`; whatever of it is there."""
    coding: Mapping[str, Any] = next(iter(concept.get("coding") or ()), {})
    named = " ".join(_present(coding.get("code"), concept.get("text") or coding.get("display")))
    value, unit = quantity.get("value"), quantity.get("unit") or quantity.get("code")
    count = " ".join(_present(value, "unit" if value == 1 and unit == "units" else unit))
    return ", ".join(_present(named, count))


def _present(*parts: Any) -> Iterable[str]:
    return [str(part) for part in parts if part not in (None, "")]


def _joined(code: str, text: str) -> str:
    return f"{code}: {text}" if code and text else code or text
