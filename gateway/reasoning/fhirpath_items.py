"""Items of a FHIRPath collection: a value, its type, and where in which resource it stands.

The place is what makes a prefilled answer explainable: every item leads back to the resources and
element paths it was read from, through any function that computed it. Types come from the R4 tables
that fhirpathpy ships; without them `value[x]` and `is` cannot be answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.fhirpath_values import Amount, Moment, read_clock, read_moment


def _load(name: str) -> Any:
    """One R4 table of fhirpathpy, read as data: importing the package would load a parser that is not used."""
    found = find_spec("fhirpathpy")
    folders = list(found.submodule_search_locations or ()) if found else []
    return json.loads((Path(folders[0]) / "models" / "r4" / f"{name}.json").read_text(encoding="utf-8"))


_TYPES: Final[Mapping[str, str]] = _load("path2Type")
_CHOICES: Final[Mapping[str, Sequence[str]]] = _load("choiceTypePaths")
_PARENTS: Final[Mapping[str, str]] = _load("type2Parent")
_ELSEWHERE: Final[Mapping[str, str]] = _load("pathsDefinedElsewhere")
_INLINE: Final = frozenset({"BackboneElement", "Element", ""})
_AMOUNTS: Final = frozenset({"Quantity", "Age", "Duration", "Count", "Distance", "SimpleQuantity", "MoneyQuantity"})
_SYSTEM_TYPES: Final = ("String", "Boolean", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity")
MAX_SOURCES: Final = 200
"""Sources kept of one computed value; a value of more is explained by the first of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """An element of a resource: `path` starts with the resource's type, e.g. `Condition.onset`."""

    resource: Json
    path: str


class Item:
    """One member of a collection. Never changed after it is made."""

    __slots__ = ("definition", "parents", "path", "resource", "shadow", "type", "value")

    def __init__(
        self,
        value: Any,
        type_name: str = "",
        *,
        definition: str = "",
        path: str = "",
        resource: Json | None = None,
        shadow: Mapping[str, Any] | None = None,
        parents: tuple[Item, ...] = (),
    ) -> None:
        self.value = value
        self.type = type_name
        self.definition = definition or type_name
        self.path = path
        self.resource = resource
        self.shadow = shadow
        """The `_name` sibling of a primitive, with its id and extensions."""
        self.parents = parents

    def places(self) -> tuple[Place, ...]:
        """Elements of resources that this item was read or computed from, each once."""
        found: dict[tuple[int, str], Place] = {}
        waiting, seen = [self], {id(self)}
        while waiting and len(found) < MAX_SOURCES:
            item = waiting.pop()
            if item.resource is not None:
                found.setdefault((id(item.resource), item.path), Place(item.resource, item.path))
                continue
            fresh = [parent for parent in reversed(item.parents) if id(parent) not in seen]
            seen.update(id(parent) for parent in fresh)
            waiting.extend(fresh)
        return tuple(found.values())


def typed_item(value: Any, definition: str) -> Item:
    """An Item for a part of a resource whose model path is known, e.g. `QuestionnaireResponse.item`."""
    return Item(value, "BackboneElement", definition=definition, path=definition)


def items_of(value: Any) -> list[Item]:
    """Collection of a JSON value, list of values, or Items; None is empty."""
    if value is None:
        return []
    if isinstance(value, Item):
        return [value]
    if isinstance(value, list | tuple):
        return [item for part in value for item in items_of(part)]
    if isinstance(value, Mapping) and "resourceType" in value:
        name = str(value["resourceType"])
        return [Item(value, name, path=name, resource=value)]
    return [Item(*_plain(value))]


def computed(value: Any, parents: Iterable[Item] = ()) -> Item:
    """An Item of a system value that an operator or function made from `parents`."""
    return Item(value, system_type(value), parents=tuple(parents))


def system_type(value: Any) -> str:
    """`System.Integer` and the like; empty for structures."""
    if isinstance(value, bool):
        return "System.Boolean"
    if isinstance(value, int):
        return "System.Integer"
    if isinstance(value, Decimal):
        return "System.Decimal"
    if isinstance(value, str):
        return "System.String"
    if isinstance(value, Moment):
        return {"date": "System.Date", "dateTime": "System.DateTime", "time": "System.Time"}[value.kind]
    return "System.Quantity" if isinstance(value, Amount) else ""


def _plain(value: Any) -> tuple[Any, str]:
    if isinstance(value, float):
        value = Decimal(str(value))
    return value, system_type(value)


def system_value(item: Item) -> Any:
    """Value as operators see it: FHIR dates as Moment, FHIR quantities as Amount, numbers exact.

    None when a primitive has no value (only extensions). Structures stay mappings.
    """
    value, name = item.value, item.type
    if isinstance(value, str):
        return _moment_of_text(value, name)
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, int) and not isinstance(value, bool) and name == "decimal":
        return Decimal(value)
    if isinstance(value, Mapping) and name in _AMOUNTS:
        return _amount(value) or value
    return value


def _moment_of_text(value: str, name: str) -> Any:
    if name in ("date", "dateTime", "instant"):
        moment = read_moment(value)
        if moment is not None and name != "date" and moment.kind == "date":
            return Moment("dateTime", moment.parts, moment.offset)
        return moment or value
    return (read_clock(value) or value) if name == "time" else value


def _amount(value: Mapping[str, Any]) -> Amount | None:
    number = value.get("value")
    if number is None or isinstance(number, bool | str) or value.get("comparator"):
        return None
    unit = value.get("code") if value.get("system") == "http://unitsofmeasure.org" else value.get("unit")
    return Amount(Decimal(str(number)), str(unit or value.get("unit") or "1"))


