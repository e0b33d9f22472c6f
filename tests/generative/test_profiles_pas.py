"""PAS messages under generated input: always closed, always readable, never a failure on an odd part."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InputError, PayerUnreadable
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.reading import thaw, walk
from gateway.profiles.crd_2_2_1 import (
    fill_prefetch,
    merge_coverage_information,
    read_coverage_informations,
    read_discovery,
    read_hook_response,
)
from gateway.profiles.pas_2_2_1 import (
    CompletedForm,
    Supporting,
    build_request_bundle,
    read_notification,
    read_pas_answer,
)
from gateway.profiles.pas_review import REVIEW_ACTION_CODES
from tests import pas_answers as payer
from tests import pas_samples as sample

KEYS = (
    *("item", "adjudication", "extension", "url", "code", "coding", "system", "reasonCode", "number", "itemSequence"),
    *("addItem", "error", "resource", "entry", "resourceType", "valueString", "valueCodeableConcept", "parameter"),
    *("part", "name", "reference", "request", "fullUrl", "cards", "services"),
)
keys = st.sampled_from(KEYS)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=8)
    | st.sampled_from(["A1", "Bundle", "ClaimResponse"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def spoil(whole: dict[str, Any], position: int, value: Any) -> dict[str, Any]:
    """The message with one member somewhere replaced by something else."""
    copied: dict[str, Any] = thaw(whole)
    places = [(element, key) for _, element in walk(copied) for key in element if key != "resourceType"]
    element, key = places[position % len(places)]
    element[key] = value  # type: ignore[index]
    return copied


ANSWER = payer.answer(
    payer.claim_response(
        payer.item(code="A6", number="N", reason="0V"),
        addItem=[{"itemSequence": [1], "adjudication": [payer.review("A1", number="M")]}],
        processNote=[{"number": 1, "text": "x"}],
        communicationRequest=[{"reference": payer.FIRST_OTHER}],
    ),
    payer.communication_request(),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 200), values)
def test_spoilt_answer_is_read_or_is_no_answer(position: int, value: Any) -> None:
    try:
        answer = read_pas_answer(spoil(ANSWER, position, value))
    except PayerUnreadable:
        return
    assert all(item.action_code is None or item.action_code in REVIEW_ACTION_CODES for item in answer.items)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(keys, values, max_size=5))
def test_any_object_is_read_or_refused_with_a_typed_error(body: dict[str, Any]) -> None:
    read_discovery(body)
    read_hook_response(body)
    read_coverage_informations(body)
    for read in (read_pas_answer, read_notification):
        try:
            read(body)
        except (PayerUnreadable, InputError):
            pass


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["cov1", "cov2"]), st.sampled_from("AB")), max_size=5), st.data())
def test_merge_keeps_what_is_not_named_and_is_idempotent(stored: list[tuple[str, str]], data: st.DataObject) -> None:
    arriving = data.draw(st.lists(st.tuples(st.sampled_from(["cov1", "cov2"]), st.sampled_from("ABC")), max_size=4))
    current = {"extension": [sample.coverage_information(f"Coverage/{c}", a) for c, a in stored]}
    answer = {"extension": [sample.coverage_information(f"https://e.org/Coverage/{c}", a) for c, a in arriving]}
    merged = merge_coverage_information(current, answer)
    found = [(info.coverage.rpartition("/")[2], info.assertion_id) for info in read_coverage_informations(merged)]
    assert found == [pair for pair in stored if pair not in arriving] + arriving
    assert merge_coverage_information(merged, answer) == merged


references = st.sampled_from(
    [
        "Patient/pat1",
        "Practitioner/prac1",
        "Observation/obs1",
        "Observation/none",
        "https://ehr.example.org/fhir/Patient/pat1",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(references, max_size=6), st.booleans())
def test_request_is_closed_whatever_the_form_refers_to(named: list[str], as_bundle: bool) -> None:
    form = sample.response()
    form["item"] = [{"linkId": str(n), "answer": [{"valueReference": {"reference": r}}]} for n, r in enumerate(named)]
    content = CompletedForm(response=form, evidence=(sample.observation(),), as_bundle=as_bundle)
    bundle = build_request_bundle(sample.request(supporting=(Supporting(content=content),)), sample.uuids())
    inner = [e["fullUrl"] for nested in sample.of_type(bundle, "Bundle") for e in nested["entry"]]
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert set(sample.references(bundle)) <= {*urls, *inner}
    assert len({*urls, *inner}) == len(urls) + len(inner)
    body = dump_json(bundle)
    assert dump_json(parse_json(body)) == body


tokens = st.text(st.sampled_from("%.()[]|{}' abcontextpatientIdresolve0129+-"), max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), tokens.map(lambda token: "Patient/{{" + token + "}}"), max_size=3))
def test_any_template_gives_a_clean_query_or_no_key(templates: dict[str, str]) -> None:
    def find(query: str) -> None:
        assert "{" not in query
        assert "}" not in query

    assert set(fill_prefetch(templates, {"patientId": "p"}, find)) <= set(templates)
