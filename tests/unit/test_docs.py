"""What the documents say exists: commands, settings, make targets, modules and links."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from gateway.settings import CdsClientSettings, ClientSettings, EhrSettings, Settings
from tests.command_tree import commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "demo-data", "node_modules"} & set(path.relative_to(ROOT).parts)
    and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "gateway" / "cli" / "README.md").read_text("utf-8")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
MENTION = re.compile(r"(?:`|bin/)pa-gateway ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
ENTRIES = {"ehr": EhrSettings, "clients": ClientSettings, "cds_clients": CdsClientSettings}
"""Sections whose entries have names of the operator's choice."""
GROUPS = {name.split()[0] for name in commands() if " " in name}


def _names(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_names)
def test_links_resolve(document: Path) -> None:
    for target in LINK.findall(document.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in _anchors(found), f"{target}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_names)
def test_commands_that_are_named_exist(document: Path) -> None:
    known = commands()
    for first, second in MENTION.findall(document.read_text("utf-8")):
        name = f"{first} {second}" if first in GROUPS else first
        assert name in known or name.strip() in GROUPS, f"there is no `pa-gateway {name}`"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_documented(name: str) -> None:
    assert re.search(rf"^\| `{re.escape(name)}[ `]", COMMANDS, re.MULTILINE), f"add {name} to gateway/cli/README.md"


def _settings() -> Iterator[tuple[str, str]]:
    """Row of the README's table and name of each setting."""
    for name, field in Settings.model_fields.items():
        kind: Any = ENTRIES.get(name, field.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            row = f"[{name}.ID]" if name in ENTRIES else f"[{name}]"
            yield from ((row, key) for key in kind.model_fields)
        else:
            yield name, name


@pytest.mark.parametrize(("row", "key"), list(_settings()))
def test_every_setting_is_in_the_readme(row: str, key: str) -> None:
    found = [line for line in README.splitlines() if line.startswith("| `") and row in line.split("|")[1]]
    assert found, f"the table of settings has no {row}"
    assert f"`{key}`" in found[0], f"{row} does not name {key}"


def test_every_setting_in_the_readme_exists() -> None:
    known = {key for _, key in _settings()}
    rows = re.findall(r"^\| `\[[a-z._A-Z]+\]` \|(.*)\|$", README, re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`([a-z0-9_]+)`", row)}
    assert len(rows) > 5
    assert named - {"accepted"} <= known | {"keys init"}


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", README, re.MULTILINE))
    assert {first or second for first, second in named} == targets


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([\w.]+)", README))))
def test_modules_that_are_named_can_be_run(module: str) -> None:
    found = importlib.util.find_spec(module)
    assert found is not None
    if found.submodule_search_locations:
        assert importlib.util.find_spec(f"{module}.__main__") is not None


def test_modules_of_the_makefile_can_be_run() -> None:
    for module in re.findall(r"python -m (tests[\w.]*)", (ROOT / "Makefile").read_text("utf-8")):
        found = importlib.util.find_spec(module)
        assert found is not None, module
        assert not found.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__"), module


def test_routes_that_the_readme_names_are_described() -> None:
    described = yaml.safe_load((ROOT / "openapi" / "gateway.yaml").read_text("utf-8"))["paths"]
    known = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, item in described.items() for method in item}
    named = re.findall(r"`(GET|POST|PUT|DELETE) (/[^\s`]*)`", README)
    assert named
    for method, path in named:
        assert (method, re.sub(r"\{\w+\}", "{}", path)) in known, f"{method} {path}"


def _anchors(document: Path) -> set[str]:
    """Anchors of the headings of a document, as code forges make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
