"""`pa-gateway serve`: the gateway as an HTTP server with its background work."""

from __future__ import annotations

from typing import Annotated

import typer
import uvicorn

from gateway.app import create_app
from gateway.cli.shared import SettingsOption, err
from gateway.settings import load_settings


def serve(
    settings: SettingsOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default from the settings.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default from the settings.")] = None,
) -> None:
    """Serve the gateway: orders in, pages for staff, work in the background, until interrupted."""
    loaded = load_settings(settings)
    app = create_app(loaded)
    address = host or loaded.server.host
    listening = port if port is not None else loaded.server.port
    err.print(f"gateway at http://{address}:{listening}/", highlight=False)
    uvicorn.run(app, host=address, port=listening, log_config=None, access_log=False, server_header=False)
