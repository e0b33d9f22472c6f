"""The texts of the packaged rule rows and of an operator's own; what they mean is read elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

MAX_RULE_BYTES = 65_536
"""A rule row is a page of text; anything larger is cut off here and refused by its reader."""


def read_rule_files(extra: Sequence[Path] = ()) -> tuple[tuple[str, str], ...]:
    """(file name, text) of every rule row, packaged ones first, then those of `extra` (files or folders).

    A later file of the same name replaces an earlier one. Raises OSError or UnicodeDecodeError for a
    file that cannot be read as UTF-8 text.
    """
    packaged = files("payer_endpoints") / "rules"
    found = {item.name: item.read_text("utf-8") for item in packaged.iterdir() if item.name.endswith(".yaml")}
    for path in extra:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            with file.open(encoding="utf-8") as opened:
                found[file.name] = opened.read(MAX_RULE_BYTES + 1)
    return tuple(sorted(found.items()))
