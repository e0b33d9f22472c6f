"""Routes of the simulated payers: CDS Hooks, DTR, PAS, CDex, subscriptions, tokens.

Handlers only carry bodies to the desks and answers back; the checks and decisions are elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from payer_endpoints.harness import names
from payer_endpoints.harness.admission import admit
from payer_endpoints.harness.capability import capability_statement
from payer_endpoints.harness.gate import FAULT, MESSAGE
from payer_endpoints.harness.hooks import SERVICE_ID, discovery
from payer_endpoints.harness.outcomes import Issue, fhir_response, json_response, operation_outcome, refusal
from payer_endpoints.harness.reading import parse_body
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
    @router.get("/{payer}/cds-services")
    async def services(payer: str) -> Response:
        """CDS Hooks discovery (open, as the guide leaves it)."""
        if harness.payer(payer) is None:
            return refusal(404, Issue(text="No such payer.", code="not-found"))
        return json_response(discovery())

    @router.post("/{payer}/cds-services/{service}")
    async def hook(service: str, request: Request) -> Response:
        """order-sign."""
        payer, refused = admit(harness, request, hook=True)
        if payer is None or refused:
            return refused or Response(status_code=404)
        if service != SERVICE_ID:
            return refusal(404, Issue(text="No such service; see the discovery.", code="not-found"))
        body, reason = parse_body(await request.body())
        if body is None:
            return refusal(400, Issue(text=reason, code="structure"))
        answer = harness.hooks.call(payer, body, request.scope[MESSAGE])
        if answer.body is None:
            return refusal(answer.faults[0].status, *(fault.issue for fault in answer.faults))
        return json_response(answer.body)


def _add_claim_routes(router: APIRouter, harness: Harness) -> None:
    @router.post("/{payer}/fhir/Claim/$submit")
    async def submit(request: Request) -> Response:
        """PAS submit: new, update, cancel."""
        payer, refused = admit(harness, request)
        if payer is None or refused:
            return refused or Response(status_code=404)
        done = harness.submissions.submit(payer, await request.body(), request.scope[MESSAGE])
        if not done.answer:
            return refusal(400, *done.issues)
        request.scope[FAULT] = done.fault
        harness.schedule_due(done.changed)
        return Response(done.answer, media_type=names.FHIR_JSON)

    @router.post("/{payer}/fhir/Claim/$inquire")
    async def inquire(request: Request) -> Response:
        """PAS inquiry."""
        payer, refused = admit(harness, request)
        if payer is None or refused:
            return refused or Response(status_code=404)
        found, issues = harness.inquiries.inquire(payer, await request.body(), request.scope[MESSAGE])
        return refusal(400, *issues) if found is None else fhir_response(found)

    @router.post("/{payer}/fhir/$submit-attachment")
    async def attach(request: Request) -> Response:
        """CDex attachment."""
        payer, refused = admit(harness, request)
        if payer is None or refused:
            return refused or Response(status_code=404)
        body, reason = parse_body(await request.body())
        if body is None:
            return refusal(400, Issue(text=reason, code="structure"))
        received = harness.attachments.receive(payer, body, request.scope[MESSAGE])
        if received.issues:
            return refusal(400, *received.issues)
        harness.schedule_due(received.changed)
        note = received.note or "The document was taken in."
        return fhir_response(operation_outcome([Issue(text=note, code="informational", severity="information")]))


def _add_form_routes(router: APIRouter, harness: Harness) -> None:
    @router.post("/{payer}/fhir/Questionnaire/$questionnaire-package")
    async def package(request: Request) -> Response:
        """DTR forms."""
        payer, refused = admit(harness, request)
        if payer is None or refused:
            return refused or Response(status_code=404)
        body, reason = parse_body(await request.body())
        if body is None:
            return refusal(400, Issue(text=reason, code="structure"))
        found, issues = harness.packages.package(payer, body, request.scope[MESSAGE])
        return refusal(422, *issues) if found is None else fhir_response(found)

    @router.post("/{payer}/fhir/Questionnaire/$log-questionnaire-errors")
    async def log_errors(request: Request) -> Response:
        """DTR error reports."""
        payer, refused = admit(harness, request)
        if payer is None or refused:
            return refused or Response(status_code=404)
        body, reason = parse_body(await request.body())
        if body is None:
            return refusal(400, Issue(text=reason, code="structure"))
        harness.ledger.count(payer.slug, "error_reports")
        return fhir_response(operation_outcome([]))


def _add_open_routes(router: APIRouter, harness: Harness) -> None:
    @router.get("/{payer}/fhir/metadata")
    async def metadata(payer: str, request: Request) -> Response:
        """What the FHIR side can do."""
        found = harness.payer(payer)
        if found is None:
            return refusal(404, Issue(text="No such payer.", code="not-found"))
        base = str(request.url).partition("?")[0].removesuffix("/metadata")
        return fhir_response(capability_statement(found, base))

    @router.post("/{payer}/token")
    async def token(payer: str, request: Request) -> Response:
        """Client credentials."""
        if harness.payer(payer) is None:
            return refusal(404, Issue(text="No such payer.", code="not-found"))
        url = str(request.url).partition("?")[0]
        header = request.headers.get("authorization", "")
        status, body = harness.access.grant(payer, await request.body(), header, url)
        return json_response(body, status, {"Cache-Control": "no-store"})
