"""The three answers to a held order in a real browser: a red flag attested, an examination, a patient's answers.

Served over a socket, with the real flows, a synthetic EHR and a simulated payer behind. Opt-in by what is installed.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import uvicorn

from tests import chromium
from tests.chromium import Window
from tests.instrument_house import PASSWORD, Ward, open_ward

pytestmark = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "everything is installed")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
ON = "2026-01-26"


@contextmanager
def _served(ward: Ward, port: int) -> Iterator[None]:
    server = uvicorn.Server(uvicorn.Config(ward.house.app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    _until(lambda: server.started, 20)
    yield
    server.should_exit = True
    thread.join(10)


@pytest.fixture(name="ward")
def _ward(tmp_path: Path) -> Iterator[tuple[str, Ward]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with open_ward(tmp_path, base_url=base) as ward, _served(ward, port):
        yield base, ward


@pytest.fixture(name="window", scope="module")
def _window() -> Iterator[Window]:
    with chromium.window() as window:
        yield window


def _until(holds: Any, seconds: float = 15) -> None:
    until = monotonic() + seconds
    while not holds() and monotonic() < until:
        sleep(0.05)
    assert holds()


def _sign_in(window: Window, base: str, user: str) -> None:
    window.open(f"{base}/sign-in")
    window.run("document.querySelector('form[action=\"/sign-out\"] button')?.click()")
    window.open(f"{base}/sign-in")
    window.run("arguments; document.getElementById('user').focus()")
    window.type(user)
    window.press("tab")
    window.type(PASSWORD)
    window.press("enter")
    _until(lambda: "sign-in" not in window.url)


def _pick(window: Window, name: str, value: str) -> None:
    """Choose an answer as a person does: by its radio, its list, or by typing."""
    found = window.run(
        "const [name, value] = arguments;"
        "const all = [...document.querySelectorAll(`[name='${name}']`)];"
        "const one = all.find(e => (e.type === 'radio' || e.type === 'checkbox') && e.value === value);"
        "if (one) { one.click(); return one.checked; }"
        "const box = all[0]; if (!box) return false;"
        "box.value = value; box.dispatchEvent(new Event('change', {bubbles: true})); return box.value === value;",
        name,
        value,
    )
    assert found, f"{name} takes no {value}"


def _press(window: Window, words: str) -> None:
    """Press the button with these words, and wait for the next page."""
    before = window.run("return performance.timeOrigin")
    pressed = window.run(
        "const b = [...document.querySelectorAll('main button, main a.button')]"
        ".find(e => e.textContent.trim().startsWith(arguments[0])); b?.click(); return !!b",
        words,
    )
    assert pressed, f"no button {words} at {window.url}"
    _until(
        lambda: (
            window.run("return performance.timeOrigin !== arguments[0] && document.readyState", before) == "complete"
        )
    )


def _text(window: Window) -> str:
    return str(window.run("return document.body.innerText"))


def _looks_right(window: Window) -> None:
    """No error of the page, nothing from elsewhere, one heading, every control named; axe where it is there."""
    assert window.run("return document.querySelectorAll('h1').length") == 1
    unnamed = window.run(
        "return [...document.querySelectorAll('main input:not([type=hidden]), main select, main textarea')]"
        ".filter(e => !e.labels?.length && !e.getAttribute('aria-label')).map(e => e.name)"
    )
    assert unnamed == []
    assert window.run("return performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))")
    axe = chromium.axe_source()
    if axe:
        window.run(axe + "; return true")
        found = window.run(
            "return axe.run({runOnly: arguments[0]}).then(r => r.violations.map(v => v.id + ' ' + v.nodes[0].target))",
            list(RULES),
        )
        assert found == []


def test_a_red_flag_is_attested_in_a_browser(ward: tuple[str, Ward], window: Window) -> None:
    base, house = ward
    case = house.held()
    _sign_in(window, base, "cleo")
    window.open(f"{base}/cases/{case.case_id}")
    _press(window, "Document a red-flag exception")
    _looks_right(window)
    assert "neck artery" in _text(window)
    window.open(f"{base}/cases/{case.case_id}/red-flag?category=RF2")
    _until(lambda: window.url.endswith("/red-flags-myelopathy"))
    _looks_right(window)
    _pick(window, "answer:exam-on", ON)
    for number in range(1, 7):
        _pick(window, f"answer:rf{number}", "true" if number == 2 else "false")
    for name, value in (
        ("hoffmann.value", "52101004"),
        ("hoffmann.side", "24028007"),
        ("gait-ataxia.value", "52101004"),
        ("bladder-bowel", "17621005"),
    ):
        _pick(window, f"answer:{name}", value)
    _press(window, "Save and review to attest")
    assert window.url.endswith("/attest")
    _looks_right(window)
    ticked = "return document.querySelectorAll('main input[type=checkbox]:checked').length"
    assert window.run(ticked) == 0, "nothing is ticked beforehand"
    _pick(window, "code", "R29.2")
    _pick(window, "attest", "yes")
    window.run("document.getElementById('password').focus()")
    window.type("not it")
    _press(window, "Attest")
    assert "not the password" in _text(window)
    _pick(window, "attest", "yes")
    window.run("document.getElementById('password').focus()")
    window.type(PASSWORD)
    _press(window, "Attest")
    assert "attested and in the EHR" in _text(window)
    house.house.work()
    assert house.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"
    assert house.house.case(case.case_id).state == "documenting"


def test_an_examination_changes_the_diagnosis_in_a_browser(ward: tuple[str, Ward], window: Window) -> None:
    base, house = ward
    case = house.held()
    _sign_in(window, base, "cleo")
    window.open(f"{base}/cases/{case.case_id}/neuro-exam")
    _looks_right(window)
    for name, value in (
        ("exam-on", ON),
        ("arm-symptom.value", "52101004"),
        ("arm-symptom.side", "24028007"),
        ("arm-symptom.radiation", "digit-3"),
        ("right.strength-triceps", "mrc-4"),
        ("left.strength-triceps", "mrc-5"),
    ):
        _pick(window, f"answer:{name}", value)
    _press(window, "Save and record in the EHR")
    assert window.url.endswith("/support")
    house.house.work()
    window.open(window.url)
    _looks_right(window)
    assert "Support: strong" in _text(window)
    _pick(window, "onset", "2026-01-10")
    _pick(window, "assert", "yes")
    window.run("document.getElementById('password').focus()")
    window.type(PASSWORD)
    _press(window, "Change the order to")
    assert "diagnosis of the order is changed" in _text(window)
    assert house.order()["reasonReference"][0]["reference"].startswith("Condition/")
    house.house.work()
    assert house.house.facts(case.case_id).verdict == "GAP"


def test_a_patient_answers_on_a_page_of_their_own(ward: tuple[str, Ward], window: Window) -> None:
    base, house = ward
    case = house.held()
    _sign_in(window, base, "stella")
    window.open(f"{base}/cases/{case.case_id}/instruments")
    _looks_right(window)
    _press(window, "Link for the patient")
    found = re.search(rf"{re.escape(base)}/answer/[\w-]+", _text(window))
    assert found
    window.run("document.querySelector('form[action=\"/sign-out\"] button').click()")
    _until(lambda: "sign-in" in window.url)
    window.open(found.group())
    _looks_right(window)
    for number in range(1, 11):
        _pick(window, f"answer:ndi-{number}", "ordinal-2")
    _press(window, "Send")
    assert "Thank you" in _text(window)
    _sign_in(window, base, "stella")
    house.settle(case.case_id)
    window.open(f"{base}/cases/{case.case_id}")
    assert "NDI over time" in _text(window)
    _looks_right(window)
