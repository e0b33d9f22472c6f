"""A search: reading the query, finding the matches, adding what `_include` and `_revinclude` ask for.

Refuses what it does not support with 400, as strict servers do. Two habits of the field are kept on
purpose: a parameter without a value is ignored, and no order is promised without `_sort`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from gateway.demo.ehr_match import matches, read_values, sort_value
from gateway.demo.ehr_store import Store, Stored
from gateway.demo.ehr_types import Parameter, require_parameter, require_type, type_table
from gateway.errors import InputError

DEFAULT_PAGE = 10
"""Matches on a page when the client does not say."""
MAX_PAGE = 50
"""Most matches on a page, whatever the client says."""
_IGNORED = {"_format", "_pretty"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One parameter of a query; its values are alternatives."""

    parameter: Parameter
    modifier: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """One `_include` or `_revinclude`."""

    kind: str
    parameter: Parameter
    target: str
    """Type the reference must have, or empty."""
    is_reverse: bool
    is_iterated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search as it was understood."""

    kind: str
    criteria: tuple[Criterion, ...]
    sort: tuple[tuple[Parameter, bool], ...]
    """Parameter and whether descending, most important first."""
    count: int
    inclusions: tuple[Inclusion, ...]
    wants_total: bool
    wants_count_only: bool


def read_query(kind: str, text: str) -> Query:
    """Understand a query string. InputError for anything this server does not support."""
    require_type(kind)
    pairs = [(name, value) for name, value in parse_qsl(text, keep_blank_values=True) if value and name not in _IGNORED]
    plain = dict(pairs)
    if "_elements" in plain or plain.get("_summary", "false") not in ("false", "count"):
        raise InputError("This server serves whole resources only.", code="not-supported")
    special = {"_sort", "_count", "_include", "_include:iterate", "_revinclude", "_total", "_summary"}
    return Query(
        kind=kind,
        criteria=tuple(_criterion(kind, name, value) for name, value in pairs if name not in special),
        sort=tuple(_sort_key(kind, word) for word in plain.get("_sort", "").split(",") if word),
        count=_page_size(plain.get("_count", "")),
        inclusions=tuple(_inclusion(name, value) for name, value in pairs if "include" in name.split(":")[0]),
        wants_total=plain.get("_total") == "accurate",
        wants_count_only=plain.get("_summary") == "count" or plain.get("_count") == "0",
    )


def _criterion(kind: str, name: str, value: str) -> Criterion:
    base, _, modifier = name.partition(":")
    parameter = require_parameter(kind, base)
    if modifier and parameter.kind == "reference" and modifier != "missing" and modifier not in type_table():
        raise InputError("This server does not know that search modifier.", code="unknown-modifier")
    return Criterion(parameter=parameter, modifier=modifier, values=_alternatives(value))


def _alternatives(value: str) -> tuple[str, ...]:
    """Split at commas that are not escaped; empty alternatives are dropped."""
    parts = value.replace("\\,", "\0").split(",")
    return tuple(part.replace("\0", ",").replace("\\|", "|").replace("\\$", "$") for part in parts if part)


def _sort_key(kind: str, word: str) -> tuple[Parameter, bool]:
    return require_parameter(kind, word.lstrip("-")), word.startswith("-")


def _page_size(text: str) -> int:
    if not text:
        return DEFAULT_PAGE
    if not text.isdigit():
        raise InputError("_count must be a whole number.")
    return max(1, min(MAX_PAGE, int(text)))


def _inclusion(name: str, value: str) -> Inclusion:
    word, _, modifier = name.partition(":")
    kind, _, rest = value.partition(":")
    if word not in ("_include", "_revinclude") or modifier not in ("", "iterate") or kind not in type_table():
        raise InputError("This server cannot include that.", code="unknown-include")
    base, _, target = rest.partition(":")
    parameter = require_parameter(kind, base)
    if parameter.kind != "reference":
        raise InputError("Only references can be included.", code="unknown-include")
    return Inclusion(
        kind=kind,
        parameter=parameter,
        target=target,
        is_reverse=word == "_revinclude",
        is_iterated=modifier == "iterate",
    )


def find_matches(store: Store, query: Query) -> list[Stored]:
    """Everything that fits, sorted as asked and else by id."""
    found = [
        stored
        for stored in store.of_kind(query.kind)
        if all(matches(stored, item.parameter, item.modifier, item.values) for item in query.criteria if item.values)
    ]
    for parameter, descending in reversed(query.sort):
        found = _sorted(found, parameter, descending)
    return found


def _sorted(found: list[Stored], parameter: Parameter, descending: bool) -> list[Stored]:
    return sorted(found, key=lambda stored: sort_value(stored, parameter), reverse=descending)


def find_included(store: Store, query: Query, page: Iterable[Stored]) -> list[Stored]:
    """What the inclusions add to one page of matches; each resource once, none that is a match itself."""
    seen = {stored.key for stored in page}
    added: list[Stored] = []
    fresh = list(page)
    first = True
    while fresh:
        newly = [
            stored
            for inclusion in query.inclusions
            if first or inclusion.is_iterated
            for stored in _included(store, inclusion, fresh)
        ]
        fresh = []
        for stored in newly:
            if stored.key not in seen:
                seen.add(stored.key)
                fresh.append(stored)
        added.extend(fresh)
        first = False
    return added


def _included(store: Store, inclusion: Inclusion, sources: list[Stored]) -> list[Stored]:
    if inclusion.is_reverse:
        keys = {source.key for source in sources}
        return [item for item in store.of_kind(inclusion.kind) if keys & set(_targets(item, inclusion.parameter))]
    keys_in_order = [
        key
        for source in sources
        if source.kind == inclusion.kind
        for key in _targets(source, inclusion.parameter)
        if key.startswith(f"{inclusion.target}/" if inclusion.target else "") and store.has(key)
    ]
    return [store.read(*key.split("/", 1)) for key in keys_in_order]


def _targets(stored: Stored, parameter: Parameter) -> list[str]:
    """`Type/id` of every reference the parameter looks at."""
    references = [value for path in parameter.paths for value in read_values(stored.resource, f"{path}.reference")]
    return [str(reference).split("/_history/")[0] for reference in references]
