"""What the resources of a timer look like while it is a draft, after signing, and when it ends.

A clinician may have moved a resource on in the EHR; what is beyond our reach there stays as it is.
Source: spec/clinical.md §2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.clinical.protocol_resources import local_instant
from gateway.fhir import Json
from gateway.fhir.reading import objects, text, thaw

_ENDS = ("completed", "cancelled", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a timer's resources are brought to."""

    phase: str
    """draft, signed, completed, cancelled, failed; declined for one resource that nobody wanted."""
    at: datetime
    """When."""
    zone: str
    """IANA zone of the practice."""
    signer: str = ""
    """`Practitioner/id` of the clinician who signed; empty where the EHR does not know them."""
    reason_system: str = ""
    """System of the reason's code; empty where the reason is words only."""
    reason: str = ""
    """Why the timer ended."""


_STATUS: dict[str, dict[str, str]] = {
    "goal": {"signed": "active", "completed": "completed", "cancelled": "cancelled", "failed": "cancelled"},
    "drug": {"signed": "active", "declined": "cancelled", "cancelled": "cancelled", "failed": "cancelled"},
    "statement": {"signed": "active", "cancelled": "entered-in-error"},
    "referral": {"signed": "active", "declined": "revoked", "cancelled": "revoked", "failed": "revoked"},
    "score": {"signed": "requested", "completed": "cancelled", "cancelled": "cancelled", "failed": "cancelled"},
    "screen": {"signed": "final", "cancelled": "cancelled"},
    "plan": {"signed": "active", "completed": "completed", "cancelled": "revoked", "failed": "revoked"},
    "timer": {"signed": "in-progress", "completed": "completed", "cancelled": "cancelled", "failed": "failed"},
    "alert": {"completed": "cancelled", "cancelled": "cancelled", "failed": "cancelled"},
    "visit": {},
}
"""Kind of resource and phase → status; a phase without a row changes nothing."""
_OURS: dict[str, frozenset[str]] = {
    "goal": frozenset({"proposed", "planned", "accepted", "active", "on-hold"}),
    "drug": frozenset({"draft"}),
    "statement": frozenset({"unknown"}),
    "referral": frozenset({"draft"}),
    "score": frozenset({"draft", "requested", "received", "accepted", "ready"}),
    "screen": frozenset({"preliminary"}),
    "plan": frozenset({"draft", "active", "on-hold"}),
    "timer": frozenset({"draft", "requested", "in-progress", "on-hold"}),
    "alert": frozenset({"requested", "received", "accepted", "ready"}),
}
"""Statuses from which the gateway moves a resource; beyond them it is somebody else's."""


def kind_of(key: str) -> str:
    """Kind of a resource by its key: `score-2` → `score`."""
    return key.partition("-")[0]


def is_due(key: str, phase: str) -> bool:
    """Whether a phase means a status of its own for a resource."""
    return phase in _STATUS[kind_of(key)]


def in_phase(resource: Json, key: str, change: Change) -> dict[str, Any] | None:
    """The resource as the phase wants it; None where it is beyond our reach or already so."""
    kind = kind_of(key)
    element = "lifecycleStatus" if kind == "goal" else "status"
    wanted = _STATUS[kind].get(change.phase, "")
    status = text(resource.get(element))
    if not wanted or status == wanted or status not in _OURS[kind]:
        return None
    changed: dict[str, Any] = thaw(resource) | {element: wanted}
    if change.phase == "signed":
        _sign(changed, kind, change)
    if resource.get("resourceType") == "Task":
        _move_task(changed, kind, change)
    return changed


def _sign(resource: dict[str, Any], kind: str, change: Change) -> None:
    """What a signature adds: an order has its author and its instant, advice begins."""
    if kind in ("drug", "referral"):
        resource["intent"] = "order"
        resource["authoredOn"] = local_instant(change.at, change.zone)
        if change.signer:
            resource["requester"] = {"reference": change.signer}
    if kind == "plan":
        if change.signer:
            resource["author"] = {"reference": change.signer}
        for activity in objects(resource.get("activity")):
            detail = activity.get("detail")
            if isinstance(detail, dict) and detail.get("status") == "not-started":
                detail["status"] = "in-progress"
    if kind == "screen" and change.signer:
        resource["performer"] = [{"reference": change.signer}]


def _move_task(task: dict[str, Any], kind: str, change: Change) -> None:
    at = local_instant(change.at, change.zone)
    task["lastModified"] = at
    if kind == "timer" and change.phase in _ENDS:
        task["executionPeriod"] = {**task.get("executionPeriod", {}), "end": at}
        coding = [{"system": change.reason_system, "code": change.reason}] if change.reason_system else []
        words = {"text": change.reason.replace("-", " ")} if change.reason else {}
        if coding or words:
            task["statusReason"] = {**({"coding": coding} if coding else {}), **words}


def with_sessions(plan: Json, referral: str, sessions: tuple[str, ...]) -> dict[str, Any] | None:
    """The plan with sessions linked to its therapy activity; None where nothing is new (spec/clinical.md §2.1)."""
    changed: dict[str, Any] = thaw(plan)
    for activity in objects(changed.get("activity")):
        own = activity.get("reference")
        if isinstance(own, dict) and text(own.get("reference")).endswith(referral):
            there = [text(item.get("reference")) for item in objects(activity.get("outcomeReference"))]
            fresh = [item for item in sessions if item not in there]
            if not fresh or not isinstance(activity, dict):
                return None
            activity["outcomeReference"] = [{"reference": item} for item in (*there, *fresh)]
            return changed
    return None
