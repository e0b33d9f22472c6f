"""All commands of `pa-gateway`, put together."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from gateway.cli import (
    care,
    cases,
    catalog,
    charts,
    checks,
    demo,
    elm,
    forms,
    harness,
    measures,
    paths,
    questionnaires,
    rules,
    serve,
)

HELP = "Prior-authorization gateway: a completed order in, a decided authorization and checkable evidence out."


def build_cli() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(
        name="pa-gateway", help=HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback()(_root)
    app.command("serve")(serve.serve)
    app.command("demo")(demo.demo)
    app.command("measures")(measures.measures)
    for name, group in (
        ("order", cases.orders),
        ("case", cases.cases),
        ("form", forms.forms),
        ("care", care.care),
        ("evidence", cases.evidence_commands),
        ("chart", charts.charts),
        ("payer", catalog.payers),
        ("rule", rules.rules),
        ("keys", catalog.keys),
        ("questionnaire", questionnaires.questionnaires),
        ("elm", elm.elm),
        ("fhirpath", paths.fhirpath),
        ("harness", harness.harness),
        ("settings", checks.settings),
    ):
        app.add_typer(group, name=name)
    return app


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"pa-gateway {version('davinci-pa-gateway')}")
    except PackageNotFoundError:
        typer.echo("pa-gateway, not installed")
    raise typer.Exit


def _root(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass
