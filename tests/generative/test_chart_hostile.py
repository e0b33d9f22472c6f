"""A chart that is not as FHIR wants it never breaks a step: the case goes on without that element, or asks a person."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.demo.charts import demo_charts
from gateway.flows.advance import BROKEN
from tests.flows_house import EHR_URL, House, open_house

HOSTILE: tuple[Any, ...] = ("x", 5, [[]], {"coding": [5], "reference": {}})
CHART = next(chart for chart in demo_charts() if chart.scenario == "approved")
STAMPED = frozenset({"resourceType", "id", "meta", "identifier"})
"""Elements that the synthetic EHR stamps itself, or that name the order anew in each try."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("hostile-chart"), [CHART.bundle]) as opened:
        yield opened


def _resource(reference: str) -> dict[str, Any]:
    entries = CHART.bundle["entry"]
    found = (entry["resource"] for entry in entries)
    return copy.deepcopy(next(item for item in found if f"{item['resourceType']}/{item['id']}" == reference))


def _order() -> dict[str, Any]:
    """The order without a business identifier, so that every copy is an order of its own."""
    return {key: value for key, value in _resource(CHART.order_reference).items() if key != "identifier"}


def _put(house: House, resource: dict[str, Any]) -> None:
    house.ehr_store.update(resource["resourceType"], resource["id"], resource, None)


def _run(house: House, order_id: str) -> str:
    """Post the order by name and let it run; gives the state, or the code of a refusal."""
    answer = house.post({"fhirServer": EHR_URL, "order": f"ServiceRequest/{order_id}"})
    if answer.status_code == 422:
        return str(answer.json()["issue"][0]["details"]["coding"][0]["code"])
    assert answer.status_code == 202, answer.text
    case = house.case(answer.json()["cases"][0]["case_id"])
    house.work()
    assert house.jobs.failed == []
    shown = house.case(case.case_id)
    assert BROKEN not in shown.next_action
    return shown.state


@pytest.mark.threat("T5")
@pytest.mark.parametrize("value", HOSTILE, ids=str)
def test_an_order_with_a_foreign_value_breaks_no_step(house: House, value: Any) -> None:
    order = _order()
    for name in order.keys() - STAMPED:
        order_id = f"o-{HOSTILE.index(value)}-{name}"
        _put(house, {**order, "id": order_id, name: value})
        assert _run(house, order_id), name


@pytest.mark.threat("T5")
@pytest.mark.parametrize("value", HOSTILE[:2], ids=str)
def test_a_coverage_with_a_foreign_value_breaks_no_step(house: House, value: Any) -> None:
    order, coverage = _order(), _resource(CHART.coverage_reference)
    for name in coverage.keys() - STAMPED:
        _put(house, {**coverage, name: value})
        order_id = f"c-{HOSTILE.index(value)}-{name}"
        _put(house, {**order, "id": order_id})
        assert _run(house, order_id), name
    _put(house, coverage)


def test_the_chart_itself_is_carried_on(house: House) -> None:
    assert _run(house, CHART.order_reference.partition("/")[2]) == "documenting"
