"""The kit's packages with real payer logic, filled from charts made for them, by the way a case takes.

Expected answers were worked out by hand from the CQL text of the packages.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.flows.form_files import populate_files
from tests.package_charts import ADAPTIVE_DINNER, DINNER, FILLINGS, NOW, OXYGEN, Filling

BY_CHART = {one.chart: one for one in FILLINGS}
SCT, ICD = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm"
FULL = {
    "PBD.1": ["Synthetic"],
    "PBD.2": ["Ruth"],
    "PBD.3": ["A, M"],
    "PBD.4": ["1951-04-02"],
    "PBD.5": [("http://hl7.org/fhir/administrative-gender", "female")],
    "PBD.6": ["SYN-00-TEST-01"],
    "PND.1": ["Prescriber"],
    "PND.2": ["Paul"],
    "PND.3": ["Q"],
    "PND.4": ["1999999984"],
    "PND.5": ["2026-02-10"],
    "3.1.1": [(SCT, "13645005"), (ICD, "J44.9")],
    "3.1.2": [(ICD, "I10")],
    "3.2": [(Decimal("86.50"), "%")],
    "3.3": [(Decimal("54.5"), "mm[Hg]")],
    "3.4": [(83, "%")],
    "3.7": [True],
    "4.1": ["2026-02-15"],
    "5.1": ["HCPCS E1390 - Oxygen concentrator"],
    "5.1b": [False],
    "5.2": [("", "Concentrator")],
    "SIGPNP.2": ["Paul Q Prescriber"],
    "SIGPNP.3": ["2026-02-15"],
    "SIGPNP.4": ["1999999984"],
    "7": ["2026-03-01"],
}
SPARSE = {
    "PBD.4": ["1950"],
    "3.1.2": [(SCT, "160685001")],
    "3.2": [(Decimal("92.125"), "%")],
    "3.3": [(61, "mm[Hg]")],
    "3.7": [False],
    "3.10": [False],
    "4.1": ["2026-02-15"],
    "5.1b": [True],
    "5.2": [("", "Compressed Gas")],
    "SIGPNP.2": ["Pia Prescriber"],
    "SIGPNP.3": ["2026-02-15"],
    "7": ["2026-03-01"],
}
SUPPER = {"PBD.1": ["Synthetic"], "PBD.2": ["Dana"], "LOC.1": ["Ward 3, room 12"]}
TABLE = [
    pytest.param("home-oxygen-chart", FULL, id="home oxygen, all on record"),
    pytest.param("home-oxygen-sparse-chart", SPARSE, id="home oxygen, little on record"),
    pytest.param("dinner-chart", SUPPER, id="static dinner"),
]
RESTS_ON_ABSENCE = {"Today", "PatientMobile", "PatientHasHematocritThatIsGreaterThanThreshold", "AnswerYes", ""}
"""Defines whose value may rest on no element: the instant, or that nothing was found. "" is the inline one."""


def filled(filling: Filling, corpora: Path, version: str = "2.2.0") -> dict[str, Any]:
    now = datetime.fromisoformat(NOW)
    return populate_files(corpora / "dtr" / filling.package, filling.path, version, now=now)


def bare(value: dict[str, Any]) -> Any:
    """An answer's value: Coding as (system, code), Quantity as (value, unit)."""
    (only,) = value.values()
    if not isinstance(only, dict):
        return only
    return (only["value"], only["unit"]) if "value" in only else (only.get("system", ""), only["code"])


@pytest.mark.requirement("dtr:spec-62")
@pytest.mark.parametrize(("chart", "wanted"), TABLE)
def test_the_payers_logic_fills_its_form(chart: str, wanted: dict[str, Any], corpora: Path) -> None:
    form = filled(BY_CHART[chart], corpora)["forms"][0]
    found = {one["link_id"]: [bare(value) for value in one["value"]] for one in form["answers"] if one["value"]}
    assert found == wanted
    assert form["problems"] == []
    assert form["blockers"] == []


@pytest.mark.parametrize("version", ["2.2.0", "2.0.1"])
@pytest.mark.parametrize("chart", sorted(BY_CHART))
def test_every_answer_names_where_it_is_from_and_every_gap_why(chart: str, version: str, corpora: Path) -> None:
    for form in filled(BY_CHART[chart], corpora, version)["forms"]:
        for answer in form["answers"]:
            if not answer["value"]:
                assert answer["reason_if_empty"], answer["link_id"]
                continue
            assert answer["define"] or answer["expression"], answer["link_id"]
            assert answer["define"] == "" or "|" in answer["library"]
            assert answer["sources"] or answer["define"] in RESTS_ON_ABSENCE, answer["link_id"]
            assert all(one["reference"] and one["version"] and one["element"] for one in answer["sources"])


def test_the_element_that_decided_is_among_the_sources(corpora: Path) -> None:
    answers = {one["link_id"]: one for one in filled(BY_CHART["home-oxygen-chart"], corpora)["forms"][0]["answers"]}
    lowest = {"reference": "Observation/ox-sat-lowest", "version": "2", "element": "Observation.value"}
    assert any(
        one["reference"] == lowest["reference"] and one["element"].startswith(lowest["element"])
        for one in answers["3.2"]["sources"]
    )
    assert (answers["3.2"]["library"], answers["3.2"]["define"]) == (
        "HomeOxygenTherapyPrepopulation|0.1.0",
        "ArterialOxygenSaturation",
    )


@pytest.mark.requirement("dtr:spec-14")
def test_further_forms_of_a_package_are_filled_too(corpora: Path) -> None:
    forms = filled(BY_CHART["home-oxygen-chart"], corpora)["forms"]
    assert [form["part"] for form in forms] == ["main", "further", "further"]
    allergies = next(one for one in forms[1]["answers"] if one["link_id"] == "ALL.1")
    assert [bare(value)[1] for value in allergies["value"]] == ["7980"]


def test_every_chart_has_its_package() -> None:
    assert {one.package for one in FILLINGS} == {OXYGEN, DINNER}


@pytest.mark.requirement("dtr:spec-70")
def test_the_adaptive_dinner_is_filled_like_the_static_one_once_it_asks(corpora: Path, tmp_path: Path) -> None:
    """The questions that the payer's service gives first, with the logic of the package that announced them."""
    package = parse_json((corpora / "dtr" / ADAPTIVE_DINNER).read_bytes())
    bundle = package["parameter"][0]["resource"] if package["resourceType"] == "Parameters" else package
    asked = parse_json((corpora / "dtr" / "dinner_order_adaptive_next_question_initial.json").read_bytes())
    libraries = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Library"]
    opened = tmp_path / "opened.json"
    opened.write_bytes(dump_json({**bundle, "entry": [{"resource": asked}, *libraries]}))
    now = datetime.fromisoformat(NOW)
    (form,) = populate_files(opened, BY_CHART["dinner-chart"].path, "2.2.0", now=now)["forms"]
    found = {one["link_id"]: one for one in form["answers"]}
    assert {name: [bare(value) for value in one["value"]] for name, one in found.items() if one["value"]} == SUPPER
    assert found["PBD.1"]["library"] == "DTRTest|0.3.000"
    assert [(one["reference"], one["version"]) for one in found["PBD.1"]["sources"]][:1] == [
        ("Patient/dinner-patient", "2")
    ]
