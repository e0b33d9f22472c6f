"""The harness as a process on loopback ports."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

from payer_endpoints.harness.app import create_harness_app
from payer_endpoints.harness.config import HarnessConfig

App = Callable[..., Any]


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    config: HarnessConfig | None = None,
    down_port: int | None = None,
    down_seconds: float = 0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; `port` 0 takes a free one.

    `ready` gets the address once connections are accepted; without it one line is printed. A second listener on
    `down_port` opens only after `down_seconds`; before that connections to it are refused.
    """
    asyncio.run(_serve(host, port, config or HarnessConfig(), (down_port, down_seconds), ready or _print_ready))


async def _serve(
    host: str, port: int, config: HarnessConfig, down: tuple[int | None, float], ready: Callable[[str], None]
) -> None:
    app = create_harness_app(config)
    listener = _listen(host, port)
    server = _server(app, lifespan="on")
    servers = [server]
    main = asyncio.create_task(server.serve(sockets=[listener]))
    _stop_on_signals(servers)
    while not server.started and not main.done():
        await asyncio.sleep(0.01)
    ready(f"http://{host}:{listener.getsockname()[1]}")
    late = asyncio.create_task(_serve_late(app, host, down, servers))
    await main
    for other in servers[1:]:
        other.should_exit = True
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)


async def _serve_late(app: App, host: str, down: tuple[int | None, float], servers: list[uvicorn.Server]) -> None:
    port, seconds = down
    if port is None:
        return
    await asyncio.sleep(seconds)
    server = _server(app, lifespan="off")
    servers.append(server)
    await server.serve(sockets=[_listen(host, port)])


def _server(app: App, *, lifespan: Literal["on", "off"]) -> uvicorn.Server:
    settings = uvicorn.Config(
        app,
        lifespan=lifespan,
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return _Server(settings)


class _Server(uvicorn.Server):
    """Leaves signals alone: two servers share the process and stop together."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio switches off Nagle's delay (40 ms an answer) only where it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _stop_on_signals(servers: list[uvicorn.Server]) -> None:
    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop)
        except (NotImplementedError, RuntimeError, ValueError):
            return  # Not in the main thread, or a platform without signal handlers: the caller stops us.


def _print_ready(address: str) -> None:
    sys.stdout.write(f"ready {address} pid={os.getpid()}\n")
    sys.stdout.flush()
