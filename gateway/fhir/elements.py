"""What FHIR R4 elements are like: single or repeated, of which type.

The knowledge is read from the field tables of `fhir.resources.R4B`, whose resources are those of R4 for
everything an order or a chart holds. Only the tables are used; no value passes through the models,
since they rewrite decimals and instants.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from fhir.resources.R4B import get_fhir_model_class

Kind = Literal["string", "boolean", "integer", "decimal", "complex", "resource", "xhtml"]
_KINDS: Mapping[type, Kind] = {bool: "boolean", int: "integer", Decimal: "decimal"}
_CONTAINERS = frozenset({"Resource", "DomainResource"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element of a type."""

    name: str
    """Name in JSON and XML."""
    kind: Kind
    """Kind of value; `resource` holds any resource."""
    is_list: bool
    """Whether it may repeat."""
    type_name: str = ""
    """Name of the complex type, for `element_table`."""


def is_resource_type(name: str) -> bool:
    """Whether `name` is a concrete resource type."""
    model = _model(name) if name not in _CONTAINERS else None
    return model is not None and any(base.__name__ == "Resource" for base in model.__mro__)


@lru_cache(maxsize=1024)
def element_table(type_name: str) -> Mapping[str, Element]:
    """The elements of a resource or complex type by name; empty for an unknown type."""
    model = _model(type_name)
    if model is None:
        return {}
    found = (_element(field.alias or name, field.annotation) for name, field in _fields(model).items())
    return {element.name: element for element in found if element is not None}


def _model(name: str) -> Any:
    """The class of a type; None for unknown names and for anything that is no FHIR type."""
    if not name.isascii() or not name.isalnum() or not name[:1].isupper():
        return None
    try:
        return get_fhir_model_class(name)
    except (ValueError, AttributeError, KeyError, ImportError):
        return None


def _fields(model: Any) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = model.model_fields
    return fields


def _element(name: str, annotation: Any) -> Element | None:
    if name.startswith("_") or name in ("resource_type", "fhir_comments"):
        return None
    plain = _without_none(annotation)
    is_list = typing.get_origin(plain) is list
    if is_list:
        plain = _without_none(typing.get_args(plain)[0])
    base = typing.get_args(plain)[0] if typing.get_origin(plain) is typing.Annotated else plain
    path = getattr(base, "_model_klass", "")
    if path:
        type_name = path.rpartition(".")[2] if isinstance(path, str) else path.__name__
        kind: Kind = "resource" if type_name in _CONTAINERS else "complex"
        return Element(name=name, kind=kind, is_list=is_list, type_name=type_name)
    return Element(name=name, kind=_primitive_kind(plain, base), is_list=is_list)


def _primitive_kind(annotated: Any, base: Any) -> Kind:
    if any(type(mark).__name__ == "Xhtml" for mark in getattr(annotated, "__metadata__", ())):
        return "xhtml"
    return _KINDS.get(base, "string") if isinstance(base, type) else "string"


def _without_none(annotation: Any) -> Any:
    """The type behind `X | None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kept = [item for item in typing.get_args(annotation) if item is not type(None)]
        return kept[0]
    return annotation
