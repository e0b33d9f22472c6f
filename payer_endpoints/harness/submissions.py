"""`Claim/$submit`: take a request in once, decide it, and decide again later what was pended.

Order of work: (1) read, (2) known transaction? replay, (3) check, (4) known claim? duplicate or update, (5) decide by
the scenario of the member, (6) store before answering, so that a lost answer can be given again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from gateway.fhir import Json
from gateway.fhir.json import dump_json
from payer_endpoints.harness.answer_items import ItemReview
from payer_endpoints.harness.answers import AnswerParts, Asked, build_answer, claim_key, claim_of, instant
from payer_endpoints.harness.book import Assertion, Authorization, Book, Transaction
from payer_endpoints.harness.config import HarnessConfig, Payer
from payer_endpoints.harness.coverage_information import assertion_ids
from payer_endpoints.harness.decisions import (
    asked_documents,
    authorization_number,
    decide_items,
    decide_pended,
    with_traces,
)
from payer_endpoints.harness.faults import Fault
from payer_endpoints.harness.form_checks import check_forms
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.ledger import Ledger, digest
from payer_endpoints.harness.outcomes import Issue, errors_of
from payer_endpoints.harness.reading import (
    as_objects,
    entries,
    identifier_key,
    parse_body,
)
from payer_endpoints.harness.request_checks import check_request
from payer_endpoints.harness.request_reading import (
    codes_of,
    diagnoses_of,
    member_of,
    prior_key,
    provider_npis,
    sender_of,
    senders_of,
    services_of,
)
from payer_endpoints.harness.scenarios import Scenario, ScenarioBook, SubmitPlan

UNKNOWN_PRIOR = SubmitPlan(decision="error", error_code="AA", follow_up="N")
"""An update of something this payer does not hold."""
DENIED_PRIOR = SubmitPlan(decision="error", error_code="33", follow_up="R")
"""An update after a denial: a new request is wanted (pas.md §8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What `$submit` answers."""

    answer: bytes = b""
    """The response Bundle, where the request was taken in."""
    issues: tuple[Issue, ...] = ()
    """Why not, otherwise."""
    fault: Fault | None = None
    """How the scenario spoils this answer."""
    changed: Authorization | None = None
    """The authorization this request opened or changed; a further decision may be due for it."""


class Submissions:
    """The payers' utilization desk. `decided` is called with every authorization that changed after its answer."""

    def __init__(
        self,
        config: HarnessConfig,
        scenarios: ScenarioBook,
        book: Book,
        ledger: Ledger,
        count_fault: Callable[..., Fault | None],
        canonicals: Callable[[Scenario], list[str]],
    ) -> None:
        self._config, self._scenarios, self._book, self._ledger = config, scenarios, book, ledger
        self._count_fault, self._canonicals = count_fault, canonicals

    def submit(self, payer: Payer, guide: Guide, body: bytes, message: int) -> Submitted:
        """Steps (1) to (4)."""
        bundle, reason = parse_body(body)
        if bundle is None:
            return self._refuse(payer, message, [Issue(text=reason, code="structure", at="Bundle")])
        sender = sender_of(bundle)
        key = f"{sender}|{identifier_key(bundle.get('identifier'))}"
        known = self._book.transaction(payer.slug, key)
        if known is not None:
            return self._again(payer, known, body, message)
        issues = check_request(bundle, payer, guide)
        if errors_of(issues):
            return self._refuse(payer, message, issues)
        issues += self._review_packet(payer, guide, bundle)
        self._ledger.find(payer.slug, "submit", message, *issues)
        self._ledger.count(payer.slug, "submissions")
        return self._take_in(payer, guide, bundle, body, key, message)

    def decide_due(self, authorization: Authorization) -> Authorization:
        """The decision after a pend, by the scenario's `[notify]`; stored and returned."""
        scenario = self._scenarios.by_id[authorization.scenario]
        plan: SubmitPlan = scenario.notify or SubmitPlan()
        request, _ = parse_body(authorization.request)
        reviews = decide_pended(claim_of(request or {})[1], plan, authorization.number, codes_of(authorization))
        asked = asked_documents(plan, reviews, authorization.number)
        still = authorization.request if any(review.code == "A4" for review in reviews) else b""
        changed = replace(
            authorization,
            request=still,
            answer=self._answer(Guide(authorization.guide), request or {}, reviews, plan, asked),
            codes=_codes(reviews),
            due_at="",
            waits_for=tuple(one.control_number for one in asked),
        )
        self._book.keep_authorization(changed)
        return changed

    def receive_document(self, authorization: Authorization, control_number: str, *, is_final: bool) -> Authorization:
        """A wanted document came; when none is missing and the sender is done, the next decision falls due."""
        missing = tuple(number for number in authorization.waits_for if number != control_number)
        changed = replace(authorization, waits_for=missing, documents=(*authorization.documents, control_number))
        if is_final and not missing and authorization.is_pended:
            changed = replace(changed, due_at=self._due(self._scenarios.by_id[authorization.scenario]))
        self._book.keep_authorization(changed)
        return changed

    def _review_packet(self, payer: Payer, guide: Guide, bundle: Json) -> list[Issue]:
        """What is amiss with forms and order though the request is taken in."""
        member = member_of(bundle)
        scenario = self._scenarios.choose(payer.slug, member)
        wanted = self._canonicals(scenario) if scenario.crd.doc_needed else []
        found = list(check_forms(bundle, guide, wanted))
        given = self._book.asserted(payer.slug, member)
        if given and not given & {key for _, resource in entries(bundle) for key in assertion_ids(resource)}:
            text = "The order came without the coverage information it was given."
            found.append(Issue(text=text, severity="warning", code="business-rule", source="resp-46"))
        return found

    def _again(self, payer: Payer, known: Transaction, body: bytes, message: int) -> Submitted:
        self._ledger.count(payer.slug, "submissions")
        if known.digest != digest(body):
            self._ledger.count(payer.slug, "duplicates")
            text = "This Bundle.identifier was used before for other content."
            issue = Issue(text=text, code="duplicate", at="Bundle.identifier")
            self._ledger.find(payer.slug, "submit", message, issue)
            return Submitted(issues=(issue,))
        self._ledger.count(payer.slug, "resends")
        return Submitted(answer=known.answer, fault=self._fault(payer, known.authorization, known.key))

    def _refuse(self, payer: Payer, message: int, issues: list[Issue]) -> Submitted:
        self._ledger.count(payer.slug, "refused")
        self._ledger.find(payer.slug, "submit", message, *issues)
        return Submitted(issues=tuple(errors_of(issues)))

    def _take_in(self, payer: Payer, guide: Guide, bundle: Json, body: bytes, key: str, message: int) -> Submitted:
        """Steps (4) to (6) for a request that is new and well formed."""
        _, claim = claim_of(bundle)
        sender = sender_of(bundle)
        if as_objects(claim.get("related")):
            self._ledger.count(payer.slug, "updates")
            found, answer = self._update(payer, guide, bundle, body)
        else:
            earlier = self._book.by_claim(payer.slug, sender, claim_key(claim))
            self._note_new(payer, bundle, earlier, message)
            found, answer = self._decide(payer, guide, bundle, body, earlier)
        transaction = Transaction(
            payer=payer.slug, key=key, digest=digest(body), authorization=found.id if found else "", answer=answer
        )
        self._book.keep_transaction(transaction)
        return Submitted(answer=answer, fault=self._fault(payer, transaction.authorization, key), changed=found)

    def _note_new(self, payer: Payer, bundle: Json, earlier: Authorization | None, message: int) -> None:
        if earlier is not None:
            self._ledger.count(payer.slug, "duplicates")
            text = "This Claim.identifier came before under another Bundle.identifier, without relation to its prior."
            self._ledger.find(payer.slug, "submit", message, Issue(text=text, code="duplicate", at="Claim.identifier"))
            return
        self._ledger.count(payer.slug, "distinct_claims")
        member = member_of(bundle)
        held = [self._book.for_service(payer.slug, member, code) for code in services_of(claim_of(bundle)[1])]
        if any(other is not None and not other.is_denied for other in held):
            self._ledger.count(payer.slug, "suspected_duplicates")

    def _decide(
        self, payer: Payer, guide: Guide, bundle: Json, body: bytes, earlier: Authorization | None
    ) -> tuple[Authorization, bytes]:
        """Step (5) for a new request, or for one that came before under another transaction."""
        _, claim = claim_of(bundle)
        scenario = self._scenarios.choose(payer.slug, member_of(bundle))
        number = authorization_number(payer.slug, sender_of(bundle), claim_key(claim))
        before = codes_of(earlier) if earlier else {}
        reviews = decide_items(claim, scenario.plans, number, before)
        found = earlier or self._open(payer, guide, bundle, scenario, number)
        return self._store(found, bundle, body, scenario, reviews)

    def _update(self, payer: Payer, guide: Guide, bundle: Json, body: bytes) -> tuple[Authorization | None, bytes]:
        found = self._book.by_claim(payer.slug, sender_of(bundle), prior_key(bundle))
        if found is None or found.is_denied:
            plan = UNKNOWN_PRIOR if found is None else DENIED_PRIOR
            return found, self._answer(guide, bundle, [], plan, [])
        scenario = self._scenarios.by_id[found.scenario]
        reviews = decide_items(claim_of(bundle)[1], scenario.plans, found.number, codes_of(found))
        return self._store(found, bundle, body, scenario, reviews)

    def _store(
        self, found: Authorization, bundle: Json, body: bytes, scenario: Scenario, reviews: list[ItemReview]
    ) -> tuple[Authorization, bytes]:
        """Step (6)."""
        asked = asked_documents(scenario.submit, reviews, found.number)
        asked = [one for one in asked if one.control_number not in found.documents]
        reviews = with_traces(reviews, asked, found.number)
        answer = self._answer(Guide(found.guide), bundle, reviews, scenario.submit, asked)
        claim = claim_key(claim_of(bundle)[1])
        is_pended = any(review.code == "A4" for review in reviews)
        changed = replace(
            found,
            claims=found.claims if claim in found.claims else (*found.claims, claim),
            request=body if is_pended else b"",
            answer=answer,
            codes=_codes(reviews),
            services=tuple(sorted(services_of(claim_of(bundle)[1]))),
            diagnoses=tuple(sorted(diagnoses_of(claim_of(bundle)[1]))),
            waits_for=tuple(one.control_number for one in asked),
            due_at=self._due(scenario) if is_pended and not asked else "",
        )
        self._book.keep_authorization(changed)
        self._keep_traces(changed, reviews)
        return changed, answer

    def _keep_traces(self, found: Authorization, reviews: list[ItemReview]) -> None:
        for trace in {review.trace for review in reviews if review.trace}:
            assertion = Assertion(payer=found.payer, id=trace, member=found.member, order="", scenario=found.scenario)
            self._book.keep_assertion(assertion)

    def _open(self, payer: Payer, guide: Guide, bundle: Json, scenario: Scenario, number: str) -> Authorization:
        return Authorization(
            id=str(uuid4()),
            payer=payer.slug,
            sender=sender_of(bundle),
            senders=senders_of(bundle),
            member=member_of(bundle),
            npis=tuple(sorted(provider_npis(bundle))),
            scenario=scenario.id,
            guide=guide.value,
            claims=(),
            request=b"",
            answer=b"",
            codes=(),
            number=number,
        )

    def _answer(
        self, guide: Guide, bundle: Json, reviews: list[ItemReview], plan: SubmitPlan, asked: list[Asked]
    ) -> bytes:
        urls = [f"urn:uuid:{uuid4()}" for _ in range(1 + len(asked))]
        parts = AnswerParts(
            request=bundle,
            reviews=reviews,
            asked=asked,
            plan=plan,
            now=self._config.now(),
            new_urls=urls,
            guide=guide,
        )
        return dump_json(build_answer(parts))

    def _due(self, scenario: Scenario) -> str:
        seconds = scenario.notify.after_seconds if scenario.notify else 0
        return instant(self._config.now() + timedelta(seconds=seconds * self._config.pace))

    def _fault(self, payer: Payer, authorization: str, key: str) -> Fault | None:
        found = self._book.authorization(authorization)
        if found is None:
            return None
        fault = self._scenarios.by_id[found.scenario].faults.get("submit")
        if fault and fault.kind == "slow" and self._config.slow_seconds is not None:
            fault = fault.model_copy(update={"seconds": self._config.slow_seconds})
        return self._count_fault(fault, payer.slug, "submit", key)


def _codes(reviews: list[ItemReview]) -> tuple[str, ...]:
    return tuple(f"{review.sequence}:{review.code}" for review in reviews)
