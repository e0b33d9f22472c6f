"""Foreign markup made safe to show."""

from __future__ import annotations

import pytest

from gateway.fhir.narrative import SafeHtml, plain_text, safe_link, sanitise


def div(inside: str) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'


KEPT = [
    ("<p>a <b>b</b></p>", "<p>a <b>b</b></p>"),
    ('<table><tr><td colspan="2">x</td></tr></table>', '<table><tr><td colspan="2">x</td></tr></table>'),
    ("a &lt;b&gt; &amp; c", "a &lt;b&gt; &amp; c"),
    ("a<br/>b<hr/>c", "a<br>b<hr>c"),
    ('<p class="x" id="y" style="color:red">a</p>', "<p>a</p>"),
    ("<custom>text</custom>", "text"),
    ('<img src="https://t.example.net/x.gif" alt="picture"/>', "picture"),
]


@pytest.mark.parametrize(("given", "shown"), KEPT)
def test_allowed_markup_and_all_text_is_kept(given: str, shown: str) -> None:
    assert sanitise(div(given)) == f"<div>{shown}</div>"


@pytest.mark.threat("T7")
@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<SCRIPT>alert(1)</SCRIPT>",
        '<p onclick="alert(1)">x</p>',
        '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        '<svg onload="alert(1)"/>',
        '<math href="javascript:alert(1)">x</math>',
        '<iframe src="https://x.example.net">alert(1)</iframe>',
        '<style>@import "https://x.example.net";</style>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="data:text/html,alert(1)">x</a>',
        '<a href="vbscript:alert(1)">x</a>',
        '<a href="java&#x200b;script:alert(1)">x</a>',
        '<a href="//x.example.net/alert(1)">x</a>',
        '<a href="https://user:pw@x.example.net/alert(1)">x</a>',
        '<form action="https://x.example.net"><input value="alert(1)"/></form>',
        '<p style="background:url(https://x.example.net)">x</p>',
        '<object data="https://x.example.net">alert(1)</object>',
        '<td colspan="2&quot; onmouseover=&quot;alert(1)">x</td>',
        '<link rel="stylesheet" href="https://x.example.net"/>',
        '<meta http-equiv="refresh" content="0;url=https://x.example.net"/>',
        '<base href="https://x.example.net"/>',
    ],
)
def test_nothing_that_runs_loads_or_tracks_is_left(attack: str) -> None:
    shown = sanitise(div(attack))
    assert "alert(1)" not in shown
    assert "x.example.net" not in shown


@pytest.mark.threat("T7")
@pytest.mark.parametrize(
    "broken", ["<div><b>a</div>", "<!DOCTYPE div><div>a</div>", "no markup <b>a", "", "<div>\x00</div>"]
)
def test_what_is_not_wellformed_is_shown_as_text(broken: str) -> None:
    shown = sanitise(broken)
    assert isinstance(shown, SafeHtml)
    assert "<b>" not in shown
    assert shown.startswith("<p>")


@pytest.mark.threat("T7")
def test_long_and_deep_narrative_is_bounded() -> None:
    assert len(sanitise(div("a" * 2_000_000))) < 100
    assert "x" not in sanitise(div("<div>" * 100 + "x" + "</div>" * 100))


LINKS = [
    ("https://a.example.org/x?y=1", "https://a.example.org/x?y=1"),
    (" \thttps://a.example.org", "https://a.example.org"),
    ("mailto:a@example.org", "mailto:a@example.org"),
    ("http://[::1", ""),
    ("https://", ""),
    ("ftp://a.example.org", ""),
    ("/relative", ""),
    ("#anchor", ""),
    ("JaVaScRiPt:x", ""),
]


@pytest.mark.parametrize(("given", "shown"), LINKS)
def test_links_go_only_to_the_open_web(given: str, shown: str) -> None:
    assert safe_link(given) == shown


def test_safe_html_prints_raw_and_text_without_markup() -> None:
    safe = sanitise(div("<p>a  &lt; b</p>"))
    assert safe.__html__() == str(safe)
    assert plain_text(div("<p>a  &lt; b</p>")) == "a < b"
