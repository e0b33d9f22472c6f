"""Events of a case as lines that people read: who did what, what followed, and the bytes it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.flows import desk
from gateway.flows.exchanges import ANSWERS
from gateway.flows.services import Services

WHO: Final = ("people", "payer", "system")
"""Whose events a timeline may be narrowed to."""
_HIDDEN: Final = frozenset({"digest", "submission_id"})
"""Facts of a note that only repeat a digest or an id shown elsewhere."""
_SPECIAL: Final = {
    ("manual-answer", "completed"): "form completed",
    ("manual-answer", "attachment"): "documents chosen for the payer",
    ("form-receive", "next-questions"): "payer asked for the next questions",
    ("populate-auto-server", "completed"): "form completed by the payer",
    ("submit", "attachment"): "documents sent to the payer",
    ("payer-response", "inquiry"): "payer asked where it stands",
    ("write-back", "care"): "conservative care written to the EHR",
    ("care-milestone", "alarm"): "new finding under conservative care",
    ("care-upload", "visits-confirmed"): "visits of another clinic confirmed",
    ("care-upload", "visits-discarded"): "visits of another clinic discarded",
}
"""(activity, kind of the note) → words that are more exact than those of the activity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One event, ready to be printed."""

    seq: int
    at: datetime
    who: str
    """Who acted, in words."""
    phrase: str
    """What happened."""
    moved: str
    """`documenting → ready`; empty where the case stayed where it was."""
    notes: tuple[str, ...]
    """Small facts, in words."""
    digest: str
    """Digest of what it is about; empty for none."""


def lines(services: Services, events: Iterable[Any]) -> list[EventLine]:
    """The events as lines, in their order."""
    payers = desk.payer_names(services)
    return [_line(services, payers, event) for event in events]


def chosen(events: Sequence[Any], who: str) -> list[Any]:
    """The events of people, of the payer, or of the system; all of them for anything else."""
    return [event for event in events if who not in WHO or _kind(event) == who]


def _kind(event: Any) -> str:
    if event.actor.startswith("user:"):
        return "people"
    return "payer" if event.verb in ANSWERS or event.actor.startswith("payer:") else "system"


def _line(services: Services, payers: dict[str, str], event: Any) -> EventLine:
    is_move = event.to_state and event.to_state != event.from_state
    return EventLine(
        seq=event.seq,
        at=event.at,
        who=_who(services, payers, event.actor),
        phrase=_phrase(event),
        moved=f"{_plain(event.from_state or 'new')} → {_plain(event.to_state)}" if is_move else "",
        notes=tuple(_note(key, value) for key, value in event.note.items() if _says(key, value)),
        digest=event.object_digest,
    )


def _phrase(event: Any) -> str:
    if event.verb == "release" and event.to_state == "checking":
        return "set to be checked again"
    special = _SPECIAL.get((event.verb, str(event.note.get("kind", ""))))
    return special or desk.activity_words(event.verb)


def _who(services: Services, payers: dict[str, str], actor: str) -> str:
    kind, _, name = actor.partition(":")
    if kind == "user":
        client = services.settings.clients.get(name)
        return f"{client.name} ({name})" if client and client.name else name
    if kind == "payer":
        return payers.get(name, name)
    return f"System {name}" if name else actor.capitalize()


def _says(key: str, value: Any) -> bool:
    return key not in _HIDDEN and value not in ("", None)


def _note(key: str, value: Any) -> str:
    shown = _plain(value) if key in ("action", "kind", "decision", "stage") and isinstance(value, str) else value
    return f"{_plain(key)}: {shown}"


def _plain(text: str) -> str:
    return text.replace("_", " ").replace("-", " ")
