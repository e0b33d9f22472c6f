"""The verifier works alone: an auditor installs it without the gateway and without a network."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import provenance

PACKAGE = Path(provenance.__file__).parent
PERMITTED = {"provenance", "cryptography", "rfc8785", "rfc3161_client"}
NETWORK = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "asyncio", "xmlrpc", "socketserver", "select"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of everything a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_nothing_but_what_an_auditor_has(path: Path) -> None:
    foreign = imported(path) - PERMITTED - sys.stdlib_module_names
    assert not foreign


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_cannot_reach_a_network(path: Path) -> None:
    assert not imported(path) & NETWORK


def test_names_of_the_public_interface_exist_and_are_sorted_into_the_list() -> None:
    assert len(set(provenance.__all__)) == len(provenance.__all__)
    for name in provenance.__all__:
        assert getattr(provenance, name) is not None
