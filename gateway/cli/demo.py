"""`pa-gateway demo`: everything at once, with synthetic patients, on this machine."""

from __future__ import annotations

import json
import signal
import time
from types import FrameType
from typing import Annotated

import typer

from gateway.cli.shared import JsonOption, SettingsOption, err, print_table
from gateway.demo.script import Demo, run_once
from gateway.settings import load_settings
from provenance import FAILED


def demo(
    settings: SettingsOption = None,
    once: Annotated[bool, typer.Option("--once", help="Wait until every case rests, report, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start a synthetic EHR, simulated payers and the gateway, and carry ten orders through.

    Without --once everything stays up until Ctrl+C or SIGTERM, and the address of the worklist is printed.
    Exit code 0: every scenario rests where it should and its evidence has no failing code.
    """
    loaded = load_settings(settings)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)

    def tell(line: str) -> None:
        err.print(f"{time.monotonic() - started:6.1f} s  {line}", highlight=False, markup=False)

    report, wrong = run_once(loaded, tell, None if once else _stay)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    elif once:
        _print(report)
    for line in wrong:
        err.print(line, style="red", markup=False)
    raise typer.Exit(1 if wrong else 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End as Ctrl+C does, so that the processes started here end too; a second signal does not disturb that."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stay(running: Demo) -> None:
    """Say where the pages are and wait for an interrupt."""
    house = running.house
    _print(running.report())
    typer.echo(f"\nWorklist:  {house.gateway_urls[0]}/")
    typer.echo(f"Sign in as demo with the password {house.password}")
    typer.echo(f"Everything of this run is in {house.folder}")
    typer.echo("Press Ctrl+C to end.")
    try:
        while all(process.poll() is None for process in house.gateways):
            time.sleep(0.5)
        err.print("The gateway has ended; see its log in the folder above.", style="red")
    except KeyboardInterrupt:
        err.print("Ending.")


def _print(report: dict[str, object]) -> None:
    cases = report["cases"]
    assert isinstance(cases, list)
    rows = [
        (
            case["scenario"],
            case["state"],
            case["authorization_number"] or "-",
            case["verification"]["verdict"],
            "; ".join(case["denial_reasons"]) or case["next_action"],
        )
        for case in cases
    ]
    typer.echo()
    print_table(("scenario", "state", "number", "evidence", "reasons or next action"), rows)
    ledger = report["payer_ledger"]
    assert isinstance(ledger, dict)
    typer.echo()
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in ledger.items())
    typer.echo(f"Payers' ledger: {counts}")
    open_points = sorted({code for case in cases for code in case["verification"]["codes"]})
    if all(case["verification"]["verdict"] != FAILED for case in cases) and open_points:
        typer.echo(f"Evidence: what was checked holds; not decided: {', '.join(open_points)} (see README.md)")
