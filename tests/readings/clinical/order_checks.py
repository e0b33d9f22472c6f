"""What the order itself must say, and what must have been done before it, where a row asks for it.

Which side; plain imaging first; diagnoses that are not coded together. Source: spec/clinical.md §9, §5
(coding checks).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from gateway.clinical.concepts import diagnoses, matches, service_codes
from gateway.clinical.dates import read_period_start
from gateway.clinical.elements import ElementResult, Status
from gateway.clinical.focus import code_sides, order_sides
from gateway.fhir import Json
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import About, Chart, about
from tests.readings.clinical.conditions import Indication, is_active

_DONE = frozenset({"final", "amended", "corrected", "completed"})


def judge_laterality(chart: Chart, indication: Indication) -> ElementResult | None:
    """Whether the order names its side and the diagnosis agrees; None where the row does not ask.

    Steps: (1) no side; (2) both sides; (3) another side than the diagnosis; (4) a diagnosis without a
    side cannot agree or disagree.
    """
    if not chart.rule.laterality_required:
        return None
    named = order_sides(chart.order, chart.concepts, chart.region)
    coded = code_sides([indication.code], chart.region)
    if not named:  # (1)
        line = "The order does not say which side; add the side's modifier or body site to the order."
        return _side_result("unmet", "not_documented", "", line, indication)
    if len(named) > 1:  # (2)
        return _side_result(
            "unmet", "two_sides", "right, left", "The order names both sides; order each one.", indication
        )
    side = next(iter(named))
    if coded and side not in coded:  # (3)
        line = f"The order says {side} and its diagnosis says {next(iter(coded))}; one of them is wrong."
        return _side_result("unmet", "side_differs", side, line, indication)
    if not coded:  # (4)
        line = f"The order says {side}; its diagnosis does not say which side. Code the diagnosis with its side."
        return _side_result("indeterminate", "unspecified_side", side, line, indication)
    return _side_result("met", "documented", side, f"Order and diagnosis name the {side} side.", indication)


def _side_result(status: Status, reason: str, side: str, line: str, indication: Indication) -> ElementResult:
    own = (item.reference for item in indication.reasons if item.code == indication.code and item.reference)
    return ElementResult(
        element="LATERALITY",
        status=status,
        value=side or None,
        threshold="one side",
        reason=reason,
        line=line,
        evidence=tuple(dict.fromkeys(own)),
    )


def judge_prior_imaging(chart: Chart) -> ElementResult | None:
    """Whether plain imaging of the region was done in the window; None where the row does not ask.

    An image that says it is about another region or the other side does not count.
    """
    if not chart.rule.prior_imaging_required:
        return None
    found = sorted(_images(chart), key=lambda image: image[0])
    base = ElementResult(
        element="PRIOR_IMAGING",
        status="unmet",
        threshold="plain imaging first",
        reason="not_documented",
        line="No plain imaging of the region is on file; it comes first.",
    )
    if not found:
        return base
    day, reference = found[-1]
    return ElementResult(
        element="PRIOR_IMAGING",
        status="met",
        value=day.isoformat(),
        threshold=base.threshold,
        reason="documented",
        line=f"Plain imaging of {day.isoformat()} is on file.",
        evidence=(reference,),
    )


def _images(chart: Chart) -> Iterator[tuple[date, str]]:
    """Day and reference of finished plain images of the region, in the window."""
    for kind, prefix in (("DiagnosticReport", "effective"), ("Procedure", "performed")):
        for resource in chart.record.of_type(kind):
            day = read_period_start(resource, prefix, chart.zone)
            if day is None or not chart.from_on <= day <= chart.order_on or resource.get("status") not in _DONE:
                continue
            if service_codes(resource.get("code")) & set(chart.region.prior_imaging) and _is_own(resource, chart):
                yield day, reference_of(resource)


def _is_own(resource: Json, chart: Chart) -> bool:
    if about(resource, chart) is About.OTHER:
        return False
    named, words = order_sides(chart.order, chart.concepts, chart.region), chart.concepts.laterality
    codes = service_codes(resource.get("code"))
    imaged = {side for side, row in (("right", words.right), ("left", words.left)) if codes & set(row.modifiers)}
    return len(named) != 1 or not imaged or bool(imaged & named)


def exclusions(chart: Chart, indication: Indication) -> Iterator[str]:
    """A remark for each active diagnosis that is not coded together with the order's (Excludes1)."""
    for own, patterns in chart.region.excludes.items():
        if matches(indication.code, [own]) and any(_others(chart, indication.code, patterns)):
            yield "CODE_EXCLUDES1: an active diagnosis is not coded together with the order's; review the codes"


def _others(chart: Chart, code: str, patterns: tuple[str, ...]) -> Iterator[bool]:
    for condition in chart.record.of_type("Condition"):
        listed = [other for other in diagnoses(condition.get("code")) if other != code]
        if listed and is_active(condition, chart):
            yield from (True for other in listed if matches(other, patterns))
