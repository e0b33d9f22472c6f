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


def check_lineage(evidence: Evidence) -> Iterator[Finding]:
    """LINEAGE."""
    for seq, path, _entity, trouble in _inputs(evidence):
        if trouble:
            yield Finding(code=Code.LINEAGE, seq=seq, path=path, detail=trouble)


def count_lineage(evidence: Evidence) -> Count:
    """Inputs accounted for, of all inputs."""
    troubles = [trouble for _, _, _, trouble in _inputs(evidence)]
    return Count(found=sum(1 for trouble in troubles if not trouble), of=len(troubles))


def _inputs(evidence: Evidence) -> Iterator[tuple[int, str, TargetRecord, str]]:
    made: set[str] = set()
    for event in evidence.events:
        for n, entity in enumerate(event.entities):
            yield event.seq, f"{event.path}#entity[{n}]", entity, _trouble(evidence, entity, made)
        made.update(target.ni for target in event.targets if target.ni)


def _trouble(evidence: Evidence, entity: TargetRecord, made: set[str]) -> str:
    if not entity.ni:
        return "an input without a digest"
    if entity.ni in made:
        return ""
    if entity.type not in OUTSIDE:
        return "no earlier event made or received this input"
    return "" if evidence.holds(entity.ni) else "an outside input that is not in the package"
