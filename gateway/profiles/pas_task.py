"""Tasks in the EHR for what a payer asks after a pend (spec/pas.md §6.3; pas:ainfo-4 to ainfo-7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from gateway.fhir import Json
from gateway.fhir.codes import LOINC
from gateway.fhir.extensions import build_extension
from gateway.profiles.pas_graph import require
from gateway.profiles.pas_records import DocumentRequest
from gateway.profiles.urls import PAS_TEMP_CODES, pas, x12

STATUSES = frozenset({"requested", "accepted", "rejected", "in-progress", "failed", "completed", "on-hold"})
"""Task statuses that HRex allows."""


def build_task(
    *,
    identifier: tuple[str, str],
    requests: Sequence[DocumentRequest],
    patient: str,
    claim: Json,
    payer: tuple[str, str],
    organization: tuple[str, str],
    payer_url: str,
    due_on: date | None = None,
    status: str = "requested",
    status_reason: str = "",
) -> dict[str, Any]:
    """One Task for requests of one kind, see `request_kind`; kinds are never mixed (pas:ainfo-7).

    `claim` is a Reference element to the Claim (an identifier-only one where the EHR keeps none);
    `payer` and `organization` are (system, value). Requester is the payer, owner our organization: the
    guide's mapping table, since its narrative and its profiles disagree.
    """
    kinds = set(map(request_kind, requests))
    require(len(kinds) == 1, "A Task is for requests of one kind.", "pas.task-kind", "Task.code")
    require(status in STATUSES, "No such Task status.", "pas.task-status", "Task.status")
    is_form = kinds == {"questionnaire"}
    inputs = [entry for request in requests for entry in _inputs(request)]
    built: dict[str, Any] = {
        "resourceType": "Task",
        "meta": {"profile": [pas("profile-task")]},
        "identifier": [_identifier(identifier)],
        "status": status,
        **({"statusReason": {"text": status_reason}} if status_reason else {}),
        "intent": "order",
        "code": _concept("attachment-request-questionnaire" if is_form else "attachment-request-code"),
        "for": {"reference": patient},
        "requester": {"identifier": _identifier(payer)},
        "owner": {"identifier": _identifier(organization)},
        "reasonCode": _concept("priorAuthorization"),
        "reasonReference": dict(claim),
        **({"restriction": {"period": {"end": due_on.isoformat()}}} if due_on else {}),
    }
    return {**built, "input": [{"type": _concept("payer-url"), "valueUrl": payer_url}, *inputs]}


def request_kind(request: DocumentRequest) -> str:
    """questionnaire, loinc or report-type: what the payer asks by."""
    if request.is_questionnaire:
        return "questionnaire"
    return "loinc" if request.loinc_codes else "report-type"


def split_kinds(requests: Sequence[DocumentRequest]) -> tuple[tuple[DocumentRequest, ...], ...]:
    """The requests by kind, kinds in order of first appearance: one Task each."""
    kinds = dict.fromkeys(map(request_kind, requests))
    return tuple(tuple(request for request in requests if request_kind(request) == kind) for kind in kinds)


def _inputs(request: DocumentRequest) -> list[dict[str, Any]]:
    """Inputs of one request, one per line; a request for the whole claim is written with line 1."""
    if request.is_questionnaire:
        values: list[tuple[str, str, Any]] = [("questionnaire-context", "valueString", request.context)]
    else:
        coded = [(LOINC, code) for code in request.loinc_codes] or [(x12("755"), code) for code in request.report_types]
        concepts: list[dict[str, Any]] = [{"coding": [{"system": system, "code": code}]} for system, code in coded]
        values = [("attachments-needed", "valueCodeableConcept", c) for c in concepts or [{"text": request.text}]]
    lines = request.line_numbers or (1,)
    return [
        {"extension": [_line(line)], "type": _concept(name), key: value}
        for line in lines
        for name, key, value in values
    ]


def _line(number: int) -> dict[str, Any]:
    return build_extension(pas("extension-serviceLineNumber"), "PositiveInt", number)


def _concept(code: str) -> dict[str, Any]:
    return {"coding": [{"system": PAS_TEMP_CODES, "code": code}]}


def _identifier(value: tuple[str, str]) -> dict[str, Any]:
    system, number = value
    return {"system": system, "value": number} if system else {"value": number}
