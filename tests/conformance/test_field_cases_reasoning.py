"""Field cases of the reasoning engine, read from the corpus: what people reported of comparable engines.

Covered: B01, B03, B05, B07, B09, B11, B13, B15, B17, B19, B21 (CQL) and B29 (an expansion that is only a part).
B23, B25, B27 are FHIRPath and stand with the forms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.fhir.json import dump_json, parse_json
from gateway.reasoning.elm import Engine, LibrarySet, load_library
from gateway.reasoning.elm.codes import Code, ValueSet
from gateway.reasoning.elm.results import result_json
from gateway.reasoning.elm.terminology import Terminology
from gateway.reasoning.record import RecordSnapshot
from tests.conftest import ROOT

CASES = ("B01", "B03", "B05", "B07", "B09", "B11", "B13", "B15", "B17", "B19", "B21")
ZONES = ("UTC", "Europe/Berlin", "America/Denver")


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_bytes().splitlines()
    return {case["id"]: case for case in map(parse_json, lines)}


def evaluate(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """JSON value of each define of a case."""
    given = case["input"]
    record = RecordSnapshot.from_bundle(given["bundle"]) if "bundle" in given else RecordSnapshot(given.get("data", ()))
    engine = Engine(
        LibrarySet([load_library((folder / case["input_file"]).read_bytes())]),
        given.get("valuesets", ()),
        record,
        now=datetime.fromisoformat(given["evaluation_time"]),
        patient=given.get("context_patient"),
    )
    found = {}
    for name in given["define"]:
        outcome = engine.outcome(name)
        assert outcome.error is None, outcome.error
        found[name] = result_json(outcome.value)
    return found


def literal(text: str) -> Any:
    """JSON value of the CQL literals that the cases use."""
    if text.startswith("{"):
        return [literal(part.strip()) for part in text.strip("{}").split(",")]
    return text[1:] if text.startswith("@") else parse_json(text.encode())


@pytest.mark.parametrize("name", CASES)
def test_a_field_case(name: str, cases: dict[str, Any], corpora: Path) -> None:
    found = evaluate(cases[name], corpora / "field-cases")
    assert found == {key: literal(text) for key, text in cases[name]["expected"].items()}


@pytest.mark.parametrize("zone", ZONES)
def test_the_zone_of_the_host_does_not_matter(zone: str, cases: dict[str, Any], corpora: Path) -> None:
    """All of them in one process under another zone; the cases with a clock are told apart by it elsewhere."""
    script = (
        "import json, sys; from pathlib import Path; from gateway.fhir.json import dump_json, parse_json; "
        "from tests.conformance.test_field_cases_reasoning import CASES, evaluate; folder = Path(sys.argv[1]); "
        "cases = {c['id']: c for c in map(parse_json, (folder / 'cases.jsonl').read_bytes().splitlines())}; "
        "sys.stdout.buffer.write(dump_json({name: evaluate(cases[name], folder) for name in CASES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(corpora / "field-cases")],
        env={**os.environ, "TZ": zone},
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    here = {name: evaluate(cases[name], corpora / "field-cases") for name in CASES}
    assert json.loads(done.stdout) == json.loads(dump_json(here))


def test_b29_an_incomplete_expansion_never_proves_absence(cases: dict[str, Any]) -> None:
    pages = cases["B29"]["input"]["pages"]
    first = {"total": pages[0]["total"], "contains": [{"system": "s", "code": one} for one in pages[0]["contains"]]}
    whole = {"total": 3, "contains": [*first["contains"], {"system": "s", "code": "C"}]}
    wanted = Code("C", "s")
    assert Terminology([{"url": "v", "expansion": whole}]).expand(ValueSet("v")).has(wanted)
    part = Terminology([{"url": "v", "expansion": first}]).expand(ValueSet("v"))
    assert part.has(Code("A", "s"))
    with pytest.raises(ReasoningError, match="only listed in part"):
        part.has(wanted)
