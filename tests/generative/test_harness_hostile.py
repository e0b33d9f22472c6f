"""Whatever is sent, a simulated payer answers with a refusal and goes on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness_case import Case, running
from tests.harness_messages import (
    attachment,
    cancel_bundle,
    document_reference,
    hook_request,
    inquiry_bundle,
    package_request,
    request_bundle,
    sealed_document,
    subscription,
)

ROUTES: dict[str, Any] = {
    "/cds-services/order-sign-coverage": hook_request(),
    "/fhir/Questionnaire/$questionnaire-package": package_request(),
    "/fhir/Questionnaire/$log-questionnaire-errors": {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "questionnaire", "valueCanonical": "https://x.example/Questionnaire/q|1"},
            {"name": "operationOutcome", "resource": {"resourceType": "OperationOutcome", "issue": []}},
        ],
    },
    "/fhir/Claim/$submit": cancel_bundle(request_bundle()),
    "/fhir/Claim/$inquire": inquiry_bundle("SYN-APPROVE-01"),
    "/fhir/$submit-attachment": attachment("M", "T", document_reference("Patient/1", sealed_document())),
    "/fhir/Subscription": subscription("https://gateway.example.org/n"),
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-10, max_value=10),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.just([None]),
    st.just([[1]]),
    st.just([{"sequence": [1], "url": {}, "resource": 3}]),
    st.just({"reference": 5, "coding": "x", "identifier": {"value": []}}),
)


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    with running() as found:
        yield found


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def put(value: Any, path: tuple[Any, ...], junk: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = junk


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("route", sorted(ROUTES))
@pytest.mark.parametrize("prefix", ["", "/2.0.1"])
def test_one_spoilt_place_never_breaks_a_payer(case: Case, route: str, prefix: str, data: Any) -> None:
    body = copy.deepcopy(ROUTES[route])
    for _ in range(data.draw(st.integers(min_value=1, max_value=3))):
        put(body, data.draw(st.sampled_from(list(places(body)))), copy.deepcopy(data.draw(JUNK)))
    answer = case.post(f"/example-medicare{prefix}{route}", body)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["resourceType"] == "OperationOutcome"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
@pytest.mark.parametrize("route", sorted(ROUTES))
def test_any_bytes_are_survived(case: Case, route: str, body: bytes) -> None:
    assert 400 <= case.post(f"/example-medicare{route}", body).status_code < 500
