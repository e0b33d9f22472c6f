"""Whatever shape an order has, it is taken or refused with a word: nothing crashes, nothing is half stored."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.posts import CANARY, STRANGERS, bundle, coverage, order, payer, person
from tests.flows_house import House, open_house

HOSTILE: tuple[Any, ...] = (
    None, "", "x", "\u202e\n\x1b[31m{{7*7}}", "../../etc", 5, -1, 0.5, True, [], {}, [[]], [{}], [None], ["x"], [5],
    {"x": 1}, {"reference": 5}, {"coding": "x"}, [{"coding": [5]}], {"resourceType": "Coverage"}, "x" * 5000,
)  # fmt: skip
"""Values put in the place of every element."""
PATIENT = {**person("covered"), "identifier": [{"type": {"coding": [{"code": "MR"}]}, "value": "17"}]}
ORDER = order(
    "hostile",
    "covered",
    "of-covered",
    identifier=[{"system": "urn:example:order", "value": "1"}],
    priority="urgent",
    requester={"reference": "Practitioner/1"},
)
COVERAGE = coverage("of-covered", "covered", "plan", order=1, period={"start": "2026-01-01"})
PAYER = payer("plan", "SYN-MCR-01")
WHOLE = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {"fullUrl": f"http://127.0.0.1:9/fhir/{item['resourceType']}/{item['id']}", "resource": item}
        for item in (ORDER, PATIENT, COVERAGE, PAYER)
    ],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("hostile"), [STRANGERS]) as opened:
        yield opened


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return changed


def _require_answer(house: House, body: Any) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = house.post(raw)
    assert answer.status_code in (202, 400, 413, 415, 422), f"{answer.status_code} for {raw[:600]!r}"
    assert CANARY not in answer.text
    if answer.status_code != 202:
        (issue,) = answer.json()["issue"]
        assert issue["severity"] == "error"
        assert len(issue["diagnostics"]) > 10
    return answer


@pytest.mark.threat("T5")
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_foreign_value_anywhere_never_crashes(house: House, number: int) -> None:
    paths = list(_paths(WHOLE))
    assert len(paths) > 70
    for path in paths:
        _require_answer(house, _with(WHOLE, path, HOSTILE[number]))


@pytest.mark.threat("T5")
def test_an_element_missing_anywhere_never_crashes(house: House) -> None:
    for path in _paths(WHOLE):
        changed = copy.deepcopy(WHOLE)
        place: Any = changed
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        _require_answer(house, changed)


_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8)
_NAMES = st.text(max_size=4) | st.sampled_from(
    sorted({part for path in _paths(WHOLE) for part in path if isinstance(part, str)} | {"fhirServer", "contained"})
)
_WORDS = st.sampled_from(
    [
        "ServiceRequest",
        "Bundle",
        "Patient/covered",
        "Coverage/of-covered",
        "Organization/plan",
        "ServiceRequest/1",
        "#p",
        "urn:uuid:1",
        "active",
        "SYN-MCR-01",
        "http://127.0.0.1:9/fhir",
    ]
)
_JSON = st.recursive(
    _SCALARS | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(_NAMES, _JSON, max_size=6), kind=st.sampled_from(["ServiceRequest", "Bundle", ""]))
def test_made_up_bodies_never_crash(house: House, body: dict[str, Any], kind: str) -> None:
    _require_answer(house, {**body, **({"resourceType": kind} if kind else {})})


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(inner=_JSON, place=st.sampled_from(list(_paths(WHOLE))))
def test_made_up_parts_never_crash(house: House, inner: Any, place: tuple[Any, ...]) -> None:
    _require_answer(house, _with(WHOLE, place, inner))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), cut=st.integers(0, 400))
def test_made_up_bytes_never_crash(house: House, raw: bytes, cut: int) -> None:
    _require_answer(house, raw)
    whole = json.dumps(WHOLE).encode()
    _require_answer(house, whole[:cut] + raw + whole[cut:])


def test_what_was_taken_can_be_shown_and_worked_on(house: House) -> None:
    """A case from a strange order comes to rest; its job never fails."""
    strange = [
        {"code": {"text": "x" * 5000}},
        {"code": {"coding": [{"code": "\u202e{{7*7}}", "display": "a\nb"}]}},
        {"identifier": [{"system": "urn:x", "value": "v" * 4000}]},
        {"identifier": 5, "priority": {"x": 1}, "authoredOn": 7},
    ]
    for number, more in enumerate(strange):
        case = house.open_case(bundle(order(f"strange-{number}", "covered", "of-covered", **more), COVERAGE, PAYER))
        assert len(case.service_display) <= 200
        assert len(case.order_identity) <= 300
    house.work()
    assert house.jobs.failed == []
    listed = house.call("GET", "/cases", params={"limit": 500}).json()["cases"]
    assert {case["state"] for case in listed} <= {"needs_attention", "held", "documenting", "checking"}
