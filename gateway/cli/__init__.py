"""The command line: nouns, then verbs; a human table by default, `--json` stable, progress on stderr.

Exit codes: 0 done, 1 check failed, 2 usage, 3 cannot tell, 10 settings, 20 EHR, 21 payer, 30 integrity.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of `pa-gateway`. Groups that work on files do not wait for the house to be imported."""
    from gateway.cli.alone import ALONE, run_alone

    if sys.argv[1:2] and sys.argv[1] in ALONE:
        run_alone(sys.argv[1])
        return
    os.umask(0o077)  # what this process writes is for its own user alone (security T37)
    from gateway.cli.commands import build_cli
    from gateway.cli.shared import run

    run(build_cli())
