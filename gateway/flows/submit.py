"""Releasing and sending, so that it counts once.

The intent with its exact bytes and identifiers is committed before anything leaves; what leaves again
is byte for byte the same. A clear refusal is final; a failure that says *not processed* is repeated;
an unknown outcome is asked about once and then sent again, bounded, and ends with a person.
Source: design.md §4, spec/pas.md §11, pas:spec-35, spec-39.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.clients.payer import Exchange
from gateway.errors import Conflict, InputError, PartnerError, PayerError
from gateway.fhir import Json
from gateway.fhir.bundle import resources
from gateway.fhir.json import parse_json
from gateway.flows import answer, care_pilot, guard, ledger, subscribe
from gateway.flows.actors import GATEWAY, Actor
from gateway.flows.inquiry import build_inquiry, read_match
from gateway.flows.ledger import Act, Item
from gateway.flows.request import BUNDLE_SYSTEM, build_request, claim_identifier
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.policy.duplicate import says_duplicate
from gateway.policy.release import Packet, Release, decide_release
from gateway.policy.retry import (
    Failure,
    FailureKind,
    GiveUp,
    Inquire,
    Retry,
    RetryAt,
    RetryLimits,
    decide_retry,
    failure_kind,
    read_failure,
)
from gateway.profiles import pas_2_2_1 as pas
from gateway.store import Tx
from gateway.store.rows import CaseRow, SubmissionRow

GRACE = timedelta(seconds=5)
"""Longer than the socket's own limit: after it a `sending` row belongs to a process that died."""


def decide(services: Services, case: CaseRow, facts: Facts) -> Release:
    """Whether the sealed packet may leave now, and why not."""
    decided = decide_release(
        Packet(
            policy=services.payer_row(case.payer).release,
            signed_at=case.signed_at,
            open_questions=sum(len(form.open_required) for form in facts.forms),
            verdict=facts.verdict,
            gap_accepted=facts.is_overridden,
        )
    )
    return care_pilot.restrict(services, case, facts, decided)


def release(services: Services, case: CaseRow, facts: Facts, actor: Actor = GATEWAY) -> CaseRow:
    """Store the intent with the exact bytes to be sent, and move to `submitting`. Nothing is sent here."""
    bundle_id, submission_id = services.new_id(), services.new_id()
    claim_id = f"PA-{case.case_id[:8].upper()}-{submission_id[:8].upper()}"
    body = build_request(services, case, facts, bundle_id, claim_id)
    row = SubmissionRow(
        tenant_id=case.tenant_id,
        submission_id=submission_id,
        case_id=case.case_id,
        kind="submit",
        endpoint=f"{case.payer}/pas",
        request_digest=hashlib.sha256(body).hexdigest(),
        created_at=services.clock.now(),
        bundle_identifier=f"{BUNDLE_SYSTEM}|urn:uuid:{bundle_id}",
        claim_identifier="|".join(claim_identifier(services, claim_id)),
    )
    sealed = ledger.load_object(services, case, facts.document)
    task = case_task(replace(case, state=CaseState.SUBMITTING.value))
    act = Act(
        verb="release",
        about=(Item.local("Task", task, case.case_id),),
        sources=(Item.body(sealed),),
        actor=actor,
        note={"submission_id": submission_id, "digest": row.request_digest},
    )
    return ledger.append(
        services,
        case,
        act,
        to=CaseState.SUBMITTING,
        facts=replace(facts.succeeded("release"), submission_id=submission_id),
        objects=[(body, "application/fhir+json")],
        also=lambda tx: _insert(tx, row),
    )


def _insert(tx: Tx, row: SubmissionRow) -> None:
    tx.submissions.insert(row)


