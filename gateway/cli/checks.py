"""`pa-gateway settings check`: are the settings usable, and what is in force?"""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli.shared import JsonOption, SettingsOption, print_fields, show
from gateway.errors import SettingsError
from gateway.flows.services import known_payers
from gateway.settings import describe_settings, load_settings

settings = typer.Typer(help="The settings file.", no_args_is_help=True)


@settings.callback()
def _group() -> None:
    """The settings file."""


@settings.command("check")
def check(settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Read the settings, environment included, and print what is in force with secrets masked.

    Exit code 10 with the file, the key and what was expected when they cannot be used.
    """
    loaded = load_settings(settings_file)
    payers = known_payers(loaded)
    missing = [
        f"ehr.{key}.token_file" for key, row in loaded.ehr.items() if row.token_file and not row.token_file.is_file()
    ]
    if missing:
        raise SettingsError(f"{', '.join(missing)}: there is no such file.")
    shown = {**describe_settings(loaded), "payers_known": payers}
    show(shown, as_json, _print)


def _print(shown: dict[str, Any]) -> None:
    pairs = []
    for section, value in shown.items():
        if isinstance(value, dict):
            pairs += [(f"{section}.{key}", item) for key, item in value.items()]
        else:
            pairs.append((section, value))
    print_fields(pairs)
    typer.echo("The settings can be used.")
