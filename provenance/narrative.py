"""The narrative of a statement: one plain sentence that people read, covered by the statement's digest."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from provenance.parties import Agent
from provenance.urls import XHTML


def statement_narrative(
    activity: str, recorded: str, agents: Sequence[Agent], targets: int, entities: int
) -> dict[str, str]:
    """FHIR Narrative: what was recorded, when, by whom, over how many things, from how many inputs."""
    who = "; ".join(f"{agent.role}: {agent.who.display or agent.who.type}" for agent in agents)
    sentence = f"{activity} – {recorded} – {who} – targets: {targets}, inputs: {entities}"
    return {"status": "generated", "div": f'<div xmlns="{XHTML}"><p>{escape(sentence)}</p></div>'}
