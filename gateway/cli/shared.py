"""What the commands over the house share: its opening, the local operator as actor, cases by their beginning."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import (
    EXIT_CODES,
    JsonOption,
    SettingsOption,
    err,
    exit_code,
    flat,
    print_fields,
    print_table,
    run,
    show,
    write_file,
)
from gateway.errors import InputError, NotFound
from gateway.flows import views
from gateway.flows.actors import Actor
from gateway.flows.services import Services, open_services
from gateway.logs import configure_logs
from gateway.settings import Settings, load_settings
from gateway.store.rows import CaseFilter

__all__ = [
    "EXIT_CODES",
    "CaseArgument",
    "JsonOption",
    "SettingsOption",
    "err",
    "exit_code",
    "find_case",
    "flat",
    "opened",
    "operator",
    "print_fields",
    "print_table",
    "run",
    "short",
    "show",
    "write_file",
]

CaseArgument = Annotated[str, typer.Argument(help="Case id, or how it begins.", show_default=False)]
UUID_LENGTH, MOST_CASES = 36, 500
SHORT = 8
"""Characters of a case id that lists show; every command takes as many as tell the case apart."""


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
