"""What payers send us: our subscriptions at them, and every notification kept whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import ALL_TENANTS, Repository, record_of, values_of
from gateway.store.rows import NotificationRow, SubscriptionRow
from gateway.store.tables import notifications, subscriptions


class Subscriptions(Repository):
    """Named queries over subscription rows."""

    def insert(self, row: SubscriptionRow) -> SubscriptionRow:
        """Stores a subscription; raises Conflict where its id or token is taken."""
        if not self._insert_new(subscriptions, values_of(row)):
            raise Conflict("This subscription is already stored.", code="conflict.subscription")
        return row

    def get(self, tenant_id: str, subscription_id: str) -> SubscriptionRow:
        """The subscription; raises NotFound."""
        row = self._one(tenant_id, sa.select(subscriptions).where(_is(tenant_id, subscription_id)))
        if row is None:
            raise NotFound("There is no such subscription.")
        return record_of(SubscriptionRow, row)

    def by_token(self, token_sha256: str) -> SubscriptionRow | None:
        """The subscription whose path token has this digest, or None.

        The one look-up without a tenant: the token is the credential and names the tenant.
        """
        row = self._one(ALL_TENANTS, sa.select(subscriptions).where(subscriptions.c.token_sha256 == token_sha256))
        return record_of(SubscriptionRow, row) if row else None

    def for_payer(self, tenant_id: str, payer: str) -> tuple[SubscriptionRow, ...]:
        """Subscriptions at the payer, newest first."""
        where = (subscriptions.c.tenant_id == tenant_id, subscriptions.c.payer == payer)
        ordered = sa.select(subscriptions).where(*where).order_by(subscriptions.c.created_at.desc())
        return tuple(record_of(SubscriptionRow, row) for row in self._all(tenant_id, ordered))

    def update(self, tenant_id: str, subscription_id: str, expected_version: int, **changes: Any) -> SubscriptionRow:
        """Changes the fields named; raises Conflict where the row no longer has `expected_version`."""
        where = sa.and_(_is(tenant_id, subscription_id), subscriptions.c.version == expected_version)
        row = self._compare_and_set(tenant_id, subscriptions, where, changes | {"version": expected_version + 1})
        return record_of(SubscriptionRow, row)


class Notifications(Repository):
    """Named queries over notification rows."""

    def insert(self, row: NotificationRow) -> bool:
        """Stores a notification; False where the same event with the same bytes is already stored."""
        return self._insert_new(notifications, values_of(row))

    def get(self, tenant_id: str, notification_id: str) -> NotificationRow:
        """The notification with its bytes; raises NotFound."""
        found = sa.select(notifications).where(
            notifications.c.tenant_id == tenant_id, notifications.c.notification_id == notification_id
        )
        row = self._one(tenant_id, found)
        if row is None:
            raise NotFound("There is no such notification.")
        return record_of(NotificationRow, row)

    def for_case(self, tenant_id: str, case_id: str) -> tuple[NotificationRow, ...]:
        """Notifications matched to the case, oldest first."""
        return self._ordered(tenant_id, notifications.c.case_id == case_id)

    def quarantined(self, tenant_id: str, limit: int = 100) -> tuple[NotificationRow, ...]:
        """Notifications that changed nothing, newest first, at most `limit`."""
        where = (notifications.c.tenant_id == tenant_id, notifications.c.quarantined != "")
        newest = sa.select(notifications).where(*where).order_by(notifications.c.received_at.desc()).limit(limit)
        return tuple(record_of(NotificationRow, row) for row in self._all(tenant_id, newest))

    def unprocessed(self, limit: int = 100) -> tuple[NotificationRow, ...]:
        """Notifications of all tenants that nobody finished, oldest first. For the sweep alone."""
        waiting = sa.select(notifications).where(notifications.c.processed_at.is_(None))
        ordered = waiting.order_by(notifications.c.received_at, notifications.c.notification_id).limit(limit)
        return tuple(record_of(NotificationRow, row) for row in self._all(ALL_TENANTS, ordered))

    def finish(
        self, tenant_id: str, notification_id: str, at: datetime, *, case_id: str | None = None, quarantined: str = ""
    ) -> bool:
        """Marks it processed, once; False where it already was."""
        where = (
            notifications.c.tenant_id == tenant_id,
            notifications.c.notification_id == notification_id,
            notifications.c.processed_at.is_(None),
        )
        values = {"processed_at": at, "case_id": case_id, "quarantined": quarantined}
        return self._change(tenant_id, sa.update(notifications).where(*where).values(**values)) == 1

    def _ordered(self, tenant_id: str, *where: sa.ColumnElement[bool]) -> tuple[NotificationRow, ...]:
        statement = sa.select(notifications).where(notifications.c.tenant_id == tenant_id, *where)
        ordered = statement.order_by(notifications.c.received_at, notifications.c.notification_id)
        return tuple(record_of(NotificationRow, row) for row in self._all(tenant_id, ordered))


def _is(tenant_id: str, subscription_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(subscriptions.c.tenant_id == tenant_id, subscriptions.c.subscription_id == subscription_id)
