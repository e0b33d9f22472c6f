"""Worked scenarios of two more parts of the body, low back and shoulder, which are data alone (spec/clinical.md §9)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.clinical_charts import (
    ICD,
    RX,
    Change,
    Json,
    both,
    concept,
    condition,
    drop,
    drug,
    element,
    observation,
    order,
    put,
    ref,
    session,
)
from tests.region_charts import attested, judge_low_back, judge_shoulder, odi, screens, site, total

ROOT = Path(__file__).resolve().parents[2]


def _edit(name: str, **changes: Any) -> Change:
    return lambda chart: chart[name].update(changes)


def _diagnosed(code: str) -> Change:
    return _edit("neck", code=concept(code, ICD))


def _symptom(code: str, going_to: str, side: str = "left") -> Json:
    part = {"code": concept("radiation"), "valueCodeableConcept": concept(going_to)}
    return observation(
        code, "2026-02-16", side, valueCodeableConcept=concept("52101004", "http://snomed.info/sct"), component=[part]
    )


def _graded(code: str, grade: str, side: str = "left", day: str = "2026-02-16") -> Json:
    return observation(code, day, side, valueCodeableConcept=concept(grade))


def _found(code: str, side: str = "", **value: Any) -> Json:
    return observation(code, "2026-02-16", side, **(value or {"valueBoolean": True}))


def _scored(code: str, first: int, last: int) -> Change:
    return both(drop("score"), put(total(code, "2026-01-07", first), total(code, "2026-02-16", last)))


CAUDA = [
    *attested("lumbar-rf6"),
    _found("retention"),
    _found("saddle-anesthesia"),
    _graded("strength-ankle-plantarflexion", "mrc-4"),
]
TEAR = [
    *attested("shoulder-rf1"),
    _graded("strength-external-rotation", "mrc-2", "right"),
    _found("first-noted", valueDateTime="2026-02-10"),
    _found("injury-mechanism", valueString="fall on the outstretched arm"),
    _found("drop-arm", "right"),
]
EARLY = _edit("order", authoredOn="2026-02-15T10:00:00-08:00")
EARLY_BACK = both(EARLY, put(odi("2026-02-14", 40)))
EARLY_SHOULDER = both(EARLY, put(total("quickdash-score", "2026-02-14", 41)))
L5_SYMPTOM = both(
    _diagnosed("M54.17"), put(_symptom("leg-symptom", "lateral-foot"), _found("straight-leg-raise", "left"))
)
RADICULAR = [
    _symptom("leg-symptom", "lateral-foot"),
    _graded("strength-ankle-plantarflexion", "mrc-4"),
    _graded("strength-ankle-plantarflexion", "mrc-5", "right"),
]


@pytest.mark.parametrize(
    ("change", "verdict", "unmet", "undecided"),
    [
        (both(), "PASS", [], []),
        (_diagnosed("M54.59"), "PASS", [], []),
        (EARLY_BACK, "GAP", ["DURATION", "REEVAL"], []),
        (drop("drug"), "GAP", ["PHARM"], []),
        (drop("drug", "plan"), "GAP", ["ACTIVITY", "DURATION", "PHARM", "REEVAL"], []),
        (drop("s2026-02", "s2026-01-28"), "GAP", ["PT_SESSIONS"], []),
        (put(odi("2026-02-16", 33)), "GAP", ["OUTCOME"], []),
        (put(odi("2026-02-16", 34)), "PASS", [], []),
        (drop("score"), "GAP", ["OUTCOME"], []),
        (drop("plan"), "GAP", ["ACTIVITY"], []),
        (_edit("referral", reasonReference=None), "INDETERMINATE", [], ["PT_REFERRAL", "PT_SESSIONS"]),
        (_edit("drug", medicationCodeableConcept=concept("999999", RX)), "INDETERMINATE", [], ["PHARM"]),
        (_diagnosed("M54.16"), "GAP", ["CODE_SUPPORT"], []),
        (both(_diagnosed("M54.16"), put(*RADICULAR)), "PASS", [], []),
        (L5_SYMPTOM, "GAP", ["CODE_SUPPORT"], []),
        (put(*screens("lumbar-spine", "lumbar-rf6")), "RED_FLAG_INCOMPLETE", [], []),
        (put(*CAUDA), "RED_FLAG_BYPASS", [], []),
        (both(put(*CAUDA), drop("retention")), "RED_FLAG_INCOMPLETE", [], []),
        (both(put(*CAUDA), drop("attestation")), "RED_FLAG_INCOMPLETE", [], []),
        (_diagnosed("G83.4"), "RED_FLAG_INCOMPLETE", [], []),
        (_diagnosed("M54.2"), "NOT_APPLICABLE", [], []),
        (_diagnosed("M54.5"), "NOT_APPLICABLE", [], []),
    ],
)  # fmt: skip
def test_low_back(change: Change, verdict: str, unmet: list[str], undecided: list[str]) -> None:
    found = judge_low_back(change)
    assert found.verdict == verdict
    if not verdict.startswith("RED_FLAG"):
        assert sorted(found.unmet) == unmet
        assert sorted(found.indeterminate) == undecided


@pytest.mark.parametrize(
    ("change", "verdict", "unmet", "undecided"),
    [
        (both(), "PASS", [], []),
        (EARLY_SHOULDER, "GAP", ["DURATION"], []),
        (_edit("order", orderDetail=[], bodySite=site("91774008")), "PASS", [], []),
        (put(total("quickdash-score", "2026-02-16", 40)), "GAP", ["OUTCOME"], []),
        (_scored("ases-score", 40, 52), "PASS", [], []),
        (_scored("ases-score", 40, 53), "GAP", ["OUTCOME"], []),
        (_scored("ases-score", 90, 91), "GAP", ["OUTCOME"], []),
        (_scored("spadi-total", 60, 47), "PASS", [], []),
        (put(*screens("shoulder", "shoulder-rf5")), "RED_FLAG_INCOMPLETE", [], []),
        (put(*TEAR), "RED_FLAG_BYPASS", [], []),
        (both(put(*TEAR), drop("drop-arm")), "RED_FLAG_INCOMPLETE", [], []),
        (_diagnosed("S46.011A"), "RED_FLAG_INCOMPLETE", [], []),
        (drop("radiograph"), "GAP", ["PRIOR_IMAGING"], []),
        (_edit("order", orderDetail=[]), "GAP", ["LATERALITY"], []),
        (_diagnosed("M75.110"), "INDETERMINATE", [], ["LATERALITY"]),
        (_diagnosed("M75.112"), "GAP", ["LATERALITY"], []),
    ],
)  # fmt: skip
def test_shoulder(change: Change, verdict: str, unmet: list[str], undecided: list[str]) -> None:
    found = judge_shoulder(change)
    assert found.verdict == verdict
    if not verdict.startswith("RED_FLAG"):
        assert sorted(found.unmet) == unmet
        assert sorted(found.indeterminate) == undecided


def test_treatment_of_the_other_shoulder_does_not_count() -> None:
    other = condition(id="other", code=concept("M75.112", ICD))
    days = ["2026-01-12", "2026-01-14", "2026-01-19", "2026-01-21", "2026-01-26", "2026-01-28"]
    sessions = [session(day, basedOn=None, reasonReference=[ref("Condition/other")]) for day in days]
    found = judge_shoulder(both(drop("s2026"), put(other, *sessions)))
    assert element(found, "PT_SESSIONS").value == 0
    assert element(judge_shoulder(put(other)), "PT_SESSIONS").value == 8


def test_a_drug_for_the_other_shoulder_does_not_count() -> None:
    other = condition(id="other", code=concept("M75.112", ICD))
    found = judge_shoulder(put(other, drug(reasonReference=[ref("Condition/other")])))
    assert element(found, "PHARM").status == "unmet"


def test_a_lasting_screen_of_the_neck_is_no_screen_of_the_back() -> None:
    found = judge_low_back(both(drop("lumbar-"), put(observation("rf6", "2026-02-16", valueBoolean=False))))
    assert any(note.startswith("SCREEN_MISSING") for note in found.advisories)


def test_the_code_knows_neither_of_them() -> None:
    """Low back and shoulder run from the data folders alone."""
    words = re.compile(r"7214[89]|72158|7322[123]|M54|M75|lumbar|shoulder|oswestry|quickdash|spadi", re.IGNORECASE)
    allowed = ("gateway/demo/",)  # the demonstration's charts hold imaging of another region as a distractor
    found = []
    for path in sorted((ROOT / "gateway").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in {".py", ".toml", ".html", ".js", ".json"} and not name.startswith(allowed):
            lines = path.read_text("utf-8").splitlines()
            found += [f"{name}:{number}" for number, line in enumerate(lines, 1) if words.search(line)]
    assert found == []


def test_orders_of_either_reach_their_default_row() -> None:
    assert judge_low_back().rule_id == "default-lumbar"
    assert judge_shoulder(put(order(id="unrelated"))).rule_id == "default-shoulder"
