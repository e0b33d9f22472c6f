"""Why an answer of payer logic is what it is, and why there is none: on the form page and in `form show`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.cases.states import CaseState
from gateway.cli import forms as cli_forms
from gateway.flows import forms
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.store.rows import CaseRow
from tests.elm_samples import as_resource, library, lit, op, prop, query, ref, retrieve
from tests.form_samples import expression, form, item
from tests.web_house import Browser, add_case, application, open_house, with_chart, with_form

STAFF = Actor(id="sam", kind="user", tenant="main", roles=("staff", "clinician"), name="Sam Staff")
SCORE = {
    "resourceType": "Observation",
    "id": "score",
    "meta": {"versionId": "1"},
    "status": "final",
    "subject": {"reference": "Patient/p1"},
    "code": {"coding": [{"system": "urn:codes", "code": "score"}]},
    "valueInteger": 21,
}
SCORES = query(retrieve("Observation"), **{"return": {"expression": prop({"type": "AliasRef", "name": "X"}, "value")}})
LOGIC = library(
    "Reasons",
    defines={
        "Scores": SCORES,
        "Score": {"type": "First", "source": ref("Scores")},
        "Nothing": {
            "type": "First",
            "source": query(
                retrieve("Condition"), **{"return": {"expression": prop({"type": "AliasRef", "name": "X"}, "id")}}
            ),
        },
        "Broken": op("Add", lit("x"), lit(1)),
    },
)
ASKED = {"score": ("integer", "Score"), "nothing": ("string", "Nothing"), "broken": ("integer", "Broken")}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    folder: Path = tmp_path_factory.mktemp("reasons")
    return open_house(folder / "house")


@pytest.fixture(scope="module")
def case(services: Services) -> CaseRow:
    items = [
        item(name, kind, expression("initialExpression", f'"Reasons".{define}', "text/cql"))
        for name, (kind, define) in ASKED.items()
    ]
    asked = {**form(*items, item("plain", "string")), "title": "Reasons"}
    opened = add_case(services, CaseState.DOCUMENTING.value, move="us")
    return with_form(services, with_chart(services, opened, SCORE), asked, as_resource(LOGIC))


@pytest.fixture(scope="module")
def rows(services: Services, case: CaseRow) -> dict[str, Any]:
    (shown,) = forms.show_forms(services, STAFF, case.case_id)
    found: list[dict[str, Any]] = json.loads(json.dumps(shown["rows"]))
    return {row["link_id"]: row for row in found}


def test_an_answer_names_record_version_element_library_and_define(rows: dict[str, Any]) -> None:
    score = rows["score"]
    assert score["values"] == ["21"]
    assert score["trace"] == {
        "sources": [{"reference": "Observation/score", "version": "1", "element": "Observation.value"}],
        "library": "Reasons|1",
        "define": "Score",
        "explanation": [
            "Read from Observation/score version 1 (Observation.value).",
            "Computed by Score of Reasons|1 through Reasons.Scores.",
        ],
        "looked_for": [],
    }
    assert score["origin_explanation"] == ("Observation.value of Observation/score version 1 (Reasons|1: Score)")


@pytest.mark.parametrize(
    ("question", "reason", "explanation"),
    [
        ("nothing", "Not found in the chart.", "The chart has no Condition that fits."),
        ("broken", "An operation of the logic met values it is not defined for.", ""),
        ("plain", "The form has no rule to fill this from the chart.", ""),
    ],
)
def test_a_gap_has_its_reason(rows: dict[str, Any], question: str, reason: str, explanation: str) -> None:
    row = rows[question]
    assert (row["values"], row["reason_if_empty"]) == ([], reason)
    assert row["origin_explanation"].startswith(reason)
    assert explanation in row["origin_explanation"]


def test_the_page_shows_both(services: Services, case: CaseRow) -> None:
    browser = Browser(application(services))
    browser.sign_in()
    page = browser.get(f"/cases/{case.case_id}/forms/1?all=1").text
    plain = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for words in (
        "Observation/score , version 1, Observation.value",
        "Reasons|1: Score",
        "Computed by Score of Reasons|1 through Reasons.Scores.",
        "Not found in the chart. The chart has no Condition that fits.",
        "An operation of the logic met values it is not defined for.",
        "The form has no rule to fill this from the chart.",
    ):
        assert words in plain, words


def test_form_show_prints_both(rows: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    shown = {"form_id": "1", "title": "Reasons", "status": "in-progress", "progress": "", "rows": list(rows.values())}
    cli_forms._print({"forms": [shown]}, everything=True)
    printed = " ".join(capsys.readouterr().out.split())
    assert "Observation.value of Observation/score version 1 (Reasons|1: Score)" in printed
    assert "The form has no rule to fill this from the chart." in printed
    assert "The chart has no Condition that fits." in printed
