"""The worker process: what it answers, what it cannot do, and how it dies."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.logic import ENDED, IsolatedDefines, LogicHost, evaluate_files
from gateway.reasoning.record import RecordSnapshot
from tests.conftest import ROOT
from tests.elm_samples import (
    NOW,
    PATIENT,
    alias,
    as_resource,
    elements,
    library,
    lit,
    observation,
    op,
    prop,
    query,
    retrieve,
)

pytestmark = [pytest.mark.threat("T6")]


@pytest.fixture(scope="module")
def host() -> Iterator[LogicHost]:
    one = LogicHost()
    yield one
    one.close()


def isolated(host: LogicHost, *libraries: Any, data: Any = (PATIENT,), **more: Any) -> IsolatedDefines:
    return IsolatedDefines(libraries, (), RecordSnapshot(data), now=NOW, host=host, **more)


WHEN = prop({"type": "IdentifierRef", "name": "effective"}, "value")
BY_DATE = {"by": [{"type": "ByExpression", "direction": "asc", "expression": WHEN}]}
SCORES = library(defines={"Latest": {"type": "Last", "source": query(retrieve("Observation"), sort=BY_DATE)}})


def test_a_define_comes_back_with_its_sources(host: LogicHost) -> None:
    data = [PATIENT, observation(1, "a", 4, "2026-01-01"), observation(2, "a", 5, "2026-02-01")]
    session = isolated(host, as_resource(SCORES), data=data)
    found = session.evaluate("Latest")
    assert found.value["id"] == "o2"
    assert [(one.reference, one.version) for one in found.sources] == [("Observation/o2", "2")]
    assert found.lines == ("Read from Observation/o2 version 2.", "Computed by Latest of T|1.")
    assert session.evaluate("Latest") is found
    session.close()


def test_numbers_keep_their_digits(host: LogicHost) -> None:
    elm = as_resource(
        library(defines={"t": op("Divide", lit(10), lit(3)), "q": {"type": "Quantity", "value": 5, "unit": "mg"}})
    )
    session = isolated(host, elm)
    assert str(session.evaluate("t").value) == "3.33333333"
    assert session.evaluate("q").value == {
        "value": 5,
        "unit": "mg",
        "system": "http://unitsofmeasure.org",
        "code": "mg",
    }
    session.close()


def test_helpers_that_a_package_lacks_are_there_without_a_file(host: LogicHost) -> None:
    includes = [{"localIdentifier": "H", "path": "FHIRHelpers", "version": "4.0.1"}]
    born = prop(op("SingletonFrom", retrieve("Patient")), "birthDate")
    call = {"type": "FunctionRef", "libraryName": "H", "name": "ToDate", "operand": [born]}
    session = isolated(host, as_resource(library(includes=includes, defines={"t": call})))
    assert session.evaluate("t").value == "1990-01-01"
    session.close()


def test_an_error_comes_back_with_its_code_and_place(host: LogicHost) -> None:
    elm = library(defines={"bad": op("Add", lit("x"), lit(1)), "t": {"type": "ExpressionRef", "name": "bad"}})
    session = isolated(host, as_resource(elm))
    assert session.evaluate("t").error
    assert session.failures["t", None]["code"] == "elm.value"
    assert session.failures["t", None]["frame"]["define"] == "bad"
    assert session.evaluate("nothing").error
    session.close()


def test_a_parameter_is_bound_to_the_order(host: LogicHost) -> None:
    order = {"resourceType": "ServiceRequest", "id": "s1", "status": "draft"}
    parameter = {
        "name": "service_request",
        "parameterTypeSpecifier": {"type": "NamedTypeSpecifier", "name": "{http://hl7.org/fhir}ServiceRequest"},
    }
    elm = as_resource(
        library(
            parameters=[parameter],
            defines={"t": prop({"type": "ParameterRef", "name": "service_request"}, "status", "value")},
        )
    )
    session = isolated(host, elm, order=order)
    assert session.evaluate("t").value == "draft"
    session.close()


def test_logic_that_eats_memory_is_ended_and_the_next_session_lives(host: LogicHost) -> None:
    text = lit("x" * 100_000)
    rows = op("Flatten", elements(*(elements(*range(n, n + 50)) for n in range(0, 3000, 50))))
    lines = query(
        rows, **{"return": {"distinct": False, "expression": op("Concatenate", text, op("ToString", alias("X")))}}
    )
    session = isolated(host, as_resource(library(defines={"bomb": lines, "small": lit(1)})), on_error="isolate")
    started = time.monotonic()
    error = session.evaluate("bomb").error
    assert "memory" in error
    assert time.monotonic() - started < 3
    assert session.evaluate("small").value == 1
    session.close()


@pytest.mark.parametrize(("on_error", "later"), [("isolate", 3), ("stop", None)])
def test_a_child_that_is_killed_costs_one_answer(host: LogicHost, on_error: Any, later: int | None) -> None:
    elm = as_resource(library(defines={"a": lit(1), "b": lit(2), "c": lit(3)}))
    session = isolated(host, elm, on_error=on_error)
    assert session.evaluate("a").value == 1
    assert session._session._connection is not None
    session._session._connection.shutdown(socket.SHUT_RDWR)
    assert session.evaluate("b").error == ENDED
    assert session.evaluate("c").value == later
    assert session.evaluate("c").code == ("" if later else "elm.stopped")
    assert session.evaluate("a").value == 1
    session.close()


def test_a_host_that_died_is_started_again(host: LogicHost) -> None:
    isolated(host, as_resource(library(defines={"t": lit(1)}))).evaluate("t")
    assert host._process is not None
    host._process.kill()
    host._process.wait()
    assert isolated(host, as_resource(library(defines={"t": lit(1)}))).evaluate("t").value == 1


def test_the_process_knows_no_secret(host: LogicHost) -> None:
    isolated(host, as_resource(library(defines={"t": lit(1)}))).evaluate("t")
    assert host._process is not None
    environment = Path(f"/proc/{host._process.pid}/environ")
    if not environment.exists():
        pytest.skip("the system has no /proc")
    assert b"SECRET" not in environment.read_bytes()
    assert b"HOME" not in environment.read_bytes()


def _without_rights(attempt: str) -> int:
    """Exit code of a child that gave up its rights and then tried something: 7 when it was refused."""
    script = (
        "import os, socket, sys\n"
        "from gateway.flows.logic_worker import give_up_rights\n"
        "ours, theirs = socket.socketpair()\n"
        "kept = give_up_rights(theirs.fileno())\n"
        f"try:\n    {attempt}\nexcept (OSError, MemoryError):\n    os._exit(7)\n"
        "os._exit(0)\n"
    )
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/hostname')",
        "open('/dev/null', 'w')",
        "socket.socket()",
        "os.pipe()",
        "bytearray(1 << 30)",
    ],
)
def test_a_child_opens_nothing_and_grows_little(attempt: str) -> None:
    assert _without_rights(attempt) == 7


def test_time_is_limited_by_the_system_too() -> None:
    assert _without_rights("exec('while True: pass')") in (-signal.SIGXCPU, -signal.SIGKILL)


def test_files_are_evaluated_like_a_package(tmp_path: Path, host: LogicHost) -> None:
    main = tmp_path / "main.json"
    main.write_bytes(
        dump_json(
            library(
                "Main",
                includes=[{"localIdentifier": "O", "path": "Other", "version": "1"}],
                defines={
                    "t": {"type": "ExpressionRef", "name": "x", "libraryName": "O"},
                    "bad": op("Add", lit("a"), lit(1)),
                },
            )
        )
    )
    other = tmp_path / "other.json"
    other.write_bytes(dump_json(library("Other", defines={"x": op("Divide", lit(20), lit(7))})))
    data = tmp_path / "data.json"
    data.write_bytes(dump_json({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}))
    found = evaluate_files([main, other], data, now=NOW, host=host)
    assert found == {
        "defines": {"t": found["defines"]["t"]},
        "errors": {"bad": {"code": "elm.value", "message": found["errors"]["bad"]["message"]}},
    }
    assert str(found["defines"]["t"]) == "2.85714286"
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    both = evaluate_files([other, broken], data, now=NOW, host=host)
    assert both["errors"]["broken"]["code"] == "elm.library"
    assert "x" in both["defines"]


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as handle:
        handle.truncate(50 * 1024 * 1024)
    with pytest.raises(ReasoningError) as caught:
        evaluate_files([large], None, now=NOW)
    assert caught.value.reason == "elm.limit"


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux to add up shares of memory")
def test_the_command_is_small_on_a_hostile_file(tmp_path: Path) -> None:
    """`elm evaluate` on a library nested 10,000 deep: typed error, exit code 1, within 200 MB."""
    deep = tmp_path / "deep.json"
    deep.write_bytes(b'{"library":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001)
    command = [sys.executable, "-m", "gateway.cli", "elm", "evaluate", str(deep), "--json"]
    measured = [sys.executable, "-S", str(ROOT / "tests" / "peak_memory.py"), *command]
    done = subprocess.run(measured, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b'"code":"elm.depth"' in done.stdout
    assert b"Traceback" not in done.stderr
    assert 1024 < parse_json(done.stderr.splitlines()[-1])["kilobytes"] <= 200 * 1024
