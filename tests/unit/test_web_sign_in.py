"""Signing in, staying in, and being out again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.clock import FixedClock
from gateway.flows.services import Services
from gateway.web import sessions
from gateway.web.passwords import FREE_TRIES, Brake
from tests.web_house import NOW, PASSWORD, Browser, application, open_house


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_house(tmp_path / "house")


@pytest.fixture
def browser(services: Services) -> Browser:
    return Browser(application(services))


def _wait(services: Services, length: timedelta) -> None:
    assert isinstance(services.clock, FixedClock)
    services.clock.instant += length


def _user_row(services: Services, value: str) -> object:
    with services.store.read() as tx:
        return tx.sessions.find(sessions._digest(value), services.clock.now())


def test_a_person_signs_in_and_lands_where_they_wanted(browser: Browser) -> None:
    answer = browser.sign_in(wanted="/about")
    assert (answer.status_code, answer.headers["location"]) == (303, "/about")
    page = browser.get("/about")
    assert page.status_code == 200
    assert "Sam Staff" in page.text


def test_the_cookie_cannot_be_read_by_scripts_and_its_value_is_not_stored(browser: Browser, services: Services) -> None:
    cookie = browser.sign_in().headers["set-cookie"]
    assert cookie.startswith("pa-session=")
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.casefold()
    assert "Path=/" in cookie
    value = browser.cookies["pa-session"]
    assert len(value) >= 32
    raw = Path(services.settings.store.url.removeprefix("sqlite:///"))
    stored = b"".join(path.read_bytes() for path in raw.parent.glob("gateway.db*"))
    assert value.encode() not in stored
    assert _user_row(services, value) is not None


def test_behind_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    base = "https://gateway.test"
    browser = Browser(application(open_house(tmp_path / "house", base)), base)
    cookie = browser.sign_in().headers["set-cookie"]
    assert cookie.startswith("__Host-pa-session=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize(
    ("user", "password"),
    [("sam", "wrong"), ("nobody", PASSWORD), ("machine", "machine-secret"), ("", ""), ("sam", "x" * 5000)],
)
def test_what_was_wrong_is_not_said(browser: Browser, user: str, password: str) -> None:
    answer = browser.sign_in(user, password)
    assert answer.status_code == 401
    assert "User name and password do not fit together." in answer.text
    assert "set-cookie" not in answer.headers
    assert not password or password not in answer.text
    assert browser.get("/").status_code == 303


@pytest.mark.threat("T10")
def test_a_planted_session_id_is_not_taken_over(browser: Browser, services: Services) -> None:
    browser.cookies.set("pa-session", "planted", domain="gateway.test")
    browser.sign_in()
    assert browser.cookies.get("pa-session", domain="gateway.test") != "planted" or browser.get("/").status_code == 303
    assert _user_row(services, "planted") is None


def test_signing_in_again_ends_the_session_before(browser: Browser, services: Services) -> None:
    browser.sign_in()
    first = browser.cookies["pa-session"]
    browser.sign_in()
    assert browser.cookies["pa-session"] != first
    assert _user_row(services, first) is None


def test_guessing_is_braked_and_the_brake_wears_off(browser: Browser, services: Services) -> None:
    for _ in range(FREE_TRIES + 1):
        assert browser.sign_in("sam", "wrong").status_code == 401
    refused = browser.sign_in()
    assert refused.status_code == 429
    assert "Too many attempts" in refused.text
    assert browser.sign_in("cleo").status_code == 303
    _wait(services, timedelta(seconds=31))
    assert browser.sign_in().status_code == 303


def test_names_that_do_not_exist_are_braked_alike(browser: Browser) -> None:
    statuses = [browser.sign_in("nobody", "wrong").status_code for _ in range(FREE_TRIES + 2)]
    assert statuses == [401] * (FREE_TRIES + 1) + [429]


def test_the_brake_forgets_the_oldest_name_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.passwords.MAX_NAMES", 2)
    brake = Brake()
    for name in ("a", "b", "c"):
        brake.failed(name, NOW)
    assert len(brake._names) == 2


def test_an_idle_session_ends(browser: Browser, services: Services) -> None:
    browser.sign_in()
    _wait(services, timedelta(minutes=14))
    assert browser.get("/").status_code == 200
    _wait(services, timedelta(minutes=14))
    assert browser.get("/").status_code == 200
    _wait(services, timedelta(minutes=15, seconds=1))
    assert browser.get("/").headers["location"] == "/sign-in"


def test_a_session_ends_after_eight_hours_in_any_case(browser: Browser, services: Services) -> None:
    browser.sign_in()
    for _ in range(8 * 6):
        assert browser.get("/?view=denied").status_code == 200
        _wait(services, timedelta(minutes=10))
    assert browser.get("/?view=denied").status_code == 303


def test_signing_out_ends_the_session_at_the_server(browser: Browser) -> None:
    browser.sign_in()
    value = browser.cookies["pa-session"]
    answer = browser.submit("/about", "/sign-out", {})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    browser.cookies.set("pa-session", value, domain="gateway.test")
    assert browser.get("/").status_code == 303


def test_a_person_taken_out_of_the_settings_is_out_at_once(browser: Browser, services: Services) -> None:
    browser.sign_in()
    clients = {name: row for name, row in services.settings.clients.items() if name != "sam"}
    services.settings = services.settings.model_copy(update={"clients": clients})
    assert browser.get("/").status_code == 303


def test_an_open_page_asks_to_sign_in_and_comes_back(browser: Browser) -> None:
    asked = browser.get("/cases/0a1b?all=1")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/sign-in?next=/cases/0a1b%3Fall%3D1"
    form = browser.get(asked.headers["location"])
    assert 'name="next" value="/cases/0a1b?all=1"' in form.text


def test_the_sign_in_page_sends_a_signed_in_person_on(browser: Browser) -> None:
    browser.sign_in()
    assert browser.get("/sign-in?next=//evil.example.net").headers["location"] == "/"
