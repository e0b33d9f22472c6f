"""The Java reference engine as a second opinion: found beside the project, opt-in, skipped with a reason."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import parse_json
from tests.conftest import shared_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A result on which the two engines do not agree."""

    library: str
    define: str
    ours: Any
    theirs: Any

    @property
    def name(self) -> str:
        """`library.define`, as docs/differences-cql.md writes it."""
        return f"{self.library}.{self.define}"


def require_oracle() -> Path:
    """The command of the reference engine; skips unless PA_GATEWAY_ORACLE is set, and where something is missing.

    Opt-in, since a Java virtual machine is started for every package.
    """
    if not os.environ.get("PA_GATEWAY_ORACLE"):
        pytest.skip("set PA_GATEWAY_ORACLE=1 to compare with the Java reference engine")
    command = shared_folder() / "tools" / "cql-oracle" / "cql-oracle"
    if not command.is_file():
        pytest.skip("cql-oracle is not beside the project")
    if shutil.which("java") is None:
        pytest.skip("cql-oracle needs Java")
    home = Path(os.environ.get("CQL_ORACLE_HOME", Path.home() / ".cache" / "cql-oracle"))
    if not (home / "cql-oracle.jar").is_file():
        pytest.skip("cql-oracle is not built; run its --setup once")
    return command


def ask_oracle(command: Path, *arguments: str) -> Any:
    """What `cql-oracle` prints, numbers exact."""
    done = subprocess.run([str(command), *arguments], capture_output=True, timeout=110, check=False)
    if done.returncode:
        pytest.fail(f"cql-oracle ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    return parse_json(done.stdout, max_depth=500)


def by_library(found: Mapping[str, Any], only: str) -> dict[str, Any]:
    """Results by library; `only` names the one whose results stand alone."""
    return dict(found["libraries"]) if "libraries" in found else {only: found}


def outcome(found: Mapping[str, Any], library: str, define: str) -> tuple[str, Any]:
    """`("value", value)`, `("error", None)` or `("absent", None)`; the words of errors are each engine's own."""
    results = found.get(library, {})
    if define in results.get("errors", {}):
        return "error", None
    return ("value", results["defines"][define]) if define in results.get("defines", {}) else ("absent", None)


def same(ours: Any, theirs: Any) -> bool:
    """Whether two results are equal. Numbers count, not their zeros.

    The tool prints the offset of a DateTime only together with milliseconds; the wall time is compared then.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(same(one, two) for one, two in zip(ours, theirs, strict=True))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | Decimal) and isinstance(theirs, int | Decimal):
        return ours == theirs
    if isinstance(ours, str) and isinstance(theirs, str) and "T" in theirs and len(theirs) == 19:
        return ours[:19] == theirs
    return bool(ours == theirs)
