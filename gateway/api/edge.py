"""What holds for every request before and after its route: bytes that no route may see, errors nobody caught, headers.

An error that nobody expected is answered here. It never reaches the server below, which would print it with its
message, and messages of foreign errors may carry patient data (security T17).
"""

from __future__ import annotations

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.replies import respond
from gateway.errors import GatewayError, InputError
from gateway.logs import get_logger

FAILED = "The gateway failed on this request. Tell whoever runs it the correlation id; the log has it too."


class Edge:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answering = _Answering(send)
        try:
            _require_plain(scope)
            await self._app(scope, receive, answering)
        except ClientDisconnect:
            get_logger().info("client-left", method=scope["method"])
        except Exception as error:
            await _answer(error, Request(scope, receive), receive, answering)


class _Answering:
    """`send` that remembers whether an answer has begun and marks every answer as what it says it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            MutableHeaders(scope=message).setdefault("X-Content-Type-Options", "nosniff")
        await self._send(message)


def _require_plain(scope: Scope) -> None:
    """No NUL in an address: no name of ours has one, and a database refuses it with an error of its own."""
    query: bytes = scope.get("query_string", b"")
    if "\x00" in scope["path"] or b"%00" in query or b"\x00" in query:
        raise InputError("The address holds a NUL character; leave it out.", code="request.address")


async def _answer(error: Exception, request: Request, receive: Receive, send: Any) -> None:
    if isinstance(error, GatewayError):
        plain = error
    else:
        get_logger().error("unexpected", error=type(error), method=request.method)
        plain = GatewayError(FAILED)
    if not send.has_begun:
        await respond(request, plain)(request.scope, receive, send)
