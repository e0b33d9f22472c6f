"""The FHIRPath R4 suite of the corpus: every case agrees, but for those named here with the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.fhir.json import parse_json
from gateway.reasoning.fhirpath import FhirPath, Item, system_value
from gateway.reasoning.fhirpath_operators import truth
from gateway.reasoning.fhirpath_values import Amount, Moment

STATIC = "refused by static analysis of types; we evaluate and find nothing"
LENIENT = "`valueQuantity` is not the name of an element; forms in use write it, so we read it"
SAMPLE = "the sample's JSON lost repeated elements of its XML"
OUTWARDS = "the suite cuts a boundary that is finer than asked for; we round it outwards"
LEFT = {
    "testSimpleFail": STATIC,
    "testSimpleWithWrongContext": STATIC,
    "testPolymorphismAsB": STATIC,
    "testDollarOrderNotAllowed": STATIC,
    "testPolymorphismB": LENIENT,
    "testPolymorphicsB": LENIENT,
    "testDistinct5": SAMPLE,
    "testRepeat3": SAMPLE,
    "testPlusDate19": "the suite drops the fraction of a second; we add it",
    "LowBoundaryDecimal15": OUTWARDS,
    "HighBoundaryDecimal15": OUTWARDS,
    "HighBoundaryDecimal16": OUTWARDS,
}


def text_of(item: Item) -> str:
    value = system_value(item)
    if isinstance(value, Moment | Amount):
        return value.text()
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(str(value)) if isinstance(value, Decimal) else str(value)


def number_text(text: str) -> str:
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        return text


def wanted_text(kind: str | None, value: str | None) -> str | None:
    if value is None or not value.startswith("@"):
        return number_text(value) if value is not None and kind in (None, "decimal") else value
    return value.lstrip("@").lstrip("T")


def agrees(case: dict[str, Any], folder: Path) -> bool:
    engine = FhirPath(now=datetime(2026, 3, 15, 10, tzinfo=UTC))
    resource = parse_json((folder / case["input"].replace(".xml", ".json")).read_bytes()) if case["input"] else {}
    try:
        found = engine.trace(case["expr"], resource)
    except ReasoningError:
        return bool(case["inv"])
    if case["inv"]:
        return False
    wanted = [wanted_text(kind, value) for kind, value in case["outs"]]
    if case["pred"] == "true":
        return [str(truth(found)).lower()] == wanted
    texts = [text_of(item) for item in found]
    return len(texts) == len(wanted) and all(two is None or one == two for one, two in zip(texts, wanted, strict=True))


@pytest.fixture(scope="module")
def suite(corpora: Path) -> Path:
    return corpora / "fhirpath-r4"


def test_the_suite_agrees_but_for_the_named_cases(suite: Path) -> None:
    cases = [json.loads(line) for line in (suite / "cases.jsonl").read_text(encoding="utf-8").splitlines()]
    failing = sorted(case["name"] for case in cases if not agrees(case, suite / "input"))
    assert failing == sorted(LEFT)
