"""The commands of `pa-gateway` by their full name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main

from gateway.cli.commands import build_cli


@cache
def commands() -> dict[str, Any]:
    """Every command that does something, such as `case list`."""
    return dict(_walk("", typer.main.get_command(build_cli())))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, child in inner.items():
        yield from _walk(f"{name} {word}".strip(), child)
