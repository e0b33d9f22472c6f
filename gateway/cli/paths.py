"""`pa-gateway fhirpath evaluate`: expressions over one resource."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.elm import instant
from gateway.fhir.json import dump_json, pretty_json
from gateway.flows.path_files import evaluate_paths

fhirpath = typer.Typer(help="FHIRPath expressions.", no_args_is_help=True)


@fhirpath.callback()
def _group() -> None:
    """FHIRPath expressions."""


@fhirpath.command("evaluate")
def evaluate(
    expressions: Annotated[
        list[str], typer.Argument(metavar="EXPRESSION...", help="FHIRPath, quoted for the shell.", show_default=False)
    ],
    resource: Annotated[Path, typer.Option("--resource", metavar="FILE", help="Resource or Bundle, as JSON.")],
    now: Annotated[str, typer.Option("--now", metavar="T", help="Instant of the evaluation, with its offset.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print stable JSON instead of a table.")] = False,
) -> None:
    """Evaluate expressions, each on its own; one that fails does not stop the others.

    Exit code 1 when the file cannot be used.
    """
    found = evaluate_paths(expressions, resource, now=instant(now))
    if as_json:
        typer.echo(pretty_json(found))
        return
    for expression, values in found["results"].items():
        typer.echo(f"{expression}: {dump_json(values).decode()}")
    for expression, error in found["errors"].items():
        typer.echo(f"{expression}: {error['message']} ({error['code']})")
