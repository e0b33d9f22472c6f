"""What a timer remembers of its resources in the EHR and of what was seen last: digests, references, small words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gateway.clinical.protocol_phases import is_due
from gateway.store.care_rows import TimerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One resource that belongs to a timer."""

    key: str
    """Name within the timer: `plan`, `drug`, `score-1`, `alert-baseline`…"""
    draft: str
    """Digest of the resource as it was built."""
    reference: str = ""
    """`Type/id` in the EHR; empty before it is written."""
    raw: str = ""
    """Digest of the exact bytes that the EHR answered last; empty before it is written."""
    phase: str = ""
    """Phase that it was brought to; empty before it is written."""
    is_declined: bool = False
    """A clinician did not want it."""
    source: str = ""
    """Digest of the file it was read from; empty for what the gateway proposed itself."""
    source_type: str = ""
    """Media type of that file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFacts:
    """Everything about a timer that its row has no column for."""

    region: str
    """Part of the body, our word for it."""
    rule: str
    """Rule row in force at the start, `id|version`."""
    problem: str
    """`Condition/id` treated."""
    owner: str
    """Reference of the coordinator; empty for none."""
    screened_by: str = ""
    """Reference of the person who screened; empty where the EHR does not know them."""
    signer: str = ""
    """`Practitioner/id` of the clinician who signed; empty before, or where the EHR does not know them."""
    signed_at: str = ""
    """When a clinician signed, ISO instant; empty before."""
    resources: tuple[Kept, ...] = ()
    """Resources in the order in which they are written."""
    seen: tuple[str, ...] = ()
    """Alarms that were told already, `kind reference`."""
    linked: tuple[str, ...] = ()
    """Sessions that the plan in the EHR refers to."""
    sessions: tuple[str, ...] = ()
    """Sessions that count."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """Numbers of the last look, for the dashboard; no names and no free text of a chart."""
    alerts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Milestone → what was missing, one sentence each."""
    hold_until: str = ""
    """Nothing is written before this ISO instant; empty where nothing failed."""
    tries: int = 0
    """Writes that failed in a row."""

    def to_text(self) -> str:
        """JSON text of the facts that are not empty."""
        return json.dumps({key: value for key, value in asdict(self).items() if value not in ("", (), {}, 0)})

    def resource(self, key: str) -> Kept | None:
        """The resource of that name, or None."""
        return next((item for item in self.resources if item.key == key), None)

    def with_resource(self, changed: Kept) -> TimerFacts:
        """The facts with one resource replaced, or added at the end."""
        if self.resource(changed.key) is None:
            return replace(self, resources=(*self.resources, changed))
        kept = tuple(changed if item.key == changed.key else item for item in self.resources)
        return replace(self, resources=kept)


def read_facts(timer: TimerRow) -> TimerFacts:
    """Facts of a timer's row."""
    raw: dict[str, Any] = json.loads(timer.facts)
    raw["resources"] = tuple(Kept(**item) for item in raw.get("resources", ()))
    for name in ("seen", "linked", "sessions"):
        raw[name] = tuple(raw.get(name, ()))
    raw["alerts"] = {name: tuple(lines) for name, lines in raw.get("alerts", {}).items()}
    return TimerFacts(**{"rule": "", "problem": "", "owner": "", "region": "", **raw})


def wanted_phase(timer: TimerRow, item: Kept) -> str:
    """Phase that a resource should have."""
    return "declined" if item.is_declined and timer.phase == "signed" else timer.phase


def pending(timer: TimerRow, facts: TimerFacts) -> Kept | None:
    """The first resource that the EHR does not have as it should be; None where all are.

    Once a timer has ended, what was never written stays unwritten.
    """
    for item in facts.resources:
        if not item.reference:
            if timer.state == "running":
                return item
            continue
        wanted = wanted_phase(timer, item)
        if item.phase != wanted and is_due(item.key, wanted):
            return item
    return None


def unlinked(facts: TimerFacts) -> tuple[str, ...]:
    """Sessions that count and that the plan does not refer to yet."""
    return tuple(item for item in facts.sessions if item not in facts.linked)
