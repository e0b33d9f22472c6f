"""Commands that are started without the rest of the command line being imported."""

from __future__ import annotations

import importlib
import sys
from typing import Final

import typer

from gateway.cli.output import exit_code, forget_output
from gateway.errors import GatewayError

ALONE: Final = {
    "chart": ("gateway.cli.charts", "charts"),
    "elm": ("gateway.cli.elm", "elm"),
    "fhirpath": ("gateway.cli.paths", "fhirpath"),
    "questionnaire": ("gateway.cli.questionnaires", "questionnaires"),
}
"""Groups that work on files: no database. Name, module, and the group in it."""


def run_alone(group: str) -> None:
    """Run `pa-gateway GROUP …`; an error of ours is one sentence on standard error and an exit code, as everywhere."""
    module, name = ALONE[group]
    app = typer.Typer(name="pa-gateway", no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    app.add_typer(getattr(importlib.import_module(module), name), name=group)
    try:
        app()
    except GatewayError as error:
        print(error.diagnostics(), file=sys.stderr)  # noqa: T201
        sys.exit(exit_code(error))
    except BrokenPipeError:
        forget_output()
        sys.exit(1)


def _root() -> None:
    """Prior-authorization gateway."""
