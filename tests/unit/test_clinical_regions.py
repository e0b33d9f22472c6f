"""Another part of the body is new data, not new code."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.rules import choose_rule, load_concepts, load_rules
from gateway.errors import SettingsError
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import CPT, ICD, NOW, ZONE, base, concept, element, order
from tests.region_charts import total

HIP = """
[[region]]
name = "hip"
procedures = ["73721"]
symptom_code = "M25.551"
diagnosis_code = "M16.11"
refinement_days = 14
conditions = ["M25.551", "M16.-"]
red_flag_triggers = { always = ["S72.-"], unless_screened = [], never = [] }

[[measure]]
name = "HOOS"
kind = "items"
label = "HOOS"
local_totals = ["hoos-total"]
total_max = 100
higher_is = "worse"
"""
ROW = """
rule_id: hip
version: 1.0.0
status: verified
payer: {kind: plan, name: Acme, match: {plan_ids: [ACME]}}
effective: {from: 2026-01-01}
procedure: {cpt: [73721]}
indications: [M25.551]
pt: {counts: [97110, 97140, 97112, 97530]}
outcome: {measures: [HOOS]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An operator's folder that adds a part of the body the package does not know."""
    (tmp_path / "hip.toml").write_text(HIP)
    (tmp_path / "hip.yaml").write_text(ROW)
    return tmp_path


def _judge(folder: Path, diagnosis: str) -> Evaluation:
    chart = base()
    for name in [key for key in chart if key.startswith("ndi")]:
        del chart[name]
    chart["neck"]["code"] = concept(diagnosis, ICD)
    chart["order"] = order(code=concept("73721", CPT))
    for score in (total("hoos-total", "2026-01-07", 44), total("hoos-total", "2026-02-16", 40)):
        chart[score["id"]] = score
    rules = load_rules([folder])
    rule = choose_rule(rules, [], ["ACME"], None, "73721", date(2026, 2, 16))
    assert rule is not None
    concepts = load_concepts(extra=[folder])
    return evaluate(RecordSnapshot(chart.values()), chart["order"], rule, concepts, ZONE, NOW)


def test_an_operators_files_alone_add_a_part_of_the_body(folder: Path) -> None:
    found = _judge(folder, "M25.551")
    assert (found.verdict, found.rule_id) == ("PASS", "hip")
    assert element(found, "OUTCOME").value == "44 % → 40 %"


@pytest.mark.parametrize("diagnosis", ["M54.2", "M17.11"])
def test_another_regions_diagnosis_is_not_applicable(folder: Path, diagnosis: str) -> None:
    assert _judge(folder, diagnosis).reason == "indication"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (('name = "hip"', 'nome = "hip"'), "hip.toml: region.0.name"),
        (('procedures = ["73721"]', 'procedures = ["73221"]'), "hip.toml: region.procedures"),
        (('name = "HOOS"', 'name = "NDI"'), "hip.toml: measure.name"),
        (("[[measure]]", "[[drug]]"), "hip.toml: drug"),
        (("[[region]]", "[[region"), "hip.toml: not TOML"),
    ],
)
def test_a_faulty_region_file_is_refused_with_the_path_of_the_key(
    folder: Path, change: tuple[str, str], path: str
) -> None:
    (folder / "hip.toml").write_text(HIP.replace(*change))
    with pytest.raises(SettingsError) as refusal:
        load_concepts(extra=[folder])
    assert path in refusal.value.message
