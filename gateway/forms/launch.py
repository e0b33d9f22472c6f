"""What a form is filled for: patient, order, coverage, user, and the practice's time zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from gateway.fhir import Json
from gateway.profiles.dtr_guide import ResponseContext
from gateway.reasoning.record import reference_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchContext:
    """Resources that expressions may name, as they stand in the EHR."""

    patient: Json
    order: Json | None = None
    coverage: Json | None = None
    user: Json | None = None
    """Practitioner or PractitionerRole at work; None when the gateway prefills on its own."""
    encounter: Json | None = None
    further_orders: tuple[Json, ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    """Further named contexts, `{"location": {...}}`; a list is allowed."""
    intended_use: tuple[str, ...] = ("withpa",)
    practice_zone: str = ""
    """IANA zone of the practice; empty: the offset of the session's instant."""

    def environment(self) -> dict[str, Any]:
        """`%name` of every context: its role, and the order also by its type (`%service_request`)."""
        named: dict[str, Any] = {"patient": self.patient}
        for name, resource in (("coverage", self.coverage), ("user", self.user), ("encounter", self.encounter)):
            if resource is not None:
                named[name] = resource
        if self.order is not None:
            named["order"] = self.order
            named[_snake(str(self.order.get("resourceType", "")))] = self.order
            named[str(self.order.get("resourceType", ""))] = self.order
        if self.user is not None and self.user.get("resourceType") == "Practitioner":
            named["practitioner"] = self.user
        return {**named, **self.others}

    def response_context(self) -> ResponseContext:
        """References for the header of the response."""
        orders = [order for order in (self.order, *self.further_orders) if order is not None]
        return ResponseContext(
            orders=tuple(reference_of(order) for order in orders),
            coverages=(reference_of(self.coverage),) if self.coverage is not None else (),
            intended_use=self.intended_use,
        )

    def local(self, now: datetime) -> datetime:
        """The session's instant in the practice's zone."""
        return now.astimezone(self.zone(now))

    def zone(self, now: datetime) -> tzinfo | None:
        """The practice's zone; that of the instant when none is given."""
        return ZoneInfo(self.practice_zone) if self.practice_zone else now.tzinfo


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
