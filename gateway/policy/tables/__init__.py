"""Rows of policy, read once from the package."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from gateway.errors import SettingsError


@cache
def read_table(name: str) -> dict[str, Any]:
    """Content of `<name>.toml` in this folder. Raises `SettingsError` where the package is incomplete."""
    try:
        return tomllib.loads((files(__name__) / f"{name}.toml").read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        raise SettingsError(f"The policy table {name}.toml is missing or broken; install the package again.") from None