def members(item: Item, name: str) -> Iterator[Item]:
    """Child elements called `name`, choice types resolved; nothing when absent."""
    if name[:1].isupper() and (item.type == name or (item.resource is item.value and is_kind(item.type, name))):
        yield item
        return
    if isinstance(item.value, Amount):
        yield from _amount_members(item, name)
        return
    holder = item.value if isinstance(item.value, Mapping) else item.shadow
    if not isinstance(holder, Mapping):
        return
    key, definition, type_name = _child(item, holder, name)
    yield from _children(item, holder, key, name, definition, type_name)


def _amount_members(item: Item, name: str) -> Iterator[Item]:
    if name == "value":
        yield computed(item.value.value, (item,))
    elif name in ("unit", "code"):
        yield computed(item.value.unit, (item,))


def all_members(item: Item) -> Iterator[Item]:
    """Every child element, in the order of the JSON; the `_name` siblings are part of their primitive."""
    if not isinstance(item.value, Mapping):
        if item.shadow:
            for key in item.shadow:
                yield from members(item, key)
        return
    seen: set[str] = set()
    for key in item.value:
        plain = key.removeprefix("_")
        if plain in seen or plain == "resourceType":
            continue
        seen.add(plain)
        definition, type_name = _definition(item, plain)
        yield from _children(item, item.value, plain, plain, definition, type_name)


def _child(item: Item, holder: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    """JSON key, model path and type of the child `name`."""
    for base in _lineage(item.definition):
        path = _ELSEWHERE.get(f"{base}.{name}", f"{base}.{name}")
        for choice in _CHOICES.get(path, ()):
            key = name + choice[:1].upper() + choice[1:]
            if key in holder or f"_{key}" in holder:
                type_name = _TYPES.get(f"{path}{choice[:1].upper()}{choice[1:]}", choice)
                return key, type_name, type_name
    if name not in holder and f"_{name}" not in holder:
        return _guess(holder, name)
    definition, type_name = _definition(item, name)
    return name, definition, type_name


def _guess(holder: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    """A choice element of a structure whose model path is not known."""
    for key in holder:
        rest = key.removeprefix("_")[len(name) :]
        if key.removeprefix("_").startswith(name) and rest[:1].isupper():
            type_name = rest if rest in _PARENTS and rest[:1].isupper() else rest[:1].lower() + rest[1:]
            known = rest if rest in _PARENTS else type_name
            if known in _PARENTS:
                return key.removeprefix("_"), known, known
    return name, "", ""


def _definition(item: Item, name: str) -> tuple[str, str]:
    if name in ("extension", "modifierExtension"):
        return "Extension", "Extension"
    for base in _lineage(item.definition):
        path = _ELSEWHERE.get(f"{base}.{name}", f"{base}.{name}")
        type_name = _TYPES.get(path)
        if type_name is not None:
            return (path if type_name in _INLINE else type_name), type_name
    path = f"{item.definition}.{name}" if item.definition else ""
    return (_ELSEWHERE.get(path, path), "BackboneElement") if path in _ELSEWHERE else ("", "")


def _lineage(name: str) -> Iterator[str]:
    """A model path, then the types it inherits from."""
    while name:
        yield name
        name = _PARENTS.get(name, "")


def _children(
    item: Item, holder: Mapping[str, Any], key: str, name: str, definition: str, type_name: str
) -> Iterator[Item]:
    raw, shadow = holder.get(key), holder.get(f"_{key}")
    many = isinstance(raw, list) or isinstance(shadow, list)
    values = raw if isinstance(raw, list) else [raw]
    shadows = shadow if isinstance(shadow, list) else [shadow]
    for position in range(max(len(values), len(shadows))):
        value = values[position] if position < len(values) else None
        beside = shadows[position] if position < len(shadows) else None
        if value is None and not isinstance(beside, Mapping):
            continue
        path = f"{item.path}.{name}" + (f"[{position}]" if many else "")
        yield _child_item(item, value, beside, path, definition, type_name)


def _child_item(item: Item, value: Any, beside: Any, path: str, definition: str, type_name: str) -> Item:
    if isinstance(value, Mapping) and "resourceType" in value:
        name = str(value["resourceType"])
        return Item(value, name, path=name, resource=value)
    if not type_name and value is not None and not isinstance(value, Mapping):
        type_name = _untyped(value)
    return Item(
        value,
        type_name,
        definition=definition or type_name,
        path=path,
        resource=item.resource,
        shadow=beside if isinstance(beside, Mapping) else None,
        parents=() if item.resource is not None else (item, *item.parents)[:1],
    )


def _untyped(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "string" if isinstance(value, str) else "decimal"


def is_kind(actual: str, wanted: str) -> bool:
    """Whether a type, or one it inherits from, is `wanted` (`FHIR.` may be left out; `System.` is exact)."""
    wanted = wanted.removeprefix("FHIR.")
    if actual.startswith("System.") or wanted.startswith("System."):
        plain = actual.removeprefix("System.")
        return actual.startswith("System.") and plain == wanted.removeprefix("System.") and plain in _SYSTEM_TYPES
    return any(name == wanted for name in _lineage(actual))


def known_type(name: str) -> bool:
    """Whether a type name means anything in R4 or in System."""
    if name.startswith("System."):
        return True
    plain = name.removeprefix("FHIR.")
    return plain in _PARENTS or plain in _SYSTEM_TYPES or plain in _PARENTS.values()
