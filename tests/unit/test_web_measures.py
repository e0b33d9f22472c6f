"""The page of measures: who may see it, what it says without pictures, and its CSV."""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.api import measures as api_measures
from gateway.cli.commands import build_cli
from gateway.flows.services import Services
from gateway.settings import ClientSettings
from gateway.web import measures_pages
from tests.measures_house import decided, furnish, held
from tests.web_house import Browser, application, open_house

BOARD = "secret-of-the-board"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    opened = open_house(tmp_path_factory.mktemp("pages") / "house")
    furnish(opened)
    board = ClientSettings(secret_sha256=hashlib.sha256(BOARD.encode()).hexdigest(), roles=("auditor",))
    clients = {**opened.settings.clients, "board": board}
    opened.settings = opened.settings.model_copy(update={"clients": clients})
    for _ in range(12):
        decided(opened, "A1")
        decided(opened, "A3", "44: <b>failure</b>")
        held(opened)
    return opened


@pytest.fixture(scope="module")
def browser(services: Services) -> Browser:
    app = application(services)
    app.include_router(api_measures.router)
    made = Browser(app)
    made.sign_in()
    return made


def _plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_shows_each_rate_with_its_n_and_interval(browser: Browser) -> None:
    page = browser.get("/measures")
    assert page.status_code == 200
    assert "All 24 50.0 % (12) 31.4 to 68.6 %" in _plain(page.text)
    assert "reason: 44 24 50.0 % (12)" in _plain(page.text)
    assert "Not recorded" in page.text
    assert "payer: Example Medicare Advantage" in _plain(page.text)
    assert "payer: example-medicare" not in _plain(page.text)
    assert "<b>failure" not in page.text


def test_the_chart_has_a_title_a_description_and_no_inline_style(browser: Browser) -> None:
    page = browser.get("/measures").text
    chart = re.search(r"<svg class=\"chart\".*?</svg>", page, re.DOTALL)
    assert chart
    assert "<title" in chart.group()
    assert "All: 50.0 % (12)" in chart.group()
    assert "style=" not in page
    assert page.count('role="img"') == page.count("<desc")


def test_the_link_stands_in_the_navigation(browser: Browser) -> None:
    assert '<a href="/measures">Measures</a>' in browser.get("/").text
    assert '<a href="/measures" aria-current="page">Measures</a>' in browser.get("/measures").text


def test_the_period_is_kept_in_the_download(browser: Browser) -> None:
    page = browser.get("/measures?from=2026-03-01&to=2026-03-31").text
    assert "/measures.csv?from=2026-03-01&amp;to=2026-03-31" in page
    found = browser.get("/measures.csv?from=2026-01-01&to=2026-01-31")
    assert found.headers["content-type"].startswith("text/csv")
    assert '"initial_denial_rate","share","","","0","0"' in found.text


@pytest.mark.parametrize("query", ["from=soon", "from=2026-03-02&to=2026-03-01", "from=1990-01-01", "to=%00"])
def test_a_period_that_cannot_be_read_is_explained(browser: Browser, query: str) -> None:
    page = browser.get(f"/measures?{query}")
    assert page.status_code in (400, 422)
    assert "Traceback" not in page.text


def test_nobody_reads_measures_without_signing_in(services: Services) -> None:
    assert Browser(application(services)).get("/measures").status_code == 303


@pytest.mark.parametrize("media_type", ["application/json", "text/csv"])
def test_a_system_that_may_not_read_them_is_refused(browser: Browser, media_type: str) -> None:
    headers = {"Authorization": "Bearer machine-secret", "Accept": media_type}
    assert browser.get("/measures", headers=headers).status_code == 403


def test_the_api_gives_json_and_csv(browser: Browser) -> None:
    headers = {"Authorization": f"Bearer {BOARD}"}
    found = browser.get("/measures?from=2026-03-01", headers={**headers, "Accept": "application/json"})
    assert found.json()["orders"] == 36
    table = browser.get("/measures", headers={**headers, "Accept": "text/csv"})
    assert table.headers["content-type"].startswith("text/csv")
    assert '"initial_denial_rate","share","","","12","24","50.0"' in table.text
    assert browser.get("/measures?from=soon", headers=headers).status_code in (400, 422)


@pytest.fixture
def run(services: Services, tmp_path: Path) -> CliRunner:
    """The command line over the database of the house."""
    return CliRunner(
        env={
            "PA_GATEWAY__STORE__URL": services.settings.store.url,
            "PA_GATEWAY__KEYS__DIRECTORY": str(tmp_path / "keys"),
        }
    )


PERIOD = ["--from", "2026-03-01", "--to", "2026-03-31"]


def test_the_command_prints_a_table_json_and_csv(run: CliRunner, tmp_path: Path) -> None:
    table = run.invoke(build_cli(), ["measures", *PERIOD])
    assert table.exit_code == 0
    assert "50.0 % (12)" in table.output
    assert "31.4–68.6 %" in table.output
    assert "not recorded" in table.output
    value = json.loads(run.invoke(build_cli(), ["measures", *PERIOD, "--json"]).output)
    assert value["orders"] == 36
    out = tmp_path / "m.csv"
    assert run.invoke(build_cli(), ["measures", *PERIOD, "--csv", str(out)]).exit_code == 0
    assert out.read_text().startswith('"measure","unit","by","group","numerator"')


def test_the_command_wants_a_day(run: CliRunner) -> None:
    found = run.invoke(build_cli(), ["measures", "--from", "soon"])
    assert found.exit_code != 0
    assert "YYYY-MM-DD" in str(found.exception)


def test_a_chart_has_no_more_bars_than_can_be_read() -> None:
    empty = dict.fromkeys(("low", "high", "median", "p90", "amount_low", "amount_high"))
    numbers = {"numerator": 11, "denominator": 22, "percent": Decimal("50.0"), "hidden": False}
    cells = [{"by": "payer", "group": f"p{n}", **numbers, **empty} for n in range(30)]
    shown = measures_pages._shown(
        {"id": "m", "title": "M", "definition": "d", "unit": "share", "alarm": False, "notes": [], "cells": cells},
        {"p7": "Payer Seven"},
    )
    assert len(shown.lines) == 30
    assert [line.name for line in shown.lines[6:8]] == ["payer: p6", "payer: Payer Seven"]
    assert (len(shown.bars), shown.bars[0].width) == (measures_pages.MOST_BARS, Decimal(150))
