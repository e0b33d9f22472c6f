"""The outermost layer: body limits, the ledger's copy of every exchange, and faults.

It reads the whole request and holds the whole answer back, so that what is written down is exactly what travelled and a
fault can spoil an answer after the request was stored. Plain ASGI; nothing of the guides is known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.fhir.json import dump_json
from payer_endpoints.harness import names
from payer_endpoints.harness.answers import instant
from payer_endpoints.harness.config import HarnessConfig
from payer_endpoints.harness.faults import Fault, FaultBoard
from payer_endpoints.harness.ledger import Ledger, Message, digest
from payer_endpoints.harness.outcomes import Issue, operation_outcome

MESSAGE, FAULT, NOTE = "harness.message", "harness.fault", "harness.note"
"""Keys in the ASGI scope: number of the message, a fault the handler asks for, a word for the ledger."""
HTML = b"<!DOCTYPE html><html><body><h1>Scheduled maintenance</h1></body></html>"
_LAST = {
    "$questionnaire-package": "questionnaire-package",
    "$log-questionnaire-errors": "log-questionnaire-errors",
    "$expand": "expand",
    "$submit": "submit",
    "$inquire": "inquire",
    "$submit-attachment": "submit-attachment",
    "metadata": "metadata",
    "token": "token",
    "cds-services": "discovery",
}


class ConnectionDropped(ConnectionResetError):
    """Raised where there is no connection to drop, as in a test without sockets."""


@dataclass(slots=True)
class Held:
    """An answer held back."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Gate:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, *, config: HarnessConfig, ledger: Ledger, faults: FaultBoard) -> None:
        self._app, self._config, self._ledger, self._faults = app, config, ledger, faults
        self._slugs = {payer.slug for payer in config.payers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        payer, operation = operation_of(scope["path"]) if scope["type"] == "http" else ("", "")
        if payer not in self._slugs:
            await self._app(scope, receive, send)
            return
        scope[MESSAGE] = number = self._ledger.next_number()
        body = await self._read(receive)
        fault = self._faults.take(payer, operation)
        if body is None:
            held = _refusal(413, Issue(text="The body is over the limit.", code="too-long"))
        elif fault is not None and (fault.kind == "down" or not fault.stored):
            held = Held()
        else:
            held = await self._run(scope, body, payer, operation)
            fault = scope.get(FAULT) or fault
        held, dropped = await self._spoil(held, fault, receive)
        self._note(scope, number, (payer, operation), body or b"", held, fault)
        await (_drop(send) if dropped else _answer(send, held))

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, None over the limit; the rest of a body over the limit is read and thrown away."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)
            size += len(message.get("body", b""))
            if size <= self._config.max_body_bytes:
                parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(parts) if size <= self._config.max_body_bytes else None

    async def _run(self, scope: Scope, body: bytes, payer: str, operation: str) -> Held:
        """The application's answer. An error in the harness itself is a finding of its own and a 500."""
        held = Held()

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                held.status, held.headers = message["status"], list(message.get("headers", []))
            elif message["type"] == "http.response.body":
                held.body += message.get("body", b"")

        try:
            await self._app(scope, receive, send)
        except Exception as error:  # Defensive: a fault of ours must show, and must not stop the payer.
            issue = Issue(text=f"The harness failed: {type(error).__name__}.", code="exception", severity="fatal")
            self._ledger.find(payer, operation, scope[MESSAGE], issue)
            return _refusal(500, issue)
        return held

    async def _spoil(self, held: Held, fault: Fault | None, receive: Receive) -> tuple[Held, bool]:
        """(answer to give, whether the connection is dropped instead)."""
        if fault is None:
            return held, False
        if fault.kind in ("down", "reset"):
            return Held(), True
        if fault.kind == "slow":
            await _wait(fault.seconds, receive)
            return held, False
        if fault.kind == "status":
            spoilt = _refusal(fault.status, Issue(text="Try again later.", code="transient"))
            if fault.retry_after is not None:
                spoilt.headers.append((b"retry-after", str(fault.retry_after).encode()))
            return spoilt, False
        if fault.kind == "html":
            return Held(200, [(b"content-type", b"text/html; charset=utf-8")], HTML), False
        if fault.kind == "truncated":
            return replace(
                held, headers=_sized(held.headers, len(held.body) // 2), body=held.body[: len(held.body) // 2]
            ), False
        plain = [(name, value) for name, value in held.headers if name.lower() != b"content-type"]
        return replace(held, headers=[*plain, (b"content-type", b"text/plain")]), False

    def _note(
        self, scope: Scope, number: int, where: tuple[str, str], body: bytes, held: Held, fault: Fault | None
    ) -> None:
        message = Message(
            number=number,
            at=instant(self._config.now()),
            payer=where[0],
            operation=where[1],
            method=scope["method"],
            path=scope["path"],
            status=held.status,
            request=b"" if where[1] == "token" else body,
            response=b"" if where[1] == "token" else held.body,
            request_digest=digest(body),
            response_digest=digest(held.body),
            note=fault.kind if fault else str(scope.get(NOTE, "")),
        )
        self._ledger.keep(message)


def operation_of(path: str) -> tuple[str, str]:
    """(payer slug, operation) of a request path; ("", "") for the control routes."""
    parts = [part for part in path.split("/") if part]
    if len(parts) < 2 or parts[0].startswith("_"):
        return "", ""
    if "Subscription" in parts:
        return parts[0], "subscription"
    if parts[-1] in _LAST:
        return parts[0], _LAST[parts[-1]]
    return parts[0], "hook" if "cds-services" in parts else "other"


def _refusal(status: int, issue: Issue) -> Held:
    body = dump_json(operation_outcome([issue]))
    headers = [(b"content-type", names.FHIR_JSON.encode()), (b"content-length", str(len(body)).encode())]
    return Held(status, headers, body)


def _sized(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*kept, (b"content-length", str(size).encode())]


async def _answer(send: Send, held: Held) -> None:
    await send({"type": "http.response.start", "status": held.status, "headers": held.headers})
    await send({"type": "http.response.body", "body": held.body})


async def _drop(send: Send) -> None:
    """Cut the connection without a word. uvicorn's send belongs to a cycle that knows its transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionDropped("the connection was dropped on purpose")
    transport.abort()
    await asyncio.sleep(0.01)  # The loop tells the server that the connection is gone; only then it is not missed.


async def _wait(seconds: float, receive: Receive) -> None:
    """Let the time pass, or as much of it as the caller stays for."""
    gone = asyncio.ensure_future(receive())
    await asyncio.wait({gone}, timeout=seconds)
    gone.cancel()
