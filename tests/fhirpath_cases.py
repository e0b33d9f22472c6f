"""The public FHIRPath R4 suite: its cases, and whether the engine agrees with one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.fhir.json import parse_json
from gateway.reasoning.fhirpath import FhirPath, Item, system_value
from gateway.reasoning.fhirpath_operators import truth
from gateway.reasoning.fhirpath_values import Amount, Moment

NOW = datetime(2026, 3, 15, 10, tzinfo=UTC)
_SHOWN: Final = 4
"""Values of a result that a reason names."""
_LENGTH: Final = 40
"""Characters of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One case and what came of it."""

    case: dict[str, Any]
    passed: bool
    reason: str = ""


def read_cases(path: Path) -> list[dict[str, Any]]:
    """Cases of the corpus file, in its order."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def run_case(case: dict[str, Any], inputs: Path) -> Verdict:
    """A case run over its input. It passes when it gives the values that are expected, or fails where it should."""
    resource = parse_json((inputs / case["input"].replace(".xml", ".json")).read_bytes()) if case["input"] else {}
    try:
        found = FhirPath(now=NOW).trace(case["expr"], resource)
    except ReasoningError as error:
        if case["inv"]:
            return Verdict(case=case, passed=True)
        return Verdict(case=case, passed=False, reason=f"raises {error.reason}: {error.message}")
    texts = [str(truth(found)).lower()] if case["pred"] == "true" else [_text_of(item) for item in found]
    if case["inv"]:
        reason = f"gives {_shown(texts)} where an error of kind {case['inv']} is expected"
        return Verdict(case=case, passed=False, reason=reason)
    wanted = [_wanted_text(kind, value) for kind, value in case["outs"]]
    same = zip(texts, wanted, strict=False)
    if len(texts) == len(wanted) and all(two is None or one == two for one, two in same):
        return Verdict(case=case, passed=True)
    reason = f"gives {_shown(texts)} where {_shown([str(one) for one in wanted])} is expected"
    return Verdict(case=case, passed=False, reason=reason)


def _shown(texts: list[str]) -> str:
    if not texts:
        return "nothing"
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(one if len(one) <= _LENGTH else f"{one[:_LENGTH]}…" for one in texts[:_SHOWN]) + more


def _text_of(item: Item) -> str:
    value = system_value(item)
    if isinstance(value, Moment | Amount):
        return value.text()
    if isinstance(value, bool):
        return str(value).lower()
    return _number_text(str(value)) if isinstance(value, Decimal) else str(value)


def _number_text(text: str) -> str:
    try:
        return format(Decimal(text).normalize(), "f")
    except InvalidOperation:
        return text


def _wanted_text(kind: str | None, value: str | None) -> str | None:
    if value is None or not value.startswith("@"):
        return _number_text(value) if value is not None and kind in (None, "decimal") else value
    return value.lstrip("@").lstrip("T")
