"""Does a resource's value match what was asked? One function for each kind of search parameter.

Source: FHIR R4 search (http://hl7.org/fhir/R4/search.html). Dates compare as ranges; a date without a
time is compared in the resource's own offset, as servers in the field do.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from gateway.demo.ehr_store import Stored
from gateway.demo.ehr_types import Parameter
from gateway.errors import InputError

_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d{2})(-(?P<day>\d{2})"
    r"(T(?P<time>\d{2}:\d{2}(:\d{2}(\.\d+)?)?)(?P<zone>Z|[+ -]\d{2}:\d{2})?)?)?)?$"
)
_FARTHEST_OFFSET = timedelta(hours=14)
_PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)(?=\d)")

Span = tuple[datetime, datetime]
"""First instant and first instant after, as naive local time."""
Dated = tuple[Span, Span]
"""One date value twice: in its own offset, and in UTC."""


def read_values(resource: Any, path: str) -> list[Any]:
    """All values at a dotted path, lists flattened; empty when there are none."""
    found = [resource]
    for step in path.split("."):
        next_values: list[Any] = []
        for value in found:
            item = value.get(step) if isinstance(value, Mapping) else None
            next_values.extend(item if isinstance(item, list) else [] if item is None else [item])
        found = next_values
    return found


def matches(stored: Stored, parameter: Parameter, modifier: str, wanted: tuple[str, ...]) -> bool:
    """Whether any of the wanted texts (joined by OR) fits the resource. InputError for a bad modifier or value."""
    if modifier == "missing":
        return bool(terms_of(stored, parameter)) == (wanted[0] == "false")
    check = _CHECKS[parameter.kind]
    return any(check(stored, parameter, modifier, text) for text in wanted)


def terms_of(stored: Stored, parameter: Parameter) -> list[Any]:
    """Search values of a resource for a parameter; worked out once for each version."""
    if parameter.name not in stored.terms:
        values = [value for path in parameter.paths for value in read_values(stored.resource, path)]
        stored.terms[parameter.name] = [term for value in values for term in _terms(parameter.kind, value)]
    return stored.terms[parameter.name]


def _terms(kind: str, value: Any) -> list[Any]:
    try:
        return _TERMS[kind](value)
    except (InputError, AttributeError, KeyError, TypeError, ValueError):
        # Defensive: writes are not validated; what cannot be read as a search value is not found by it.
        return []


def _token_terms(value: Any) -> list[tuple[str | None, str]]:
    """(system, code) pairs; a plain code has the system None, which any asked system fits."""
    if isinstance(value, bool):
        return [(None, "true" if value else "false")]
    if isinstance(value, str):
        return [(None, value)]
    if "coding" in value:
        return [(str(item.get("system", "")), str(item["code"])) for item in value["coding"] if "code" in item]
    code = value.get("code", value.get("value"))
    return [(str(value.get("system", "")), str(code))] if code is not None else []


def _check_token(stored: Stored, parameter: Parameter, modifier: str, text: str) -> bool:
    _require_modifier(modifier, "", "not")
    system, bar, code = text.rpartition("|")
    found = any(
        (not code or code == term_code) and (not bar or term_system is None or term_system == system)
        for term_system, term_code in terms_of(stored, parameter)
    )
    return not found if modifier == "not" else found


def _reference_terms(value: Any) -> list[str]:
    text = value.get("reference") if isinstance(value, Mapping) else None
    return [text.split("/_history/")[0]] if isinstance(text, str) else []


def _check_reference(stored: Stored, parameter: Parameter, modifier: str, text: str) -> bool:
    """`id`, `Type/id`, or `id` with the type as modifier; `patient` means a Patient. An absolute url finds nothing."""
    kind = modifier or ("Patient" if parameter.name == "patient" else "")
    if "/" not in text and kind:
        return f"{kind}/{text}" in terms_of(stored, parameter)
    if "/" in text:
        return text in terms_of(stored, parameter) and text.startswith(f"{kind}/" if kind else "")
    return any(term.rsplit("/", 1)[-1] == text for term in terms_of(stored, parameter))


def _string_terms(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else []


def _check_string(stored: Stored, parameter: Parameter, modifier: str, text: str) -> bool:
    _require_modifier(modifier, "", "exact")
    if modifier == "exact":
        return text in terms_of(stored, parameter)
    return any(_folded(term).startswith(_folded(text)) for term in terms_of(stored, parameter))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(character for character in plain if not unicodedata.combining(character)).casefold()


def _check_uri(stored: Stored, parameter: Parameter, modifier: str, text: str) -> bool:
    """Equal, or equal up to the version of a canonical."""
    _require_modifier(modifier, "")
    return any(text in (term, term.split("|")[0]) for term in terms_of(stored, parameter))


def _date_terms(value: Any) -> list[Dated]:
    if isinstance(value, str):
        return [(read_span(value), utc_span(value))]
    start, end = value.get("start"), value.get("end")
    if not start and not end:
        return []
    local = (_edge(read_span, start, 0), _edge(read_span, end, 1))
    utc = (_edge(utc_span, start, 0), _edge(utc_span, end, 1))
    return [(local, utc)]


def _edge(reader: Callable[[str], Span], text: str | None, side: int) -> datetime:
    open_ends = (datetime.min, datetime.max)
    return reader(text)[side] if text else open_ends[side]


def _check_date(stored: Stored, parameter: Parameter, modifier: str, text: str) -> bool:
    _require_modifier(modifier, "")
    found = _PREFIX.match(text)
    prefix = found.group(1) if found else "eq"
    value = text[2:] if found else text
    has_zone = "T" in value and not re.search(r"T[\d:.]+$", value)
    wanted = utc_span(value) if has_zone else read_span(value)
    if prefix not in _COMPARE:
        raise InputError("This server does not compare dates that way; use eq, ne, gt, lt, ge, le, sa or eb.")
    return any(_COMPARE[prefix](term[1 if has_zone else 0], wanted) for term in terms_of(stored, parameter))


_COMPARE: Mapping[str, Callable[[Span, Span], bool]] = {
    "eq": lambda have, want: want[0] <= have[0] and have[1] <= want[1],
    "ne": lambda have, want: not (want[0] <= have[0] and have[1] <= want[1]),
    "gt": lambda have, want: have[1] > want[1],
    "lt": lambda have, want: have[0] < want[0],
    "ge": lambda have, want: have[1] > want[0],
    "le": lambda have, want: have[0] < want[1],
    "sa": lambda have, want: have[0] >= want[1],
    "eb": lambda have, want: have[1] <= want[0],
}


def read_span(text: str) -> Span:
    """Range that a FHIR date, dateTime or instant covers, in its own offset. InputError when it is none."""
    found = _DATE.match(text)
    if not found:
        raise InputError("A date parameter must be a FHIR date or time, YYYY-MM-DD at best.", code="bad-date")
    try:
        return _span(found)
    except (ValueError, OverflowError):
        raise InputError("A date parameter names a day or time that does not exist.", code="bad-date") from None


def _span(found: re.Match[str]) -> Span:
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    start = datetime(year, month, day)
    if found["time"]:
        start = datetime.fromisoformat(f"{date(year, month, day)}T{found['time']}")
        width = timedelta(seconds=60 if found["time"].count(":") == 1 else 1)
        return start, start + (timedelta(microseconds=1000) if "." in found["time"] else width)
    if found["day"]:
        return start, start + timedelta(days=1)
    days = calendar.monthrange(year, month)[1] if found["month"] else 365 + calendar.isleap(year)
    return start, start + timedelta(days=days)


def utc_span(text: str) -> Span:
    """As `read_span`, moved to UTC where the text has an offset."""
    start, end = read_span(text)
    found = _DATE.match(text)
    zone = found["zone"] if found else None
    if not zone or zone == "Z":
        return start, end
    shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    if shift > _FARTHEST_OFFSET:
        raise InputError("A date parameter has an offset that no place has.", code="bad-date")
    try:
        return (start + shift, end + shift) if zone[0] == "-" else (start - shift, end - shift)
    except OverflowError:
        raise InputError("A date parameter is outside the calendar.", code="bad-date") from None


def _require_modifier(modifier: str, *allowed: str) -> None:
    if modifier not in allowed:
        raise InputError("This server does not know that search modifier.", code="unknown-modifier")


def sort_value(stored: Stored, parameter: Parameter) -> tuple[int, Any]:
    """Key for `_sort`: the first value, with resources that have none at the end."""
    terms = terms_of(stored, parameter)
    if parameter.kind == "date":
        return (0, terms[0][1][0]) if terms else (1, datetime.max)
    texts = [term[1] if isinstance(term, tuple) else term for term in terms]
    return (0, min(texts)) if texts else (1, "")


_TERMS: Mapping[str, Callable[[Any], list[Any]]] = {
    "token": _token_terms,
    "reference": _reference_terms,
    "string": _string_terms,
    "uri": _string_terms,
    "date": _date_terms,
}
_CHECKS: Mapping[str, Callable[[Stored, Parameter, str, str], bool]] = {
    "token": _check_token,
    "reference": _check_reference,
    "string": _check_string,
    "uri": _check_uri,
    "date": _check_date,
}
