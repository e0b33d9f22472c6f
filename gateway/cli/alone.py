"""Commands that are started without the rest of the command line being imported."""

from __future__ import annotations

import sys

import typer

from gateway.cli.elm import elm
from gateway.errors import GatewayError


def run_elm() -> None:
    """Run `pa-gateway elm …`; an error of ours is one sentence on standard error and exit code 1, as everywhere."""
    app = typer.Typer(name="pa-gateway", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    app.add_typer(elm, name="elm")
    try:
        app()
    except GatewayError as error:
        print(error.diagnostics(), file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _root() -> None:
    """Prior-authorization gateway."""
