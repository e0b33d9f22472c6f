"""Strict reading and canonical bytes: what is refused, and what RFC 8785 makes of the rest."""

from __future__ import annotations

import json
import math

import pytest
import rfc8785

from provenance.canonical import (
    b64u,
    canonicalise,
    digest,
    digest_hex,
    jcs,
    jcs_of_value,
    ni_uri,
    parse_strict,
    read_ni,
    unb64u,
)
from provenance.errors import StrictJsonError

REFUSED = {
    "not UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without mark": '{"a":1}'.encode("utf-16-le"),
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "overlong UTF-8": b'{"a":"\xc0\xaf"}',
    "encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "member twice": b'{"a":1,"a":2}',
    "member twice, one escaped": b'{"a":1,"\\u0061":2}',
    "member twice, deep": b'[{"b":{"a":1,"a":1}}]',
    "NaN": b'{"a":NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "lone high surrogate": b'"\\ud800"',
    "lone low surrogate": b'"\\uDC00"',
    "lone surrogate as a name": b'{"\\ud800":1}',
    "surrogates the wrong way round": b'"\\udc00\\ud800"',
    "integer beyond 2^53-1": b"[9007199254740992]",
    "integer below -2^53+1": b"[-9007199254740992]",
    "very long integer": b"[" + b"9" * 100_000 + b"]",
    "digits past double precision": b"[0.1234567890123456789]",
    "number out of range": b"[1e400]",
    "number too small": b"[1e-400]",
    "single quotes": b"{'a':1}",
    "trailing comma": b"[1,]",
    "two values": b"{} {}",
    "comment": b"{}//",
    "leading zero": b"[01]",
    "control character in a string": b'"\x01"',
    "nothing": b"",
    "space alone": b"  ",
    "cut off": b'{"a":',
    "101 levels": b"[" * 101 + b"]" * 101,
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "100,000 levels, not closed": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}


@pytest.mark.threat("T5")
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_text_that_readers_may_understand_differently_is_refused(body: bytes) -> None:
    with pytest.raises(StrictJsonError):
        parse_strict(body)
    with pytest.raises(StrictJsonError):
        jcs(body)


def test_more_bytes_than_permitted_are_refused() -> None:
    with pytest.raises(StrictJsonError):
        parse_strict(b"[1,2,3]", max_bytes=6)


def test_one_hundred_levels_are_permitted() -> None:
    assert parse_strict(b"[" * 100 + b"]" * 100)


@pytest.mark.threat("T5")
def test_string_that_is_never_closed_costs_no_more_than_its_length() -> None:
    """A search that starts again at every quote would take hours here and end by the time limit."""
    for tail in (b'\\"' * 1_000_000, b"\\" * 2_000_001, b'"' * 2_000_001):
        with pytest.raises(StrictJsonError):
            parse_strict(b"[" * 101 + b'"' + tail)


def test_brackets_in_strings_do_not_count_as_depth() -> None:
    text = json.dumps(["[" * 500, "{" * 500, '\\"[', "]"] * 3).encode()
    assert parse_strict(text) == json.loads(text)


def test_number_of_an_ehr_with_seventeen_digits_is_permitted() -> None:
    assert parse_strict(b"27.729999999999997") == 27.729999999999997


# RFC 8785 appendix B, and FHIR decimals: text of the number → canonical text.
NUMBERS = {
    "0": "0",
    "-0": "0",
    "-0.0": "0",
    "5e-324": "5e-324",
    "-5e-324": "-5e-324",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "9007199254740991": "9007199254740991",
    "-9007199254740991": "-9007199254740991",
    "295147905179352830000.0": "295147905179352830000",
    "9.999999999999997e22": "9.999999999999997e+22",
    "1e+23": "1e+23",
    "1e21": "1e+21",
    "999999999999999700000.0": "999999999999999700000",
    "999999999999999900000.0": "999999999999999900000",
    "1e-7": "1e-7",
    "0.000001": "0.000001",
    "333333333.3333332": "333333333.3333332",
    "-0.0000033333333333333333": "-0.0000033333333333333333",
    "1424953923781206.2": "1424953923781206.2",
    "91.50": "91.5",
    "91.5": "91.5",
    "1E2": "100",
    "1.0": "1",
    "100": "100",
    "4.50": "4.5",
    "2e-3": "0.002",
    "1e16": "10000000000000000",
}


@pytest.mark.parametrize("text, canonical", NUMBERS.items())
def test_number_has_the_form_of_the_standard(text: str, canonical: str) -> None:
    assert jcs(f"[{text}]".encode()) == f"[{canonical}]".encode()


def test_members_are_sorted_by_utf16_units() -> None:
    """RFC 8785 §3.2.3: a name outside the basic plane sorts before U+FB33, by its surrogates."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    text = json.dumps(dict.fromkeys(names, 1), ensure_ascii=False).encode()
    sorted_names = list(json.loads(jcs(text)))
    assert sorted_names == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert jcs(json.dumps(dict.fromkeys(names, 1)).encode()) == jcs(text)


def test_strings_keep_their_characters_and_escapes_have_one_form() -> None:
    text = '{"b":"\\u00e9\\u0001\\/\\u0022\\u000a\\u007f","a":"e\u0301 \U0001f600"}'.encode()
    assert jcs(text) == '{"a":"e\u0301 \U0001f600","b":"\u00e9\\u0001/\\"\\n\u007f"}'.encode()


def test_composed_and_decomposed_letters_stay_different() -> None:
    assert jcs('"\u00e9"'.encode()) != jcs('"e\u0301"'.encode())


def test_canonical_form_loses_the_precision_that_the_raw_digest_keeps() -> None:
    assert jcs(b'{"value":91.50}') == jcs(b'{"value":91.5}')
    assert digest(b'{"value":91.50}') != digest(b'{"value":91.5}')


def test_canonicalise_gives_value_and_bytes() -> None:
    assert canonicalise(b'{ "b": 1.50, "a": [true, null] }') == (
        {"b": 1.5, "a": [True, None]},
        b'{"a":[true,null],"b":1.5}',
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**60, {1: 2}, "\ud800", object()])
def test_value_without_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(StrictJsonError):
        jcs_of_value(value)


def test_fast_path_and_reference_agree_on_the_edges_of_the_fast_path() -> None:
    for text in ('{"\u00e9":1,"z":0.5}', '{"\uffff":1,"\ue000":2}', "[1e-5,0.1,1e15,123456789.125]", '{"a":"\u2028"}'):
        assert jcs(text.encode()) == rfc8785.dumps(json.loads(text))


def test_digests_are_named_as_rfc_6920_says() -> None:
    sha256 = digest(b"Hello World!")
    assert ni_uri(sha256) == "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"
    assert read_ni(ni_uri(sha256)) == sha256
    assert digest_hex(b"Hello World!") == sha256.hex()


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "ni:///sha-256;",
        "ni:///sha-512;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
        "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGl",
        "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk=",
        "ni:///sha-256;f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk",
        "ni:///sha-256;AAAA",
    ],
)
def test_other_names_of_content_are_not_read(uri: str) -> None:
    assert read_ni(uri) is None


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q Q", "Q\n", "é", "+A", "AA "])
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):
        unb64u(text)
    assert unb64u(b64u(b"\xfb\xff")) == b"\xfb\xff"
