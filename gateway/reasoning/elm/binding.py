"""How parameters of payer libraries get the order and the other contexts of a session.

In this order: a launch context of the parameter's name; the names that packages use without declaring them
(`device_request` for a DeviceRequest); the only parameter of the order's type; else null (spec/dtr.md §6.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.library import CompiledLibrary
from gateway.reasoning.elm.model import load_model
from gateway.reasoning.elm.shape import local_name

_WORD: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def bind_parameters(
    libraries: Iterable[CompiledLibrary], contexts: Mapping[str, Any], order: Json | None
) -> dict[str, Any]:
    """JSON by parameter name for all libraries. Contexts of another type than declared are not bound."""
    bound: dict[str, Any] = {}
    for library in libraries:
        for name, declared in library.parameters.items():
            value = _value(library, name, _type_of(declared), contexts, order)
            if value is not None:
                bound.setdefault(name, value)
    return bound


def _type_of(declared: Json) -> str:
    specifier = declared.get("parameterTypeSpecifier")
    named = specifier.get("name") if isinstance(specifier, Mapping) else declared.get("parameterType")
    return local_name(named or "")


def _value(library: CompiledLibrary, name: str, kind: str, contexts: Mapping[str, Any], order: Json | None) -> Any:
    if name in contexts:
        value = contexts[name]
        return value if _fits(value, kind) else None
    if order is None or not _fits(order, kind):
        return None
    own_type = str(order.get("resourceType", ""))
    of_type = [one for one, declared in library.parameters.items() if _type_of(declared) == own_type]
    is_usual = name == _WORD.sub("_", own_type).lower()
    return order if is_usual or of_type == [name] else None


def _fits(value: Any, kind: str) -> bool:
    if not isinstance(value, Mapping) or "resourceType" not in value:
        return True
    own = load_model("4.0.1").find(str(value["resourceType"]))
    return own is not None and (kind in own.names or kind in ("", "Any"))
