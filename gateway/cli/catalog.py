"""`pa-gateway payer …`, `rule …`, `keys …`: what the installation holds as data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli.shared import JsonOption, SettingsOption, err, flat, print_fields, print_table, show, write_file
from gateway.clock import SystemClock
from gateway.flows import catalog
from gateway.settings import load_settings

payers = typer.Typer(help="Payer rows.", no_args_is_help=True)
rules = typer.Typer(help="Clinical rule rows.", no_args_is_help=True)
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


@rules.command("list")
def list_rules(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Every clinical rule row in force, packaged ones and those of `rules.directories`."""
    show({"rules": catalog.list_rules(load_settings(settings))}, as_json, _print_rules)


@rules.command("check")
def check_rules(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Read every rule row; exit code 10 with file, key and what was expected when one cannot be used."""
    found = catalog.list_rules(load_settings(settings))
    show({"rules": found}, as_json, lambda value: typer.echo(f"{len(value['rules'])} rule rows can be used."))


@rules.command("show")
def show_rule(
    rule: Annotated[str, typer.Argument(help="Id of the rule.", show_default=False)],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """One rule with everything it asks, all its versions."""
    show({"versions": catalog.show_rule(load_settings(settings), rule)}, as_json, _print_rule)


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


def _print_rules(found: dict[str, Any]) -> None:
    rows = [
        (row["rule_id"], row["version"], row["status"], row["from"], row["to"] or "-", ", ".join(row["procedures"]))
        for row in found["rules"]
    ]
    print_table(("rule", "version", "status", "from", "to", "procedures"), rows)


def _print_rule(found: dict[str, Any]) -> None:
    for row in found["versions"]:
        print_fields(list(flat("", row)))
        typer.echo()


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
