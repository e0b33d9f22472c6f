"""What browsers are told and what they must prove."""

from __future__ import annotations

import pytest

from gateway.web.safety import POLICY, form_token, is_own_request, is_token, local_path

BASE = "https://gateway.example.org"


@pytest.mark.threat("T10")
@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/", "/"),
        ("/cases/1?all=1", "/cases/1?all=1"),
        ("//evil.example.net", "/"),
        ("/\\evil.example.net", "/"),
        ("/%5Cevil", "/%5Cevil"),
        ("https://evil.example.net/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("/\t/evil.example.net", "/"),
        ("/sign-out", "/"),
        ("/sign-in?next=/", "/"),
        ("", "/"),
        ("/" + "a" * 600, "/"),
        ("/é", "/"),
    ],
)
def test_only_a_path_of_ours_is_gone_to_after_sign_in(wanted: str, target: str) -> None:
    assert local_path(wanted) == target


@pytest.mark.threat("T31")
@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": BASE}, False),
        ({"origin": BASE}, True),
        ({"origin": "https://GATEWAY.example.org"}, True),
        ({"origin": "null"}, False),
        ({"origin": "http://gateway.example.org"}, False),
        ({"origin": "https://gateway.example.org:8443"}, False),
        ({"origin": "https://gateway.example.org.evil.example.net"}, False),
        ({"origin": "https://evil.example.net", "host": "evil.example.net"}, False),
        ({}, True),
    ],
)
def test_a_change_must_come_from_our_own_pages(headers: dict[str, str], is_ours: bool) -> None:
    assert is_own_request(headers, BASE) is is_ours


@pytest.mark.threat("T31")
def test_a_token_fits_its_own_session_alone() -> None:
    own, other = form_token(b"secret", "a" * 64), form_token(b"secret", "b" * 64)
    assert is_token(own, own)
    assert not is_token(other, own)
    assert not is_token("", own)
    assert not is_token("é", own)
    assert form_token(b"another", "a" * 64) != own


@pytest.mark.threat("T7")
def test_the_policy_permits_nothing_inline_and_nothing_foreign() -> None:
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert "form-action 'self'" in POLICY
