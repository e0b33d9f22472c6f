"""`pa-gateway measures`: the measures of a period as a table, as JSON or as CSV."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.shared import JsonOption, SettingsOption, err, opened, print_table, show, write_file
from gateway.errors import InputError
from gateway.flows.measures import read_measures
from gateway.flows.measures_output import as_csv, as_json

HIDDEN = "fewer than 11"


def measures(
    start: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD; 90 days before the last without.")] = "",
    end: Annotated[str, typer.Option("--to", help="Last day, YYYY-MM-DD; today without.")] = "",
    csv: Annotated[Path | None, typer.Option("--csv", help="Write CSV to this file.", show_default=False)] = None,
    settings: SettingsOption = None,
    as_json_: JsonOption = False,
) -> None:
    """How requests fare: denials, time, completeness, conservative care, exceptions (docs/measures.md).

    n stands beside every rate; numbers of 1 to 10 are hidden; what the gateway does not see is "not recorded".
    """
    first, last = _day(start, "--from"), _day(end, "--to")
    with opened(settings) as (services, actor):
        sheet = read_measures(services, actor, first, last)
    if csv is not None:
        write_file(csv, as_csv(sheet).encode())
        err.print(f"{csv}: {len(sheet.measures)} measures", highlight=False, markup=False)
    if csv is None or as_json_:
        show(as_json(sheet), as_json_, _print)


def _day(text: str, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"{option} wants a day as YYYY-MM-DD.", code="usage.day") from None


def _print(value: dict[str, Any]) -> None:
    period = value["period"]
    typer.echo(f"{period['from']} to {period['to']} ({period['zone']}), {value['orders']} orders in scope")
    rows = []
    for measure in value["measures"]:
        for place, cell in enumerate(measure["cells"] or [{}]):
            name = measure["title"] if not place else f"  {cell['by']}: {cell['group']}"
            rows.append((name, *_numbers(cell, measure)))
    print_table(("measure", "n", "value", "95 % interval", ""), rows)


def _numbers(cell: dict[str, Any], measure: dict[str, Any]) -> tuple[str, str, str, str]:
    notes = " ".join(measure["notes"]) if measure["alarm"] and not cell.get("by") else ""
    if not measure["recorded"]:
        return "-", "not recorded", "-", ""
    n = "-" if cell["denominator"] is None else str(cell["denominator"])
    if cell["hidden"]:
        return n, HIDDEN, "-", notes
    interval = f"{cell['low']}–{cell['high']} %" if cell["low"] is not None else "-"
    return n, _value(cell, measure["unit"]), interval, notes


def _value(cell: dict[str, Any], unit: str) -> str:
    if cell["percent"] is not None:
        return f"{cell['percent']} % ({cell['numerator']})"
    if cell["median"] is not None:
        return f"median {cell['median']}, p90 {cell['p90']} {unit}"
    if cell["amount_low"] is not None:
        return f"{cell['amount_low']} to {cell['amount_high']}"
    return "-" if cell["numerator"] is None else str(cell["numerator"])
