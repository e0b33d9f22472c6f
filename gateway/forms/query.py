"""`application/x-fhir-query` answered from the record snapshot instead of a server.

A query that uses a parameter we do not know is refused: an ignored filter would answer with too much
(field case B73 on servers). Every search is bound to the snapshot's patient anyway, since nobody else
is in it. The answer is a searchset Bundle, as a server would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Final
from urllib.parse import unquote_plus

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.fhir.codes import canonical_system, same_code
from gateway.reasoning.fhirpath_items import items_of, members
from gateway.reasoning.fhirpath_values import Moment, read_moment
from gateway.reasoning.record import RecordSnapshot, reference_of

MAX_QUERY: Final = 20_000
"""Longest query text, in characters; value lists are long."""
_TOKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "code": ("code", "medication.ofType(CodeableConcept)", "vaccineCode"),
    "status": ("status", "clinicalStatus"),
    "clinical-status": ("clinicalStatus",),
    "verification-status": ("verificationStatus",),
    "category": ("category",),
    "intent": ("intent",),
    "type": ("type",),
    "class": ("class",),
    "identifier": ("identifier",),
    "topic": ("topic",),
    "activity-code": ("activity.detail.code",),
    "reason-code": ("reasonCode",),
    "_tag": ("meta.tag",),
}
_REFERENCE: Final[Mapping[str, tuple[str, ...]]] = {
    "patient": ("subject", "patient", "beneficiary", "for"),
    "subject": ("subject",),
    "beneficiary": ("beneficiary",),
    "encounter": ("encounter", "context"),
    "based-on": ("basedOn",),
    "reason-reference": ("reasonReference",),
    "requester": ("requester",),
    "performer": ("performer", "performer.actor"),
    "medication": ("medication.ofType(Reference)",),
    "focus": ("focus",),
}
_DATE: Final[Mapping[str, tuple[str, ...]]] = {
    "date": ("effective", "performed", "period", "occurrence", "date", "authored", "sent", "created"),
    "authored": ("authored",),
    "authoredon": ("authoredOn",),
    "onset-date": ("onset",),
    "recorded-date": ("recordedDate",),
    "sent": ("sent",),
    "period": ("period",),
    "effective": ("effective",),
    "whenhandedover": ("whenHandedOver",),
}
_URI: Final = {"questionnaire": "questionnaire", "url": "url"}
_PAGING: Final = frozenset({"_count", "_sort", "_format", "_include", "_revinclude", "_elements", "_summary"})
Matcher = Callable[[Json], bool]
MemberTest = Callable[[str, Mapping[str, Any] | str], bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """Result of one query."""

    bundle: dict[str, Any]
    query: str
    """The query as it was run, for people who ask what was looked for."""


def run_query(
    text: str, record: RecordSnapshot, zone: tzinfo | None, member_of: MemberTest | None = None
) -> QueryAnswer:
    """Answer `Type?parameters` or `Type/id` from the record; `:in` asks `member_of` about value sets.

    Raises ReasoningError `query.*` for what cannot be asked of it.
    """
    if len(text) > MAX_QUERY:
        raise ReasoningError("The query is too long.", code="query.limit")
    path, _, parameters = text.strip().partition("?")
    path = path.strip("/")
    if "://" in path or path.count("/") > 1 or not path:
        raise ReasoningError("The query is not relative to the record.", code="query.address")
    if "/" in path:
        found = record.find(path)
        return QueryAnswer(bundle=_searchset([found] if found is not None else []), query=text)
    pairs = [pair.partition("=") for pair in parameters.split("&") if pair]
    matchers = [_matcher(unquote_plus(name), unquote_plus(value), zone, member_of) for name, _, value in pairs]
    kept = [one for one in record.of_type(path) if all(matches(one) for matches in matchers if matches)]
    return QueryAnswer(bundle=_searchset(_sorted(kept, pairs)), query=text)


def _searchset(resources: Iterable[Json]) -> dict[str, Any]:
    entries = [
        {"fullUrl": reference_of(resource), "resource": resource, "search": {"mode": "match"}} for resource in resources
    ]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}


def _matcher(parameter: str, value: str, zone: tzinfo | None, member_of: MemberTest | None) -> Matcher | None:
    name, _, modifier = parameter.partition(":")
    if name in _PAGING:
        return None
    if modifier == "in" and name in _TOKEN and member_of is not None:
        return _in_value_set(_TOKEN[name], value, member_of)
    if modifier not in ("", "not", "missing", "Patient") or "." in name:
        raise _unknown(name)
    if modifier == "missing":
        return _missing(name, value)
    values = [part for part in value.split(",") if part]
    if name == "_id":
        return lambda resource: resource.get("id") in values
    if name in _URI:
        return _uri(_URI[name], values)
    if name in _TOKEN:
        return _token(_TOKEN[name], values, negated=modifier == "not")
    if name in _REFERENCE:
        return _reference(_REFERENCE[name], values)
    if name in _DATE:
        return _date(_DATE[name], values, zone)
    raise _unknown(name)


def _unknown(name: str) -> ReasoningError:
    return ReasoningError(
        f"The query filters by {name[:30]!r}, which cannot be asked of the record.", code="query.parameter"
    )


def _elements(resource: Json, paths: tuple[str, ...]) -> list[Any]:
    """Values of the first path that the resource has; `.ofType(X)` keeps one type of a choice."""
    found = []
    for path in paths:
        name, _, type_name = path.partition(".ofType(")
        items = items_of(resource)
        for step in name.split("."):
            items = [child for item in items for child in members(item, step)]
        found += [item for item in items if not type_name or item.type == type_name.rstrip(")")]
    return found


def _missing(name: str, value: str) -> Matcher:
    paths = _TOKEN.get(name) or _REFERENCE.get(name) or _DATE.get(name)
    if paths is None:
        raise _unknown(name)
    return lambda resource: bool(_elements(resource, paths)) is (value == "false")


def _uri(element: str, values: list[str]) -> Matcher:
    def matches(resource: Json) -> bool:
        own = str(resource.get(element, ""))
        return any(own == value or own.partition("|")[0] == value for value in values)

    return matches


def _token(paths: tuple[str, ...], values: list[str], *, negated: bool) -> Matcher:
    def matches(resource: Json) -> bool:
        codings = [coding for item in _elements(resource, paths) for coding in _codings(item.value)]
        hit = any(_token_fits(value, coding) for value in values for coding in codings)
        return hit is not negated

    return matches


def _in_value_set(paths: tuple[str, ...], canonical: str, member_of: MemberTest) -> Matcher:
    def matches(resource: Json) -> bool:
        answers = [member_of(canonical, item.value) for item in _elements(resource, paths)]
        if None in answers:
            raise ReasoningError("A value set that the query needs is not at hand.", code="query.terminology")
        return True in answers

    return matches


def _codings(value: Any) -> list[Json]:
    if isinstance(value, str):
        return [{"code": value}]
    if not isinstance(value, Mapping):
        return []
    if "coding" in value:
        return [coding for coding in value["coding"] if isinstance(coding, Mapping)]
    return [{"system": value.get("system"), "code": value.get("code", value.get("value"))}]


def _token_fits(value: str, coding: Json) -> bool:
    system, bar, code = value.partition("|")
    if not bar:
        return bool(coding.get("code") == system)
    if not code:
        return canonical_system(str(coding.get("system", ""))) == canonical_system(system)
    if not coding.get("system"):
        return not system and coding.get("code") == code
    return same_code({"system": system, "code": code}, coding)


def _reference(paths: tuple[str, ...], values: list[str]) -> Matcher:
    def matches(resource: Json) -> bool:
        own = [str(item.value.get("reference", "")) for item in _elements(resource, paths)]
        return any(_same_reference(value, reference) for value in values for reference in own)

    return matches


def _same_reference(wanted: str, own: str) -> bool:
    own = own.split("/_history/")[0]
    return own == wanted or own.rsplit("/", 1)[-1] == wanted or own.endswith(f"/{wanted}")


def _date(paths: tuple[str, ...], values: list[str], zone: tzinfo | None) -> Matcher:
    def matches(resource: Json) -> bool:
        spans = [_span(item.value) for item in _elements(resource, paths)]
        return any(_date_fits(value, span, zone) for value in values for span in spans if span)

    return matches


def _span(value: Any) -> tuple[Moment | None, Moment | None] | None:
    """Start and end of a dateTime or Period; an open end is None."""
    if isinstance(value, str):
        moment = read_moment(value)
        return (moment, moment) if moment else None
    if isinstance(value, Mapping) and ("start" in value or "end" in value):
        return (read_moment(str(value.get("start", ""))), read_moment(str(value.get("end", ""))))
    return None


def _date_fits(value: str, span: tuple[Moment | None, Moment | None], zone: tzinfo | None) -> bool:
    prefix = value[:2] if value[:2].isalpha() else "eq"
    wanted = read_moment(value[2:] if value[:2].isalpha() else value)
    if wanted is None:
        raise ReasoningError("The query compares with something that is no date.", code="query.date")
    start, end = span
    after = 1 if end is None else _compared(end, wanted, zone)
    before = -1 if start is None else _compared(start, wanted, zone)
    answers = {
        "ge": after >= 0,
        "gt": after > 0,
        "le": before <= 0,
        "lt": before < 0,
        "eq": before == 0 and after == 0,
        "ne": before != 0 or after != 0,
        "sa": before > 0,
        "eb": after < 0,
    }
    if prefix not in answers:
        raise ReasoningError("The query compares dates in a way that is not known here.", code="query.date")
    return answers[prefix]


def _compared(moment: Moment, wanted: Moment, zone: tzinfo | None) -> int:
    """Order at the coarser precision of the two, so that a day contains its hours."""
    return moment.compare(wanted, zone) or 0


def _sorted(found: list[Json], pairs: list[tuple[str, str, str]]) -> list[Json]:
    order = next((unquote_plus(value) for name, _, value in pairs if name == "_sort"), "")
    for name in reversed([part for part in order.split(",") if part]):
        paths = _DATE.get(name.lstrip("-"))
        if paths is None:
            raise _unknown(name.lstrip("-"))
        found = sorted(found, key=lambda one, paths=paths: _sort_key(one, paths), reverse=name.startswith("-"))  # type: ignore[misc]
    count = next((value for name, _, value in pairs if name == "_count"), "")
    return found[: int(count)] if count.isdigit() else found


def _sort_key(resource: Json, paths: tuple[str, ...]) -> str:
    for item in _elements(resource, paths):
        value = item.value.get("start", "") if isinstance(item.value, Mapping) else item.value
        if isinstance(value, str):
            return value
    return ""
