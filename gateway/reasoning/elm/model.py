"""What the engine knows of FHIR: types, their elements, and which elements lead to the patient.

Facts come from the public model info of FHIR 4.0.1 and 4.0.0 (facts/fhir_model.json). Types are shared, one
object a type, so that a type test is an identity test or a look into a set.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final

FHIR: Final = "{http://hl7.org/fhir}"
SYSTEM: Final = "{urn:hl7-org:elm-types:r1}"
VERSIONS: Final = ("4.0.1", "4.0.0")
_PROFILES: Final = {"SimpleQuantity": "Quantity", "MoneyQuantity": "Quantity"}
"""Profiles that model info lists as types; on the wire they are the base type (field case B19)."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a type."""

    name: str
    is_list: bool
    choices: tuple[tuple[str, FhirType], ...]
    """JSON key and type of each form; one entry unless the element is a choice."""
    system: str = ""
    """System type when the element is not FHIR-typed (`Element.id`, `value` of a primitive)."""


class FhirType:
    """A FHIR type with all elements, inherited ones included."""

    def __init__(self, name: str, row: dict[str, Any], base: FhirType | None, model: Model) -> None:
        self.name = name
        self.base = base
        self._row = row
        self._model = model
        self.names: frozenset[str] = frozenset((name, *(base.names if base else ())))
        """Its own name and those of its base types."""
        self.plain: Callable[[Any, int], Any] | None = None
        """How a node becomes a System value; filled in by `wire` when first needed."""

    @cached_property
    def value_kind(self) -> str:
        """System type of a primitive's value, e.g. `DateTime`; empty for other types."""
        own = self._row["elements"].get("value", "")
        if own.startswith("System."):
            return str(own[7:])
        return self.base.value_kind if self.base else ""

    @property
    def code_path(self) -> str | None:
        """Element a retrieve filters by when it names none; None when the type cannot be retrieved."""
        return self._row.get("code")

    @property
    def patient_paths(self) -> tuple[str, ...]:
        """Reference elements by which a resource belongs to a patient."""
        return tuple(self._row.get("patient", ()))

    @cached_property
    def elements(self) -> dict[str, Element]:
        """Elements by their name in CQL."""
        found = dict(self.base.elements) if self.base else {}
        for name, text in self._row["elements"].items():
            found[name] = self._element(name, text)
        return found

    def _element(self, name: str, text: str) -> Element:
        is_list, text = text.endswith("*"), text.rstrip("*")
        if text.startswith("System."):
            return Element(name, is_list, (), text[7:])
        types = [self._model.require(choice) for choice in text.split("|")]
        if len(types) == 1:
            return Element(name, is_list, ((name, types[0]),))
        return Element(name, is_list, tuple((name + one.name[0].upper() + one.name[1:], one) for one in types))

    def __repr__(self) -> str:
        return f"FHIR.{self.name}"


class Model:
    """All types of one FHIR version."""

    def __init__(self, rows: dict[str, dict[str, Any]], version: str) -> None:
        self._rows = rows
        self.version = version
        self._types: dict[str, FhirType] = {}
        self.element_names = frozenset(name for row in rows.values() for name in row["elements"])
        """Every element name of any type."""

    def find(self, name: str) -> FhirType | None:
        """Type by its name, or None."""
        name = _PROFILES.get(name, name)
        if name not in self._types:
            row = self._rows.get(name)
            if row is None:
                return None
            base = self.find(row["base"]) if row["base"] else None
            self._types[name] = FhirType(name, row, base, self)
        return self._types[name]

    def require(self, name: str) -> FhirType:
        """Type by its name; a name that the facts lack is a plain Element."""
        return self.find(name) or self.require("Element")

    def of_resource(self, resource_type: str) -> FhirType:
        """Type of a resource; one that FHIR R4 does not know is a bare Resource."""
        found = self.find(resource_type)
        return found if found is not None and "Resource" in found.names else self.require("Resource")


@cache
def _facts() -> dict[str, Any]:
    text = files("gateway.reasoning.elm").joinpath("facts/fhir_model.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text)
    return facts


@cache
def load_model(version: str) -> Model:
    """Model of `4.0.1` or `4.0.0`; any other version is read as 4.0.1."""
    rows = dict(_facts()["4.0.1"])
    if version == "4.0.0":
        rows.update(_facts()["4.0.0"])
    return Model(rows, version)
