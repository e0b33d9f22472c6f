"""What a payer says about coverage on a response, in words for the people at the form (dtr:spec-46)."""

from __future__ import annotations

from gateway.fhir import Json
from gateway.profiles import crd_2_2_1 as crd


def sentences_of(response: Json) -> tuple[str, ...]:
    """What a response says about coverage, one sentence each, for the people at the form (dtr:spec-46)."""
    return tuple(_sentence(info) for info in crd.read_coverage_informations(response))


def _sentence(info: crd.CoverageInformation) -> str:
    said = [f"covered: {info.covered or 'not said'}", f"authorization: {info.pa_needed or 'not said'}"]
    said += [f"number {info.satisfied_pa_id}"] if info.satisfied_pa_id else []
    said += [f"documentation: {', '.join(info.doc_needed)}"] if info.doc_needed else []
    said += [reason.text for reason in info.reasons if reason.text]
    return "The payer says: " + "; ".join(said) + "."
