"""Answers of CRD services: tolerant of their shape, strict about what may be applied to an order.

Source: spec/crd.md §7, field case B83. An action that changes anything besides coverage-information
is reported by `order_differences`; quarantining it is the caller's step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import PayerUnreadable
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.profiles.crd_coverage_information import without_coverage_information

PLACEHOLDER_ID = "idfromcontext"
"""Id that published samples put where the order's own id belongs."""
_IGNORED = frozenset({"meta", "text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemAction:
    """One action a service wants done without asking anybody."""

    type: str
    """create, update or delete."""
    description: str = ""
    """For people; often missing."""
    resource: Json
    """The whole resource; empty when none came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    """A CDS Hooks answer, members that were missing read as empty."""

    cards: tuple[Json, ...]
    """Cards, as parsed."""
    system_actions: tuple[SystemAction, ...]
    """System actions, in order."""
    notes: tuple[str, ...] = ()
    """What was odd about its shape."""


def read_hook_response(body: Any) -> HookAnswer:
    """Read a hook answer; missing or null `cards` is tolerated and noted (B83).

    `PayerUnreadable` when the body is not a JSON object at all.
    """
    if not isinstance(body, Mapping):
        raise PayerUnreadable("The payer's answer is not a CDS Hooks response.", code="crd.shape")
    notes = () if isinstance(body.get("cards"), list) else ("cards missing, read as none",)
    actions = tuple(_action(item) for item in objects(body.get("systemActions")))
    return HookAnswer(cards=objects(body.get("cards")), system_actions=actions, notes=notes)


def build_hook_response(cards: Sequence[Json] = (), system_actions: Sequence[Json] = ()) -> dict[str, Any]:
    """An answer as we give it to an EHR: `cards` always present."""
    body: dict[str, Any] = {"cards": [dict(card) for card in cards]}
    return {**body, "systemActions": [dict(action) for action in system_actions]} if system_actions else body


def build_update_action(resource: Json, description: str) -> dict[str, Any]:
    """The system action that annotates an order."""
    return {"type": "update", "description": description, "resource": dict(resource)}


def match_action(action: SystemAction, orders: Sequence[Json]) -> Json | None:
    """The order that an update action is about, by type and id; None when it is none of them.

    The samples' placeholder id is believed only where one single order was sent.
    """
    if action.type != "update" or not action.resource:
        return None
    kind, identity = text(action.resource.get("resourceType")), text(action.resource.get("id"))
    same_type = [order for order in orders if order.get("resourceType") == kind]
    exact = [order for order in same_type if order.get("id") == identity]
    if exact:
        return exact[0]
    return same_type[0] if len(orders) == 1 and same_type and identity in (PLACEHOLDER_ID, "") else None


def order_differences(sent: Json, returned: Json) -> list[str]:
    """Element names that differ between the order sent and the one returned, sorted; empty = none.

    Coverage-information, `meta` and narrative are not looked at, nor is the placeholder id.
    """
    left, right = without_coverage_information(sent), without_coverage_information(returned)
    ignored = _IGNORED | ({"id"} if right.get("id") in (PLACEHOLDER_ID, None) else frozenset())
    names = (set(left) | set(right)) - ignored
    return sorted(name for name in names if left.get(name) != right.get(name))


def _action(item: Json) -> SystemAction:
    return SystemAction(
        type=text(item.get("type")),
        description=text(item.get("description")),
        resource=one(item.get("resource")),
    )
