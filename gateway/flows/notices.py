"""Notifications from payers: authenticated by token and header, kept whole, matched, processed later.

A notification changes a case only when it answers an open submission of ours at that payer; anything
else is kept and quarantined (security T11). The HTTP answer never waits for processing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime

from gateway.cases.facts import Facts, read_facts
from gateway.errors import AccessError, Conflict, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.bundle import resources
from gateway.fhir.instants import read_instant
from gateway.fhir.json import parse_object
from gateway.flows import answer, ledger, subscribe
from gateway.flows.outcome import in_force
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles import pas_2_2_1 as pas
from gateway.store.rows import CaseRow, NotificationRow, SubmissionRow, SubscriptionRow

EXPECTED = frozenset(
    {
        "submitting",
        "pended",
        "approved",
        "approved_modified",
        "partially_approved",
        "denied",
        "not_required",
        "needs_attention",
    }
)
"""Case states in which a payer may still say something about a request; also where our own tries gave up."""


def receive(services: Services, token: str, authorization: str, body: bytes) -> str:
    """Take one notification and say what it was: handshake, heartbeat, or how many events were kept.

    Raises NotFound for an unknown token, AccessError (401) for a wrong header, InputError for a body
    that is not a notification.
    """
    subscription = _authenticate(services, token, authorization)
    message = pas.read_notification(parse_object(body))
    subscribe.confirm(services, subscription)
    for position, event in enumerate(message.events):
        _keep(services, subscription, body, _number(event, position), event)
    return message.type if not message.events else f"{message.type} {len(message.events)}"


def _number(event: pas.NotificationEvent, position: int) -> int:
    """The number of the event; a negative one of our own, by its place in the message, where it has none to keep."""
    return event.number if event.number is not None and 0 <= event.number < 2**31 else -1 - position


def _authenticate(services: Services, token: str, authorization: str) -> SubscriptionRow:
    with services.store.read() as tx:
        row = tx.subscriptions.by_token(subscribe.digest(token))
    if row is None:
        raise NotFound("There is no such subscription.")
    if row.header_sha256 and not hmac.compare_digest(row.header_sha256, subscribe.digest(authorization)):
        raise AccessError("The notification does not carry the header of its subscription.", code="login", status=401)
    return row


def _keep(
    services: Services, subscription: SubscriptionRow, body: bytes, number: int, event: pas.NotificationEvent
) -> None:
    submission = _match(services, subscription, event.response_bundle)
    now = services.clock.now()
    row = NotificationRow(
        tenant_id=subscription.tenant_id,
        notification_id=services.new_id(),
        token_sha256=subscription.token_sha256,
        event_number=number,
        digest=hashlib.sha256(body).hexdigest(),
        body=body,
        received_at=now,
        case_id=submission.case_id if submission else None,
        quarantined="" if submission else "it answers no request of ours at this payer",
        processed_at=None if submission else now,
    )
    for _ in range(5):
        try:
            with services.store.begin() as tx:
                is_new = tx.notifications.insert(row)
                if is_new and submission is not None:
                    case = tx.cases.get(row.tenant_id, submission.case_id)
                    changed = tx.cases.update(case.tenant_id, case.case_id, case.version, due_at=now)
                    ledger.enqueue(services, tx, changed, None)
            subscribe.advance_number(services, subscription, number)
            return
        except Conflict:
            continue  # the case moved at this moment
    raise Conflict("The case is busy; send the notification again.", code="conflict.notification")


def _match(services: Services, subscription: SubscriptionRow, bundle: Json | None) -> SubmissionRow | None:
    """The open submission that a response Bundle answers: by Claim identifier, at this payer, in an open state."""
    if bundle is None:
        return None
    with services.store.read() as tx:
        for identifier in answer.claim_identifiers(bundle):
            for row in tx.submissions.by_claim_identifier(subscription.tenant_id, identifier):
                case = tx.cases.get(row.tenant_id, row.case_id)
                if case.payer == subscription.payer and case.state in EXPECTED and _is_in_force(services, case, row):
                    return row
    return None


def _is_in_force(services: Services, case: CaseRow, row: SubmissionRow) -> bool:
    """Whether the case still rests on this request, not on a later one that was made anew."""
    return row.submission_id in {other.submission_id for other in in_force(services, case, read_facts(case.facts))}


def pending(services: Services, case: CaseRow) -> tuple[NotificationRow, ...]:
    """Notifications of the case that nobody processed, oldest first."""
    with services.store.read() as tx:
        found = tx.notifications.for_case(case.tenant_id, case.case_id)
    return tuple(row for row in found if row.processed_at is None)


def process(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Take the oldest waiting notification of the case as the payer's newest answer, once."""
    row = pending(services, case)[0]
    message = pas.read_notification(parse_object(row.body))
    for event in _events_of(message, row.event_number):
        bundle = event.response_bundle
        if bundle is None or not _is_ours(services, case, facts, bundle) or _is_old(bundle, facts, services, case):
            continue
        case = answer.take_notification(services, case, facts, row.body, bundle)
        facts = read_facts(case.facts)
    with services.store.begin() as tx:
        tx.notifications.finish(row.tenant_id, row.notification_id, services.clock.now(), case_id=case.case_id)
    return case


def set_aside(services: Services, case: CaseRow, why: str) -> None:
    """The oldest waiting notification of the case changes nothing, for this reason; its bytes are kept."""
    row = pending(services, case)[0]
    with services.store.begin() as tx:
        tx.notifications.finish(
            row.tenant_id, row.notification_id, services.clock.now(), case_id=case.case_id, quarantined=why
        )


def _events_of(message: pas.NotificationMessage, number: int) -> Iterator[pas.NotificationEvent]:
    for position, event in enumerate(message.events):
        if _number(event, position) == number:
            yield event


def _is_ours(services: Services, case: CaseRow, facts: Facts, bundle: Json) -> bool:
    """Whether an answer is still one to the request in force: that may have changed since it came."""
    ours = {row.claim_identifier for row in in_force(services, case, facts)}
    return not ours.isdisjoint(answer.claim_identifiers(bundle))


def _is_old(bundle: Json, facts: Facts, services: Services, case: CaseRow) -> bool:
    """Whether this very answer was taken already, or one that the payer made later: events may overtake each other."""
    known = answer.load_answer_or_none(services, case, facts)
    if known is None:
        return False
    made, newest = _made_at(bundle), _made_at(known)
    is_old = known == bundle or (made is not None and newest is not None and made < newest)
    if is_old:
        get_logger().info("notification-repeated", case_id=case.case_id, payer=case.payer)
    return is_old


def _made_at(bundle: Json) -> datetime | None:
    """Instant of ClaimResponse.created; None where it says less than an instant."""
    found = next(iter(resources(bundle, "ClaimResponse")), {})
    try:
        return read_instant(str(found.get("created", "")))
    except InputError:
        return None
