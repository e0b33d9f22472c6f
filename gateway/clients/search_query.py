"""Search parameters: how they are written so that a server cannot read them wider than meant.

Source: FHIR R4 search; security T22; tools/hapi-ehr (empty parameters, raw bars, short dates, URLs over 8 kB).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from gateway.errors import InputError

Query = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]]
"""Parameters: a list of values under one name means all of them must hold."""
IDENTITY_PARAMETERS = frozenset(
    {"identifier", "name", "family", "given", "birthdate", "phone", "email", "telecom", "address", "address-postalcode"}
)
"""Parameters that name a person: sent in a body, never in a URL that proxies log."""
RESULT_PARAMETERS = frozenset({"_count", "_sort", "_include", "_revinclude", "_total", "_format", "_maxresults"})
"""Parameters that shape the answer and filter nothing."""
PARTIAL_PARAMETERS = frozenset({"_elements", "_summary"})
"""Parameters that cut resources down to parts; never sent, because parts are no evidence."""
LONG_URL = 2000
"""Longest query that goes into a URL; anything longer goes by POST `_search`."""
SHORT_DATE = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb)?\d{4}(-\d{2})?")
RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
RESOURCE_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9\-._]{1,128}")
DATE_PARAMETERS = frozenset(
    {"date", "authored", "authoredon", "onset-date", "period", "recorded-date", "whenhandedover"}
)


def read_query(query: Query) -> list[tuple[str, str]]:
    """`query` as pairs, each checked. `InputError` for names and values that servers read in several ways.

    Refused: parts of resources (`_elements`, `_summary`), control characters, and dates with only a year
    or a month, which servers compare differently; give whole days.
    """
    pairs = list(_pairs(query))
    for name, value in pairs:
        base = name.partition(":")[0]
        if base in PARTIAL_PARAMETERS:
            raise InputError("Only whole resources are asked for.", code="client.partial-resource")
        if not value.isprintable() or not name.isprintable():
            raise InputError("A query parameter holds control characters.", code="client.parameter")
        if base in DATE_PARAMETERS and SHORT_DATE.fullmatch(value):
            raise InputError("A search date needs a whole day.", code="client.short-date")
    return pairs


def escape_value(text: str) -> str:
    """One value with FHIR's own separators escaped, for text that comes from data: `a,b` is not two values."""
    return re.sub(r"([\\,|$])", r"\\\1", text)


def require_type(resource_type: str) -> str:
    """The type if it can be one; `InputError` otherwise."""
    if not RESOURCE_TYPE.fullmatch(resource_type):
        raise InputError("This is no resource type.", code="client.resource-type")
    return resource_type


def require_id(resource_id: str) -> str:
    """The id if it can be one, never empty; `InputError` otherwise."""
    if not RESOURCE_ID.fullmatch(resource_id):
        raise InputError("This is no resource id.", code="client.resource-id")
    return resource_id


def belongs_in_body(pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether the search goes by POST: it names a person, or its URL would be too long."""
    length = sum(len(name) + len(value) + 2 for name, value in pairs)
    return length > LONG_URL or any(_last_name(name) in IDENTITY_PARAMETERS for name, _ in pairs)


def template(path: str, pairs: Iterable[tuple[str, str]] = ()) -> str:
    """Path with ids masked and parameter names without values: `Observation?patient&code`, `Patient/{id}`."""
    parts = path.split("/")
    masked = [part if index == 0 or part.startswith(("_", "$")) else "{id}" for index, part in enumerate(parts)]
    names = "&".join(name for name, _ in pairs)
    return "/".join(masked) + (f"?{names}" if names else "")


def split_values(values: Sequence[str], size: int = 50) -> list[list[str]]:
    """Long lists of values in portions of at most `size`."""
    return [list(values[start : start + size]) for start in range(0, len(values), size)]


def _pairs(query: Query) -> Iterable[tuple[str, str]]:
    if not isinstance(query, Mapping):
        yield from query
        return
    for name, value in query.items():
        yield from [(name, value)] if isinstance(value, str) else [(name, item) for item in value]


def _last_name(name: str) -> str:
    """`identifier` of `payor:Organization.identifier`."""
    return name.rpartition(".")[2].partition(":")[0]
