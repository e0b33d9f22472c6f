"""What ELM says of the type of an expression without running it. Only what some operator needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.reasoning.elm.shape import local_name

_OWN: Final = {
    "Quantity": "Quantity",
    "Date": "Date",
    "DateTime": "DateTime",
    "Time": "Time",
    "Now": "DateTime",
    "Today": "Date",
    "TimeOfDay": "Time",
    "ToDecimal": "Decimal",
    "ToDate": "Date",
    "ToDateTime": "DateTime",
    "ToTime": "Time",
    "ToQuantity": "Quantity",
    "ToLong": "Long",
    "ToInteger": "Integer",
    "DateFrom": "Date",
}


def type_name_of(node: Any) -> str:
    """`Integer`, `DateTime`, … of an expression's named type; empty when it is not said."""
    if not isinstance(node, Mapping):
        return ""
    kind = str(node.get("type"))
    if kind == "As":
        specifier = node.get("asTypeSpecifier")
        return local_name(node.get("asType") or "") or _named(specifier)
    if kind == "Literal":
        return local_name(node.get("valueType") or "")
    if kind in _OWN:
        return _OWN[kind]
    found = local_name(node.get("resultTypeName") or "") or _named(node.get("resultTypeSpecifier"))
    return "" if found == "Any" else found


def _named(specifier: Any) -> str:
    if isinstance(specifier, Mapping) and specifier.get("type", "NamedTypeSpecifier") == "NamedTypeSpecifier":
        return local_name(specifier.get("name") or "")
    return ""


def point_type_of(node: Any) -> str:
    """Type of the points of an interval expression; empty when it is not said."""
    specifier = node.get("resultTypeSpecifier") if isinstance(node, Mapping) else None
    return point_of_specifier(specifier)


def point_of_specifier(specifier: Any) -> str:
    """Type of the points of an interval type; empty for any other type."""
    if isinstance(specifier, Mapping) and specifier.get("type") == "IntervalTypeSpecifier":
        found = _named(specifier.get("pointType"))
        return "" if found == "Any" else found
    return ""
