"""Runs the cases of the public CQL suite: `t` against `o`, decimals to eight places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from gateway.errors import ReasoningError
from gateway.fhir.json import dump_json, parse_json
from gateway.reasoning.elm import Engine, LibrarySet, compile_library
from gateway.reasoning.elm.results import result_json
from gateway.reasoning.record import RecordSnapshot

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
STEP = Decimal("0.00000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Result of one case."""

    case: Mapping[str, Any]
    passed: bool
    reason: str = ""
    """Why it failed; empty when it passed."""


def read_cases(path: Path) -> Iterator[Mapping[str, Any]]:
    """Cases of a `cases.jsonl`."""
    with path.open("rb") as lines:
        for line in lines:
            yield parse_json(line, max_depth=400)


def run_case(case: Mapping[str, Any]) -> Verdict:
    """Verdict on a case. An `invalid` case passes when evaluation raises; else `t` must equal `o`."""
    try:
        engine = Engine(LibrarySet([compile_library(case["elm"])]), (), RecordSnapshot(()), now=NOW)
    except ReasoningError as error:
        return Verdict(case=case, passed=bool(case.get("invalid")), reason=error.message)
    found = engine.outcome("t")
    if case.get("invalid"):
        raised = found.error is not None
        return Verdict(case=case, passed=raised, reason="" if raised else "an error was expected and a value came")
    if found.error is not None:
        return Verdict(case=case, passed=False, reason=_error_reason(case, found.error))
    expected = engine.outcome("o")
    if expected.error is not None:
        return Verdict(case=case, passed=False, reason=f"the expected value cannot be made: {expected.error.message}")
    value, wanted = result_json(found.value), result_json(expected.value)
    if same(value, wanted):
        return Verdict(case=case, passed=True)
    return Verdict(case=case, passed=False, reason=f"gives {_shown(value)} where {_shown(wanted)} is expected")


def same(left: Any, right: Any) -> bool:
    """Equal JSON, numbers compared at eight places."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | Decimal) and isinstance(right, int | Decimal):
        return _rounded(left) == _rounded(right)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(one, two) for one, two in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def _rounded(number: int | Decimal) -> Decimal:
    value = Decimal(int(number) if isinstance(number, int) else number)
    exponent = value.as_tuple().exponent
    return value.quantize(STEP, ROUND_HALF_UP) if isinstance(exponent, int) and exponent < -8 else value


def _error_reason(case: Mapping[str, Any], error: ReasoningError) -> str:
    translation = next((one for one in _annotations(case) if one.get("errorSeverity") == "error"), None)
    if translation is not None:
        return f"the translator could not translate it: {translation.get('message', '')}"
    return f"raises {error.reason}: {error.message}"


def _annotations(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in case["elm"]["library"].get("annotation") or () if isinstance(one, Mapping)]


def _shown(value: Any) -> str:
    text = dump_json(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."
