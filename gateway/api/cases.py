"""Case routes: list, show, events, evidence, and what may be done to a case; forms and documents of a case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.api.doors import CallerDep, ServicesDep, answer
from gateway.api.strict import StrictRoute
from gateway.flows import actions, attach, evidence, form_rows, forms, next_questions, views
from gateway.store.rows import CaseFilter, CaseRow

router = APIRouter(tags=["cases"], route_class=StrictRoute)


def _known_state(text: str) -> str:
    if text not in views.STATES:
        raise ValueError("not a state")
    return text


State = Annotated[str, AfterValidator(_known_state), Field(json_schema_extra={"enum": list(views.STATES)})]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Reason(_Body):
    """Why a person acts."""

    reason: str = Field(default="", max_length=400)
    """A few words; kept in the history. No patient data."""


class Answers(_Body):
    """Answers of a person to questions of a form."""

    answers: dict[str, list[Any]]
    """linkId → values; an empty list clears the answer. Choices are given as code or as Coding."""


class Documents(_Body):
    """Documents of the chart that answer a payer's request."""

    documents: list[str] = Field(min_length=1, max_length=20)
    """References such as `DocumentReference/1`."""


@router.get("/cases", operation_id="listCases", response_class=Response)
def list_cases(
    services: ServicesDep,
    caller: CallerDep,
    state: Annotated[list[State] | None, Query(description="Only cases in one of these states.")] = None,
    payer: Annotated[str, Query(max_length=100, description="Only this payer's.")] = "",
    order: Annotated[str, Query(max_length=200, description="Only this order's, as `Type/id`.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    """The caller's cases, those that wait for us first."""
    chosen = CaseFilter(states=tuple(state or ()), payer=payer, order_reference=order)
    return answer({"cases": views.list_cases(services, caller, chosen, limit)})


@router.get("/cases/{case_id}", operation_id="showCase", response_class=Response)
def show_case(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Where one case stands: need, gaps, forms, requests of the payer, what was sent."""
    return answer(views.show_case(services, caller, case_id))


@router.get("/cases/{case_id}/events", operation_id="listCaseEvents", response_class=Response)
def list_events(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """The case's history, oldest first, without gaps."""
    return answer({"events": views.list_events(services, caller, case_id)})


@router.get("/cases/{case_id}/evidence", operation_id="exportEvidence", response_class=Response)
def export_evidence(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """The evidence package as a zip, for `pa-verify`. Needs the auditor role; the export is logged."""
    package = evidence.export_evidence(services, caller, case_id)
    headers = {"Content-Disposition": f'attachment; filename="{case_id}.zip"', "Cache-Control": "no-store"}
    return Response(package, 200, headers, "application/zip")


@router.post("/cases/{case_id}/release", operation_id="releaseCase", response_class=Response)
def release(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Send the sealed packet to the payer now."""
    return _changed(lambda: actions.release(services, caller, case_id))


@router.post("/cases/{case_id}/update", operation_id="updateCase", response_class=Response)
def update(case_id: str, services: ServicesDep, caller: CallerDep, body: Reason | None = None) -> Response:
    """Read the chart and ask the payer anew; a request that was given up is sent again as it is."""
    return _changed(lambda: actions.check_again(services, caller, case_id, body.reason if body else ""))


@router.post("/cases/{case_id}/override", operation_id="overrideCase", response_class=Response)
def override(case_id: str, body: Reason, services: ServicesDep, caller: CallerDep) -> Response:
    """Go on in spite of a clinical gap, with a reason. Needs the clinician role."""
    return _changed(lambda: actions.override(services, caller, case_id, body.reason))


@router.post("/cases/{case_id}/cancel", operation_id="cancelCase", response_class=Response)
def cancel(case_id: str, services: ServicesDep, caller: CallerDep, body: Reason | None = None) -> Response:
    """Close the case; a request that is with the payer is withdrawn there first."""
    return _changed(lambda: actions.cancel(services, caller, case_id, body.reason if body else ""))


@router.post("/cases/{case_id}/inquire", operation_id="inquireCase", response_class=Response)
def inquire(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Ask the payer once where the request stands (pas:spec-42: people only, not in a loop)."""
    return _changed(lambda: actions.inquire(services, caller, case_id))


@router.get("/cases/{case_id}/forms", operation_id="listForms", response_class=Response)
def list_forms(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """The payer's forms with every question, answer, origin and reason."""
    return answer({"forms": forms.show_forms(services, caller, case_id)})


@router.post("/cases/{case_id}/forms/{form_id}/answers", operation_id="fillForm", response_class=Response)
def fill_form(case_id: str, form_id: str, body: Answers, services: ServicesDep, caller: CallerDep) -> Response:
    """Set or clear answers as a person. Needs the staff or clinician role."""
    forms.fill(services, caller, case_id, form_id, body.answers)
    return answer({"forms": forms.show_forms(services, caller, case_id)})


@router.post("/cases/{case_id}/forms/{form_id}/rows/{address}", operation_id="addFormRow", response_class=Response)
def add_form_row(case_id: str, form_id: str, address: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Add an empty row to the repeating group that `address` is a row of."""
    form_rows.add_row(services, caller, case_id, form_id, address)
    return answer({"forms": forms.show_forms(services, caller, case_id)})


@router.delete("/cases/{case_id}/forms/{form_id}/rows/{address}", operation_id="removeFormRow", response_class=Response)
def remove_form_row(case_id: str, form_id: str, address: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Take out the row at `address` with its answers; the chart does not bring it back."""
    form_rows.remove_row(services, caller, case_id, form_id, address)
    return answer({"forms": forms.show_forms(services, caller, case_id)})


@router.post("/cases/{case_id}/forms/{form_id}/next", operation_id="continueForm", response_class=Response)
def continue_form(case_id: str, form_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Ask the payer's service for the next questions of an adaptive form. This sends the answers to the payer, so a
    person asks for it; needs the staff or clinician role."""
    next_questions.ask_next(services, caller, case_id, form_id)
    return answer({"forms": forms.show_forms(services, caller, case_id)})


@router.post("/cases/{case_id}/forms/{form_id}/complete", operation_id="completeForm", response_class=Response)
def complete_form(case_id: str, form_id: str, services: ServicesDep, caller: CallerDep, sign: bool = False) -> Response:
    """Complete a form as a person; refused while a required question is open (dtr:spec-145). `sign` signs the answers
    where the form demands it."""
    return _changed(lambda: forms.complete(services, caller, case_id, form_id, signed=sign))


@router.get("/cases/{case_id}/documents", operation_id="listDocuments", response_class=Response)
def list_documents(case_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Documents of the chart that could answer what the payer asked for."""
    return answer({"documents": attach.show_choices(services, caller, case_id)})


@router.post("/cases/{case_id}/requests/{control_number}", operation_id="answerRequest", response_class=Response)
def answer_request(
    case_id: str, control_number: str, body: Documents, services: ServicesDep, caller: CallerDep
) -> Response:
    """Answer a payer's request for documents with documents of the chart."""
    return _changed(lambda: attach.attach(services, caller, case_id, control_number, body.documents))


def _changed(action: Callable[[], CaseRow]) -> Response:
    return answer(views.summary(action()))
