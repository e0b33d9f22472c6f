"""What every command shares: settings, the local operator as actor, output, and errors as exit codes."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gateway.errors import EhrError, GatewayError, InputError, IntegrityError, NotFound, PayerError, SettingsError
from gateway.fhir.json import pretty_json
from gateway.flows import views
from gateway.flows.actors import Actor
from gateway.flows.services import Services, open_services
from gateway.logs import configure_logs
from gateway.settings import Settings, load_settings
from gateway.store.rows import CaseFilter

SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", envvar="PA_GATEWAY_SETTINGS", help="Settings file (TOML).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (gateway/cli/README.md) instead of a table.")]
CaseArgument = Annotated[str, typer.Argument(help="Case id, or how it begins.", show_default=False)]
UUID_LENGTH, MOST_CASES = 36, 500
SHORT = 8
"""Characters of a case id that lists show; every command takes as many as tell the case apart."""
EXIT_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (SettingsError, 10),
    (IntegrityError, 30),
    (EhrError, 20),
    (PayerError, 21),
)
"""Exit code of an error; every other one of ours is 1."""
LEAST_ROOM = 16
"""Narrowest last column that is folded; with less the terminal breaks the lines."""
err = Console(stderr=True, soft_wrap=True)
"""Messages and progress for people."""


def run(app: typer.Typer) -> None:
    """Run the command line; errors of ours become one sentence and an exit code, never a traceback."""
    try:
        app()
    except GatewayError as error:
        err.print(error.diagnostics(), style="red", markup=False, highlight=False)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


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


def short(case_id: str) -> str:
    """The beginning of a case id, as lists show it on a terminal; the whole id in a pipe."""
    return case_id[:SHORT] if sys.stdout.isatty() else case_id


def find_case(services: Services, actor: Actor, begin: str) -> str:
    """The one case whose id is or begins with `begin`. Raises NotFound, InputError for several."""
    wanted = begin.strip().lower()
    if len(wanted) == UUID_LENGTH or not wanted:
        return wanted
    rows = views.list_cases(services, actor, CaseFilter(text=wanted), MOST_CASES)
    found = [row["case_id"] for row in rows if row["case_id"].startswith(wanted)]
    if len(found) > 1:
        raise InputError("Several cases begin like this; give more of the id.", code="usage.case")
    if not found:
        raise NotFound("No case begins like this; `pa-gateway case list` shows them.")
    return str(found[0])


def show(value: Any, as_json: bool, table: Callable[[Any], None]) -> None:
    """Print `value` as JSON on standard output, or by `table` for people."""
    if as_json:
        typer.echo(pretty_json(value))
    else:
        table(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table on standard output; nothing but the last column is ever folded, and that only on a terminal."""
    cells = [tuple(str(cell) for cell in row) for row in rows]
    widths = [max(len(line[place]) for line in (tuple(columns), *cells)) for place in range(len(columns) - 1)]
    room = _room(sum(widths) + 2 * len(widths))
    for line in (tuple(columns), *cells):
        start = "".join(f"{cell:<{width}}  " for cell, width in zip(line, widths, strict=False))
        folded = textwrap.wrap(line[-1], room) if room else [line[-1]]
        typer.echo((start + "".join(folded[:1])).rstrip())
        for rest in folded[1:]:
            typer.echo(" " * len(start) + rest)


def _room(taken: int) -> int:
    """Width of the last column: what the terminal leaves, 0 for a pipe or where too little is left to fold into."""
    left = shutil.get_terminal_size().columns - taken if sys.stdout.isatty() else 0
    return left if left >= LEAST_ROOM else 0


def print_fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values, one a line; empty values are left out."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        if value not in ("", None, [], {}):
            typer.echo(f"{name:<{width}}  {value}")


def flat(path: str, value: Any) -> Iterator[tuple[str, object]]:
    """Dotted path and plain value of everything in a JSON value, for people."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, item in enumerate(value, 1):
            yield from flat(f"{path}[{place}]", item)
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, list) else value


def write_file(path: Path, content: bytes) -> None:
    """Write a file. Raises InputError that names it."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", code="file.unwritable") from None
