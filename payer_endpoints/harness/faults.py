"""Faults on demand: what a payer does wrong, to whom, and how often.

A fault belongs to a payer and an operation. `before` faults answer instead of processing; `after` faults spoil the
answer of a request that was processed and stored, which is how a sender learns to live with an unknown outcome.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["down", "reset", "slow", "status", "truncated", "html", "wrong-type"]
OPERATIONS = frozenset(
    {
        "discovery",
        "hook",
        "questionnaire-package",
        "log-questionnaire-errors",
        "expand",
        "submit",
        "inquire",
        "submit-attachment",
        "subscription",
        "metadata",
        "token",
        "notification",
    }
)


class Fault(BaseModel):
    """One fault. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    first: int | None = Field(default=None, ge=1)
    """How many calls it meets; None = every call until it is cleared."""
    seconds: float = Field(default=0, ge=0, le=600)
    """Delay of `slow`."""
    status: int = Field(default=503, ge=400, le=599)
    """Status of `status`."""
    retry_after: int | None = Field(default=None, ge=0)
    """Retry-After of `status`, in seconds."""
    stored: bool = True
    """Whether the request is processed before its answer is spoilt. `down` never processes."""


class NotificationFault(BaseModel):
    """How notifications go wrong. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duplicate: bool = False
    """Every event is sent twice."""
    without_status: bool = False
    """The status Parameters lack `status` and the count, as in the guide's example."""
    out_of_order: bool = False
    """Waiting events are sent newest first."""
    skip_numbers: bool = False
    """An event number is left out before each event."""
    flattened: bool = False
    """The response's resources stand in the notification itself; focus names the ClaimResponse."""
    wrong_topic: bool = False


class FaultBoard:
    """The faults in force, by (payer, operation), with the calls each has already met."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str], Fault] = {}
        self._met: dict[tuple[str, ...], int] = {}
        self.notification: dict[str, NotificationFault] = {}

    def put(self, payer: str, operation: str, fault: Fault | None) -> None:
        """Set, replace or (None) clear one fault; its count starts again."""
        self._met = {
            key: count for key, count in self._met.items() if key[1] != operation or payer not in ("*", key[0])
        }
        if fault is None:
            self._faults.pop((payer, operation), None)
        else:
            self._faults[payer, operation] = fault

    def clear(self) -> None:
        """No faults, no counts."""
        self._faults.clear()
        self._met.clear()
        self.notification.clear()

    def take(self, payer: str, operation: str) -> Fault | None:
        """The fault this call meets, counted; None where there is none left."""
        fault = self._faults.get((payer, operation)) or self._faults.get(("*", operation))
        return self.count(fault, payer, operation)

    def count(self, fault: Fault | None, *key: str) -> Fault | None:
        """`fault` while `key` has met it fewer than `first` times; the meeting is counted."""
        if fault is None or fault.first is None:
            return fault
        met = self._met.get(key, 0)
        self._met[key] = met + 1
        return fault if met < fault.first else None

    def listed(self) -> list[dict[str, object]]:
        """The faults in force, for the control route."""
        return [
            {"payer": payer, "operation": operation, "kind": fault.kind, "met": self._met.get((payer, operation), 0)}
            for (payer, operation), fault in sorted(self._faults.items())
        ]
