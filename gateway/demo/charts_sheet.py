"""A chart while it is being written: ids, times, concepts and the growing list of entries.

Ids are name-based (RFC 4122 version 5), so the same recipe always gives the same chart. Practice and
payer resources are shared: their ids depend on their name alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from gateway.demo.charts_recipe import Recipe, load_table

_NAMESPACE = UUID("6f1d8b36-52f0-5f0e-9d5b-6c0f5a1e7c21")
"""Root of every chart id; changing it changes them all."""


class Sheet:
    """Entries of one chart in the order they are added; `recipe` says what belongs in it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.practice = load_table("practice")
        self.entries: dict[str, dict[str, Any]] = {}
        """`Type/id` to resource."""
        self._names: dict[str, str] = {}
        self._vocabulary = load_table("vocabulary")
        self._zone = ZoneInfo(str(self.practice["zone"]))

    def add(self, name: str, kind: str, body: Mapping[str, Any], *, shared: bool = False) -> dict[str, str]:
        """Append a resource of type `kind` under a name and return the reference to it; Nones are left out."""
        owner = "shared" if shared else self.recipe.chart_id
        key = f"{kind}/{uuid5(_NAMESPACE, f'{owner}/{kind}/{name}')}"
        head: dict[str, Any] = {"resourceType": kind, "id": key.split("/")[1]}
        profiles = self._vocabulary["profiles"].get(name.split(":")[0], self._vocabulary["profiles"].get(kind, []))
        meta = {"profile": list(profiles)} if profiles else {}
        meta["tag"] = self.concept("test-data")["coding"]
        self.entries[key] = {**head, "meta": meta, **{k: v for k, v in body.items() if v not in (None, [], {})}}
        self._names[name] = key
        return {"reference": key}

    def ref(self, name: str) -> dict[str, str]:
        """Reference to a resource added before. Raises KeyError when nothing bears that name."""
        return {"reference": self._names[name]}

    def has(self, name: str) -> bool:
        """Whether a resource of that name was added."""
        return name in self._names

    def concept(self, name: str, *, text: str | None = None) -> dict[str, Any]:
        """CodeableConcept of a vocabulary entry; `text` replaces the entry's label."""
        label, *codings = self._vocabulary["concepts"][name]
        found: dict[str, Any] = {}
        if codings:
            found["coding"] = [{"system": self.system(system), "code": code} for system, code in codings]
        if text or label:
            found["text"] = text or label
        return found

    def coding(self, name: str) -> dict[str, Any]:
        """First coding of a vocabulary entry."""
        coding: dict[str, Any] = self.concept(name)["coding"][0]
        return coding

    def system(self, name: str) -> str:
        """Code system or identifier system by its short name."""
        return str(self._vocabulary["systems"][name])

    def url(self, name: str) -> str:
        """Extension or questionnaire canonical by its short name."""
        return str(self._vocabulary["urls"][name])

    def at(self, on: date, clock: time | str = "10:00") -> str:
        """Instant with the practice's offset on that day, for a local date and time."""
        local = clock if isinstance(clock, time) else time.fromisoformat(clock)
        return datetime.combine(on, local, self._zone).isoformat()

    def ordered_at(self) -> str:
        """Instant of the order, with the practice's offset or, where the recipe says so, in UTC."""
        local = self.at(self.recipe.order_on, self.recipe.order_at)
        if not self.recipe.order_in_utc:
            return local
        return datetime.fromisoformat(local).astimezone(UTC).isoformat().replace("+00:00", "Z")

    def bundle(self) -> dict[str, Any]:
        """The chart as a collection Bundle, stamped with the time of the order."""
        base = str(self.practice["base_url"])
        return {
            "resourceType": "Bundle",
            "id": f"chart-{self.recipe.chart_id.lower()}",
            "meta": {"tag": self.concept("test-data")["coding"]},
            "type": "collection",
            "timestamp": self.ordered_at(),
            "entry": [{"fullUrl": base + key, "resource": resource} for key, resource in self.entries.items()],
        }

    def quantity(self, value: str | int, unit: str, code: str | None = None) -> dict[str, Any]:
        """Quantity in UCUM; a text value keeps all its digits."""
        number = value if isinstance(value, int) else Decimal(value)
        return {"value": number, "unit": unit, "system": self.system("ucum"), "code": code or unit}
