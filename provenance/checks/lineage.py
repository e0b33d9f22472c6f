"""Is every input an earlier output, or an outside text that lies in the package?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from provenance.codes import Code
from provenance.evidence import Evidence, TargetRecord
from provenance.report import Count, Finding

OUTSIDE: Final = frozenset(
    {
        *("Binary", "Bundle", "Parameters", "OperationOutcome", "Provenance"),
        *("Questionnaire", "Library", "ValueSet", "CodeSystem", "ConceptMap"),
        *("PlanDefinition", "ActivityDefinition", "StructureDefinition"),
    }
)
"""Types that may come from outside the case: bodies, records of exchanges, published texts. A clinical
resource always has an event that says how it was received."""


def check_lineage(evidence: Evidence) -> tuple[list[Finding], Count]:
    """LINEAGE, and how many inputs are accounted for."""
    inputs = list(_inputs(evidence))
    findings = [
        Finding(code=Code.LINEAGE, seq=seq, path=path, detail=trouble) for seq, path, trouble in inputs if trouble
    ]
    return findings, Count(found=len(inputs) - len(findings), of=len(inputs))


def _inputs(evidence: Evidence) -> Iterator[tuple[int, str, str]]:
    """Event, place and trouble of every input; the trouble is empty where there is none."""
    made: set[str] = set()
    for event in evidence.events:
        for n, entity in enumerate(event.entities):
            yield event.seq, f"{event.path}#entity[{n}]", _trouble(evidence, entity, made)
        made.update(target.ni for target in event.targets if target.ni)


def _trouble(evidence: Evidence, entity: TargetRecord, made: set[str]) -> str:
    if not entity.ni:
        return "an input without a digest"
    if entity.ni in made:
        return ""
    if entity.type not in OUTSIDE:
        return "no earlier event made or received this input"
    return "" if evidence.holds(entity.ni) else "an outside input that is not in the package"
