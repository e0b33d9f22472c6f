"""Routes of the fake itself: its ledger, its faults, a reset. No real payer has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from payer_endpoints.harness.faults import OPERATIONS, Fault, NotificationFault
from payer_endpoints.harness.outcomes import json_response
from payer_endpoints.harness.reading import parse_body

if TYPE_CHECKING:
    from payer_endpoints.harness.app import Harness


class FaultOrder(BaseModel):
    """Body of `POST /_faults`: set a fault, or clear it where `fault` is null."""

    model_config = ConfigDict(extra="forbid")

    payer: str = "*"
    operation: str = "submit"
    fault: Fault | None = None
    notification: NotificationFault | None = None


def control_router(harness: Harness) -> APIRouter:
    """The control routes over one harness."""
    router = APIRouter(tags=["fake only"], default_response_class=Response)
    slugs = tuple(payer.slug for payer in harness.config.payers)

    @router.get("/_ledger", operation_id="ledger")
    async def ledger() -> Response:
        """Counts, findings and message lines."""
        return json_response(harness.ledger.summary(slugs))

    @router.get("/_ledger/messages", operation_id="ledger_messages")
    async def messages() -> Response:
        """Messages with their exact bodies in base64."""
        return json_response({"messages": harness.ledger.bodies()})

    @router.post("/_reset", operation_id="reset")
    async def reset() -> Response:
        """Forget everything."""
        harness.reset()
        return json_response({"reset": True})

    @router.get("/_faults", operation_id="list_faults")
    async def listed() -> Response:
        """Faults in force."""
        return json_response({"faults": harness.faults.listed()})

    @router.post("/_faults", operation_id="order_fault")
    async def order(request: Request) -> Response:
        """Set or clear one fault."""
        return _order_fault(harness, await request.body(), slugs)

    @router.get("/_health", operation_id="health")
    async def health() -> Response:
        """Alive."""
        return json_response({"status": "up", "payers": list(slugs)})

    return router


def _order_fault(harness: Harness, body: bytes, slugs: tuple[str, ...]) -> Response:
    value, reason = parse_body(body)
    if value is None:
        return json_response({"error": reason}, 400)
    try:
        order = FaultOrder.model_validate(value)
    except ValidationError as error:
        listed: list[dict[str, Any]] = [
            {"at": ".".join(map(str, item["loc"])), "text": item["msg"]} for item in error.errors()
        ]
        return json_response({"error": "This is no fault order.", "issues": listed}, 400)
    if order.payer not in ("*", *slugs) or order.operation not in OPERATIONS:
        return json_response({"error": "Unknown payer or operation.", "operations": sorted(OPERATIONS)}, 400)
    if order.notification is not None:
        harness.faults.notification[order.payer] = order.notification
    else:
        harness.faults.put(order.payer, order.operation, order.fault)
    return json_response({"faults": harness.faults.listed()})
