"""Nesting is measured before parsing, and large texts do not slow that down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InputError
from gateway.fhir.json import parse_json

_TEXT = st.text(alphabet='a"\\[]{}\n é', max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=20,
)


def _depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)


@given(value=_VALUES, limit=st.integers(0, 6), ascii_only=st.booleans())
def test_nesting_is_counted_as_a_parser_sees_it(value: Any, limit: int, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    if _depth(value) <= limit:
        assert parse_json(body, max_depth=limit) == value
    else:
        with pytest.raises(InputError) as caught:
            parse_json(body, max_depth=limit)
        assert caught.value.reason == "json.depth"


@pytest.mark.threat("T5")
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000,
        b'"\\' + b"[" * 100_000,
        b'\\"' + b"[" * 100_000,
        b'["' + b'\\"' * 100_000,
    ],
)
def test_deep_or_broken_nesting_is_refused_with_a_word(body: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(body)
    assert caught.value.reason in ("json.depth", "json.syntax")
