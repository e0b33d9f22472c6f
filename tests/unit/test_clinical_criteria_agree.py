"""Two readings of the rule, CQL and plain Python, on worked charts and on charts changed at random."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from random import Random
from typing import Any

import pytest

from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.rules import load_concepts
from gateway.demo.charts import build_chart
from gateway.demo.charts_recipe import case_recipe
from gateway.fhir.json import dump_json, parse_json
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import NOW, RULES, ZONE, base
from tests.generative.test_clinical_hostile import everything
from tests.readings.clinical.evaluate import evaluate as second_reading
from tests.readings.clinical.mutants import Json, Pool, mutant
from tests.region_charts import attested, low_back, shoulder
from tests.unit.test_clinical_red_flags import OTHER

WORKED = [f"P{number:02d}" for number in range(1, 13)]
SEEDS = range(150)
OWN_ROWS = {"low-back": "default-lumbar", "shoulder": "default-shoulder"}


@cache
def _charts() -> dict[str, list[Json]]:
    """Charts to begin with: the worked ones, the other regions, one of each red flag, one with everything."""
    charts: dict[str, list[Json]] = {name: _worked(name) for name in WORKED}
    charts |= {"low-back": list(low_back().values()), "shoulder": list(shoulder().values())}
    charts["everything"] = list(everything().values())
    for category, findings in OTHER:
        flagged = [*base().values(), *attested(category), *findings]
        charts[category] = list({resource["id"]: resource for resource in flagged}.values())
    return charts


def _worked(name: str) -> list[Json]:
    bundle = parse_json(dump_json(build_chart(case_recipe(name))))
    return [entry["resource"] for entry in bundle["entry"]]


def _order(chart: list[Json]) -> Json:
    procedures = {code for region in load_concepts().region for code in region.procedures}
    return next(
        resource
        for resource in chart
        if resource["resourceType"] == "ServiceRequest"
        and any(coding.get("code") in procedures for coding in resource["code"]["coding"])
    )


def _plain(found: Evaluation) -> dict[str, Any]:
    """The whole result but its label; the order in which evidence is named says nothing."""
    plain = asdict(found)
    for element in plain["elements"]:
        element["evidence"] = sorted(element["evidence"])
    return {**plain, "criteria": "", "red_flag_evidence": sorted(plain["red_flag_evidence"])}


def _require_agreement(chart: list[Json], order: Json, row: str) -> str:
    record, concepts = RecordSnapshot(chart), load_concepts()
    own = record.find(f"ServiceRequest/{order['id']}") or order
    found = evaluate(record, own, RULES[row], concepts, ZONE, NOW)
    assert _plain(found) == _plain(second_reading(record, own, RULES[row], concepts, ZONE, NOW))
    return found.verdict


@pytest.mark.parametrize("row", sorted(RULES))
@pytest.mark.parametrize("name", [*WORKED, "low-back", "shoulder", "everything"])
def test_both_readings_agree_on_a_chart(name: str, row: str) -> None:
    chart = _charts()[name]
    _require_agreement(chart, _order(chart), row)


@pytest.mark.parametrize("first", SEEDS[::50])
def test_both_readings_agree_on_mutants(first: int) -> None:
    """The sentence of each element, its value, evidence and day are compared too; a seed names its mutant."""
    pool, names = Pool(_charts().values()), sorted(_charts())
    for seed in range(first, first + 50):
        random = Random(seed)
        name = random.choice(names)
        chart = _charts()[name]
        changed = mutant(chart, pool, random, random.randint(1, 6))
        _require_agreement(changed, _order(chart), OWN_ROWS.get(name) or random.choice(sorted(RULES)))
