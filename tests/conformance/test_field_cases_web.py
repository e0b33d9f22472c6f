"""Troubles that others had with pages like ours (field cases B111, B113, B115)."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.narrative import sanitise
from gateway.flows import csv_text
from gateway.web.dates import show_day
from tests.web_house import PATIENT, Browser, add_case, application, open_house, with_chart


@pytest.fixture(scope="module")
def field_cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text("utf-8").splitlines()
    return {case["id"]: case for case in map(json.loads, lines)}


def _with_zone(folder: Path, zone: str) -> Browser:
    services = open_house(folder)
    tenant = services.settings.tenant.model_copy(update={"practice_zone": zone})
    services.settings = services.settings.model_copy(update={"tenant": tenant})
    return Browser(application(services))


def test_b111_a_birth_date_is_the_same_day_in_every_zone(field_cases: dict[str, Any], tmp_path: Path) -> None:
    case = field_cases["B111"]
    born = case["input"]["patient"]["birthDate"]
    assert born == PATIENT["birthDate"]
    for zone in case["input"]["zones"]:
        browser = _with_zone(tmp_path / zone.replace("/", "-"), zone)
        services = browser._transport.app.state.services  # type: ignore[attr-defined]
        made = with_chart(services, add_case(services, "held"))
        browser.sign_in()
        assert f"<dd>{born}</dd>" in browser.get(f"/cases/{made.case_id}").text
        assert f"born {born}" in browser.get("/").text
    for partial, shown in case["expected"]["partial"].items():
        assert show_day(partial) == shown


def test_b113_a_narrative_keeps_its_words_and_loses_what_runs(field_cases: dict[str, Any]) -> None:
    case = field_cases["B113"]
    shown = str(sanitise(case["input"]["div"]))
    for word in case["expected"]["kept_text"]:
        assert re.search(rf">\s*{word}\s*<", shown), word
    assert re.findall(r'href="([^"]+)"', shown) == case["expected"]["links_left"]
    assert not re.search(r"script|data:|style|url\(|<img", shown, re.IGNORECASE)


def test_b115_an_exported_list_runs_no_formula(field_cases: dict[str, Any]) -> None:
    names = [row["name"] for row in field_cases["B115"]["input"]["rows"]]
    text = csv_text.write(("name",), [(name,) for name in names])
    cells = [row[0] for row in csv.reader(io.StringIO(text, newline=""))][1:]
    assert [cell[0] for cell in cells[:5]] == ["'"] * 5
    assert cells[5] == names[5]
