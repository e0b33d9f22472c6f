"""`pa-gateway elm evaluate`: run compiled CQL over a FHIR Bundle.

Needs no settings, no database and no other part of the house, so it is imported alone and starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.clock import SystemClock
from gateway.errors import InputError, ReasoningError
from gateway.fhir.json import dump_json
from gateway.flows.logic import evaluate_files

elm = typer.Typer(help="Compiled CQL (ELM).", no_args_is_help=True)


@elm.callback()
def _group() -> None:
    """Compiled CQL (ELM)."""


@elm.command("evaluate")
def evaluate(
    libraries: Annotated[
        list[Path],
        typer.Argument(
            metavar="LIBRARY...",
            help="ELM JSON, or FHIR Libraries and ValueSets, alone or in a Bundle or package.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="BUNDLE", help="Bundle with the record of one patient.")
    ] = None,
    now: Annotated[str, typer.Option("--now", metavar="T", help="Instant of the evaluation, with its offset.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("--parameter", metavar="NAME=JSON", help="Value of a parameter; repeatable.")
    ] = None,
    defines: Annotated[
        list[str] | None, typer.Option("--define", metavar="NAME", help="Only this define; repeatable.")
    ] = None,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="REFERENCE", help="Patient, when the record has several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print stable JSON instead of a table.")] = False,
) -> None:
    """Evaluate the defines of libraries, each on its own; one that fails does not stop the others.

    Libraries that another one includes are not evaluated themselves. Exit code 1 when a file cannot be used.
    """
    found = _evaluated(libraries, data, now, parameters or [], defines or [], patient)
    typer.echo(dump_json(found).decode() if as_json else _table(found))
    if _has_broken_file(found, libraries):
        raise typer.Exit(1)


def _evaluated(
    libraries: list[Path], data: Path | None, now: str, pairs: list[str], defines: list[str], patient: str | None
) -> dict[str, Any]:
    at, parameters = instant(now), _parameters(pairs)
    try:
        return evaluate_files(libraries, data, now=at, parameters=parameters, defines=defines, patient=patient)
    except ReasoningError as error:
        return {"defines": {}, "errors": {libraries[0].stem: {"code": error.reason, "message": error.message}}}


def instant(text: str) -> datetime:
    """The instant that `--now` names; the clock's without it. Raises InputError `usage.now`."""
    if not text:
        return SystemClock().now()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise InputError(
            "Write --now as an ISO instant with an offset, e.g. 2026-06-01T09:00:00-06:00.", code="usage.now"
        )
    return found


def _parameters(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError("Write parameters as NAME=JSON.", code="usage.parameter")
        found[name] = value
    return found


def _has_broken_file(found: Mapping[str, Any], libraries: list[Path]) -> bool:
    return any(path.stem in found.get("errors", {}) for path in libraries)


def _table(found: Mapping[str, Any]) -> str:
    """A line per define, errors after values."""
    groups = found.get("libraries") or {"": found}
    lines = []
    for library, results in groups.items():
        prefix = f"{library}." if library else ""
        lines += [f"{prefix}{name}: {dump_json(value).decode()}" for name, value in results.get("defines", {}).items()]
        lines += [f"{prefix}{name}: {error['message']} ({error['code']})" for name, error in _errors(results)]
    lines += [f"{name}: {error['message']} ({error['code']})" for name, error in _errors(found) if "libraries" in found]
    return "\n".join(lines)


def _errors(results: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list((results.get("errors") or {}).items())
