"""Nothing in the code is special to the first worked case: its codes and words stand in data alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("gateway", "provenance", "payer_endpoints", "questionnaires")
DATA = ("gateway/demo/recipes", "payer_endpoints/rules", "payer_endpoints/harness/scenarios", "questionnaires")
"""Folders that hold clinical data and nothing that runs."""
CODES = re.compile(r"7214[12]|72156|M54")
"""Codes of the first worked case: MRI of the cervical spine for neck pain."""
SPECIAL = re.compile(rf"{CODES.pattern}|cervical", re.IGNORECASE)
"""The same and its words."""


def _modules() -> Iterator[Path]:
    for room in PRODUCT:
        yield from sorted((ROOT / room).rglob("*.py"))


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    """Text that the code works with: every string but docstrings, which may give examples."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.mark.parametrize("path", list(_modules()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_knows_the_first_worked_case(path: Path) -> None:
    found = [f"line {line}: {text[:60]}" for line, text in _strings(path) if SPECIAL.search(text)]
    assert found == []
    assert CODES.search(path.read_text("utf-8")) is None, "not even as an example"


@pytest.mark.parametrize("folder", DATA)
def test_a_data_folder_holds_no_code(folder: str) -> None:
    modules = [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")]
    assert [name for name in modules if Path(name).name != "__init__.py"] == []


def test_pages_and_settings_do_not_know_it_either() -> None:
    endings = {".html", ".js", ".css", ".sql", ".toml", ".json", ".yaml"}
    found = []
    for room in PRODUCT:
        for path in sorted((ROOT / room).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in endings and not name.startswith(DATA) and SPECIAL.search(path.read_text("utf-8")):
                found.append(name)
    assert found == []
