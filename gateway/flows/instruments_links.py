"""A patient answers a questionnaire by a link that works once, for a short time, and shows nothing of anybody.

The link carries 256 random bits and the database their digest. It opens one questionnaire of one case and can do
nothing else; a new link for the same questionnaire ends the one before. Source: spec/clinical.md §3.2.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.errors import NotFound
from gateway.flows import desk, instruments, ledger
from gateway.flows.actors import Actor
from gateway.flows.instruments_measure import PATIENT, Entry, MeasureSheet, keep, open_measure, with_id
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.policy.access import Caller, require_access
from gateway.store.links import LinkRow

__all__ = ["GONE", "PATIENT", "Invitation", "Link", "make_link", "open_link", "use_link"]

GONE = "This link was used already, or its time is over. Ask the practice for a new one."
"""Sentence for every link that does not work, whatever the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link just made; it is shown once."""

    address: str = field(repr=False)
    """Absolute address, to be handed to the patient."""
    expires_at: datetime
    """When it ends unless it is used before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a link opens."""

    row: LinkRow
    """The link."""
    opened: MeasureSheet
    """The questionnaire."""


def make_link(services: Services, actor: Actor, case_id: str, slug: str) -> Link:
    """A link for one questionnaire of a case. AccessError; Conflict where the case takes no scores; NotFound."""
    case = desk.open_case(services, actor, case_id).case
    require_access(actor.caller, "measure.enter", instruments.about(case))
    opened = open_measure(services, slug)
    token, now = secrets.token_urlsafe(32), services.clock.now()
    row = LinkRow(
        tenant_id=case.tenant_id,
        token_sha256=_digest(token),
        case_id=case.case_id,
        instrument=opened.instrument.slug,
        made_by=actor.label,
        response_id=services.new_id(),
        created_at=now,
        expires_at=now + timedelta(hours=services.settings.instruments.link_hours),
    )
    with services.store.begin() as tx:
        tx.links.insert(row)
    get_logger().info("answer-link", case_id=case.case_id, stage=row.instrument)
    base = services.settings.server.base_url.rstrip("/")
    return Link(address=f"{base}/answer/{token}", expires_at=row.expires_at)


def open_link(services: Services, token: str) -> Invitation:
    """The questionnaire behind a link.

    NotFound for one that is unknown, used or over, or whose case takes no scores any more; the sentence is the same.
    """
    with services.store.read() as tx:
        row = tx.links.find(_digest(token))
    if row is None or row.used_at is not None or row.expires_at <= services.clock.now():
        raise NotFound(GONE, code="link.gone")
    if not instruments.may(_maker(row), "measure.enter", ledger.load(services, row.tenant_id, row.case_id)):
        raise NotFound(GONE, code="link.gone")
    opened = open_measure(services, row.instrument)
    return Invitation(row=row, opened=with_id(opened, row.response_id))


def use_link(services: Services, row: LinkRow, opened: MeasureSheet, *, anyway: bool = False) -> None:
    """Keep a patient's answers and use the link up.

    The link is used before anything is written, so that it counts once however often it is sent, and opened again
    where nothing could be kept. NotFound for a link that was used meanwhile, InputError 422, the EHR's errors.
    """
    with services.store.begin() as tx:
        if not tx.links.use(row, services.clock.now()):
            raise NotFound(GONE, code="link.gone")
    try:
        case = ledger.load(services, row.tenant_id, row.case_id)
        actor = Actor(id="answer-link", kind="patient", tenant=row.tenant_id)
        keep(services, case, opened, Entry(actor=actor, author=PATIENT, response_id=row.response_id), anyway=anyway)
    except Exception:
        with services.store.begin() as tx:
            tx.links.free(row)
        raise


def _maker(row: LinkRow) -> Caller:
    """As whom a link is used: what staff may not enter any more, a link of theirs does not either."""
    return Caller(id="answer-link", tenant=row.tenant_id, roles=frozenset({"staff"}))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
