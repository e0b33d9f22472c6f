"""What our CDS services remember between calls: tokens used, panels shown, cards handed out.

No row holds anything of a patient: panels and tokens are known by keyed digests, cards by random ids.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from gateway.store.base import ALL_TENANTS, Repository, of, record_of, values_of
from gateway.store.rows import HookCardRow
from gateway.store.tables import hook_cards, hook_panels, hook_tokens

CARD_LIFE = timedelta(days=90)
"""How long feedback on a card finds its case."""

_FORGET_TOKENS = sa.delete(hook_tokens).where(hook_tokens.c.expires_at < of("now"))
_FORGET_CARDS = sa.delete(hook_cards).where(hook_cards.c.shown_at < of("before"))
_FORGET_PANELS = sa.delete(hook_panels).where(hook_panels.c.shown_at <= of("before"))
_CARD = sa.select(hook_cards).where(hook_cards.c.tenant_id == of("tenant"), hook_cards.c.card_id == of("card"))
_ANSWER = sa.update(hook_cards).where(
    hook_cards.c.tenant_id == of("tenant"), hook_cards.c.card_id == of("card"), hook_cards.c.outcome == ""
)


class Hooks(Repository):
    """Named queries over tokens, panels and cards."""

    def use_token(self, tenant_id: str, token_sha256: str, until: datetime) -> bool:
        """Whether this token is used for the first time; it is remembered until `until`."""
        self._change(ALL_TENANTS, _FORGET_TOKENS, of_now=self._now())
        values = {"tenant_id": tenant_id, "token_sha256": token_sha256, "expires_at": until}
        return self._insert_new(hook_tokens, values)

    def claim_panel(self, tenant_id: str, panel_key: str, again_after: timedelta) -> bool:
        """Whether the panel may be shown now: it was not shown within `again_after`. Claims it."""
        now = self._now()
        self._change(ALL_TENANTS, _FORGET_PANELS, of_before=now - again_after)
        return self._insert_new(hook_panels, {"tenant_id": tenant_id, "panel_key": panel_key, "shown_at": now})

    def keep_card(self, row: HookCardRow) -> None:
        """Stores a card that is about to be shown, and forgets those of long ago."""
        self._change(ALL_TENANTS, _FORGET_CARDS, of_before=self._now() - CARD_LIFE)
        self._insert_new(hook_cards, values_of(row))

    def find_card(self, tenant_id: str, card_id: str) -> HookCardRow | None:
        """The card; None where it is not known (any more)."""
        row = self._one(tenant_id, _CARD, of_card=card_id)
        return record_of(HookCardRow, row) if row else None

    def answer_card(self, tenant_id: str, card_id: str, outcome: str, answered_at: datetime) -> bool:
        """Notes what became of the card; False where that is known already, so that a repeat counts once."""
        statement = _ANSWER.values(outcome=outcome, answered_at=answered_at)
        return self._change(tenant_id, statement, of_card=card_id) == 1
