"""The record: case rows, the append-only event table, exact bytes, submissions and what arrived.

Two databases, one code: an SQLite file (one process, one machine) and PostgreSQL 14 or later. Every
row belongs to a tenant and every named query takes the tenant first. The room knows rows and
transactions; it refuses to know what a state means, when to retry, or anything of FHIR.

    store = Store.open("sqlite:///var/gateway.db")
    with store.begin() as tx:
        case = tx.cases.get(tenant, case_id)
        tx.cases.update(tenant, case_id, case.version, state="checking")
        tx.events.append(event)
        jobs.enqueue(tx.connection, "checking", "check_order", (tenant, case_id), key)
"""

from gateway.store.rows import (
    BreakerRow,
    CaseFilter,
    CaseRow,
    Cursor,
    EventRow,
    IdempotencyRow,
    NotificationRow,
    ObjectRow,
    SessionRow,
    SubmissionRow,
    SubscriptionRow,
)
from gateway.store.store import Store, Tx

__all__ = [
    "BreakerRow",
    "CaseFilter",
    "CaseRow",
    "Cursor",
    "EventRow",
    "IdempotencyRow",
    "NotificationRow",
    "ObjectRow",
    "SessionRow",
    "Store",
    "SubmissionRow",
    "SubscriptionRow",
    "Tx",
]
