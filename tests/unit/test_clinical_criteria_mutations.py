"""Each mistake that spec/clinical.md §7 names changes a named case: the rule is not right by chance.

Every row says which case is judged, what the rule says and what it would say with the mistake in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.clinical.concepts import Concepts
from gateway.clinical.rule_row import Rule
from gateway.clinical.rules import load_concepts
from gateway.reasoning.elm import LibrarySet
from tests.clinical_charts import (
    RULES,
    Change,
    base,
    both,
    concept,
    condition,
    drop,
    drug,
    ndi,
    order,
    put,
    session,
)
from tests.criteria_mutants import Json, all_rows, criteria, instead, literal, swap, with_mistake, without

TREATMENT = drop("drug", "plan", "s2026")
LATE = order(authoredOn="2026-02-15T20:00:00-08:00")
"""Day 41 at the practice, already day 42 in Greenwich."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake and the case that notices it."""

    name: str
    """What went wrong."""
    change: Change = lambda chart: None
    """The case: what differs from the complete chart of day 42."""
    row: str = "ill-novitas"
    """Rule row."""
    element: str
    """Element that notices."""
    right: str
    """Its status."""
    wrong: str
    """Its status with the mistake."""
    libraries: Callable[[], LibrarySet] | None = None
    """Criteria with the mistake, where it is in the CQL."""
    zone: str = "America/Los_Angeles"
    """Zone with the mistake, where it is in the preparation."""
    rule: dict[str, Any] = field(default_factory=dict)
    """Fields of the row with the mistake."""
    concepts: Callable[[], Concepts] | None = None
    """Concepts with the mistake."""
    spoil: Change = lambda chart: None
    """What the preparation would have made of the chart."""


def _in(library: str, definition: str, edit: Callable[[Json], bool]) -> Callable[[], LibrarySet]:
    return lambda: with_mistake(library, definition, edit)


def _record_dates_as_onset(chart: dict[str, Json]) -> None:
    for resource in chart.values():
        if resource["resourceType"] == "Condition" and "recordedDate" in resource:
            resource.pop("onsetString", None)
            resource["onsetDateTime"] = resource["recordedDate"]


def _enough(items: int) -> Callable[[], Concepts]:
    """Concepts in which so many answered items make a score."""

    def make() -> Concepts:
        known = load_concepts()
        measures = [measure.model_copy(update={"min_items": items}) for measure in known.measure]
        return known.model_copy(update={"measure": tuple(measures)})

    return make


def _onset(**fields: Any) -> Change:
    problem = condition(**fields)
    if "onsetDateTime" not in fields:
        problem.pop("onsetDateTime", None)
    return both(TREATMENT, put(problem))


def _until(end: str) -> list[Json]:
    dose = drug()["dosageInstruction"][0]
    repeat = {"frequency": 2, "period": 1, "boundsPeriod": {"start": "2026-01-05", "end": end}}
    return [{**dose, "timing": {"repeat": repeat}}]


def _stopped(end: str, **more: Any) -> Change:
    return put(drug(status="stopped", dosageInstruction=_until(end), **more))


def _scores(*scores: Json) -> Change:
    return both(drop("ndi"), put(*scores))


CONDITION_STATUS = "http://terminology.hl7.org/CodeSystem/condition-clinical"
ERROR = concept("entered-in-error", "http://terminology.hl7.org/CodeSystem/condition-ver-status")
FEW = drop("s2026-02", "s2026-01-28")
PLAN = {
    "resourceType": "Coverage",
    "id": "cover",
    "status": "active",
    "class": [{"type": concept("plan"), "value": "P8"}],
}
FALSE = {"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Boolean", "value": "false"}
PAIN = [
    {
        "resourceType": "Observation",
        "id": f"pain-{day}",
        "status": "final",
        "code": concept("72514-3", "http://loinc.org"),
        "effectiveDateTime": day,
        "valueQuantity": {"value": 7},
    }
    for day in ("2026-01-07", "2026-02-16")
]
EDGE = ("2025-08-17", "2025-11-10", "2026-02-02", "2026-02-03", "2026-02-04", "2026-02-05")
"""Session days of which the first is the first day of the window, 183 days before the order."""

