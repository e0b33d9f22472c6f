"""All commands of `pa-gateway`, put together."""

from __future__ import annotations

import typer

from gateway.cli import cases, checks, demo, elm, forms, harness, paths, questionnaires, serve

HELP = "Prior-authorization gateway: a completed order in, a decided authorization and checkable evidence out."


def build_cli() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(name="pa-gateway", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.command("serve")(serve.serve)
    app.command("demo")(demo.demo)
    for name, group in (
        ("order", cases.orders),
        ("case", cases.cases),
        ("form", forms.forms),
        ("evidence", cases.evidence_commands),
        ("questionnaire", questionnaires.questionnaires),
        ("elm", elm.elm),
        ("fhirpath", paths.fhirpath),
        ("harness", harness.harness),
        ("settings", checks.settings),
    ):
        app.add_typer(group, name=name)
    return app
