"""The neurologic examination: what was found, on which side, and whether it got worse.

Source: spec/clinical.md §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Literal

from gateway.clinical.concepts import snomed_codes
from gateway.fhir import Json
from gateway.fhir.codes import canonical_system
from gateway.fhir.reading import codings, objects, one, text
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import Chart
from tests.readings.clinical.dates import read_at
from tests.readings.clinical.scores import read_number

FINAL = frozenset({"final", "amended", "corrected"})
SignKind = Literal["motor", "reflex", "sensory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One graded sign on one side."""

    code: str
    """Local code, e.g. of a muscle."""
    kind: SignKind
    """Motor, reflex or sensory."""
    side: str
    """SNOMED CT side; empty when none was recorded."""
    grade: int
    """Order of the grade; lower is worse."""
    day: date
    """Local day."""
    at: datetime
    """Instant, for ordering within a day."""
    reference: str
    """`Type/id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One observation that is present, absent or just answered."""

    code: str
    """Local code."""
    is_present: bool
    """Recorded as present, or as true."""
    is_absent: bool
    """Recorded as absent, normal or as false."""
    is_answered: bool
    """It has some value."""
    side: frozenset[str]
    """Sides recorded."""
    day: date
    """Local day."""
    at: datetime
    """Instant, for ordering within a day."""
    resource: Json
    """The observation."""

    @property
    def reference(self) -> str:
        """`Type/id` of the observation."""
        return reference_of(self.resource)


def in_window(day: date | None, chart: Chart) -> bool:
    """Whether an examination of that day lies in the evidence window; it need not belong to the episode."""
    return day is not None and chart.from_on <= day <= chart.order_on


def read_findings(chart: Chart, codes: Iterable[str]) -> tuple[Finding, ...]:
    """Observations of local `codes` in the window, oldest first."""
    wanted = frozenset(codes)
    found = []
    for observation in chart.record.of_type("Observation"):
        own = chart.concepts.local(observation.get("code")) & wanted
        day = observation_day(observation, chart)
        if own and day is not None and in_window(day, chart) and text(observation.get("status")) in FINAL:
            found.append(_finding(observation, min(own), day, chart))
    return tuple(sorted(found, key=lambda finding: finding.at))


def observation_day(observation: Json, chart: Chart) -> date | None:
    """Local day of an observation."""
    return chart.day(observation.get("effectiveDateTime"))


def _finding(observation: Json, code: str, day: date, chart: Chart) -> Finding:
    exam = chart.concepts.exam
    value = snomed_codes(observation.get("valueCodeableConcept"))
    said = coded_answer(observation, chart)
    return Finding(
        code=code,
        is_present=said == "yes" or (said == "" and exam.present in value),
        is_absent=said == "no" or (said == "" and bool(value & {exam.absent, exam.normal})),
        is_answered=said != "unknown" and any(key.startswith("value") for key in observation),
        side=sides(observation, chart),
        day=day,
        at=read_at(observation.get("effectiveDateTime"), chart.zone),
        resource=observation,
    )


def coded_answer(observation: Json, chart: Chart) -> str:
    """`yes`, `no` or `unknown` by a boolean or by codes of other systems; empty for anything else."""
    if isinstance(observation.get("valueBoolean"), bool):
        return "yes" if observation["valueBoolean"] else "no"
    answers = chart.concepts.answers
    pairs = [
        (canonical_system(text(c.get("system"))), text(c.get("code")))
        for c in codings(observation.get("valueCodeableConcept"))
    ]
    named = {f"{system}|{code}" for system, code in pairs}
    found = [name for name, codes in (("yes", answers.yes), ("no", answers.no)) if named & set(codes)]
    if len(found) == 1:
        return found[0]
    return "unknown" if found or named & set(answers.unknown) else ""


def component(observation: Json, code: str, chart: Chart) -> tuple[Json, ...]:
    """Components of an observation with a local code."""
    parts = objects(observation.get("component"))
    return tuple(part for part in parts if code in chart.concepts.local(part.get("code")))


def sides(observation: Json, chart: Chart) -> frozenset[str]:
    """Sides that an observation names; both sides are two."""
    exam = chart.concepts.exam
    found = frozenset().union(
        *(snomed_codes(part.get("valueCodeableConcept")) for part in component(observation, exam.side, chart))
    )
    return found | {exam.right, exam.left} if exam.both in found else found


def component_number(observation: Json, code: str, chart: Chart) -> Fraction | None:
    """The number in a component; None when it has none."""
    for part in component(observation, code, chart):
        quantity = one(part.get("valueQuantity"))
        value = read_number(part.get("valueInteger", quantity.get("value")))
        if value is not None:
            return value
    return None


def latest(findings: Iterable[Finding]) -> dict[str, Finding]:
    """The latest finding of each code; `findings` come oldest first."""
    return {finding.code: finding for finding in findings}


def latest_by_side(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The latest finding of each code and side, so that one side never hides the other; oldest first on input."""
    return tuple({(finding.code, finding.side): finding for finding in findings}.values())


def read_signs(chart: Chart) -> tuple[Sign, ...]:
    """Graded signs in the window, oldest first; one entry for each side."""
    return tuple(sorted(_signs(chart), key=lambda sign: sign.at))


def _signs(chart: Chart) -> Iterator[Sign]:
    exam = chart.concepts.exam
    kinds: tuple[tuple[SignKind, Any, dict[str, int]], ...] = (
        ("motor", exam.motor, exam.strength_grades),
        ("reflex", exam.reflex, exam.reflex_grades),
        ("sensory", exam.sensory, exam.sensation_grades),
    )
    for kind, roots, grades in kinds:
        for finding in read_findings(chart, roots):
            value = chart.concepts.local(finding.resource.get("valueCodeableConcept")) & set(grades)
            for code in sorted(value)[:1]:
                for side in sorted(finding.side) or [""]:
                    yield Sign(
                        code=finding.code,
                        kind=kind,
                        side=side,
                        grade=grades[code],
                        day=finding.day,
                        at=finding.at,
                        reference=finding.reference,
                    )


def latest_signs(signs: Iterable[Sign]) -> dict[tuple[str, str], Sign]:
    """The latest sign of each code and side; `signs` come oldest first."""
    return {(sign.code, sign.side): sign for sign in signs}


def worsened(signs: Iterable[Sign]) -> tuple[Sign, ...]:
    """Signs that are a grade worse than in the exam before, same sign and side; a first exam is never worse."""
    before: dict[tuple[str, str], Sign] = {}
    found = []
    for sign in signs:
        earlier = before.get((sign.code, sign.side))
        if earlier is not None and earlier.day < sign.day and sign.grade < earlier.grade:
            found.append(sign)
        before[(sign.code, sign.side)] = sign
    return tuple(found)
