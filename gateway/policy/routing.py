"""From an order's coverages to the one payer it is for.

The active coverage with the lowest `order` is chosen; its payor leads to an Organization whose
identifier names a payer row. What cannot be told is a typed finding for a person, never a guess.
Source: spec/clinical.md §6.1 (selection of coverage), spec/crd.md §3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text, whole_number
from gateway.fhir.references import reference_text


class Payer(Protocol):
    """A payer row, as far as routing cares."""

    @property
    def slug(self) -> str:
        """Name of the row."""
        ...


class RouteProblem(StrEnum):
    """Why no payer could be told."""

    NO_COVERAGE = "no-coverage"
    """The order came with no coverage at all."""
    NOT_IN_FORCE = "coverage-not-in-force"
    """There are coverages, none active on the day of the order."""
    NO_PAYOR = "payor-missing"
    """The coverage names no payor that can be found."""
    NO_IDENTIFIER = "payor-unidentified"
    """The payor Organization carries no identifier."""
    UNKNOWN = "payer-unknown"
    """None of the payor's identifiers belongs to a payer row."""
    AMBIGUOUS = "payer-ambiguous"
    """The payor's identifiers belong to several payer rows."""
    TIE = "coverage-tie"
    """Several coverages come first; only a person can say which."""


_ACTIONS = {
    RouteProblem.NO_COVERAGE: "Add the patient's coverage to the order.",
    RouteProblem.NOT_IN_FORCE: "Check eligibility: no coverage is active on the day of the order.",
    RouteProblem.NO_PAYOR: "Name the payor on the coverage in the EHR.",
    RouteProblem.NO_IDENTIFIER: "Add the payer's identifier to the payor organization in the EHR.",
    RouteProblem.UNKNOWN: "Add this payer to the directory, or correct the payer's identifier in the EHR.",
    RouteProblem.AMBIGUOUS: "The payor carries identifiers of several payers; keep the right one.",
    RouteProblem.TIE: "Say which coverage pays first (Coverage.order).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The payer that an order is for, or why none can be told."""

    slug: str | None
    """Payer row; None with a `problem`."""
    coverage: Json | None
    """Coverage that led there; None when none could be chosen."""
    organization: Json | None = None
    """Payor Organization; None when the coverage names it by identifier only."""
    identifier: tuple[str, str] | None = None
    """Identifier that matched."""
    problem: RouteProblem | None = None
    """What is wrong."""

    @property
    def next_action(self) -> str:
        """What a person should do; empty when a payer was found."""
        return _ACTIONS[self.problem] if self.problem else ""


def decide_route(
    coverages: Sequence[Json],
    find: Callable[[str], Json | None],
    by_identifier: Callable[[str, str], Payer | None],
    on: date,
) -> Route:
    """The payer row for an order of day `on`.

    `coverages` are the patient's; `find` resolves a reference text; `by_identifier` looks a payer row
    up by system and value.
    """
    chosen, problem = choose_coverage(coverages, on)
    if chosen is None:
        return Route(slug=None, coverage=None, problem=problem)
    organizations, identifiers = _payors(chosen, _contained_or(find, chosen))
    rows = {row.slug: pair for pair in identifiers if (row := by_identifier(*pair)) is not None}
    organization = organizations[0] if organizations else None
    if len(rows) == 1:
        slug, pair = next(iter(rows.items()))
        return Route(slug=slug, coverage=chosen, organization=organization, identifier=pair)
    problem = _unmatched(bool(rows), bool(organizations), bool(identifiers))
    return Route(slug=None, coverage=chosen, organization=organization, problem=problem)


def choose_coverage(coverages: Sequence[Json], on: date) -> tuple[Json | None, RouteProblem | None]:
    """The coverage that pays first on day `on`, or what stands in the way.

    Status active, period covering the day, lowest `order`; a coverage without `order` comes after
    those with one. One that differs only by being the same resource twice is one coverage.
    """
    if not coverages:
        return None, RouteProblem.NO_COVERAGE
    in_force = [coverage for coverage in coverages if is_in_force(coverage, on)]
    if not in_force:
        return None, RouteProblem.NOT_IN_FORCE
    rank = min(map(_rank, in_force))
    first = [coverage for coverage in in_force if _rank(coverage) == rank]
    if len({text(coverage.get("id")) or str(place) for place, coverage in enumerate(first)}) > 1:
        return None, RouteProblem.TIE
    return first[0], None


def is_in_force(coverage: Json, on: date) -> bool:
    """Whether the coverage is active and its period, both ends in, covers the day. No period means always."""
    if coverage.get("status") != "active":
        return False
    period = one(coverage.get("period"))
    shown = on.isoformat()
    start, end = text(period.get("start"))[:10], text(period.get("end"))[:10]
    return (not start or start <= shown[: len(start)]) and (not end or shown[: len(end)] <= end)


def _rank(coverage: Json) -> int:
    order = whole_number(coverage.get("order"))
    return order if order is not None else 1_000_000


def _payors(coverage: Json, find: Callable[[str], Json | None]) -> tuple[list[Json], list[tuple[str, str]]]:
    organizations: list[Json] = []
    pairs: list[tuple[str, str]] = []
    for payor in objects(coverage.get("payor")):
        pairs.extend(_pairs([payor.get("identifier")]))
        target = find(reference_text(payor))
        if target is not None:
            organizations.append(target)
            pairs.extend(_pairs(objects(target.get("identifier"))))
    return organizations, list(dict.fromkeys(pairs))


def _pairs(identifiers: Iterable[Any]) -> list[tuple[str, str]]:
    found = [one(identifier) for identifier in identifiers]
    return [
        (text(item.get("system")), text(item.get("value")))
        for item in found
        if item.get("system") and item.get("value") and item.get("use") != "old"
    ]


def _unmatched(several: bool, has_organization: bool, has_identifier: bool) -> RouteProblem:
    if several:
        return RouteProblem.AMBIGUOUS
    if has_identifier:
        return RouteProblem.UNKNOWN
    return RouteProblem.NO_IDENTIFIER if has_organization else RouteProblem.NO_PAYOR


def _contained_or(find: Callable[[str], Json | None], coverage: Json) -> Callable[[str], Json | None]:
    inside = {f"#{text(resource.get('id'))}": resource for resource in objects(coverage.get("contained"))}
    return lambda reference: inside.get(reference) or find(reference)
