"""`pa-gateway payer …`, `keys …`: what the installation holds as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli.shared import JsonOption, SettingsOption, err, print_fields, print_table, show, write_file
from gateway.clock import SystemClock
from gateway.flows import catalog
from gateway.settings import load_settings

payers = typer.Typer(help="Payer rows.", no_args_is_help=True)
keys = typer.Typer(help="Signing keys.", no_args_is_help=True)


@payers.command("list")
def list_payers(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Every payer row in force, packaged ones and those of `payers.directories`."""
    show({"payers": catalog.list_payers(load_settings(settings))}, as_json, _print_payers)


@payers.command("check")
def check_payer(
    slug: Annotated[str, typer.Argument(help="Name of the row.", show_default=False)],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read one payer row and say what it leads to; exit code 10 with file, key and what was expected."""
    show(catalog.show_payer(load_settings(settings), slug), as_json, _print_payer)


@keys.command("init")
def init_keys(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Make authorities and keys in `keys.directory`, which must not be there yet.

    The authority is a development one: evidence convinces those to whom its anchors were handed.
    """
    show({"keys": catalog.create_keys(load_settings(settings), SystemClock())}, as_json, _print_keys)


@keys.command("list")
def list_keys(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Every signing key with its days of validity, oldest first."""
    show({"keys": catalog.list_keys(load_settings(settings))}, as_json, _print_keys)


@keys.command("rotate")
def rotate_key(
    purpose: Annotated[Literal["event", "seal"], typer.Argument(help="Which key to replace.", show_default=False)],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a key; a gateway that runs takes the new one at its next start. Old evidence stays checkable."""
    show({"keys": catalog.rotate_key(load_settings(settings), SystemClock(), purpose)}, as_json, _print_keys)


@keys.command("export-anchors")
def export_anchors(
    out: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write anchors.json for auditors; hand it over by another way than the evidence packages."""
    anchors = catalog.key_anchors(load_settings(settings), SystemClock())
    write_file(out, anchors)
    show(
        {"anchors": str(out), "bytes": len(anchors)},
        as_json,
        lambda value: err.print(f"{value['anchors']}: {value['bytes']} bytes", highlight=False, markup=False),
    )


def _print_payers(found: dict[str, Any]) -> None:
    rows = [
        (row["slug"], ", ".join(f"{name} {door['version']}" for name, door in row["endpoints"].items()), row["name"])
        for row in found["payers"]
    ]
    print_table(("slug", "guides", "name"), rows)


def _print_payer(row: dict[str, Any]) -> None:
    doors = [(name, f"{door['version']} at {door['base_url']}") for name, door in row["endpoints"].items()]
    identifiers = ", ".join(f"{item['system']}|{item['value']}" for item in row["identifiers"])
    print_fields((("slug", row["slug"]), ("name", row["name"]), ("identifiers", identifiers), *doors))
    typer.echo("The row can be used.")


def _print_keys(found: dict[str, Any]) -> None:
    rows = [
        (
            row["purpose"],
            row["algorithm"],
            row["not_before"],
            row["not_after"],
            "revoked" if row["revoked_at"] else "in use" if row["in_use"] else "retired",
            row["thumbprint"],
        )
        for row in found["keys"]
    ]
    print_table(("purpose", "algorithm", "from", "to", "state", "thumbprint"), rows)
