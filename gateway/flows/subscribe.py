"""Our subscription at a payer: one per payer, made before the first request leaves (pas:spec-8).

The endpoint carries a random path token, the channel a secret header; of both only digests are kept.
The handshake may arrive before the payer's 201, so it is recognised by the token (spec/pas.md §10).
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import replace
from datetime import timedelta

from gateway.errors import Conflict, PayerRejected, PayerUnreadable
from gateway.fhir.json import dump_json
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles.guides import pas_guide
from gateway.store.rows import CaseRow, SubscriptionRow

PATIENCE = timedelta(seconds=60)
"""How long a subscription may stay unconfirmed before another one is made."""


def ensure(services: Services, case: CaseRow) -> None:
    """Make sure that the payer will notify us. Raises PayerError where it cannot be asked."""
    payer = services.payer_row(case.payer)
    if payer.pas is None or not payer.pas.subscription:
        return
    row, token, header = _claim(services, case)
    if row is None:
        return
    subscription = pas_guide(payer.pas.version).build_subscription(
        f"{services.settings.server.base_url.rstrip('/')}/notifications/{token}",
        payer.pas.transmission.interchange_sender_id or payer.org_identifier[1],
        header=(f"Authorization: Bearer {header}",),
        plain_http=payer.plain_http,
    )
    exchange = services.payer(case.payer).create_subscription(dump_json(subscription))
    if not exchange.is_success:
        raise PayerRejected(
            f"The payer refused our subscription with HTTP {exchange.status}.",
            http_answer=exchange.status,
            body=exchange.response_bytes,
            retry_after_seconds=exchange.retry_after_seconds,
        )
    location = exchange.headers.get("location", "").split("/_history/")[0]
    _remember(services, row, location.rpartition("/")[2])


def _claim(services: Services, case: CaseRow) -> tuple[SubscriptionRow | None, str, str]:
    """The row to be made at the payer with its secrets; None where one stands or another process makes it."""
    token, header = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    now = services.clock.now()
    fresh = SubscriptionRow(
        tenant_id=case.tenant_id,
        subscription_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{case.tenant_id}/{case.payer}")),
        payer=case.payer,
        token_sha256=digest(token),
        header_sha256=digest(f"Bearer {header}"),
        created_at=now,
    )
    with services.store.begin() as tx:
        known = next(iter(tx.subscriptions.for_payer(case.tenant_id, case.payer)), None)
        if known is None:
            return tx.subscriptions.insert(fresh), token, header
        stands = known.status == "active" or (known.status == "requested" and now < known.created_at + PATIENCE)
        if stands:
            return None, "", ""
        changes = {
            "token_sha256": fresh.token_sha256,
            "header_sha256": fresh.header_sha256,
            "status": "requested",
            "created_at": now,
        }
        return tx.subscriptions.update(known.tenant_id, known.subscription_id, known.version, **changes), token, header


def forget(services: Services, case: CaseRow) -> None:
    """The payer could not be asked: the next try makes the subscription anew."""
    with services.store.begin() as tx:
        for row in tx.subscriptions.for_payer(case.tenant_id, case.payer):
            if row.status == "requested" and not row.remote_id:
                tx.subscriptions.update(row.tenant_id, row.subscription_id, row.version, status="off")


def _remember(services: Services, row: SubscriptionRow, remote_id: str) -> None:
    """Keep the payer's id for it; the handshake may have changed the row meanwhile."""
    if not remote_id:
        raise PayerUnreadable("The payer created our subscription without saying where.", code="payer.location")
    for _ in range(3):
        with services.store.read() as tx:
            current = tx.subscriptions.get(row.tenant_id, row.subscription_id)
        try:
            with services.store.begin() as tx:
                tx.subscriptions.update(row.tenant_id, row.subscription_id, current.version, remote_id=remote_id)
            return
        except Conflict:
            continue
    get_logger().warning("subscription-id-not-kept", payer=row.payer)


def confirm(services: Services, row: SubscriptionRow) -> None:
    """The payer's handshake came: the subscription is active."""
    if row.status == "active":
        return
    try:
        with services.store.begin() as tx:
            tx.subscriptions.update(row.tenant_id, row.subscription_id, row.version, status="active")
    except Conflict:
        return  # the id was kept at this moment; the payer's next handshake or event confirms again


def digest(text: str) -> str:
    """Hex SHA-256 of a secret: the only form in which it is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def advance_number(services: Services, row: SubscriptionRow, number: int | None) -> SubscriptionRow:
    """Keep the highest event number seen; a gap is logged, for missed events can only be asked for by a person."""
    if number is None or number <= row.last_event_number:
        return row
    if number > row.last_event_number + 1 and row.last_event_number:
        get_logger().warning("notification-gap", payer=row.payer, count=number - row.last_event_number - 1)
    try:
        with services.store.begin() as tx:
            return tx.subscriptions.update(row.tenant_id, row.subscription_id, row.version, last_event_number=number)
    except Conflict:
        return replace(row, last_event_number=number)
