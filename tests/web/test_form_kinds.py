"""The form of every kind of question in a real browser: accessibility, rows by keyboard, nothing from elsewhere.

Opt-in by what is installed, as `test_pages.py`.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest
import uvicorn

from gateway.flows import forms
from gateway.flows.actors import Actor
from payer_endpoints.harness.form_shelf import FormShelf
from payer_endpoints.harness.package_damage import damage
from tests import chromium
from tests.chromium import Window
from tests.web.test_pages import RULES
from tests.web_house import DOCUMENT, PASSWORD, add_case, application, open_house, with_chart, with_form

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "everything is installed")
DRUG = {
    "resourceType": "MedicationRequest",
    "id": "m1",
    "subject": {"reference": "Patient/p1"},
    "medicationCodeableConcept": {"text": "A drug"},
}
PROBLEM = {
    "resourceType": "Condition",
    "id": "n1",
    "subject": {"reference": "Patient/p1"},
    "code": {"text": "Neck pain", "coding": [{"system": "urn:x", "code": "n"}]},
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Window, str]]:
    """A window with the form open, signed in; and the form's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    services = open_house(tmp_path_factory.mktemp("kinds") / "house", base)
    shelf = FormShelf(None).form("kinds")
    assert shelf is not None
    harmful: dict[str, Any] = damage({"entry": [{"resource": shelf.questionnaire}]}, ("scripts", "signature"))
    case = add_case(services, "documenting", move="us")
    case = with_form(services, with_chart(services, case, DRUG, PROBLEM, DOCUMENT), harmful["entry"][0]["resource"])
    sam = Actor(id="sam", kind="user", tenant="main", roles=("staff",), name="Sam Staff")
    forms.fill(services, sam, case.case_id, "1", {"day": ["2026-02-03"], "last-day": ["2026-02-01"]})
    server = uvicorn.Server(uvicorn.Config(application(services), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    _until(lambda: server.started)
    address = f"{base}/cases/{case.case_id}/forms/1?all=1"
    with chromium.window() as window:
        window.open(address)
        window.type("sam")
        window.press("tab")
        window.type(PASSWORD)
        window.press("enter")
        _until(lambda: "forms/1" in window.url and "sign-in" not in window.url)
        yield window, address
    server.should_exit = True
    thread.join(10)


def _until(holds: Any, seconds: float = 20) -> None:
    until = monotonic() + seconds
    while not holds() and monotonic() < until:
        sleep(0.05)
    assert holds()


def rows(window: Window) -> int:
    return int(window.run("return document.querySelectorAll(\"input[name^='answer:medicine']\").length"))


@pytest.mark.parametrize("palette", ["light", "dark"])
def test_axe_finds_nothing_on_a_form_of_every_kind(page: tuple[Window, str], palette: str) -> None:
    window, address = page
    axe = chromium.axe_source()
    if not axe:
        pytest.skip("axe-core is not there: set PA_GATEWAY_AXE to the path of axe.min.js")
    window.prefer(palette)
    window.open(address)
    window.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    window.run(axe + "; return true")
    found = window.run(
        "return axe.run({runOnly: arguments[0]}).then(r => r.violations.map(v => v.id + ': ' +"
        " v.nodes.map(n => n.target + ' ' + n.failureSummary).join(' | ')))",
        list(RULES),
    )
    assert found == []


def test_a_form_of_every_kind_runs_and_loads_nothing_foreign(page: tuple[Window, str]) -> None:
    window, address = page
    window.open(address)
    assert window.run("return performance.getEntriesByType('resource').every(e => e.name.includes('127.0.0.1'))")
    assert window.run("return document.querySelectorAll('main img, main script, main [onerror]').length") == 0
    assert window.console() == []


def test_enter_in_a_field_saves_and_takes_no_row_out(page: tuple[Window, str]) -> None:
    window, address = page
    window.open(address)
    before = rows(window)
    window.run("document.querySelector(\"input[name='answer:dose']\").focus()")
    window.type("twice a day")
    window.press("enter")
    _until(lambda: "done=saved" in window.url)
    window.open(address)
    assert rows(window) == before
    assert window.run("return document.querySelector(\"input[name='answer:dose']\").value") == "twice a day"


def test_a_row_is_added_and_taken_out_by_keyboard(page: tuple[Window, str]) -> None:
    window, address = page
    window.open(address)
    before = rows(window)
    window.run("document.querySelector(\"button[value^='add:rows']\").focus()")
    window.press("enter")
    _until(lambda: rows(window) == before + 1)
    window.run("[...document.querySelectorAll(\"button[value^='remove:rows']\")].pop().focus()")
    window.press("enter")
    _until(lambda: rows(window) == before)
