"""Writes the committed API descriptions: `python -m tests.openapi_files openapi`.

It stands with the tests because it opens the gateway and the simulated payers side by side, which no room of
the product may do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from gateway.api.openapi import to_yaml
from gateway.app import create_app
from gateway.flows.services import open_services
from gateway.settings import Settings
from payer_endpoints.harness.app import describe as describe_harness

COMMAND = "make openapi"
"""What brings the files up to date."""


def gateway_text() -> str:
    """The gateway's description as YAML."""
    with tempfile.TemporaryDirectory(prefix="pa-openapi-") as name:
        folder = Path(name)
        folder.chmod(0o700)
        settings = Settings.model_validate(
            {"store": {"url": f"sqlite:///{folder / 'gateway.db'}"}, "keys": {"directory": str(folder / "keys")}}
        )
        services = open_services(settings)
        try:
            return to_yaml(create_app(settings, services, work=False).openapi())
        finally:
            services.close()


def texts() -> dict[str, str]:
    """File name → content."""
    return {"gateway.yaml": gateway_text(), "harness.yaml": describe_harness()}


def main(arguments: list[str]) -> int:
    """Command line: one folder. Exit 0 done, 2 usage."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m tests.openapi_files OUT_DIR\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