MISTAKES = [
    Mistake(
        name="dates in Greenwich",
        change=both(TREATMENT, put(LATE)),
        element="DURATION",
        right="unmet",
        wrong="met",
        zone="UTC",
    ),
    Mistake(
        name="an offset without daylight time",
        change=both(
            TREATMENT, put(order(authoredOn="2026-03-09T00:30:00-07:00"), condition(onsetDateTime="2026-01-26"))
        ),
        element="DURATION",
        right="met",
        wrong="unmet",
        zone="Etc/GMT+8",
    ),
    Mistake(
        name="billed services counted, not days",
        change=both(FEW, put(session("2026-01-12", 1))),
        element="PT_SESSIONS",
        right="unmet",
        wrong="met",
        libraries=_in("ConservativeCare", "Session days", all_rows),
    ),
    Mistake(
        name="plateau in per cent of the baseline",
        change=_scores(ndi("2026-01-07", 22), ndi("2026-02-16", 17)),
        element="OUTCOME",
        right="met",
        wrong="unmet",
        libraries=_in("CareOutcome", "Is plateau", literal("absolute_pp", "relative_pct")),
    ),
    Mistake(
        name="plateau that excludes its boundary",
        change=_scores(ndi("2026-01-07", 22), ndi("2026-02-16", 17)),
        element="OUTCOME",
        right="met",
        wrong="unmet",
        libraries=_in("CareOutcome", "Is plateau", swap("LessOrEqual", type="Less")),
    ),
    Mistake(
        name="onset of a problem entered in error",
        change=both(
            _onset(onsetDateTime="2026-01-20"),
            put(condition(id="wrong", onsetDateTime="2025-12-01", verificationStatus=ERROR)),
            put(order(reasonReference=[], reasonCode=[concept("M54.2", "http://hl7.org/fhir/sid/icd-10-cm")])),
        ),
        element="DURATION",
        right="unmet",
        wrong="met",
        libraries=_in("CareRecord", "Problems", without("where")),
    ),
    Mistake(
        name="day of recording taken for onset",
        change=_onset(onsetString="a while ago", recordedDate="2025-12-01"),
        element="DURATION",
        right="indeterminate",
        wrong="met",
        spoil=_record_dates_as_onset,
    ),
    Mistake(
        name="seven items prorated",
        change=_scores(ndi("2026-01-07", 22), ndi("2026-02-16", 20, blanks=3)),
        element="OUTCOME",
        right="unmet",
        wrong="met",
        concepts=_enough(7),
    ),
    Mistake(
        name="two blanks not prorated",
        change=_scores(ndi("2026-01-07", 22), ndi("2026-02-16", 20, blanks=2)),
        element="OUTCOME",
        right="met",
        wrong="unmet",
        concepts=_enough(10),
    ),
    Mistake(
        name="a referral taken for treatment",
        change=both(TREATMENT, put({**base()["referral"], "authoredOn": "2026-01-05"})),
        row="ill-carelon",
        element="DURATION",
        right="unmet",
        wrong="met",
        libraries=_in("CareTreatment", "Certain starts", instead("Counted advice", name="Counted referrals")),
    ),
    Mistake(
        name="stop dates ignored",
        change=_stopped("2026-01-20"),
        element="PHARM",
        right="unmet",
        wrong="met",
        libraries=_in(
            "CareTreatment",
            "CoveredDays",
            instead("until", type="ParameterRef", libraryName="Chart", name="Order date"),
        ),
    ),
    Mistake(
        name="a month taken for its first day",
        change=_onset(onsetDateTime="2026-01"),
        element="DURATION",
        right="indeterminate",
        wrong="met",
        libraries=_in("CareRecord", "Latest", swap("HighBoundary", type="LowBoundary")),
    ),
    Mistake(
        name="an age taken for a birthday",
        change=_onset(onsetAge={"value": 76, "code": "a"}),
        element="DURATION",
        right="indeterminate",
        wrong="met",
        libraries=_in("CareRecord", "AgeSpan", instead("AgeTo", name="AgeFrom")),
    ),
    Mistake(
        name="a relapse that keeps its old onset",
        change=both(
            TREATMENT,
            put(
                condition(clinicalStatus=concept("recurrence", CONDITION_STATUS), onsetDateTime="2025-06-01"),
                condition(
                    id="before",
                    clinicalStatus=concept("resolved", CONDITION_STATUS),
                    abatementDateTime="2026-01-10",
                ),
            ),
        ),
        element="DURATION",
        right="indeterminate",
        wrong="met",
        libraries=_in("CareRecord", "Episode rows", swap("If", condition=FALSE)),
    ),
    Mistake(
        name="one agent is enough after a stop",
        change=_stopped("2026-02-05", statusReason=concept("ineffective")),
        row="ill-cgs",
        element="PHARM",
        right="unmet",
        wrong="met",
        libraries=_in("ConservativeCare", "Second agent is due", literal("1", "99")),
    ),
    Mistake(
        name="the plan's own number ignored",
        change=put(PLAN),
        row="ill-evicore",
        element="PT_SESSIONS",
        right="unmet",
        wrong="met",
        rule={"pt": {"min_sessions": {"by_plan": {"P8": 6}}}},
    ),
    Mistake(
        name="the better of two measures picked",
        change=_scores(ndi("2026-01-07", 22), ndi("2026-02-16", 10), *PAIN),
        element="OUTCOME",
        right="unmet",
        wrong="met",
        libraries=_in("CareOutcome", "Pair", swap("First", type="Last")),
    ),
    Mistake(
        name="the first day of the window left out",
        change=both(drop("s2026"), put(*map(session, EDGE), condition(onsetDateTime="2025-08-01"))),
        row="ill-novitas",
        element="PT_SESSIONS",
        right="met",
        wrong="unmet",
        libraries=_in("CareTreatment", "IsCounted", swap("LessOrEqual", type="Less")),
    ),
    Mistake(
        name="day 42 counted as too early",
        change=TREATMENT,
        element="DURATION",
        right="met",
        wrong="indeterminate",
        libraries=_in("ConservativeCare", "Is long enough", swap("GreaterOrEqual", type="Greater")),
    ),
    Mistake(
        name="covered days of future supply counted",
        change=put(drug(authoredOn="2026-01-20", dosageInstruction=_until("2026-03-03"))),
        element="PHARM",
        right="unmet",
        wrong="met",
        libraries=_in("CareTreatment", "CoveredDays", instead("Earlier", name="Later")),
    ),
]
PLANNED = {"pt": {"min_sessions": {"by_plan": {"P8": 9}}}}
"""What the row of the plan's case asks for, rightly read."""


def _status(mistake: Mistake, *, mistaken: bool) -> str:
    chart = base()
    mistake.change(chart)
    rule: Rule = RULES[mistake.row].overlaid(PLANNED if mistake.rule else {})
    if not mistaken:
        return str(criteria(chart, rule).element(mistake.element)["status"])
    mistake.spoil(chart)
    found = criteria(
        chart,
        rule.overlaid(mistake.rule),
        mistake.libraries() if mistake.libraries else None,
        zone=mistake.zone,
        concepts=mistake.concepts() if mistake.concepts else None,
    )
    return str(found.element(mistake.element)["status"])


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_changes_its_case(mistake: Mistake) -> None:
    assert _status(mistake, mistaken=False) == mistake.right
    assert _status(mistake, mistaken=True) == mistake.wrong
