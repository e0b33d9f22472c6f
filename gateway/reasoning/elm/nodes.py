"""FHIR JSON as typed values: every element knows its type, its resource and its path.

A node is made once per element and remembered by its parent, so that many defines may look at one chart.
Plain class instead of a frozen dataclass: thousands are made per patient, and it fills in its children lazily.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.fhir import Json
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.model import Element, FhirType, Model
from gateway.reasoning.elm.moments import read_date, read_date_time, read_time

if TYPE_CHECKING:
    from gateway.reasoning.elm.state import State


class Node:
    """An element or resource: `value` is its JSON, `shadow` the JSON of its `_name` sibling."""

    __slots__ = ("_kids", "index", "model", "name", "parent", "shadow", "type", "value")

    def __init__(
        self,
        value: Any,
        type: FhirType,
        model: Model,
        *,
        shadow: Any = None,
        parent: Node | None = None,
        name: str = "",
        index: int = -1,
    ) -> None:
        self.value = value
        self.shadow = shadow
        self.type = type
        self.model = model
        self.parent = parent
        self.name = name
        self.index = index
        self._kids: dict[str, Any] | None = None

    def child(self, name: str, state: State) -> Any:
        """Value of an element: node, list of nodes, or system value; None when it is absent.

        Reading the value of a primitive is noted in the trace. Raises `elm.property` for a name no type has.
        """
        if name == "value" and self.type.value_kind:
            state.log.append(self)
            return self.system(state.offset)
        kids = self._kids
        if kids is None:
            kids = self._kids = {}
        if name not in kids:
            kids[name] = self._find(name)
        return kids[name]

    def _find(self, name: str) -> Any:
        element = self.type.elements.get(name)
        holder = self.value if isinstance(self.value, Mapping) else self.shadow
        if element is None:
            return self._unlisted(name, holder)
        if not isinstance(holder, Mapping):
            return None
        if element.system:
            found = holder.get(name)
            return found if isinstance(found, str) else None
        for key, kind in element.choices:
            if key in holder or f"_{key}" in holder:
                return self._made(element, kind, holder.get(key), holder.get(f"_{key}"))
        return None

    def _unlisted(self, name: str, holder: Any) -> Any:
        if name not in self.model.element_names:
            raise failure("property", "The logic reads an element that FHIR does not have.")
        return None

    def _made(self, element: Element, kind: FhirType, value: Any, shadow: Any) -> Any:
        if not element.is_list:
            if isinstance(value, list) or (value is None and shadow is None):
                return None
            return self._node(value, shadow, kind, element.name, -1)
        values = value if isinstance(value, list) else []
        shadows = shadow if isinstance(shadow, list) else []
        count = max(len(values), len(shadows))
        values = [*values, *[None] * (count - len(values))]
        shadows = [*shadows, *[None] * (count - len(shadows))]
        made = [
            self._node(one, other, kind, element.name, index)
            for index, (one, other) in enumerate(zip(values, shadows, strict=True))
            if one is not None or other is not None
        ]
        return made or None

    def _node(self, value: Any, shadow: Any, kind: FhirType, name: str, index: int) -> Node:
        if isinstance(value, Mapping) and "resourceType" in value:
            kind = self.model.of_resource(str(value["resourceType"]))
        return Node(value, kind, self.model, shadow=shadow, parent=self, name=name, index=index)

    def system(self, offset: int) -> Any:
        """System value of a primitive; None when it has none or its text cannot be read."""
        return system_value(self.value, self.type.value_kind, offset)

    def itself(self, offset: int) -> Node:
        """The node: what a type without a System counterpart converts to."""
        return self

    def children(self) -> list[Node]:
        """All child nodes, in the order of the type's elements."""
        found: list[Node] = []
        for name, element in self.type.elements.items():
            if not element.system:
                kid = self._find(name)
                found += kid if isinstance(kid, list) else [kid] if kid is not None else []
        return found

    @property
    def resource(self) -> Json:
        """JSON of the resource that the node is part of."""
        at = self
        while at.parent is not None:
            at = at.parent
        return at.value if isinstance(at.value, Mapping) else {}

    @property
    def path(self) -> str:
        """`Condition.onset`, without indexes."""
        names: list[str] = []
        at = self
        while at.parent is not None:
            names.append(at.name)
            at = at.parent
        return ".".join((at.type.name, *reversed(names)))

    @property
    def is_empty(self) -> bool:
        """Whether only extensions are there."""
        return self.value is None


def system_value(value: Any, kind: str, offset: int) -> Any:
    """JSON of a primitive as a value of a System type; None when it does not fit."""
    if kind == "String":
        return value if isinstance(value, str) else None
    if kind == "Boolean":
        return value if isinstance(value, bool) else None
    if kind in ("Integer", "Decimal"):
        return _number(value, kind)
    if not isinstance(value, str):
        return None
    if kind == "DateTime":
        return read_date_time(value, offset)
    if kind == "Date":
        return read_date(value)
    return read_time(value) if kind == "Time" else None


def _number(value: Any, kind: str) -> int | Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if kind == "Decimal":
        return Decimal(value)
    return int(value) if isinstance(value, int) and -(2**31) <= value < 2**31 else None
