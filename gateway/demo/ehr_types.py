"""The table of resource types and search parameters, read from `ehr_types.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gateway.errors import InputError, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One search parameter of one type."""

    name: str
    kind: str
    """token, reference, date, string or uri."""
    paths: tuple[str, ...]
    """Dotted element paths whose values it looks at."""


_COMMON = (
    Parameter(name="_id", kind="token", paths=("id",)),
    Parameter(name="_lastUpdated", kind="date", paths=("meta.lastUpdated",)),
    Parameter(name="_profile", kind="uri", paths=("meta.profile",)),
    Parameter(name="_tag", kind="token", paths=("meta.tag",)),
)


@cache
def type_table() -> Mapping[str, Mapping[str, Parameter]]:
    """Every type the server holds with its parameters by name."""
    rows = tomllib.loads((files("gateway.demo") / "ehr_types.toml").read_text("utf-8"))
    return {
        kind: {
            **{parameter.name: parameter for parameter in _COMMON},
            **{name: Parameter(name=name, kind=row[0], paths=tuple(row[1:])) for name, row in parameters.items()},
        }
        for kind, parameters in rows.items()
    }


def require_type(kind: str) -> Mapping[str, Parameter]:
    """Parameters of a type. Raises NotFound for a type that is not held here."""
    table = type_table()
    if kind not in table:
        raise NotFound("This server does not hold that resource type.", code="not-supported")
    return table[kind]


def require_parameter(kind: str, name: str) -> Parameter:
    """One parameter. Raises InputError (400) for one the type does not have."""
    parameters = require_type(kind)
    if name not in parameters:
        known = ", ".join(sorted(parameters))
        raise InputError(f"{kind} has no such search parameter; known ones: {known}.", code="unknown-parameter")
    return parameters[name]
