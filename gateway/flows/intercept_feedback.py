"""What clinicians did with our cards: chosen, or gone on anyway and why. Each is an event of the order's case.

Source: CDS Hooks 2.0 (feedback); spec/clinical.md §1.8 (override reasons are logged), §8 (balancing measure).
"""

from __future__ import annotations

import json
from typing import Any

from gateway.clients.hook_trust import TrustedCaller
from gateway.errors import Conflict
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.intercept_cards import OVERRIDE
from gateway.flows.intercept_clients import actor_of
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles.crd_serving import Feedback, read_feedback
from gateway.store import Tx
from gateway.store.rows import CaseRow, HookCardRow


def take_feedback(services: Services, caller: TrustedCaller, service: str, body: Any) -> int:
    """Keep what was done with the cards of one service; how many of them were news.

    Cards that are not known, of another service, or answered already are passed over: an EHR may repeat itself.
    Raises InputError for a body that is no feedback.
    """
    actor = actor_of(caller)
    return sum(_take(services, actor, service, item) for item in read_feedback(body))


def _take(services: Services, actor: Actor, service: str, item: Feedback) -> bool:
    """Whether the feedback was news; what it says is noted on the card in the transaction of its event."""
    with services.store.read() as tx:
        card = tx.hooks.find_card(actor.tenant, item.card)
    if card is None or card.service != service or card.outcome:
        return False
    try:
        _record(services, actor, card, item)
    except _HeardBefore:
        return False
    get_logger().info("card-answered", case_id=card.case_id, stage=service, code=item.outcome)
    return True


class _HeardBefore(Conflict):
    """Another call noted the same feedback at this moment."""


def _note(services: Services, tx: Tx, card: HookCardRow, outcome: str) -> None:
    if not tx.hooks.answer_card(card.tenant_id, card.card_id, outcome, services.clock.now()):
        raise _HeardBefore("This feedback was heard before.", code="card.heard")


def _record(services: Services, actor: Actor, card: HookCardRow, item: Feedback) -> None:
    """One event of the card's case; the clinician's own words are kept with it and stand in no list."""
    if not card.case_id:
        with services.store.begin() as tx:
            _note(services, tx, card, item.outcome)
        return
    chosen = chosen_of(card, item)
    reason = item.reason.removeprefix(OVERRIDE) if item.outcome == "overridden" else ""
    told = {"card": card.card_id, "outcome": item.outcome, "chosen": list(chosen), "reason": reason}
    words = {**told, "comment": item.comment} if item.comment else told

    def once() -> CaseRow:
        case = ledger.load(services, actor.tenant, card.case_id)
        act = Act(
            verb="advice-answer",
            about=(Item.body(dump_json(words), "application/json"),),
            actor=actor,
            note={"kind": "card", "action": item.outcome, "reason": reason or ",".join(chosen), "stage": card.service},
        )
        return ledger.append(services, case, act, also=lambda tx: _note(services, tx, card, item.outcome))

    ledger.retry_on_conflict(once)


def chosen_of(card: HookCardRow, item: Feedback) -> tuple[str, ...]:
    """Words of the choices whose suggestions were accepted; unknown ones are left out."""
    choices: dict[str, str] = json.loads(card.choices)
    return tuple(choices[uuid] for uuid in item.accepted if uuid in choices)
