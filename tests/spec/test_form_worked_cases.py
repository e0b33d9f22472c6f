"""Every worked example of every form, run over the synthetic charts."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable

import pytest

from gateway.demo.charts import DemoChart, all_charts
from gateway.errors import InputError
from gateway.fhir.json import dump_json, parse_json
from gateway.forms.definition import read_definition
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import populate
from gateway.forms.query import run_query
from gateway.forms.worked import check_worked_case, read_worked_case
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_2_2_0 import FormPackageParts
from gateway.reasoning.fhirpath_syntax import parse_expression
from gateway.reasoning.record import RecordSnapshot
from tests.form_samples import NOW

ROOT = files("questionnaires")
SLUGS = sorted(entry.name for entry in ROOT.iterdir() if (entry / "questionnaire.json").is_file())
CASES = [
    pytest.param(slug, case, id=f"{slug}/{case.name}")
    for slug in SLUGS
    if (ROOT / slug / "cases").is_dir()
    for case in sorted((ROOT / slug / "cases").iterdir(), key=lambda entry: entry.name)
    if case.name.endswith(".toml") and not (ROOT / slug / "charts").is_dir()
]
"""Examples over the demonstration's charts; forms with charts of their own are checked by the command's tests."""


@pytest.fixture(scope="module")
def charts() -> dict[str, DemoChart]:
    return {chart.chart_id: chart for chart in all_charts()}


def parts_of(slug: str) -> FormPackageParts:
    return FormPackageParts(questionnaire=parse_json((ROOT / slug / "questionnaire.json").read_bytes()))


def launch_of(chart: DemoChart, record: RecordSnapshot) -> LaunchContext:
    patient, order = record.find(chart.patient_reference), record.find(chart.order_reference)
    assert patient is not None
    return LaunchContext(
        patient=patient,
        order=order,
        coverage=record.find(chart.coverage_reference),
        practice_zone="America/Los_Angeles",
    )


@pytest.mark.parametrize("slug, path", CASES)
def test_worked_case(slug: str, path: Traversable, charts: dict[str, DemoChart]) -> None:
    case = read_worked_case(tomllib.loads(path.read_text(encoding="utf-8")))
    chart = charts[case.chart]
    record = RecordSnapshot.from_bundle(chart.bundle)
    assert check_worked_case(case, parts_of(slug), launch_of(chart, record), record) == []


@pytest.mark.parametrize("slug", SLUGS)
def test_a_form_is_readable_and_its_logic_parses(slug: str) -> None:
    form = read_definition(parts_of(slug).questionnaire)
    assert form.blockers == ()
    assert re.fullmatch(r"(https?://\S+|urn:oid:[0-9.]+)\|\d+\.\d+\.\d+", form.canonical)
    expressions = list(dtr_sdc.read_variables(form.questionnaire))
    for item in form.walk():
        assert item.text, item.link_id
        for kind in dtr_sdc.EXPRESSION_KINDS:
            expressions += dtr_sdc.read_expressions(item.item, kind)
    for expression in expressions:
        if expression.language == dtr_sdc.FHIRPATH:
            parse_expression(expression.expression)
        elif expression.language == dtr_sdc.QUERY:
            run_query(re.sub(r"\{\{.*?\}\}", "x", expression.expression), RecordSnapshot(()), None)
        else:
            assert expression.is_cql


@pytest.mark.requirement("dtr:sec-3")
def test_only_the_problem_that_matters_is_disclosed(charts: dict[str, DemoChart]) -> None:
    chart = charts["P01"]
    record = RecordSnapshot.from_bundle(chart.bundle)
    draft = populate(parts_of("cervical-mri"), launch_of(chart, record), record, None, NOW, lambda: "qr")
    sent = dump_json(draft.response).decode()
    others = [
        coding["code"]
        for condition in record.of_type("Condition")
        for coding in condition["code"]["coding"]
        if coding["code"] != "M54.2"
    ]
    assert others
    assert [code for code in others if f'"{code}"' in sent] == []


@pytest.mark.parametrize(
    "raw",
    [
        {"chart": "P01", "now": "2026-01-01"},
        {"chart": "P01", "now": NOW, "colour": 1},
        {"now": NOW},
        {"chart": "P01", "now": NOW.replace(tzinfo=None)},
    ],
)
def test_a_worked_case_with_a_slip_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(InputError):
        read_worked_case(raw)


def test_a_difference_is_told(charts: dict[str, DemoChart]) -> None:
    chart = charts["P01"]
    record = RecordSnapshot.from_bundle(chart.bundle)
    raw = {
        "chart": "P01",
        "now": NOW,
        "answers": {"onset": "2020-01-01", "nowhere": "x"},
        "origins": {"onset": "manual"},
        "empty": ["onset"],
        "open_required": [],
    }
    found = check_worked_case(read_worked_case(raw), parts_of("cervical-mri"), launch_of(chart, record), record)
    assert [sentence.split(":")[0] for sentence in found] == ["onset", "nowhere", "onset", "open"]
