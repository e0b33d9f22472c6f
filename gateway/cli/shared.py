"""What every command shares: settings, the local operator as actor, output, and errors as exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from gateway.errors import EhrError, GatewayError, IntegrityError, PayerError, SettingsError
from gateway.fhir.json import pretty_json
from gateway.flows.actors import Actor
from gateway.flows.services import Services, open_services
from gateway.logs import configure_logs
from gateway.settings import Settings, load_settings

SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", envvar="PA_GATEWAY_SETTINGS", help="Settings file (TOML).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print stable JSON instead of a table.")]
EXIT_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (SettingsError, 10),
    (IntegrityError, 30),
    (EhrError, 20),
    (PayerError, 21),
)
"""Exit code of an error; every other one of ours is 1."""
err = Console(stderr=True)
"""Messages and progress for people."""


def run(app: typer.Typer) -> None:
    """Run the command line; errors of ours become one sentence and an exit code, never a traceback."""
    try:
        app()
    except GatewayError as error:
        err.print(error.diagnostics(), style="red", markup=False, highlight=False)
        sys.exit(exit_code(error))


def exit_code(error: GatewayError) -> int:
    """The exit code that stands for `error`."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


@contextmanager
def opened(path: Path | None) -> Iterator[tuple[Services, Actor]]:
    """The services of the settings and the local operator, who may do what staff, clinicians and auditors may."""
    settings = load_settings(path)
    configure_logs("error")
    services = open_services(settings)
    try:
        yield services, operator(settings)
    finally:
        services.close()


def operator(settings: Settings) -> Actor:
    """The person at this machine's command line, in the configured tenant."""
    return Actor(
        id="operator",
        kind="user",
        tenant=settings.tenant.id,
        roles=("staff", "clinician", "auditor"),
        name="local operator",
    )


def show(value: Any, as_json: bool, table: Callable[[Any], None]) -> None:
    """Print `value` as JSON on standard output, or by `table` for people."""
    if as_json:
        typer.echo(pretty_json(value))
    else:
        table(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table on standard output."""
    shown = Table(box=None, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    Console().print(shown)


def print_fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line; empty values are left out."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        if value not in ("", None, [], {}):
            typer.echo(f"{name:<{width}}  {value}")
