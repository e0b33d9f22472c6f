"""`pa-gateway serve`: the gateway as an HTTP server with its background work."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI

from gateway.app import create_app
from gateway.cli.shared import SettingsOption, err
from gateway.errors import GatewayError, SettingsError
from gateway.settings import load_settings

MAX_PORT = 65535


def serve(
    settings: SettingsOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default from the settings.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_PORT, help="Port to listen on, 0 for a free one; default from the settings."),
    ] = None,
) -> None:
    """Serve the gateway: orders in, pages for staff, work in the background, until interrupted.

    Logs are JSON lines on standard error. Exit code 10 with one sentence when it cannot start.
    """
    loaded = load_settings(settings)
    address = host or loaded.server.host
    listening = listen(address, port if port is not None else loaded.server.port)
    app = create_app(loaded)
    failed = _watch_start(app, lambda: _tell(address, listening))
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except SystemExit:
        if not failed:
            raise
    if failed:
        raise failed[0]


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises SettingsError where the address is not ours or is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio switches off Nagle's delay (40 ms an answer) only where it is.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise SettingsError(
            f"server.host, server.port: cannot listen at {host}:{port} ({error.strerror}). "
            "Is another gateway running? Choose another port with --port."
        ) from None
    return opened


def _watch_start(app: FastAPI, ready: Callable[[], None]) -> list[GatewayError]:
    """Call `ready` once the background work runs; the list holds what kept it from starting, without a traceback."""
    failed: list[GatewayError] = []
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[Any]:
        try:
            async with inner(running) as state:
                ready()
                yield state
        except GatewayError as error:
            failed.append(error)
            raise

    app.router.lifespan_context = lifespan
    logging.getLogger("uvicorn.error").addFilter(lambda _: not failed)
    return failed


def _tell(host: str, listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    err.print(f"gateway at http://{f'[{host}]' if ':' in host else host}:{port}/", highlight=False)
