"""Output that every command shares and errors as exit codes; imports nothing of the house, so that it is fast."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gateway.errors import EhrError, GatewayError, InputError, IntegrityError, PayerError, SettingsError
from gateway.fhir.json import pretty_json

SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", envvar="PA_GATEWAY_SETTINGS", help="Settings file (TOML).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON (gateway/cli/README.md) instead of a table.")]
EXIT_CODES: tuple[tuple[type[GatewayError], int], ...] = (
    (SettingsError, 10),
    (IntegrityError, 30),
    (EhrError, 20),
    (PayerError, 21),
)
"""Exit code of an error; every other one of ours is 1."""
USAGE = 2
"""Exit code of an error whose code begins with `usage.`: what was typed cannot be done."""
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
        forget_output()
        sys.exit(1)


def forget_output() -> None:
    """Nobody reads standard output any more: send the rest nowhere, so that the end of the process is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code(error: GatewayError) -> int:
    """The exit code that stands for `error`."""
    if error.reason.startswith("usage."):
        return USAGE
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


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