def send(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """One try: post the stored bytes, or ask about them, and record what came of it.

    Steps: (1) another process has it on its way; (2) the payer's breaker; (3) a crashed try counts as
    an unknown outcome; (4) the subscription stands before anything can pend; (5) the try itself.
    """
    with services.store.read() as tx:
        row = tx.submissions.get(case.tenant_id, facts.submission_id)
    now = services.clock.now()
    if row.state == "sending" and row.last_sent_at and now < row.last_sent_at + _longest_try(services, case):  # (1)
        return case  # nothing is changed: the one who sends must find the case as it was; the sweep comes back
    until = guard.may_call(services, case)  # (2)
    if until is not None:
        waiting = replace(facts, wait="send")  # else this job would ask again at once, and leave a job each time
        return ledger.set_waiting(
            services, case, waiting, until, "The payer fails at the moment; waiting before a try."
        )
    if row.state == "sending":  # (3)
        failure = Failure(kind=FailureKind.OUTCOME_UNKNOWN, may_inquire=_may_inquire(services, case, row))
        row = _set(services, row, state="unknown")
        return _after_failure(services, case, facts, row, failure, None)
    try:
        subscribe.ensure(services, case)  # (4)
    except (PartnerError, PayerError) as error:
        subscribe.forget(services, case)
        row = _set(services, row, attempts=row.attempts + 1)
        failure = replace(read_failure(error, is_safe=True), token_was_renewed=True)  # the client renews it itself
        return _after_failure(services, case, facts, row, failure, None)
    return _try(services, case, facts, row)  # (5)


def _try(services: Services, case: CaseRow, facts: Facts, row: SubmissionRow) -> CaseRow:
    body = ledger.load_object(services, case, row.request_digest)
    now = services.clock.now()
    row = _set(
        services,
        row,
        state="sending",
        attempts=row.attempts + 1,
        first_sent_at=row.first_sent_at or now,
        last_sent_at=now,
    )
    try:
        exchange = services.payer(case.payer).submit(body)
    except (PartnerError, PayerError) as error:
        failure = read_failure(error, may_inquire=_may_inquire(services, case, row))
        state = "intent" if failure.kind is FailureKind.NOT_SENT else "unknown"
        return _after_failure(services, case, facts, _set(services, row, state=state), failure, None)
    return _after_answer(services, case, facts, row, exchange)


def _after_answer(services: Services, case: CaseRow, facts: Facts, row: SubmissionRow, exchange: Exchange) -> CaseRow:
    bundle = _response_bundle(exchange)
    is_duplicate = bundle is not None and _says_duplicate(services, case, bundle)
    if bundle is not None and not is_duplicate:
        guard.succeeded(services, case)
        return answer.take(services, case, facts, row, exchange, bundle)
    kind = FailureKind.DUPLICATE if is_duplicate else failure_kind(exchange.status)
    failure = Failure(
        kind=kind,
        http_status=exchange.status,
        retry_after_seconds=exchange.retry_after_seconds,
        may_inquire=_may_inquire(services, case, row, is_duplicate),
        token_was_renewed=kind is FailureKind.UNAUTHORISED,
    )
    state = "unknown" if kind is FailureKind.OUTCOME_UNKNOWN else "intent"
    row = _set(services, row, state=state, http_status=exchange.status)
    return _after_failure(services, case, facts, row, failure, exchange)


def _says_duplicate(services: Services, case: CaseRow, bundle: Json) -> bool:
    """Looked at before the answer is stored, so an answer without errors is not read here at all."""
    if not any(claim.get("error") for claim in resources(bundle, "ClaimResponse")):
        return False
    payer = services.payer_row(case.payer)
    try:
        return says_duplicate(pas.read_pas_answer(bundle), payer.pas.duplicate_codes if payer.pas else ())
    except (InputError, PartnerError, PayerError):
        return False


def _response_bundle(exchange: Exchange) -> Json | None:
    """The PAS response Bundle of an answer; None when it is something else or cannot be read."""
    if not exchange.is_success:
        return None
    try:
        body = parse_json(exchange.response_bytes)
    except InputError:
        return None
    return body if isinstance(body, Mapping) and resources(body, "ClaimResponse") else None


def _after_failure(
    services: Services,
    case: CaseRow,
    facts: Facts,
    row: SubmissionRow,
    failure: Failure,
    exchange: Exchange | None,
) -> CaseRow:
    guard.failed(services, case, failure)
    decision = decide_retry(failure, row.attempts, services.clock.now(), random.random(), limits(services, case))
    detail = f"sent {row.attempts} time{'s' if row.attempts != 1 else ''}"
    if isinstance(decision, Inquire):
        return _inquire(services, case, facts, _set(services, row, inquired=True), failure, exchange)
    if isinstance(decision, RetryAt):
        _set(services, row, next_attempt_at=decision.when)
        return ledger.set_waiting(services, case, facts.failed("send"), decision.when, f"{decision.why} ({detail})")
    return _stop(services, case, facts, row, decision, exchange)


def _inquire(
    services: Services,
    case: CaseRow,
    facts: Facts,
    row: SubmissionRow,
    failure: Failure,
    exchange: Exchange | None,
) -> CaseRow:
    """Ask once; a hit that echoes our request is taken as the answer, anything else proves nothing.

    `exchange` is the answer that made us ask, kept where asking brings nothing.
    """
    body = build_inquiry(services, case, facts)
    try:
        told = services.payer(case.payer).inquire(body)
        found = read_match(told, row)
    except (PartnerError, PayerError):
        found = None
    if found is not None:
        return answer.take(services, case, facts, row, told, found)
    return _after_failure(services, case, facts, row, replace(failure, may_inquire=False), exchange)


def _stop(
    services: Services,
    case: CaseRow,
    facts: Facts,
    row: SubmissionRow,
    decision: Retry,
    exchange: Exchange | None,
) -> CaseRow:
    """Refused for good, or given up: the bytes are kept, a person is told what to do."""
    is_final = isinstance(decision, GiveUp)
    received = exchange.response_bytes if exchange else b""
    request = ledger.load_object(services, case, row.request_digest)
    left = bool(row.http_status) or row.state == "unknown" or row.inquired
    if left and facts.sent != row.submission_id:
        facts = replace(facts, sent=row.submission_id)
        case = answer.record_sending(services, case, facts, row, request)
    about = Item.body(received, exchange.media_type or "application/octet-stream") if received and exchange else None
    act = Act(
        verb="payer-response" if about else "hold",
        about=(about,) if about else (Item.local("Task", _stopped_task(case), case.case_id),),
        sources=(Item.body(request),),
        payer=services.payer_row(case.payer).name if about else "",
        note={"http_status": row.http_status, "attempt": row.attempts, "submission_id": row.submission_id},
    )
    state: Any = "refused" if is_final else "failed"
    why = getattr(decision, "why", "")
    todo = getattr(decision, "next_action", "")
    return ledger.append(
        services,
        case,
        act,
        to=CaseState.NEEDS_ATTENTION,
        next_action=f"{why} {todo}".strip(),
        facts=facts.succeeded("send"),
        also=lambda tx: _update(tx, row, state=state),
    )


def _stopped_task(case: CaseRow) -> bytes:
    return case_task(replace(case, state=CaseState.NEEDS_ATTENTION.value))


def _update(tx: Tx, row: SubmissionRow, **changes: Any) -> None:
    tx.submissions.update(row.tenant_id, row.submission_id, row.version, **changes)


def _set(services: Services, row: SubmissionRow, **changes: Any) -> SubmissionRow:
    """Change a submission row in a transaction of its own; Conflict when another process has it."""
    with services.store.begin() as tx:
        return tx.submissions.update(row.tenant_id, row.submission_id, row.version, **changes)


def _may_inquire(services: Services, case: CaseRow, row: SubmissionRow, is_duplicate: bool = False) -> bool:
    """Once after an unknown outcome; once more where the payer says now that it knows the request."""
    payer = services.payer_row(case.payer)
    return bool(payer.pas and payer.pas.inquire_after_unknown) and (is_duplicate or not row.inquired)


def _longest_try(services: Services, case: CaseRow) -> timedelta:
    payer = services.payer_row(case.payer)
    seconds = payer.pas.timeouts_seconds.submit_read if payer.pas else 20
    return timedelta(seconds=seconds) + GRACE


def send_again(services: Services, case: CaseRow, facts: Facts, actor: Actor) -> CaseRow:
    """A person decided to send the same bytes once more after it was given up, or to read its answer again.

    Conflict for a request that was refused: the same bytes would be refused again.
    """
    with services.store.read() as tx:
        row = tx.submissions.get(case.tenant_id, facts.submission_id)
    if row.state == "refused":
        raise Conflict("This request was refused; correct the order and check it again.", code="case.state")
    task = case_task(replace(case, state=CaseState.SUBMITTING.value))
    act = Act(
        verb="release",
        about=(Item.local("Task", task, case.case_id),),
        actor=actor,
        note={"submission_id": row.submission_id, "reason": "sent again by a person"},
    )
    again: dict[str, Any] = {"attempts": 0, "inquired": False}
    if row.state != "answered":
        again["state"] = "intent"
    return ledger.append(
        services, case, act, to=CaseState.SUBMITTING, facts=facts, also=lambda tx: _update(tx, row, **again)
    )


def is_answered(services: Services, case: CaseRow, facts: Facts) -> bool:
    """Whether the submission in force has its answer stored, which only has to be taken."""
    with services.store.read() as tx:
        return tx.submissions.get(case.tenant_id, facts.submission_id).state == "answered"


def conclude_stored(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Take the stored answer of the submission in force: the way back in after a crash."""
    with services.store.read() as tx:
        row = tx.submissions.get(case.tenant_id, facts.submission_id)
    return answer.conclude(services, case, facts, row)


def limits(services: Services, case: CaseRow) -> RetryLimits:
    """How often and how long this payer's calls are repeated."""
    return RetryLimits(**services.payer_row(case.payer).retry.model_dump())
