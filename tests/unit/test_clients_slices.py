"""A resource is cut out of a body byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clients.slices import ANY, slice_entries, slice_path
from gateway.errors import InputError


def test_the_exact_text_is_kept_with_blanks_digits_and_escapes() -> None:
    first = b'{ "resourceType":"Observation" ,\n\t"value" : 87.50, "note":"\\u00e4 \xc3\xa4 \\" ] } \\\\" }'
    second = b'{"resourceType":"Patient","id":"1","contained":[{"entry":[{"resource":{}}]}]}'
    body = (
        b'\r\n {"resourceType":"Bundle","link":[{"url":"entry"}], "entry" :[ {"fullUrl":"urn:x","resource":  '
        + first
        + b'  },{"search":{"mode":"match"}},{"resource":'
        + second
        + b"}]} \n"
    )
    assert slice_entries(body) == [first, b"", second]


def test_an_escaped_key_is_the_same_key() -> None:
    assert slice_entries(b'{"\\u0065ntry":[{"resource":{"a":1}}]}') == [b'{"a":1}']


@pytest.mark.parametrize("body", [b"{}", b'{"entry":[]}', b'{"entry":null}', b'{"entry":{}}', b"[]", b"1", b'"entry"'])
def test_a_body_without_entries_has_no_slices(body: bytes) -> None:
    assert slice_entries(body) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"entry":[{"resource":{}}',
        b'{"entry":[{"resource":{}},]}',
        b'{"entry" [{"resource":{}}]}',
        b'{"entry":[{"resource":{}} {"resource":{}}]}',
        b'{"entry":[],"entry":[]}',
        b"{entry:[]}",
        b'{"entry":[{"resource":{}}]]}',
        b"\xff\xfe{}",
        b'{"a":' + b"[" * 200_000,
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        slice_entries(body)


def test_other_paths_lead_to_other_places() -> None:
    body = b'{"cards":[],"systemActions":[{"type":"update","resource":{"id": "1"}},{"resource":{"id":"2"}}]}'
    assert slice_path(body, ("systemActions", ANY, "resource")) == [((0,), b'{"id": "1"}'), ((1,), b'{"id":"2"}')]
    package = b'{"parameter":[{"resource":{"entry":[{"resource":{"a":1}},{"resource":{"b":2}}]}}]}'
    found = slice_path(package, ("parameter", ANY, "resource", "entry", ANY, "resource"))
    assert found == [((0, 0), b'{"a":1}'), ((0, 1), b'{"b":2}')]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries({}, optional={"fullUrl": st.text(max_size=5), "resource": JSON, "search": JSON})
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@given(st.lists(ENTRY, max_size=5), JSON, SEPARATORS, st.booleans(), st.sampled_from([None, 1]))
def test_slices_agree_with_the_parser(
    entries: list[dict[str, Any]], other: Any, separators: tuple[str, str], is_ascii: bool, indent: int | None
) -> None:
    bundle = {"before": other, "entry": entries, "after": other}
    text = json.dumps(bundle, separators=separators, ensure_ascii=is_ascii, indent=indent)
    try:
        body = text.encode("utf-8")
    except UnicodeEncodeError:
        return
    slices = slice_entries(body)
    assert len(slices) == len(entries)
    for entry, cut in zip(json.loads(body)["entry"], slices, strict=True):
        assert cut in body
        assert (json.loads(cut) == entry["resource"]) if "resource" in entry else (cut == b"")


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:entrysouc \\u0', max_size=60).map(str.encode))
def test_any_input_ends_in_slices_or_a_refusal(body: bytes) -> None:
    try:
        slice_entries(body)
    except InputError:
        pass
