"""A small FHIR R4 server over the synthetic charts: the EHR of the demo and of many tests.

It behaves like the servers in the field rather than like the easiest one to talk to: pages of ten,
opaque links, no total where it may be left out, 400 for what it does not know, versions that must be
named to be replaced. It is a fake: all in memory, one token, no scopes, and `GET /_log` tells tests
what was written.

    python -m gateway.demo.ehr_server --port 0 --token-file F [--charts DIR | --demo]
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.demo import ehr_writes
from gateway.demo.ehr_answers import (
    MEDIA_TYPE,
    Page,
    Pages,
    history_response,
    outcome_response,
    page_response,
    resource_response,
    version_headers,
)
from gateway.demo.ehr_capability import build_capability
from gateway.demo.ehr_search import find_matches, read_query
from gateway.demo.ehr_store import Store
from gateway.demo.ehr_types import require_type
from gateway.errors import AccessError, GatewayError, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json

FHIR_PATH = "/fhir"


def create_ehr_app(bundles: Iterable[Json], token: str | None, *, now: Callable[[], datetime] | None = None) -> FastAPI:
    """The server over the entries of chart Bundles.

    `token` is the one bearer token accepted; None lets everybody in. `now` dates what is written.
    The store is at `app.state.store`.
    """
    store, pages = Store(now), Pages()
    store.load(bundles)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.store = store
    _add_reads(app, store, pages)
    _add_writes(app, store)
    _add_errors(app)
    app.add_middleware(_BearerGate, token=token)
    return app


class _NoToken(AccessError):
    """The token is missing or not the right one."""

    code = "login"
    issue_type = "login"
    status = 401


class _BearerGate:
    """Lets a request pass with the right token, or to the capability statement."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        response = outcome_response(
            _NoToken("A valid bearer token is needed."), {"WWW-Authenticate": 'Bearer realm="synthetic-ehr"'}
        )
        await response(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        if not self._expected or scope["path"] == f"{FHIR_PATH}/metadata":
            return True
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return hmac.compare_digest(bytes(given), self._expected)


def _base(request: Request) -> str:
    """Address of the server as the client wrote it."""
    return f"{str(request.base_url).rstrip('/')}{FHIR_PATH}"


def _require_json(request: Request) -> None:
    accept = request.headers.get("accept", "*/*").lower()
    wanted = request.query_params.get("_format", accept)
    if "json" not in wanted and "*/*" not in wanted and "application/*" not in wanted:
        raise InputError("This server speaks application/fhir+json only.", code="not-acceptable", status=406)


def _add_reads(app: FastAPI, store: Store, pages: Pages) -> None:
    def search(request: Request, kind: str, text: str) -> Response:
        _require_json(request)
        query = read_query(kind, text)
        page = Page(query=query, matches=tuple(find_matches(store, query)), offset=0)
        self_url = f"{_base(request)}/{kind}?{text}" if text else f"{_base(request)}/{kind}"
        return page_response(store, pages, _base(request), self_url, page)

    @app.get(f"{FHIR_PATH}/metadata")
    async def metadata(request: Request) -> Response:
        return Response(dump_json(build_capability(store, _base(request))), media_type=MEDIA_TYPE)

    @app.get("/_log")
    async def log() -> Response:
        return Response(dump_json([asdict(write) for write in store.writes]), media_type="application/json")

    @app.get(f"{FHIR_PATH}/")
    @app.get(FHIR_PATH)
    async def next_page(request: Request) -> Response:
        token = request.query_params.get("_page", "")
        if not token:
            raise InputError("Searching all types at once is not supported.", code="not-supported")
        return page_response(store, pages, _base(request), str(request.url), pages.take(token))

    @app.get(f"{FHIR_PATH}/{{kind}}")
    async def search_get(request: Request, kind: str) -> Response:
        return search(request, kind, request.url.query)

    @app.post(f"{FHIR_PATH}/{{kind}}/_search")
    async def search_post(request: Request, kind: str) -> Response:
        parts = (request.url.query, (await ehr_writes.read_body(request)).decode("utf-8", "replace"))
        return search(request, kind, "&".join(part for part in parts if part))

    @app.get(f"{FHIR_PATH}/{{kind}}/{{id}}")
    async def read(request: Request, kind: str, id: str) -> Response:
        _require_json(request)
        require_type(kind)
        stored = store.read(kind, id)
        if request.headers.get("if-none-match") == stored.etag:
            return Response(None, 304, version_headers(stored))
        return resource_response(stored)

    @app.get(f"{FHIR_PATH}/{{kind}}/{{id}}/_history")
    async def history(request: Request, kind: str, id: str) -> Response:
        require_type(kind)
        return history_response(_base(request), store.history(kind, id))

    @app.get(f"{FHIR_PATH}/{{kind}}/{{id}}/_history/{{version}}")
    async def read_version(request: Request, kind: str, id: str, version: str) -> Response:
        require_type(kind)
        return resource_response(store.read_version(kind, id, version))


def _add_writes(app: FastAPI, store: Store) -> None:
    @app.post(f"{FHIR_PATH}/{{kind}}")
    async def create(request: Request, kind: str) -> Response:
        return await ehr_writes.create(request, store, _base(request), kind)

    @app.put(f"{FHIR_PATH}/{{kind}}/{{id}}")
    async def update(request: Request, kind: str, id: str) -> Response:
        return await ehr_writes.update(request, store, _base(request), kind, id)


def _add_errors(app: FastAPI) -> None:
    """Every error leaves as an OperationOutcome."""

    async def known(_: Request, error: Exception) -> Response:
        return outcome_response(error if isinstance(error, GatewayError) else GatewayError("Something went wrong."))

    async def routed(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        if status == 405:
            return outcome_response(
                InputError("That interaction is not supported here.", code="not-supported", status=405), headers
            )
        return outcome_response(NotFound("There is nothing at this address.", status=status), headers)

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        GatewayError: known,
        HTTPException: routed,
        Exception: known,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


if __name__ == "__main__":
    import sys

    from gateway.demo.ehr_run import main

    sys.exit(main(sys.argv[1:]))
