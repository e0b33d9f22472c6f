"""One call to a payer, and the door it comes through: which payer, which caller, which media type, which guide.

A handler is a plain function from a `Call` to a response; `payer_route` puts it at both generations' addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from payer_endpoints.harness import names
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.gate import MESSAGE
from payer_endpoints.harness.guides import Guide, guide_of
from payer_endpoints.harness.outcomes import Issue, refusal
from payer_endpoints.harness.reading import parse_body

if TYPE_CHECKING:
    from payer_endpoints.harness.app import Harness


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was let in."""

    payer: Payer
    guide: Guide
    body: bytes
    message: int
    """Its number in the ledger."""
    url: str
    """The address called, without query."""
    request: Request

    @property
    def base(self) -> str:
        """The payer's FHIR base url at this guide."""
        return self.url.partition("/fhir/")[0] + "/fhir"

    def parameter(self, name: str) -> str:
        """A path parameter."""
        return str(self.request.path_params.get(name, ""))

    def parsed(self) -> tuple[dict[str, Any], Response | None]:
        """(JSON object, None), or ({}, the refusal)."""
        found, reason = parse_body(self.body)
        return found or {}, refusal(400, Issue(text=reason, code="structure")) if found is None else None


Handler = Callable[[Call], Response]


def payer_route(
    router: APIRouter, harness: Harness, method: str, path: str, *, door: str = "token"
) -> Callable[[Handler], Handler]:
    """Register a handler. `door` is `token` (bearer), `hook` (bearer or client JWT) or `open`."""

    def add(handler: Handler) -> Handler:
        async def endpoint(payer: str, request: Request) -> Response:
            body = await request.body()
            call, refused = _admit(harness, payer, request, body, door)
            return handler(call) if call else refused or Response(status_code=404)

        endpoint.__doc__ = handler.__doc__
        for prefix in ("/{payer}", f"/{{payer}}/{Guide.STU2}"):
            router.add_api_route(prefix + path, endpoint, methods=[method], name=handler.__name__)
        return handler

    return add


def _admit(
    harness: Harness, slug: str, request: Request, body: bytes, door: str
) -> tuple[Call | None, Response | None]:
    payer = harness.payer(slug)
    if payer is None:
        return None, refusal(404, Issue(text="No such payer.", code="not-found"))
    url = str(request.url).partition("?")[0]
    header = request.headers.get("authorization", "")
    if door != "open":
        if not harness.access.allows(payer.slug, header, url, hook=door == "hook"):
            response = refusal(401, Issue(text="A valid bearer token is required.", code="login"))
            response.headers["WWW-Authenticate"] = "Bearer"
            return None, response
        kind = request.headers.get("content-type", "").split(";")[0].strip()
        if request.method in ("POST", "PUT") and kind not in (names.FHIR_JSON, "application/json"):
            return None, refusal(415, Issue(text="Send application/fhir+json.", code="not-supported"))
    number = request.scope[MESSAGE]
    guide = guide_of(request.url.path)
    return Call(payer=payer, guide=guide, body=body, message=number, url=url, request=request), None
