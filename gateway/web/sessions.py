"""Staff sessions: a random id in the browser, its digest and its end in the database.

A session ends after 15 minutes without a request and after 8 hours in any case. Roles are read from the
settings at each request, so that a person who is taken out of them is out at once.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.flows.actors import Actor
from gateway.flows.desk import SessionRow
from gateway.flows.services import Services
from gateway.settings import ClientSettings
from gateway.web.safety import form_token

IDLE: Final = timedelta(minutes=15)
"""A session ends after so long without a request."""
LONGEST: Final = timedelta(hours=8)
"""A session ends after so long in any case."""
_SLIDE_AFTER: Final = timedelta(minutes=1)
"""The end is written anew when it would move by more than this; saves a write for each picture of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A person who has signed in."""

    actor: Actor
    """The person as the flows see them."""
    key: str = field(repr=False)
    """Digest of the session's id, under which it is stored."""
    token: str = field(repr=False)
    """What every form of this session carries."""
    expires_at: datetime
    """When the session ends unless another page is opened."""
    kept: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Small things of the session that must not be in an address, such as the words searched for."""


def cookie_name(services: Services) -> str:
    """Name of the cookie: with the `__Host-` prefix, which browsers enforce, wherever the address is https."""
    return "__Host-pa-session" if is_https(services) else "pa-session"


def is_https(services: Services) -> bool:
    """Whether people reach the pages by https."""
    return services.settings.server.base_url.casefold().startswith("https://")


def person(services: Services, user: str) -> ClientSettings | None:
    """The settings of a person who may sign in, or None."""
    client = services.settings.clients.get(user)
    return client if client is not None and client.password_argon2 else None


def begin(services: Services, user: str) -> str:
    """Open a session with a new random id and return that id. The user's password was checked."""
    client = services.settings.clients[user]
    session_id, now = secrets.token_urlsafe(32), services.clock.now()
    row = SessionRow(
        session_sha256=_digest(session_id),
        tenant_id=client.tenant,
        user=user,
        role=",".join(client.roles),
        created_at=now,
        expires_at=now + IDLE,
    )
    with services.store.begin() as tx:
        tx.sessions.purge(now)
        tx.sessions.insert(row)
    return session_id


def find(services: Services, session_id: str) -> Visitor | None:
    """The person of a session id, with the session's end moved on; None where there is no live session."""
    if not session_id:
        return None
    now, key = services.clock.now(), _digest(session_id)
    with services.store.read() as tx:
        row = tx.sessions.find(key, now)
    client = person(services, row.user) if row else None
    if row is None or client is None or client.tenant != row.tenant_id or now >= row.created_at + LONGEST:
        return None
    expires_at = min(now + IDLE, row.created_at + LONGEST)
    if expires_at - row.expires_at > _SLIDE_AFTER:
        with services.store.begin() as tx:
            tx.sessions.save(key, data=row.data, expires_at=expires_at)
    return _visitor(services, row, client, expires_at)


def keep(services: Services, visitor: Visitor, **changes: Any) -> None:
    """Remember small things for the rest of the session."""
    data = json.dumps({**visitor.kept, **changes})
    with services.store.begin() as tx:
        tx.sessions.save(visitor.key, data=data, expires_at=visitor.expires_at)


def end(services: Services, session_id: str) -> None:
    """End a session; nothing happens where there is none."""
    if session_id:
        with services.store.begin() as tx:
            tx.sessions.delete(_digest(session_id))


def _visitor(services: Services, row: SessionRow, client: ClientSettings, expires_at: datetime) -> Visitor:
    actor = Actor(
        id=row.user,
        kind="user",
        tenant=row.tenant_id,
        roles=tuple(client.roles),
        name=client.name or row.user,
        practitioner=client.practitioner,
        session=row.session_sha256,
    )
    kept: dict[str, Any] = json.loads(row.data or "{}")
    token = form_token(services.secret, row.session_sha256)
    return Visitor(actor=actor, key=row.session_sha256, token=token, expires_at=expires_at, kept=kept)


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
