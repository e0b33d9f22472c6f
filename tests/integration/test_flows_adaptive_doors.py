"""An adaptive form through the doors: a page says what is sent and to whom before anything is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.flows import next_questions
from tests.integration.flows_house import House, open_house
from tests.web_house import Browser, application, settings

NAMES = ("page", "api")
SECRET = "secret-of-a-client"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module, with a person who may sign in and a client."""
    folder: Path = tmp_path_factory.mktemp("doors")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-ADAPT-01")) as opened:
        known = settings(folder, "http://gateway.test")
        client = {"secret_sha256": hashlib.sha256(SECRET.encode()).hexdigest(), "roles": ("staff",), "tenant": "main"}
        clients = type(known).model_validate({"clients": {"clerk": client}}).clients
        changes = {"clients": {**known.clients, **clients}, "server": known.server}
        opened.services.settings = opened.services.settings.model_copy(update=changes)
        yield opened


def opened(house: House, name: str) -> str:
    case_id = house.post(name)
    house.run()
    return case_id


def test_the_page_says_that_answers_are_sent_before_they_are(house: House) -> None:
    browser = Browser(application(house.services), "http://gateway.test")
    browser.sign_in()
    case_id = opened(house, "page")
    form = f"/cases/{case_id}/forms/1"
    page = browser.get(f"{form}/next")
    assert next_questions.DISCLOSURE in page.text
    assert "Review to continue" in browser.get(form).text
    assert house.facts(case_id).forms[0].sets == 0
    assert browser.submit(f"{form}/next", f"{form}/next", {}).status_code == 303
    assert "How many weeks" in browser.get(form).text
    refused = browser.get(f"{form}/next")
    assert "Answer the open required questions first" in refused.text
    assert "Send and continue" not in refused.text
    weeks = next(one for one in _names(browser.get(form).text) if one.endswith("weeks"))
    saved = browser.submit(form, form, {weeks: "7", "then": "next"})
    assert saved.headers["location"].endswith("/next")
    listed = browser.get(f"{form}/next").text
    assert "date of birth" in listed  # what comes from the chart is shown before it is disclosed
    stale = browser.submit(f"{form}/next", f"{form}/next", {"draft": "0" * 64})
    assert stale.status_code == 409
    assert house.facts(case_id).forms[0].sets == 1
    assert browser.submit(f"{form}/next", f"{form}/next", {}).status_code == 303
    assert house.facts(case_id).forms[0].sets == 2
    assert "payer asked for the next questions" in browser.get(f"/cases/{case_id}/timeline").text


def _names(text: str) -> list[str]:
    return [part.partition('"')[0] for part in text.split('name="')[1:]]


def test_the_api_asks_for_the_next_questions(house: House) -> None:
    case_id = opened(house, "api")
    app = application(house.services)

    def call(path: str, **more: object) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as client:
                headers = {"Authorization": f"Bearer {SECRET}"}
                return await client.post(path, headers=headers, **more)  # type: ignore[arg-type]

        return asyncio.run(once())

    first = call(f"/cases/{case_id}/forms/1/next")
    assert first.status_code == 200
    (form,) = first.json()["forms"]
    assert form["is_adaptive"]
    assert "weeks" in {row["link_id"] for row in form["rows"]}
    early = call(f"/cases/{case_id}/forms/1/next")
    assert (early.status_code, early.json()["code"]) == (422, "form.incomplete")
    assert call(f"/cases/{case_id}/forms/1/complete").json()["code"] == "form.adaptive"
    assert call(f"/cases/{case_id}/forms/9/next").status_code == 404
