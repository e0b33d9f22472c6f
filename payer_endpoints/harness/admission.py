"""The door of every payer route: which payer, which caller, which media type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request, Response

from payer_endpoints.harness import names
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.outcomes import Issue, refusal

if TYPE_CHECKING:
    from payer_endpoints.harness.app import Harness


def admit(harness: Harness, request: Request, *, hook: bool = False) -> tuple[Payer | None, Response | None]:
    """(payer, None), or (None, the refusal): unknown payer, no token, or a body that is not FHIR JSON."""
    payer = harness.payer(request.path_params["payer"])
    if payer is None:
        return None, refusal(404, Issue(text="No such payer.", code="not-found"))
    url = str(request.url).partition("?")[0]
    if not harness.access.allows(payer.slug, request.headers.get("authorization", ""), url, hook=hook):
        response = refusal(401, Issue(text="A valid bearer token is required.", code="login"))
        response.headers["WWW-Authenticate"] = "Bearer"
        return None, response
    kind = request.headers.get("content-type", "").split(";")[0].strip()
    if request.method in ("POST", "PUT") and kind not in (names.FHIR_JSON, "application/json"):
        return None, refusal(415, Issue(text="Send application/fhir+json.", code="not-supported"))
    return payer, None
