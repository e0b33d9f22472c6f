"""From coverages to the one payer, or to a finding that says what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from gateway.policy.routing import RouteProblem, choose_coverage, decide_route, is_in_force

SYSTEM = "urn:example:payer"
ON = date(2026, 2, 16)


@dataclass(frozen=True)
class _Row:
    slug: str


ROWS = {(SYSTEM, "1"): _Row("one"), (SYSTEM, "1b"): _Row("one"), (SYSTEM, "2"): _Row("two")}


def _organization(*values: str) -> dict[str, Any]:
    return {"resourceType": "Organization", "id": "o", "identifier": [{"system": SYSTEM, "value": v} for v in values]}


def _coverage(**changes: Any) -> dict[str, Any]:
    basic = {"resourceType": "Coverage", "id": "c", "status": "active", "payor": [{"reference": "Organization/o"}]}
    return {**basic, **changes}


def _route(coverage: list[dict[str, Any]], organization: dict[str, Any] | None) -> Any:
    return decide_route(
        coverage,
        lambda reference: organization if reference == "Organization/o" else None,
        lambda system, value: ROWS.get((system, value)),
        ON,
    )


@pytest.mark.parametrize(
    ("coverage", "organization", "slug", "problem"),
    [
        (_coverage(), _organization("1"), "one", None),
        (_coverage(), _organization("x", "2"), "two", None),
        (_coverage(), _organization("1", "1b"), "one", None),
        (_coverage(), _organization("1", "2"), None, RouteProblem.AMBIGUOUS),
        (_coverage(), _organization("9"), None, RouteProblem.UNKNOWN),
        (_coverage(), _organization(), None, RouteProblem.NO_IDENTIFIER),
        (_coverage(), None, None, RouteProblem.NO_PAYOR),
        (_coverage(payor=[{"identifier": {"system": SYSTEM, "value": "2"}}]), None, "two", None),
        (_coverage(payor=[{"reference": "#p"}], contained=[{**_organization("1"), "id": "p"}]), None, "one", None),
        (_coverage(status="cancelled"), _organization("1"), None, RouteProblem.NOT_IN_FORCE),
        (_coverage(period={"end": "2026-02-15"}), _organization("1"), None, RouteProblem.NOT_IN_FORCE),
    ],
)
def test_route(coverage: dict[str, Any], organization: Any, slug: str | None, problem: RouteProblem | None) -> None:
    route = _route([coverage], organization)
    assert (route.slug, route.problem) == (slug, problem)
    assert bool(route.next_action) is (problem is not None)


def test_no_coverage_is_a_finding() -> None:
    assert _route([], None).problem is RouteProblem.NO_COVERAGE


def test_an_identifier_marked_old_is_not_used() -> None:
    organization = _organization("1")
    organization["identifier"][0]["use"] = "old"
    assert _route([_coverage()], organization).problem is RouteProblem.NO_IDENTIFIER


@pytest.mark.parametrize(
    ("orders", "chosen"), [((2, 1), "1"), ((None, 3), "1"), ((1, None), "0"), ((1, 1), None), ((None, None), None)]
)
def test_the_lowest_order_pays_first(orders: tuple[int | None, ...], chosen: str | None) -> None:
    found = [
        _coverage(id=str(place), **({} if order is None else {"order": order})) for place, order in enumerate(orders)
    ]
    coverage, problem = choose_coverage(found, ON)
    assert (coverage["id"] if coverage else None) == chosen
    assert problem is (None if chosen else RouteProblem.TIE)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ({}, True),
        ({"start": "2026-02-16"}, True),
        ({"start": "2026-02-17"}, False),
        ({"end": "2026-02-16"}, True),
        ({"end": "2026-02"}, True),
        ({"end": "2026-01"}, False),
        ({"start": "2026", "end": "2026"}, True),
        ({"start": "2026-02-16T08:00:00-08:00"}, True),
    ],
)
def test_period_of_a_coverage(period: dict[str, str], expected: bool) -> None:
    assert is_in_force({"status": "active", "period": period}, ON) is expected
