"""From advice to cards: text, choices with drafts and links, reasons for going on anyway, and when not to repeat.

The panel is an inline card, never modal, and blocks nothing. Source: spec/clinical.md §1.8, §4.2 (nothing is
final before a clinician attests); spec/crd.md §7.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gateway.clinical.panel import RED_FLAG, Choice, Panel
from gateway.flows.intercept_panel import Advice
from gateway.flows.services import Services
from gateway.profiles.crd_services import Card, Suggestion, build_card, build_create_action, build_draft_task
from gateway.profiles.crd_serving import HookCall
from gateway.store.rows import HookCardRow

AGAIN_AFTER = timedelta(hours=24)
"""The same panel is not shown again before this."""
LABEL = "Prior-authorization gateway"
"""Who speaks on our cards."""
PAGES: Mapping[str, str] = {"red-flag": "red-flag", "timer": "timer", "upgrade": "neuro-exam"}
"""Choice → last part of the address of its page under the case."""
TASKS: Mapping[str, tuple[str, str]] = {
    "red-flag": ("red-flag-exception", "Document the red-flag exception of this order."),
    "timer": ("conservative-care-timer", "Screen for red flags and start conservative care for this order."),
    "upgrade": ("neuro-exam", "Document a neurological examination for this order."),
}
"""Choice → local code and words of the draft Task that remembers it in the EHR."""
OVERRIDE = "override-"
"""Local codes of override reasons begin so."""


def build_cards(
    services: Services, call: HookCall, tenant: str, advice: list[tuple[Advice, str]], unseen: tuple[str, ...] = ()
) -> tuple[tuple[dict[str, Any], str], ...]:
    """(card, case id or empty) for each piece of advice that was not shown within a day; each is remembered.

    `advice` are (advice, case id or empty) pairs; `unseen` are types of the chart that could not be read, which
    the cards say.
    """
    cards = []
    for item, case_id in advice:
        card, row = _card(services, call, tenant, item, case_id, unseen)
        with services.store.begin() as tx:
            is_new = [tx.hooks.claim_panel(tenant, key, AGAIN_AFTER) for key in _keys(services, item.key, case_id)]
            if is_new[0]:
                tx.hooks.keep_card(row)
        if is_new[0]:
            cards.append((build_card(card), case_id))
    return tuple(cards)


def _keys(services: Services, key: str, case_id: str) -> tuple[str, ...]:
    """Keyed digests of a panel, the deciding one first.

    A panel that could carry no links, since no case was open while the order was being selected, does not keep the
    one with links from being shown once at signing; after that neither is repeated. [derived]
    """
    plain, linked = (_digest(services, f"{kind}\x1f{key}") for kind in ("plain", "linked"))
    return (linked, plain) if case_id else (plain,)


def _digest(services: Services, text: str) -> str:
    return hmac.new(services.secret + b"/hook-panel", text.encode(), hashlib.sha256).hexdigest()


def _card(
    services: Services, call: HookCall, tenant: str, item: Advice, case_id: str, unseen: tuple[str, ...]
) -> tuple[Card, HookCardRow]:
    choices = item.panel.choices if item.panel else ()
    suggestions = {services.new_id(): choice for choice in choices}
    card = Card(
        uuid=services.new_id(),
        summary=item.panel.title if item.panel else item.remark_title,
        detail=panel_text(item.panel, item.advisories, unseen) if item.panel else item.remark,
        indicator="warning" if item.panel else "info",
        label=LABEL,
        suggestions=tuple(_suggestion(services, call, item, uuid, choice) for uuid, choice in suggestions.items()),
        links=tuple(_link(services, item, case_id, choice) for choice in choices) if case_id else (),
        overrides=tuple(_override(services, choice) for choice in item.panel.overrides) if item.panel else (),
        orders=(item.order,),
    )
    words = json.dumps({uuid: choice.code for uuid, choice in suggestions.items()}, separators=(",", ":"))
    row = HookCardRow(
        tenant_id=tenant,
        card_id=card.uuid,
        case_id=case_id,
        service=call.hook,
        choices=words,
        shown_at=services.clock.now(),
    )
    return card, row


def panel_text(panel: Panel, advisories: tuple[str, ...] = (), unseen: tuple[str, ...] = ()) -> str:
    """The panel as Markdown: its facts in one line, its rule, one line for each thing missing, remarks.

    Where an exception is begun, what it lacks comes first and the gap last (spec/clinical.md §1.7).
    """
    parts = [panel.summary, panel.rule, "\n".join(f"- {line}" for line in panel.lines)]
    if panel.choices == (RED_FLAG,):
        parts = [parts[2], parts[1], parts[0]]
    parts += [f"Note: {remark}" for remark in advisories]
    if unseen:
        parts.append(f"Not read in time, so what they hold is not counted: {', '.join(unseen)}.")
    return "\n\n".join(filter(None, parts))


def _suggestion(services: Services, call: HookCall, item: Advice, uuid: str, choice: Choice) -> Suggestion:
    """A choice with its draft: a Task that says what was chosen; nothing is ordered, coded or attested by it."""
    code, words = TASKS[choice.code]
    task = build_draft_task(
        code=(services.concepts.local_system, code),
        words=choice.label,
        description=f"{words} {choice.note}".strip(),
        patient_id=call.patient_id,
        order=item.order,
        user=call.user,
    )
    return Suggestion(uuid=uuid, label=choice.label, actions=(build_create_action(task, words),))


def _link(services: Services, item: Advice, case_id: str, choice: Choice) -> tuple[str, str]:
    """Label and address of the choice's page; the red-flag template opens at its category where one is raised."""
    base = services.settings.server.base_url.rstrip("/")
    query = f"?category={item.category}" if choice.code == "red-flag" and item.category else ""
    return choice.label, f"{base}/cases/{case_id}/{PAGES[choice.code]}{query}"


def _override(services: Services, choice: Choice) -> Mapping[str, str]:
    return {"system": services.concepts.local_system, "code": f"{OVERRIDE}{choice.code}", "display": choice.label}
