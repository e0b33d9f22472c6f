"""Coverage-information that a payer's form service puts on a response, taken over to the order.

The group that is replaced differs: coverage and assertion id in 2.2, the coverage alone before (spec/dtr.md §8, §16;
dtr:spec-43, spec-47, spec-154).
"""

from __future__ import annotations

from typing import Any

from gateway.fhir import Json
from gateway.fhir.extensions import extension_value, extensions
from gateway.fhir.reading import objects, thaw
from gateway.fhir.references import reference_text, same_target
from gateway.profiles.crd_coverage_information import merge_coverage_information
from gateway.profiles.urls import COVERAGE_INFORMATION


def merge_response_information(
    order: Json, response: Json, coverage: str, *, by_coverage_alone: bool
) -> dict[str, Any] | None:
    """The order with what the response says about this coverage; None when it says nothing about it.

    What it says about another coverage is not taken over: the form was asked for under this one.
    """
    arriving = [one for one in extensions(response, COVERAGE_INFORMATION) if _is_about(one, coverage)]
    if not arriving:
        return None
    base = _without(order, coverage) if by_coverage_alone else order
    return merge_coverage_information(base, {"extension": arriving})


def _without(order: Json, coverage: str) -> dict[str, Any]:
    plain = thaw(order)
    plain["extension"] = [
        one
        for one in objects(plain.get("extension"))
        if one.get("url") != COVERAGE_INFORMATION or not _is_about(one, coverage)
    ]
    return dict(plain)


def _is_about(extension: Json, coverage: str) -> bool:
    named = reference_text(extension_value(extension, "coverage"))
    return named == coverage or same_target(named, coverage)
