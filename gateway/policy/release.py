"""Whether a sealed packet leaves by itself or waits for a person.

A payer's row says `auto` or `person`; whatever it says, some packets wait. Source: design.md §4
(provisional cases), pas:priv-1 (a provider may review before sending), security T27.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What release needs to know of a sealed packet."""

    policy: Literal["auto", "person"]
    """Release policy of the payer's row."""
    signed_at: datetime | None
    """When the order was seen signed in the EHR; None while the case is provisional."""
    open_questions: int = 0
    """Required questions without an answer."""
    has_sensitive_content: bool = False
    """Something in it carries a sensitivity label."""
    has_unconfirmed_answers: bool = False
    """An answer that a person must confirm (e.g. read from text) was not confirmed."""
    verdict: str = ""
    """Verdict of our clinical rules; empty when none applies."""
    gap_accepted: bool = False
    """A person accepted the gap or the exception, with a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Send now, or wait for a person."""

    now: bool
    """True: the packet may leave."""
    reasons: tuple[str, ...] = ()
    """Why it waits, one sentence each; empty when it may leave."""
    person_may_release: bool = True
    """False: not even a person may release it yet; the reasons say what is missing."""


_STOPS = frozenset({"GAP", "RED_FLAG_INCOMPLETE", "INDETERMINATE"})


def decide_release(packet: Packet) -> Release:
    """Whether the packet leaves now. Missing signature and open answers stop people too."""
    blocks = tuple(_blocks(packet))
    waits = tuple(_waits(packet))
    return Release(now=not blocks and not waits, reasons=blocks + waits, person_may_release=not blocks)


def _blocks(packet: Packet) -> list[str]:
    found = []
    if packet.signed_at is None:
        found.append("The order has not been seen signed in the EHR.")
    if packet.open_questions:
        found.append(f"{packet.open_questions} required questions have no answer.")
    return found


def _waits(packet: Packet) -> list[str]:
    found = []
    if packet.policy == "person":
        found.append("This payer's packets are released by a person.")
    if packet.has_sensitive_content:
        found.append("The packet holds content labelled sensitive; a person must agree to send it.")
    if packet.has_unconfirmed_answers:
        found.append("An answer read from text has not been confirmed.")
    if packet.verdict in _STOPS and not packet.gap_accepted:
        found.append("The clinical rule is not satisfied and nobody has accepted the gap.")
    return found
