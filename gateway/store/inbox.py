"""What payers send us: our subscriptions at them, and every notification kept whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import ALL_TENANTS, Repository, of, record_of, values_of
from gateway.store.rows import NotificationRow, SubscriptionRow
from gateway.store.tables import notifications, subscriptions

_OWN = subscriptions.c.tenant_id == of("tenant")
_SUBSCRIPTION = sa.select(subscriptions).where(_OWN, subscriptions.c.subscription_id == of("subscription"))
_BY_TOKEN = sa.select(subscriptions).where(subscriptions.c.token_sha256 == of("token"))
_FOR_PAYER = (
    sa.select(subscriptions)
    .where(_OWN, subscriptions.c.payer == of("payer"))
    .order_by(subscriptions.c.created_at.desc())
)

_RECEIVED = sa.and_(notifications.c.tenant_id == of("tenant"), notifications.c.notification_id == of("notification"))
_NOTIFICATION = sa.select(notifications).where(_RECEIVED)
_FOR_CASE = (
    sa.select(notifications)
    .where(notifications.c.tenant_id == of("tenant"), notifications.c.case_id == of("case"))
    .order_by(notifications.c.received_at, notifications.c.notification_id)
)
_QUARANTINED = (
    sa.select(notifications)
    .where(notifications.c.tenant_id == of("tenant"), notifications.c.quarantined != "")
    .order_by(notifications.c.received_at.desc())
    .limit(of("limit"))
)
_UNPROCESSED = (
    sa.select(notifications)
    .where(notifications.c.processed_at.is_(None))
    .order_by(notifications.c.received_at, notifications.c.notification_id)
    .limit(of("limit"))
)
_FINISH = sa.update(notifications).where(_RECEIVED, notifications.c.processed_at.is_(None))


class Subscriptions(Repository):
    """Named queries over subscription rows."""

    def insert(self, row: SubscriptionRow) -> SubscriptionRow:
        """Stores a subscription; raises Conflict where its id or token is taken."""
        if not self._insert_new(subscriptions, values_of(row)):
            raise Conflict("This subscription is already stored.", code="conflict.subscription")
        return row

    def get(self, tenant_id: str, subscription_id: str) -> SubscriptionRow:
        """The subscription; raises NotFound."""
        row = self._one(tenant_id, _SUBSCRIPTION, of_subscription=subscription_id)
        if row is None:
            raise NotFound("There is no such subscription.")
        return record_of(SubscriptionRow, row)

    def by_token(self, token_sha256: str) -> SubscriptionRow | None:
        """The subscription whose path token has this digest, or None.

        The one look-up without a tenant: the token is the credential and names the tenant.
        """
        row = self._one(ALL_TENANTS, _BY_TOKEN, of_token=token_sha256)
        return record_of(SubscriptionRow, row) if row else None

    def for_payer(self, tenant_id: str, payer: str) -> tuple[SubscriptionRow, ...]:
        """Subscriptions at the payer, newest first."""
        return tuple(record_of(SubscriptionRow, row) for row in self._all(tenant_id, _FOR_PAYER, of_payer=payer))

    def update(self, tenant_id: str, subscription_id: str, expected_version: int, **changes: Any) -> SubscriptionRow:
        """Changes the fields named; raises Conflict where the row no longer has `expected_version`."""
        row = self._compare_and_set(subscriptions, tenant_id, subscription_id, expected_version, changes)
        return record_of(SubscriptionRow, row)


class Notifications(Repository):
    """Named queries over notification rows."""

    def insert(self, row: NotificationRow) -> bool:
        """Stores a notification; False where the same event with the same bytes is already stored."""
        return self._insert_new(notifications, values_of(row))

    def get(self, tenant_id: str, notification_id: str) -> NotificationRow:
        """The notification with its bytes; raises NotFound."""
        row = self._one(tenant_id, _NOTIFICATION, of_notification=notification_id)
        if row is None:
            raise NotFound("There is no such notification.")
        return record_of(NotificationRow, row)

    def for_case(self, tenant_id: str, case_id: str) -> tuple[NotificationRow, ...]:
        """Notifications matched to the case, oldest first."""
        return self._records(tenant_id, _FOR_CASE, of_case=case_id)

    def quarantined(self, tenant_id: str, limit: int = 100) -> tuple[NotificationRow, ...]:
        """Notifications that changed nothing, newest first, at most `limit`."""
        return self._records(tenant_id, _QUARANTINED, of_limit=limit)

    def unprocessed(self, limit: int = 100) -> tuple[NotificationRow, ...]:
        """Notifications of all tenants that nobody finished, oldest first. For the sweep alone."""
        return self._records(ALL_TENANTS, _UNPROCESSED, of_limit=limit)

    def finish(
        self, tenant_id: str, notification_id: str, at: datetime, *, case_id: str | None = None, quarantined: str = ""
    ) -> bool:
        """Marks it processed, once; False where it already was."""
        done = _FINISH.values(processed_at=at, case_id=case_id, quarantined=quarantined)
        return self._change(tenant_id, done, of_notification=notification_id) == 1

    def _records(self, tenant_id: str, statement: sa.Select[Any], **values: Any) -> tuple[NotificationRow, ...]:
        return tuple(record_of(NotificationRow, row) for row in self._all(tenant_id, statement, **values))
