"""`python -m payer_endpoints.harness`: run the simulated payers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from payer_endpoints.harness.app import describe
from payer_endpoints.harness.config import HarnessConfig
from payer_endpoints.harness.scenarios import ScenarioError
from payer_endpoints.harness.server import serve


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped. Exit code 10 for scenario files that cannot be used, as for any setting."""
    options = _parser().parse_args(arguments)
    if options.openapi:
        sys.stdout.write(describe())
        return 0
    try:
        serve(
            options.host,
            options.port,
            config=_config(options),
            down_port=options.down_port,
            down_seconds=options.down_seconds,
        )
    except ScenarioError as error:
        sys.stderr.write(f"{error}\n")
        return 10
    return 0


def _config(options: argparse.Namespace) -> HarnessConfig:
    return HarnessConfig(
        token=options.token,
        require_token=not options.no_auth,
        client_id=options.client_id,
        client_secret=options.client_secret,
        scenarios=options.scenarios,
        forms=options.forms,
        ledger_file=options.ledger,
        slow_seconds=options.slow_seconds,
        delivery_seconds=options.delivery_seconds,
        pace=options.pace,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m payer_endpoints.harness", description="Simulated payers. Fake data only."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--down-port", type=int, help="a second listener, opened late")
    parser.add_argument("--down-seconds", type=float, default=5, help="when it opens")
    parser.add_argument("--scenarios", type=Path, help="folder of scenario files")
    parser.add_argument("--forms", type=Path, help="folder of questionnaires")
    parser.add_argument("--ledger", type=Path, help="append-only file that survives a restart")
    parser.add_argument("--token", help="a bearer token that is always accepted")
    parser.add_argument("--no-auth", action="store_true", help="accept every caller")
    parser.add_argument("--client-id", default=HarnessConfig().client_id)
    parser.add_argument("--client-secret", default=HarnessConfig().client_secret)
    parser.add_argument("--slow-seconds", type=float, help="overrides every slow fault of the scenarios")
    parser.add_argument("--delivery-seconds", type=float, default=120, help="how long a notification is tried")
    parser.add_argument("--openapi", action="store_true", help="print the description of the routes and end")
    parser.add_argument("--pace", type=float, default=1, help="factor on the waiting times of the scenarios")
    return parser


if __name__ == "__main__":
    sys.exit(main())
