"""The pages in a real browser: accessibility rules, keyboard, reflow, palettes, nothing from elsewhere.

Opt-in by what is installed: chromium with chromedriver; axe-core's axe.min.js, named by PA_GATEWAY_AXE.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

import pytest
import uvicorn

from gateway.cases.facts import Facts, RequestedDocument, read_facts
from gateway.flows.services import Services
from tests import chromium
from tests.chromium import Window
from tests.web_house import DOCUMENT, PASSWORD, add_case, application, documenting, open_house, with_chart

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "everything is installed")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services, dict[str, str]]]:
    """A served house: its address, its services, and the pages to look at by name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    services = open_house(tmp_path_factory.mktemp("browser") / "house", base)
    server = uvicorn.Server(uvicorn.Config(application(services), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    until = monotonic() + 20
    while not server.started and monotonic() < until:
        sleep(0.05)
    yield base, services, _pages(services)
    server.should_exit = True
    thread.join(10)


def _pages(services: Services) -> dict[str, str]:
    form = documenting(services)
    asked = with_chart(services, add_case(services, "pended", move="payer"), DOCUMENT)
    request = RequestedDocument(code="11506-3", text="Progress note", control_number="ACN-1")
    with services.store.begin() as tx:
        facts = replace(read_facts(asked.facts), requests=(request,))
        tx.cases.update("main", asked.case_id, asked.version, facts=facts.to_text())
    denied = add_case(services, "denied", Facts(denial_reasons=("0V: Requires medical review",)), move="us")
    for state in ("held", "approved", "approved_modified", "needs_attention", "not_covered", "ready", "submitting"):
        add_case(services, state, is_open=state != "approved")
    case = f"/cases/{form.case_id}"
    digest = next(iter(_records(services, form.case_id)))
    return {
        "worklist": "/",
        "case": case,
        "denied": f"/cases/{denied.case_id}",
        "asked": f"/cases/{asked.case_id}",
        "documents": f"/cases/{asked.case_id}/requests/1",
        "form": f"{case}/forms/1",
        "whole-form": f"{case}/forms/1?all=1",
        "complete": f"{case}/forms/1/complete",
        "timeline": f"{case}/timeline",
        "exchange": f"{case}/exchange",
        "object": f"{case}/objects/{digest}",
        "confirm": f"{case}/actions/cancel",
        "verify": f"{case}/verify",
        "about": "/about",
        "missing": "/nothing-here",
    }


def _records(services: Services, case_id: str) -> list[str]:
    with services.store.read() as tx:
        return [row.digest for row in tx.objects.list("main", case_id) if row.media_type == "application/fhir+json"]


NAMES = (
    *("worklist", "case", "denied", "asked", "documents", "form", "whole-form", "complete", "timeline"),
    *("exchange", "object", "confirm", "verify", "about", "missing"),
)


@pytest.fixture(scope="module")
def browser(house: tuple[str, Services, dict[str, str]]) -> Iterator[Window]:
    """A window in which an auditor who is also staff has signed in, by keyboard alone."""
    base, services, _ = house
    both = services.settings.clients["ada"].model_copy(update={"roles": ("staff", "clinician", "auditor")})
    clients = {**services.settings.clients, "ada": both}
    services.settings = services.settings.model_copy(update={"clients": clients})
    with chromium.window() as window:
        window.open(f"{base}/cases/nothing")
        window.type("ada")
        window.press("tab")
        window.type(PASSWORD)
        window.press("enter")
        _until(lambda: "sign-in" not in window.url)
        yield window


def _until(holds: Any, seconds: float = 10) -> None:
    until = monotonic() + seconds
    while not holds() and monotonic() < until:
        sleep(0.05)
    assert holds()


def _axe(window: Window) -> list[str]:
    """What axe finds on the page in the window, everything on it unfolded; skips where axe is not there."""
    axe = chromium.axe_source()
    if not axe:
        pytest.skip("axe-core is not there: set PA_GATEWAY_AXE to the path of axe.min.js")
    window.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    window.run(axe + "; return true")
    found = window.run(
        "return axe.run({runOnly: arguments[0]}).then(r => [r.passes.length, r.violations.map(v =>"
        " v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).join(' | '))])",
        list(RULES),
    )
    assert found[0] > 5, "axe looked at nothing"
    return list(found[1])


@pytest.mark.parametrize("palette", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_nothing(
    name: str, palette: str, browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    browser.prefer(palette)
    browser.open(base + pages[name])
    assert _axe(browser) == []


def test_axe_finds_nothing_where_people_sign_in_and_fail(house: tuple[str, Services, dict[str, str]]) -> None:
    base, _, _ = house
    with chromium.window() as window:
        for palette in ("light", "dark"):
            window.prefer(palette)
            window.open(f"{base}/sign-in")
            assert _axe(window) == []
            window.type("sam")
            window.press("tab")
            window.type("wrong")
            window.press("enter")
            _until(lambda: window.run("return document.querySelectorAll('[role=alert]').length") == 1)
            assert _axe(window) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_reflows_at_400_percent(name: str, browser: Window, house: tuple[str, Services, dict[str, str]]) -> None:
    base, _, pages = house
    browser.resize(320, 640)
    browser.open(base + pages[name])
    wide = browser.run(
        "return [document.scrollingElement.scrollWidth, [...document.querySelectorAll('main *')].filter(e =>"
        " e.getBoundingClientRect().right > 321 && !e.closest('.scroll,pre,.narrative,.vh,.cards thead')).map(e =>"
        " e.outerHTML.slice(0, 80))]"
    )
    browser.resize(1280, 900)
    assert wide[0] <= 320, wide
    assert wide[1] == []


@pytest.mark.threat("T7")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_from_elsewhere_and_no_rule_is_broken(
    name: str, browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    browser.console()
    browser.open(base + pages[name])
    loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [address for address in loaded if not address.startswith(base)] == []
    assert [line for line in browser.console() if "status of 404" not in line] == []


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_large_enough_to_hit(
    name: str, browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    browser.open(base + pages[name])
    small = browser.run(
        "return [...document.querySelectorAll('a,button,input,select,textarea,summary')].filter(e => {"
        " const r = e.getBoundingClientRect(); const inline = getComputedStyle(e).display === 'inline';"
        " return e.type !== 'hidden' && !inline && !e.closest('.skip') && r.width && (r.width < 24 || r.height < 24)"
        "}).map(e => e.outerHTML.slice(0, 90))"
    )
    assert small == []


def test_the_first_key_leads_past_the_head(browser: Window, house: tuple[str, Services, dict[str, str]]) -> None:
    base, _, pages = house
    browser.open(base + pages["worklist"])
    browser.press("tab")
    assert browser.run("return document.activeElement.textContent") == "Skip to content"
    browser.press("enter")
    assert browser.run("return document.activeElement.id") == "main"


def test_a_case_is_opened_answered_and_saved_by_keyboard(
    browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    browser.open(base + pages["form"])
    browser.run("document.querySelector('[name=\"answer:weeks\"]').focus()")
    browser.type("7")
    browser.press("tab", "space")
    assert browser.run("return document.activeElement.name") == "answer:hurts"
    browser.run("document.querySelector('.bar button').focus()")
    browser.press("enter")
    _until(lambda: "done=saved" in browser.url)
    assert "Saved." in browser.run("return document.querySelector('[role=status]').textContent")


def test_what_has_the_focus_is_never_behind_the_bar(
    browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    browser.resize(1280, 500)
    browser.open(base + pages["whole-form"])
    hidden = browser.run(
        "const bar = document.querySelector('.bar'); return [...document.querySelectorAll('form.form input,"
        " form.form textarea, form.form select, form.form summary')].filter(e => e.type !== 'hidden').filter(e => {"
        " e.focus(); return e.getBoundingClientRect().bottom > bar.getBoundingClientRect().top + 1;"
        "}).map(e => e.name || e.outerHTML.slice(0, 60))"
    )
    browser.resize(1280, 900)
    assert hidden == []


def test_assistive_technology_hears_what_eyes_see(browser: Window, house: tuple[str, Services, dict[str, str]]) -> None:
    base, _, pages = house
    browser.open(base + pages["worklist"])
    said = {(node["role"], node["name"]) for node in browser.accessibility_tree()}
    roles = {role for role, _ in said}
    assert {"banner", "main", "contentinfo", "navigation", "search", "table", "columnheader", "rowheader"} <= roles
    assert ("heading", "Worklist") in said
    assert ("columnheader", "Next action") in said
    browser.open(base + pages["whole-form"])
    said = {(node["role"], node["name"]) for node in browser.accessibility_tree()}
    assert ("textbox", "Weeks of symptoms required") in said
    assert ("group", "Side") in said
    assert ("radio", "Left") in said


def test_keys_lead_through_the_list_and_the_form_and_can_be_turned_off(
    browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    focused = "const e = document.activeElement; return e.name || e.getAttribute('href') || e.tagName"
    browser.open(base + pages["worklist"])
    browser.press("/")
    assert browser.run(focused) == "text"
    browser.open(base + pages["worklist"])
    first, second = browser.run("return [...document.querySelectorAll('.worklist tbody a')].map(a => a.pathname)")[:2]
    browser.press("j", "j")
    assert browser.run(focused) == second
    browser.press("k")
    assert browser.run(focused) == first
    browser.open(base + pages["whole-form"])
    browser.press("n")
    assert browser.run(focused).startswith("answer:")
    browser.open(f"{base}/about")
    browser.run("document.getElementById('keys-on').click()")
    browser.open(base + pages["worklist"])
    browser.press("j")
    assert browser.run(focused) == "BODY"
    browser.run("localStorage.clear()")


def test_what_is_not_saved_says_so_and_control_s_saves_it(
    browser: Window, house: tuple[str, Services, dict[str, str]]
) -> None:
    base, _, pages = house
    browser.open(base + pages["form"])
    browser.run("document.querySelector('[name=\"answer:note\"]').focus()")
    browser.type("hello")
    assert browser.run("return document.querySelector('[data-state]').textContent") == "Not saved yet"
    browser.chord("control", "s")
    _until(lambda: "done=saved" in browser.url)


def test_signing_out_warns_and_can_be_put_off(browser: Window, house: tuple[str, Services, dict[str, str]]) -> None:
    base, _, pages = house
    browser.open(base + pages["about"])
    near = "const b = document.body; b.dataset.expires = b.dataset.now;"
    source = browser.run("return fetch(document.querySelector('script').src).then(r => r.text())")
    browser.run(near + source)
    alert = "const a = document.querySelector('.session'); return a ? a.textContent : ''"
    _until(lambda: "You will be signed out in two minutes" in browser.run(alert))
    browser.run("document.querySelector('.session button').click()")
    _until(lambda: browser.run(alert) == "")
