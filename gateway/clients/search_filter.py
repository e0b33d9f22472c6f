"""Asking again on our side what a server may have ignored.

A lenient server drops a parameter it does not know and answers wider. What a search asked for is
therefore checked on each match, as far as the parameter is one of those known here; the others are
named, so that nobody believes they worked. Source: FHIR R4 search (self link); field case B73.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from gateway.fhir import Json

Check = Callable[[Json, str], bool | None]
"""(resource, parameter value) to holds, holds not, or None: cannot tell."""
DATE_ELEMENTS = (
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "performedDateTime",
    "performedPeriod",
    "date",
    "authoredOn",
    "authored",
    "period",
    "sent",
    "occurrenceDateTime",
    "occurrencePeriod",
    "recordedDate",
    "onsetDateTime",
    "onsetPeriod",
    "whenHandedOver",
)


def check_match(resource: Json, pairs: Iterable[tuple[str, str]]) -> str | None:
    """Name of the first parameter that the resource does not meet; None when all known ones hold.

    Dates are widened by a day on each side, because servers compare them in different zones; whoever
    judges the record decides the exact day.
    """
    for name, value in pairs:
        check = CHECKS.get(name)
        if check and check(resource, value) is False:
            return name
    return None


def is_checked(name: str) -> bool:
    """Whether `check_match` can judge the parameter at all."""
    return name in CHECKS


def _code(*elements: str) -> Check:
    """Whether one of the elements has the code; None where the resource has none of them."""

    def check(resource: Json, value: str) -> bool | None:
        present = [resource[name] for name in elements if name in resource]
        return any(_any_token(held, value) for held in present) if present else None

    return check


def _any_token(present: Any, value: str) -> bool:
    codings = list(_codings(present))
    return any(_token(coding, token) for token in value.split(",") for coding in codings)


def _codings(present: Any) -> Iterable[tuple[str, str]]:
    """(system, code) of whatever can be searched by token: code, Coding, CodeableConcept, Identifier, lists of them."""
    if isinstance(present, str | bool):
        yield "", str(present).lower() if isinstance(present, bool) else present
    elif isinstance(present, Sequence):
        for item in present:
            yield from _codings(item)
    elif isinstance(present, Mapping):
        yield str(present.get("system", "")), str(present.get("code", present.get("value", "")))
        yield from _codings(present.get("coding") or ())


def _token(coding: tuple[str, str], token: str) -> bool:
    system, bar, code = token.rpartition("|")
    if not bar:
        return coding[1] == code
    return coding[0] == system and code in ("", coding[1])


def _date(resource: Json, value: str) -> bool | None:
    found = [_span(resource[name]) for name in DATE_ELEMENTS if name in resource]
    spans = [span for span in found if span]
    prefix, text = (value[:2], value[2:]) if value[:2].isalpha() else ("eq", value)
    try:
        asked = date.fromisoformat(text[:10])
    except ValueError:
        return None
    if "," in value:
        return None
    return any(_holds(prefix, span, asked) for span in spans) if spans else None


def _span(present: Any) -> tuple[date, date] | None:
    """First and last day of a date, dateTime or Period, a day wider on each side; open ends reach to the limit."""
    if isinstance(present, Mapping):
        first, last = _days(present.get("start")), _days(present.get("end"))
        return (first[0] if first else date.min, last[1] if last else date.max) if first or last else None
    return _days(present)


def _days(text: Any) -> tuple[date, date] | None:
    if not isinstance(text, str):
        return None
    width = {4: 366, 7: 31}.get(len(text), 1)
    try:
        first = date.fromisoformat((text[:10] + "-01-01")[:10] if len(text) < 10 else text[:10])
        return first - timedelta(days=1), first + timedelta(days=width)
    except (ValueError, OverflowError):
        return None


def _holds(prefix: str, span: tuple[date, date], asked: date) -> bool | None:
    first, last = span
    if prefix in ("ge", "gt", "sa"):
        return last >= asked
    if prefix in ("le", "lt", "eb"):
        return first <= asked
    return first <= asked <= last if prefix == "eq" else None


def _id(resource: Json, value: str) -> bool:
    return str(resource.get("id", "")) in value.split(",")


def _reference(*elements: str) -> Check:
    def check(resource: Json, value: str) -> bool | None:
        present = [resource[name] for name in elements if name in resource]
        if not present:
            return None
        texts = [item.get("reference", "") for held in present for item in _listed(held) if isinstance(item, Mapping)]
        wanted = [part.rpartition("/")[2] for part in value.split(",")]
        return any(str(text).partition("/_history/")[0].rpartition("/")[2] in wanted for text in texts)

    return check


def _listed(present: Any) -> Sequence[Any]:
    return present if isinstance(present, list) else [present]


def _canonical(resource: Json, value: str) -> bool:
    """A canonical is compared without its version unless the parameter has one."""
    present = str(resource.get("questionnaire", ""))
    return any(part == present or part == present.partition("|")[0] for part in value.split(","))


CHECKS: Mapping[str, Check] = {
    "_id": _id,
    "code": _code("code", "medicationCodeableConcept"),
    "category": _code("category"),
    "status": _code("status"),
    "intent": _code("intent"),
    "identifier": _code("identifier"),
    "clinical-status": _code("clinicalStatus"),
    "type": _code("type"),
    "date": _date,
    "authored": _date,
    "authoredon": _date,
    "questionnaire": _canonical,
    "based-on": _reference("basedOn"),
    "encounter": _reference("encounter", "context"),
    "patient": _reference("subject", "patient", "beneficiary", "for"),
    "subject": _reference("subject", "patient", "beneficiary", "for"),
    "beneficiary": _reference("beneficiary"),
    "practitioner": _reference("practitioner"),
}
"""Parameters that can be judged on the resource itself."""
