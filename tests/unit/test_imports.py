"""The import rules of the house, checked on the syntax tree of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BASE = {"gateway.errors", "gateway.clock", "gateway.logs"}
ALLOWED: dict[str, set[str]] = {
    "gateway.errors": set(),
    "gateway.clock": set(),
    "gateway.logs": set(),
    "gateway.settings": {"gateway.errors"},
    "gateway.fhir": {"gateway.errors"},
    "gateway.profiles": {"gateway.fhir", "gateway.errors"},
    "gateway.reasoning": {"gateway.fhir", "gateway.errors"},
    "gateway.cases": {"gateway.fhir", "gateway.errors"},
    "gateway.policy": {"gateway.cases", "gateway.profiles", "gateway.fhir", "gateway.errors"},
    "gateway.clinical": {"gateway.cases", "gateway.reasoning", "gateway.policy", "gateway.fhir", "gateway.errors"},
    "gateway.forms": {
        "gateway.cases",
        "gateway.profiles",
        "gateway.reasoning",
        "gateway.policy",
        "gateway.fhir",
        "gateway.errors",
    },
    "gateway.clients": {"gateway.fhir", "gateway.profiles", "payer_endpoints.directory", *BASE},
    "gateway.store": {"gateway.cases", "provenance", *BASE},
    "gateway.jobs": {"gateway.store", *BASE},
    "gateway.flows": {
        "gateway.fhir",
        "gateway.profiles",
        "gateway.reasoning",
        "gateway.cases",
        "gateway.policy",
        "gateway.clinical",
        "gateway.forms",
        "gateway.clients",
        "gateway.store",
        "gateway.jobs",
        "gateway.settings",
        "provenance",
        "payer_endpoints.directory",
        "payer_endpoints",
        *BASE,
    },
    "gateway.api": {
        "gateway.flows",
        "gateway.store.queries",
        "gateway.store.rows",
        "gateway.settings",
        "gateway.fhir",
        *BASE,
    },
    "gateway.web": {
        "gateway.flows",
        "gateway.store.queries",
        "gateway.store.rows",
        "gateway.settings",
        "gateway.fhir",
        *BASE,
    },
    "gateway.cli": {
        "gateway.flows",
        "gateway.store.queries",
        "gateway.store.rows",
        "gateway.settings",
        "gateway.fhir",
        *BASE,
    },
    # Worked examples are checked over the synthetic charts, which are data and import nothing of the house.
    "gateway.cli.questionnaires": {"gateway.cli.elm", "gateway.flows", "gateway.fhir", "gateway.demo.charts", *BASE},
    "gateway.demo": {"gateway.fhir", *BASE},
    "provenance": set(),
    "payer_endpoints": set(),
    "payer_endpoints.directory": {"payer_endpoints"},
    "payer_endpoints.harness": {"gateway.fhir", "payer_endpoints"},
    "questionnaires": set(),
}
"""Room → our own packages it may import besides itself."""
EVERYTHING = {"gateway.app", "gateway.demo.script"}
"""Modules that join the whole house and may not be imported by its rooms."""
ENTRANCES = EVERYTHING | {
    "gateway.cli",
    "gateway.cli.demo",
    "gateway.cli.serve",
    "gateway.cli.harness",
    "gateway.demo.processes",
}
"""Modules that may import them: the command line's way in."""
OWN = ("gateway", "provenance", "payer_endpoints", "questionnaires")
PURE = ("gateway.fhir", "gateway.profiles", "gateway.reasoning", "gateway.cases", "gateway.policy", "gateway.forms")
EFFECTS = {"httpx", "sqlalchemy", "socket", "requests", "subprocess", "dbos", "psycopg", "urllib.request", "random"}
CLOCKS = {"datetime.now", "datetime.utcnow", "date.today", "time.time"}


def _modules() -> Iterator[tuple[str, Path]]:
    for top in OWN:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _imports(name: str, path: Path) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            module = f"{base}{node.module or ''}".rstrip(".")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _room(name: str) -> str:
    return max((room for room in ALLOWED if _within(name, room)), key=len, default=name)


def _within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


MODULES = [pytest.param(name, path, id=name) for name, path in _modules()]


@pytest.mark.parametrize(("name", "path"), MODULES)
def test_a_module_imports_only_what_its_room_may(name: str, path: Path) -> None:
    if name in ENTRANCES or name == "gateway":
        return
    room = _room(name)
    assert room in ALLOWED, f"{name} stands in no known room"
    for imported in _imports(name, path):
        if imported.split(".")[0] not in OWN or _within(imported, room):
            continue
        assert not any(_within(imported, module) for module in EVERYTHING), f"{name} imports {imported}"
        assert any(_within(imported, allowed) for allowed in ALLOWED[room]), f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), [m for m in MODULES if str(m.values[0]).startswith(PURE)])
def test_a_pure_room_has_no_effect_and_no_clock(name: str, path: Path) -> None:
    for imported in _imports(name, path):
        assert not any(_within(imported, effect) for effect in EFFECTS), f"{name} imports {imported}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            assert not any(called.endswith(clock) for clock in CLOCKS), f"{name} reads the clock: {called}"
