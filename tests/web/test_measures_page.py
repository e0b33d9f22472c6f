"""The page of measures in a real browser: accessibility rules, a narrow window, nothing on the console.

Opt-in by what is installed: chromium with chromedriver; axe-core's axe.min.js, named by PA_GATEWAY_AXE.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from time import monotonic, sleep

import pytest
import uvicorn

from tests import chromium
from tests.chromium import Window
from tests.measures_house import decided, furnish, held
from tests.web_house import PASSWORD, application, open_house

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "everything is installed")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """A window on the page of measures of a house with some orders."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    services = open_house(tmp_path_factory.mktemp("measures") / "house", base)
    furnish(services)
    for _ in range(12):
        decided(services, "A1")
        decided(services, "A3", "44: failure not documented")
        held(services)
    server = uvicorn.Server(uvicorn.Config(application(services), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    _until(lambda: server.started)
    with chromium.window() as opened:
        opened.open(f"{base}/sign-in?next=/measures")
        opened.type("sam")
        opened.press("tab")
        opened.type(PASSWORD)
        opened.press("enter")
        _until(lambda: opened.url.endswith("/measures"))
        yield opened
    server.should_exit = True
    thread.join(10)


def _until(holds: object, seconds: float = 20) -> None:
    until = monotonic() + seconds
    while not holds() and monotonic() < until:  # type: ignore[operator]
        sleep(0.05)
    assert holds()  # type: ignore[operator]


@pytest.mark.parametrize("palette", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(window: Window, palette: str) -> None:
    axe = chromium.axe_source()
    if not axe:
        pytest.skip("axe-core is not there: set PA_GATEWAY_AXE to the path of axe.min.js")
    window.prefer(palette)
    window.run(axe + "; return true")
    found = window.run(
        "return axe.run({runOnly: arguments[0]}).then(r => [r.passes.length, r.violations.map(v =>"
        " v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).join(' | '))])",
        RULES,
    )
    assert found[0] > 5, "axe looked at nothing"
    assert found[1] == []


def test_a_chart_is_heard_as_what_its_table_says(window: Window) -> None:
    heard = [node["name"] for node in window.accessibility_tree() if node["role"] in ("image", "img")]
    assert any("Initial denial rate, per cent with 95 % interval" in name for name in heard)


def test_a_narrow_window_needs_no_sideways_scrolling(window: Window) -> None:
    window.resize(320, 800)
    try:
        assert window.run("return document.documentElement.scrollWidth") <= 320
    finally:
        window.resize(1280, 900)


def test_the_console_stays_silent(window: Window) -> None:
    window.console()
    window.open(window.url)
    assert window.console() == []
