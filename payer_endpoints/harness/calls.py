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
        for prefix, guide in (("/{payer}", Guide.STU2_2), (f"/{{payer}}/{Guide.STU2}", Guide.STU2)):
            router.add_api_route(
                prefix + path,
                endpoint,
                methods=[method],
                name=handler.__name__,
                operation_id=handler.__name__ + ("" if guide is Guide.STU2_2 else "_2_0_1"),
                response_class=Response,
                responses={"default": {"description": "OperationOutcome that says what is wrong."}},
                tags=[f"guides {guide.value}"],
                openapi_extra=_described(method, path, door),
            )
        return handler

    return add


def _described(method: str, path: str, door: str) -> dict[str, Any]:
    """What the generated description says beyond the path: body, path parameters, security."""
    words = [word[1:-1] for word in path.split("/") if word.startswith("{")]
    parameters = [{"name": word, "in": "path", "required": True, "schema": {"type": "string"}} for word in words]
    found: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if door != "open":
        found["security"] = [{"bearer": []}]
    if method in ("POST", "PUT"):
        media = "application/x-www-form-urlencoded" if path == "/token" else names.FHIR_JSON
        media = "application/json" if "cds-services" in path else media
        found["requestBody"] = {"required": True, "content": {media: {"schema": {"type": "object"}}}}
    return found


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
