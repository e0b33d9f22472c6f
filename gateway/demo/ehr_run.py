"""Running the synthetic EHR as a program on a loopback port."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

import uvicorn

from gateway.demo.charts import all_charts, demo_charts
from gateway.demo.ehr_server import FHIR_PATH, create_ehr_app
from gateway.fhir import Json
from gateway.fhir.json import parse_object


def main(arguments: list[str]) -> int:
    """Serve until ended. Prints one ready line on standard output. Exit 0 ended, 1 cannot start, 2 usage."""
    options = _options(arguments)
    token = options.token_file.read_text("utf-8").strip() if options.token_file else None
    app = create_ehr_app(_bundles(options), token)
    try:
        listening = _listen(options.port)
    except OSError as error:
        sys.stderr.write(f"cannot listen on port {options.port}: {error.strerror}\n")
        return 1
    port = listening.getsockname()[1]
    server = _Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    server.ready_line = f"ready http://127.0.0.1:{port}{FHIR_PATH} pid={os.getpid()}"
    server.run(sockets=[listening])
    return 0


class _Server(uvicorn.Server):
    """Says when it can be used."""

    ready_line = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self.ready_line}\n")
        sys.stdout.flush()


def _listen(port: int) -> socket.socket:
    # The protocol is named because asyncio switches off Nagle's delay (40 ms an answer) only where it is.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return listening


def _bundles(options: argparse.Namespace) -> list[Json]:
    if options.charts:
        return [parse_object(path.read_bytes()) for path in sorted(options.charts.glob("*.json"))]
    charts = demo_charts() if options.demo else all_charts()
    return [chart.bundle for chart in charts]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.ehr_server", description="Synthetic FHIR R4 EHR.")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    parser.add_argument("--token-file", type=Path, help="file with the bearer token; without it everybody is let in")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--charts", type=Path, help="folder of chart Bundles (*.json)")
    source.add_argument("--demo", action="store_true", help="the demo's scenarios instead of the worked cases")
    return parser.parse_args(arguments)
