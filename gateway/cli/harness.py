"""`pa-gateway harness serve`: the simulated payers, for people who have none to talk to."""

from __future__ import annotations

import typer

from payer_endpoints.harness.__main__ import main as run_harness

harness = typer.Typer(help="Simulated payers for demonstrations and tests.", no_args_is_help=True)


@harness.command(
    "serve",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def serve(context: typer.Context) -> None:
    """Serve the simulated payers until interrupted. `--help` lists port, scenarios, faults and ledger options."""
    raise typer.Exit(run_harness(context.args))
