"""Every switch of the harness that breaks a form package, and what the gateway makes of the package then."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import InputError
from gateway.flows.form_files import populate_files
from payer_endpoints.harness.form_shelf import FormParts, FormShelf
from payer_endpoints.harness.package_damage import DAMAGES, damage
from payer_endpoints.harness.scenarios import PackagePlan, ScenarioError, load_scenarios, read_scenario
from tests.authoring.libraries import digest_of, library_texts, recorded_digest
from tests.conftest import ROOT

NOW = datetime(2026, 3, 15, 10, tzinfo=UTC)
CHART = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {"resource": one}
        for one in (
            {"resourceType": "Patient", "id": "p", "birthDate": "1950-01-02", "name": [{"family": "Zzyxqa"}]},
            {
                "resourceType": "ServiceRequest",
                "id": "o",
                "status": "active",
                "intent": "order",
                "authoredOn": "2026-03-14T10:00:00Z",
                "subject": {"reference": "Patient/p"},
            },
            {"resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": {"reference": "Patient/p"}},
            {
                "resourceType": "Condition",
                "id": "n",
                "subject": {"reference": "Patient/p"},
                "code": {"text": "Neck pain"},
            },
        )
    ],
}
SOUND = {"born": "1950-01-02", "family": "Zzyxqa", "age": 76, "count": 1, "list": "Neck pain"}
FAILED = "logic.failed"
EXPECTED: dict[str, dict[str, Any]] = {
    "no-elm": {"codes": {FAILED}, "values": {}},
    "no-library": {"codes": {"logic.unavailable", FAILED}, "values": {}},
    "first-library-only": {"codes": {FAILED}, "values": {"born": "1950-01-02", "family": "Zzyxqa"}},
    "truncated-elm": {"codes": {FAILED}, "values": {}},
    "not-elm": {"codes": {FAILED}, "values": {}},
    "unknown-operator": {"codes": {FAILED}, "values": {}},
    "self-recursion": {"codes": {FAILED}, "values": {}},
    "same-name": {"codes": {FAILED}, "values": {"age": 76, "count": 1, "list": "Neck pain"}},
    "foreign-draft": {"codes": {"draft.not-ours"}, "values": SOUND},
    "elsewhere-draft": {"codes": {"draft.elsewhere"}, "values": SOUND},
    "prefilled-draft": {"values": {**SOUND, "words": "Known to the plan"}},
    "no-draft": {"values": SOUND, "finding": "no draft response"},
    "expired": {"values": SOUND, "blocker": "no longer in force"},
    "cyclic-switches": {"codes": {"form.circle"}, "blocker": "circle"},
    "circular-sums": {"codes": {"form.unsettled"}},
    "required-hidden": {"values": SOUND, "open": {"h1"}},
    "unknown-type": {"values": SOUND, "blocker": "type that is not known"},
    "duplicate-links": {"values": SOUND, "blocker": "two have the same"},
    "scripts": {"values": SOUND},
    "evil-pattern": {"values": {**SOUND, "p2": "false"}},
    "deep": {"values": SOUND, "blocker": "too large"},
    "no-version": {"values": SOUND, "finding": "no version"},
    "library-first": {"values": SOUND, "finding": "first entry"},
    "no-form": {"refused": True},
    "unlisted-codes": {"values": SOUND, "codes": {"form.value-set"}},
    "codes-elsewhere": {"values": SOUND},
    "signature": {"values": SOUND},
    "in-parts": {"values": SOUND, "finding": "came in parts"},
}
"""By switch: problem codes (any of them), values by linkId, words in a finding or blocker, open questions."""


def bundle(form: FormParts) -> dict[str, Any]:
    draft = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": form.canonical,
        "status": "in-progress",
        "subject": {"reference": "Patient/p"},
    }
    listed = [form.questionnaire, draft, *form.libraries, *form.value_sets]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in listed]}


def filled(folder: Path, package: Any, guide: str) -> dict[str, Any]:
    package_file, chart_file = folder / "package.json", folder / "chart.json"
    package_file.write_text(json.dumps(package), "utf-8")
    chart_file.write_text(json.dumps(CHART), "utf-8")
    return populate_files(package_file, chart_file, guide, now=NOW)


@pytest.fixture(scope="module")
def two_libraries() -> dict[str, Any]:
    form = FormShelf(None).form("two-libraries")
    assert form is not None
    return bundle(form)


def values(form: dict[str, Any]) -> dict[str, Any]:
    return {one["link_id"]: next(iter(one["value"][0].values())) for one in form["answers"] if one["value"]}


def test_a_sound_package_fills_from_both_libraries(two_libraries: Any, tmp_path: Path) -> None:
    (form,) = filled(tmp_path, two_libraries, "2.2.0")["forms"]
    assert values(form) == SOUND
    assert form["problems"] == []
    assert form["open_required"] == ["words"]


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_a_damaged_package_ends_as_it_should(name: str, two_libraries: Any, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    package = damage(two_libraries, (name,))
    if expected.get("refused"):
        with pytest.raises(InputError):
            filled(tmp_path, package, "2.2.0")
        return
    (form,) = filled(tmp_path, package, "2.2.0")["forms"]
    codes = {one["code"] for one in form["problems"]}
    assert bool(codes & expected["codes"]) if "codes" in expected else not codes, codes
    if "values" in expected:
        found = values(form)
        assert {key: found.get(key) for key in expected["values"]} == expected["values"]
        assert set(found) <= set(expected["values"]), found
    assert any(expected.get("blocker", "") in one for one in form["blockers"]) or "blocker" not in expected
    assert any(expected.get("finding", "") in one for one in form["findings"]) or "finding" not in expected
    assert expected.get("open", set()) <= set(form["open_required"])
    told = json.dumps([form["problems"], form["blockers"], form["findings"]])
    assert "Zzyxqa" not in told
    assert "somebody-else" not in json.dumps(form)


def test_a_package_is_left_as_it_was(two_libraries: Any) -> None:
    before = json.dumps(two_libraries)
    for name in DAMAGES:
        damage(two_libraries, (name,))
    assert json.dumps(two_libraries) == before


def test_the_form_of_every_kind_is_filled_without_faults(tmp_path: Path) -> None:
    shelf = FormShelf(None).form("kinds")
    assert shelf is not None
    (form,) = filled(tmp_path, bundle(shelf), "2.0.1")["forms"]
    assert (form["problems"], form["blockers"]) == ([], [])
    assert values(form)["shown"] == "Zzyxqa"
    assert values(form)["unseen"] == "1950-01-02"


def test_unknown_damage_is_refused_with_its_name() -> None:
    with pytest.raises(ValidationError, match="no such damage: rust"):
        PackagePlan(damage=("rust",))
    text = 'id = "x"\ntitle = "x"\nmember_ids = ["m"]\n[package]\ndamage = ["rust"]\n'
    with pytest.raises(ScenarioError, match="rust"):
        read_scenario("x.toml", text)


def test_every_form_that_a_scenario_names_is_there() -> None:
    shelf = FormShelf(None)
    named = {slug for scenario in load_scenarios().by_id.values() for slug in scenario.forms}
    assert {slug for slug in named if shelf.form(slug) is None} == set()


def test_the_logic_of_the_harness_was_made_from_the_text_beside_it() -> None:
    texts = library_texts(ROOT / "payer_endpoints" / "harness" / "forms")
    assert len(texts) == 2
    for text in texts:
        elm = json.loads(text.with_suffix(".json").read_text("utf-8"))
        assert recorded_digest(elm) == digest_of(text.read_text("utf-8")), text.name
