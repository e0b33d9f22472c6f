"""No claim of the article that spec/clinical.md §6.4 corrects stands in code, data, pages or documents.

Each claim is a pattern, proved on the claim's own words; what is a matter of data is asked of the data.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

import pytest

from gateway.clinical.rules import Rule, load_concepts, load_rules
from tests.conftest import ROOT

CLAIMS = [
    (1, r"L33802", "Novitas L33802 or equivalent"),
    (2, r"codified in[^.\n]{0,40}LCD|across all jurisdictions", "codified in MAC LCDs across all jurisdictions"),
    (3, r"\b2\s*[-–]\s*4 weeks", "2-4 weeks in many LCDs"),
    (3, r"bypass(es|ed)? the (six-week |6-week )?(window|wait)", "M54.12 bypasses the window under most LCDs"),
    (4, r"M54\.13[^\n]{0,30}(?<!cervico)thoracic", "Excludes1: M79.2; M54.13 thoracic"),
    (5, r"G83\.9[0-9xX]", "G83.9x for myelopathy"),
    (5, r"myelopathy[^\n]{0,40}G83\.9\b|G83\.9\b[^\n]{0,40}myelopathy", "myelopathy is coded G83.9"),
    (6, r"auto(matically)?[- ]?assign(s|ed)?[^\n]{0,30}(code|G99|C79)", "auto-assign G99.2 and C79.51"),
    (7, r"onset\w*\s*(=|:|is|from)\s*\W*(first documented|recorded ?date)", "onsetDateTime = first documented"),
    (8, r"[\"']?taken[\"']?\s*[:=]\s*[\"']?y\b", "MedicationStatement taken: y"),
    (9, r"prognosisCodeableConcept", "prognosisCodeableConcept = urgent"),
    (9, r"meets (the )?LCD", "ClinicalImpression: meets LCD"),
    (10, r"(request|packet|submission) Bundle[^\n]{0,20}type[^\n]{0,5}document", "packet Bundle type document"),
    (11, r"careplan-category\W{1,4}(code\W+)?conservative-management", "careplan-category#conservative-management"),
    (12, r"resources? (are|is) immutable|immutable (FHIR|resources?)", "resources are immutable"),
    (13, r"M54\.5(?![-0-9])", "M54.5 low back pain"),
    (13, r"M75\.1(?![-0-9])", "M75.1 rotator cuff"),
    (15, r"NDI (is )?required by|LCDs? requires? (the |an )?NDI", "NDI required by LCD"),
    (16, r"18\s*[-–]\s*34\s*%", "18-34 % denials"),
    (16, r"(denial|denied)[^\n]{0,30}(<=|≤)\s*5\s*%|(<=|≤)\s*5\s*%[^\n]{0,20}denial", "denials <= 5 %"),
    (16, r"\b14\s*[-–]\s*21\s*d(ays)?\b", "14-21 d to authorization"),
    (16, r"same[- ]day (approval|authorization|decision)", "same-day approval"),
    (16, r"(<|under|less than)\s*2\s*min", "< 2 min of staff time"),
    (16, r"zero (post-pay )?recover", "zero recoveries"),
    (16, r"audit[- ]proof", "audit-proof documents"),
    (18, r"NSAID prescription (is )?(required|needed|must)", "an NSAID prescription is required"),
    (20, r"(<=|≤)\s*10\s*% improvement", "<= 10 % improvement is a plateau"),
    (21, r"(convert|chang|switch)\w*[^\n]{0,40}(in)?to naproxen", "ibuprofen as needed converted to naproxen"),
]  # fmt: skip
ROOMS = ("gateway", "provenance", "payer_endpoints", "questionnaires", "openapi", "docs")
ENDINGS = {".py", ".toml", ".yaml", ".json", ".html", ".js", ".css", ".md", ".cql"}
DRUG = "naproxen"


@cache
def _texts() -> tuple[tuple[str, str], ...]:
    """Everything shipped that people or programs read."""
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in ENDINGS]
    found += [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
    left_out = {"library", "facts"}  # compiled logic; the data model of FHIR with all its elements
    kept = [path for path in found if path.suffix != ".json" or path.parent.name not in left_out]
    return tuple((path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in kept)


@pytest.mark.parametrize(("number", "pattern", "claim"), CLAIMS, ids=[f"{n}-{c[:24]}" for n, _, c in CLAIMS])
def test_a_claim_that_was_corrected_stands_nowhere(number: int, pattern: str, claim: str) -> None:
    known = re.compile(pattern, re.IGNORECASE)
    assert known.search(claim), f"the pattern of {number} does not know the claim"
    found = [
        f"{name}: {text[max(0, hit.start() - 30) : hit.end() + 30]!r}"
        for name, text in _texts()
        for hit in known.finditer(text)
    ]
    assert found == []


def test_the_search_reads_what_it_should() -> None:
    names = {name for name, _ in _texts()}
    assert {
        "README.md",
        "payer_endpoints/rules/ill-cgs.yaml",
        "questionnaires/conservative-care/concepts.toml",
    } <= names
    assert any(name.endswith(".html") for name in names)


def test_cauda_equina_is_of_the_low_back_alone() -> None:  # 14
    found = [name for name, text in _texts() if "cauda equina" in text.lower()]
    assert all("lumbar" in name or "low-back" in name or "conservative-care/README" in name for name in found), found


def test_manifestation_codes_are_suggested_after_a_disease_and_confirmed_ones_as_diagnoses() -> None:  # 6
    found = 0
    for folder in files("questionnaires").iterdir():
        template = folder / "template.toml"
        for row in tomllib.loads(template.read_text("utf-8")).get("candidate", ()) if template.is_file() else ():
            if row["code"].startswith(("G99", "C79")):
                found += 1
                assert row["kind"] == "diagnosis", row
                assert row.get("only_second", False) is row["code"].startswith("G99"), row
    assert found >= 1


def test_a_recorded_date_is_never_read_as_an_onset() -> None:  # 7
    readers = (
        "gateway/clinical/conditions.py",
        "gateway/clinical/criteria",
        "questionnaires/conservative-care/library/",
    )
    found = [name for name, text in _texts() if name.startswith(readers) and "recordedDate" in text]
    assert found == []


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.rule_id)
class TestRows:
    """What the packaged rows ask."""

    def test_no_code_shortens_the_weeks_but_in_the_row_that_says_so(self, rule: Rule) -> None:  # 3
        days = rule.duration.days
        assert days.default >= 42
        if rule.rule_id != "ill-ngs":
            assert min(days.by_indication.values(), default=days.default) >= 42

    def test_an_injury_is_no_indication(self, rule: Rule) -> None:  # 17
        assert not [code for code in rule.indications if code.startswith(("S", "T"))]

    def test_alternatives_to_the_first_drug_count(self, rule: Rule) -> None:  # 18
        assert rule.pharm.alternatives_ok

    def test_our_own_rows_count_treatment_and_not_symptoms(self, rule: Rule) -> None:  # 19
        if rule.payer.kind == "default":
            assert rule.duration.anchor == "treatment_start"

    def test_a_plateau_is_counted_in_points(self, rule: Rule) -> None:  # 20
        assert rule.outcome.plateau.mode == "absolute_pp"

    def test_therapy_counts_more_than_two_codes_and_no_evaluation(self, rule: Rule) -> None:  # 22
        counts = set(rule.pt.counts)
        assert {"97110", "97140", "97112", "97530"} <= counts
        assert not counts & set(load_concepts().therapy.evaluation_codes)

    def test_it_says_that_it_is_no_payer_policy(self, rule: Rule) -> None:  # 1, 2
        assert rule.status == "illustrative"
        assert {source.confidence for source in rule.sources} <= {"none", "low"}


def test_no_drug_is_proposed_by_name_in_code() -> None:  # 21
    allowed = ("gateway/demo/",)
    found = [
        name for name, text in _texts() if name.startswith("gateway/") and DRUG in text and not name.startswith(allowed)
    ]
    assert found == []
