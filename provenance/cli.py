"""`pa-verify`: an auditor checks an evidence package without the gateway and without a network.

Exit codes: 0 passed, 1 failed, 2 usage or unusable anchors, 3 cannot tell.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from provenance.anchors import read_instant
from provenance.errors import AnchorsError
from provenance.report import Report
from provenance.report_html import to_html
from provenance.verify import verify_package

_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code is the verdict. `arguments` None means those of the process."""
    options = _parser().parse_args(arguments)
    try:
        report = verify_package(
            options.package,
            options.anchors.read_bytes(),
            expect_tenant=options.expect_tenant,
            expect_patient=options.expect_patient,
            complete_until=options.complete_until,
            revocation_lists=[path.read_bytes() for path in options.crl],
        )
        if options.report is not None:
            _write_report(options.report, report)
    except AnchorsError as error:
        return _complain(f"anchors: {error}")
    except OSError as error:
        return _complain(f"{error.filename or 'file'}: {error.strerror}")
    _print(report.to_text())
    return report.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pa-verify",
        description="Checks an evidence package of a prior authorization, offline.",
        epilog="Exit codes: 0 passed, 1 failed, 2 usage or unusable anchors, 3 cannot tell.",
    )
    parser.add_argument("package", type=Path, help="the package (zip)")
    parser.add_argument("--anchors", type=Path, required=True, help="your own anchors.json, from another source")
    parser.add_argument("--expect-tenant", metavar="NPI|EIN", help="the organization it must belong to")
    parser.add_argument("--expect-patient", metavar="SYSTEM|VALUE", help="the patient it must be about")
    parser.add_argument("--complete-until", metavar="INSTANT", type=_instant, help="ask for a head at least this new")
    parser.add_argument("--crl", metavar="FILE", type=Path, action="append", default=[], help="a newer revocation list")
    parser.add_argument("--report", metavar="OUT", type=_report_path, help="also write a report (.json or .html)")
    return parser


def _instant(text: str) -> datetime:
    try:
        return read_instant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("an instant with a time zone, e.g. 2026-11-01T12:00:00Z") from error


def _report_path(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".json", ".html"):
        raise argparse.ArgumentTypeError("a name that ends in .json or .html")
    return path


def _write_report(path: Path, report: Report) -> None:
    text = report.to_json() + "\n" if path.suffix == ".json" else to_html(report)
    # A report tells about a patient's case: its owner alone may read it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _print(text: str) -> None:
    # A terminal that cannot show a character gets a question mark, not a crash.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def _complain(message: str) -> int:
    sys.stderr.write(f"pa-verify: {message}\n")
    return _USAGE


if __name__ == "__main__":
    sys.exit(main())
