"""Scope lists: how they are written, and what of them was granted.

A granted scope may be written in the older form (`patient/*.read`) or cover several asked for; a
token that works but lacks data scopes makes a chart look empty, so it is compared before reading.
Source: RFC 6749 §3.3; SMART App Launch 2.2 scopes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import SettingsError

TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""One scope: visible ASCII without quote and backslash."""
DATA_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(?:\?.*)?")
OLD_RIGHTS = {"read": frozenset("rs"), "write": frozenset("cud"), "*": frozenset("cruds")}


def read_scopes(texts: Sequence[str] | str) -> tuple[str, ...]:
    """Scopes from text with spaces or from a list; each once, in their order.

    Raises `SettingsError` for a comma and for characters no scope may have: a server would answer
    `invalid_grant`, which points nowhere near the cause.
    """
    pieces = [texts] if isinstance(texts, str) else list(texts)
    scopes = [scope for piece in pieces for scope in piece.split()]
    if any("," in scope for scope in scopes):
        raise SettingsError("scopes are separated by spaces; a comma was found in the scope list.")
    if not all(TOKEN.fullmatch(scope) for scope in scopes):
        raise SettingsError("scopes may hold visible ASCII only, without quotes or backslashes.")
    return tuple(dict.fromkeys(scopes))


def missing_scopes(requested: Sequence[str], granted: Sequence[str]) -> tuple[str, ...]:
    """The requested scopes that `granted` does not cover, in their order; empty when all are there."""
    return tuple(scope for scope in requested if scope not in granted and not _is_covered(scope, granted))


def may_read(resource_type: str, granted: Sequence[str]) -> bool:
    """Whether `granted` lets one read and search `resource_type`; scopes without data rights say nothing."""
    return any(
        scope.resource_type in ("*", resource_type) and scope.rights >= frozenset("rs")
        for scope in map(_read_data_scope, granted)
        if scope
    )


def has_data_scope(scopes: Sequence[str]) -> bool:
    """Whether any of the scopes speaks of data rights in the SMART way."""
    return any(_read_data_scope(scope) for scope in scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DataScope:
    context: str
    resource_type: str
    rights: frozenset[str]
    query: str


def _read_data_scope(text: str) -> _DataScope | None:
    match = DATA_SCOPE.fullmatch(text)
    if not match:
        return None
    rights = OLD_RIGHTS.get(match[3], frozenset(match[3]))
    return _DataScope(context=match[1], resource_type=match[2], rights=rights, query=text.partition("?")[2])


def _is_covered(scope: str, granted: Sequence[str]) -> bool:
    """Whether the granted scopes together hold every right that `scope` asks for."""
    wanted = _read_data_scope(scope)
    if wanted is None:
        return False
    held: set[str] = set()
    for given in map(_read_data_scope, granted):
        if given and given.context == wanted.context and given.resource_type in ("*", wanted.resource_type):
            # A grant narrowed by a query covers only the same query.
            held |= given.rights if given.query in ("", wanted.query) else frozenset()
    return wanted.rights <= held
