"""Routes of the simulated payers: CDS Hooks, DTR, PAS, CDex, tokens.

Handlers only carry bodies to the desks and answers back; the checks and decisions are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from payer_endpoints.harness import names
from payer_endpoints.harness.calls import Call, payer_route
from payer_endpoints.harness.capability import capability_statement
from payer_endpoints.harness.error_reports import check_error_report
from payer_endpoints.harness.gate import FAULT
from payer_endpoints.harness.hook_rules import SERVICE_ID, discovery
from payer_endpoints.harness.outcomes import (
    Issue,
    errors_of,
    fhir_response,
    json_response,
    operation_outcome,
    refusal,
)
from payer_endpoints.harness.subscription_routes import add_subscription_routes

if TYPE_CHECKING:
    from payer_endpoints.harness.app import Harness


def payer_router(harness: Harness) -> APIRouter:
    """All payer routes over one harness."""
    router = APIRouter()
    _add_hook_routes(router, harness)
    _add_claim_routes(router, harness)
    _add_form_routes(router, harness)
    add_subscription_routes(router, harness)
    _add_open_routes(router, harness)
    return router


def _add_hook_routes(router: APIRouter, harness: Harness) -> None:
    @payer_route(router, harness, "GET", "/cds-services", door="open")
    def discover(call: Call) -> Response:
        """CDS Hooks discovery (open, as CDS Hooks leaves it)."""
        return json_response(discovery(call.guide))

    @payer_route(router, harness, "POST", "/cds-services/{service}", door="hook")
    def order_sign(call: Call) -> Response:
        """The order-sign service."""
        body, refused = call.parsed()
        if refused:
            return refused
        if call.parameter("service") != SERVICE_ID:
            return refusal(404, Issue(text="No such service; see the discovery.", code="not-found"))
        answer = harness.hooks.call(call.payer, call.guide, body, call.message)
        if answer.body is None:
            return refusal(answer.faults[0].status, *(fault.issue for fault in answer.faults))
        return json_response(answer.body)


def _add_claim_routes(router: APIRouter, harness: Harness) -> None:
    @payer_route(router, harness, "POST", "/fhir/Claim/$submit")
    def submit(call: Call) -> Response:
        """PAS submit: new, update, cancel."""
        done = harness.submissions.submit(call.payer, call.guide, call.body, call.message)
        if not done.answer:
            return refusal(400, *done.issues)
        call.request.scope[FAULT] = done.fault
        harness.schedule_due(done.changed)
        return Response(done.answer, media_type=names.FHIR_JSON)

    @payer_route(router, harness, "POST", "/fhir/Claim/$inquire")
    def inquire(call: Call) -> Response:
        """PAS inquiry."""
        found, issues = harness.inquiries.inquire(call.payer, call.guide, call.body, call.message)
        return refusal(400, *issues) if found is None else fhir_response(found)

    @payer_route(router, harness, "POST", "/fhir/$submit-attachment")
    def submit_attachment(call: Call) -> Response:
        """CDex attachment."""
        body, refused = call.parsed()
        if refused:
            return refused
        received = harness.attachments.receive(call.payer, body, call.message)
        if received.issues:
            return refusal(400, *received.issues)
        harness.schedule_due(received.changed)
        note = received.note or "The document was taken in."
        return fhir_response(operation_outcome([Issue(text=note, code="informational", severity="information")]))


def _add_form_routes(router: APIRouter, harness: Harness) -> None:
    @payer_route(router, harness, "POST", "/fhir/Questionnaire/$questionnaire-package")
    def questionnaire_package(call: Call) -> Response:
        """DTR forms."""
        body, refused = call.parsed()
        if refused:
            return refused
        found, issues = harness.packages.package(call.payer, call.guide, body, call.message, call.base)
        if found is None:
            return refusal(422, *issues)
        return fhir_response(found) if found else Response(status_code=200, media_type=names.FHIR_JSON)

    @payer_route(router, harness, "POST", "/fhir/Questionnaire/$next-question")
    def next_question(call: Call) -> Response:
        """DTR adaptive forms."""
        body, refused = call.parsed()
        if refused:
            return refused
        found, issues = harness.next_questions.answer(call.payer, call.guide, body, call.message, call.base)
        return refusal(400, *issues) if found is None else fhir_response(found)

    @payer_route(router, harness, "POST", "/fhir/ValueSet/$expand")
    def expand(call: Call) -> Response:
        """Codes of a value set."""
        body, refused = call.parsed()
        if refused:
            return refused
        found, issues = harness.expansions.expand(call.payer, body, call.message)
        if found is None:
            return refusal(404 if any(issue.code == "not-found" for issue in issues) else 400, *issues)
        return fhir_response(found)

    @payer_route(router, harness, "POST", "/fhir/Questionnaire/$log-questionnaire-errors")
    def log_questionnaire_errors(call: Call) -> Response:
        """DTR error reports."""
        body, refused = call.parsed()
        if refused:
            return refused
        issues = list(check_error_report(body))
        harness.ledger.find(call.payer.slug, "log-questionnaire-errors", call.message, *issues)
        if errors_of(issues):
            return refusal(400, *errors_of(issues))
        harness.ledger.count(call.payer.slug, "error_reports")
        return fhir_response(operation_outcome([]))


def _add_open_routes(router: APIRouter, harness: Harness) -> None:
    @payer_route(router, harness, "GET", "/fhir/metadata", door="open")
    def metadata(call: Call) -> Response:
        """What the FHIR side can do."""
        return fhir_response(capability_statement(call.payer, call.guide, call.base))

    @payer_route(router, harness, "POST", "/token", door="open")
    def token(call: Call) -> Response:
        """Client credentials."""
        header = call.request.headers.get("authorization", "")
        status, body = harness.access.grant(call.payer.slug, call.body, header, call.url)
        return json_response(body, status, {"Cache-Control": "no-store"})
