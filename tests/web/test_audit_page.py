"""The chart audit in a real browser: started by keyboard, accessible in both palettes, and on paper.

Opt-in by what is installed, as the other pages.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic, sleep

import pytest
import uvicorn

from gateway.clinical.rules import load_rules
from tests import chromium
from tests.chromium import Window
from tests.unit.test_web_audit_pages import add_chart
from tests.web.test_pages import _axe, _until
from tests.web_house import PASSWORD, add_case, application, open_house

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "everything is installed")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a served house with a few charts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    services = replace(open_house(tmp_path_factory.mktemp("audit") / "house", address), rules=load_rules())
    for name in ("P01", "P02", "P09", "P10", "P11"):
        add_chart(services, name)
    add_case(services)
    server = uvicorn.Server(uvicorn.Config(application(services), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    until = monotonic() + 20
    while not server.started and monotonic() < until:
        sleep(0.05)
    yield address
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser(base: str) -> Iterator[Window]:
    """A window in which the auditor signed in and audited, by keyboard alone."""
    with chromium.window() as window:
        window.open(f"{base}/audit")
        window.type("ada")
        window.press("tab")
        window.type(PASSWORD)
        window.press("enter")
        _until(lambda: "sign-in" not in window.url)
        window.run("document.querySelector('#rule').focus()")
        window.type("ill-cgs")
        window.press("tab")
        window.press("enter")
        _until(lambda: window.run("return document.querySelectorAll('table').length") == 2)
        yield window


@pytest.mark.parametrize("palette", ["light", "dark"])
def test_the_result_is_accessible(browser: Window, palette: str) -> None:
    browser.prefer(palette)
    assert _axe(browser) == []


def test_the_result_names_every_chart_and_what_fails(browser: Window) -> None:
    assert browser.run("return document.querySelectorAll('table.cards tbody tr').length") == 6
    assert "No therapy referral is on file." in browser.run("return document.body.innerText")


def test_nothing_is_wider_than_a_narrow_window(browser: Window) -> None:
    browser.resize(320, 800)
    wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
