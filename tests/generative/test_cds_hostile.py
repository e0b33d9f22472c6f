"""Whatever an EHR sends as a hook or as feedback is read or refused, never a crash."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InputError
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.intercept_cases import without_access
from gateway.flows.intercept_draft import content_of
from gateway.profiles.crd_serving import is_searched, prefetched, read_feedback, read_hook_call

SCALARS = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "p", "Patient/p", "Bundle", "../x", "#"])
)
KEYS = st.sampled_from(["resourceType", "id", "entry", "resource", "reference", "status", "coding", "link", "x"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
CALL: dict[str, Any] = {
    "hook": "order-sign",
    "hookInstance": "0b8e2d5e-6f0c-4f8e-9a55-3b1d6f1f2c11",
    "fhirServer": "https://ehr.example.org/fhir",
    "fhirAuthorization": {"access_token": "t", "scope": "x"},
    "context": {
        "userId": "Practitioner/d",
        "patientId": "p",
        "selections": ["ServiceRequest/o"],
        "draftOrders": {
            "resourceType": "Bundle",
            "entry": [
                {"resource": {"resourceType": "ServiceRequest", "id": "o", "subject": {"reference": "Patient/p"}}}
            ],
        },
    },
    "prefetch": {"patient": {"resourceType": "Patient", "id": "p"}, "coverage": None},
    "extension": {"davinci-crd.configuration": {"guideline": True}},
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


PLACES = _places(CALL)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_a_call_with_anything_anywhere_is_read_or_refused(place: tuple[Any, ...], junk: Any) -> None:
    body = copy.deepcopy(CALL)
    holder: Any = {"": body}
    at: Any = holder
    for key in ("", *place)[:-1]:
        at = at[key]
    at[("", *place)[-1]] = junk
    try:
        call = read_hook_call(holder[""], "order-sign")
    except InputError:
        return
    assert call.patient_id
    for value in call.prefetch.values():
        assert isinstance(is_searched(value), bool)
        assert all(isinstance(item["resourceType"], str) for item in prefetched(value))
    for order in call.orders:
        assert len(content_of(order)) == 64
    assert parse_json(without_access(dump_json(holder[""])))["hook"] == "order-sign"


@settings(max_examples=40, deadline=None)
@given(JSON)
def test_feedback_of_any_shape_is_read_or_refused(junk: Any) -> None:
    for body in (
        junk,
        {"feedback": junk},
        {"feedback": [junk, {"card": junk, "outcome": junk, "overrideReason": junk}]},
    ):
        try:
            found = read_feedback(body)
        except InputError:
            continue
        assert all(item.card and item.outcome for item in found)
