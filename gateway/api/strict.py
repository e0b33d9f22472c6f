"""JSON bodies of the case routes: bounded, strict, with exact decimals, before a model looks at them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gateway.api.bodies import JSON_TYPES, media_type_of, read_body, read_json
from gateway.errors import InputError

MAX_BYTES = 1024 * 1024
"""Largest JSON body of a case route: answers and reasons, never documents."""


class StrictRequest(Request):
    """A request whose body is read by our own readers."""

    async def body(self) -> bytes:
        """The bounded body, read once. Raises TooLarge, InputError (415) for another media type."""
        if not hasattr(self, "_strict"):
            raw = await read_body(self, MAX_BYTES)
            if raw and media_type_of(self.headers.get("content-type", "")) not in JSON_TYPES:
                message = "Send application/json and say so in Content-Type."
                raise InputError(message, code="body.media-type", status=415)
            self._strict = raw
        return self._strict

    async def json(self) -> Any:
        """The body as JSON: no key twice, bounded depth, exact decimals. Raises InputError."""
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """A route that gets strict requests."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler over a strict request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
