"""The process that payer logic runs in: no files, no network, no secrets, bounded time and memory.

`python -I -m gateway.flows.logic_worker` is started with an empty environment. It loads the engine once and then
forks a child for each session that the gateway opens; the child takes away its own rights before it reads
anything, answers define by define, and ends with its session (spec/security.md T6). What comes back is JSON; the
gateway never unpickles anything of a child.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.errors import GatewayError, ReasoningError
from gateway.fhir.json import dump_json, parse_json
from gateway.reasoning.elm import Budget, ElmDefines, Engine
from gateway.reasoning.elm.compiler import known_operators
from gateway.reasoning.elm.engine import result_of
from gateway.reasoning.elm.files import parse_file, read_files, resources_of
from gateway.reasoning.elm.helpers import native_helpers
from gateway.reasoning.elm.library import CompiledLibrary
from gateway.reasoning.elm.model import load_model
from gateway.reasoning.elm.package import PackageLibraries
from gateway.reasoning.elm.results import result_json
from gateway.reasoning.elm.units import measure
from gateway.reasoning.record import RecordSnapshot

EXTRA_MEMORY: Final = 88 * 1024 * 1024
"""Bytes of address space that a session may add to what the engine itself needs."""
CPU_SECONDS: Final = 2
"""Processor time of a whole session."""
WALL_SECONDS: Final = 1.9
"""Time of one answer; the engine's own budget ends earlier and says so more kindly."""
MAX_REPLY: Final = 4 * 1024 * 1024
_NESTED_CALLS: Final = 3_000
Answer = Callable[[Mapping[str, Any]], Any]


def send(connection: socket.socket, body: bytes) -> None:
    """One message with its length before it."""
    connection.sendall(struct.pack("!I", len(body)) + body)


def receive(connection: socket.socket) -> bytes | None:
    """One message, or None when the other side is gone."""
    head = _exactly(connection, 4)
    return None if head is None else _exactly(connection, struct.unpack("!I", head)[0])


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def main() -> None:
    """Fork a child for each connection that arrives on standard input; end when the gateway ends."""
    control = socket.socket(fileno=os.dup(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.setrecursionlimit(_NESTED_CALLS)
    _warm()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        if os.fork() == 0:
            _serve(give_up_rights(descriptors[0]))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _warm() -> None:
    """Load all that a session may need, because it cannot open files any more."""
    known_operators()
    for version in ("4.0.1", "4.0.0"):
        load_model(version).require("Observation").elements  # noqa: B018
    native_helpers("4.0.1")
    measure("mg")


def _serve(connection: socket.socket) -> None:
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    body = receive(connection)
    if body is None:
        return
    answer = _session(pickle.loads(body))
    while body is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        body = receive(connection)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        if body is not None:
            send(connection, _reply(answer, body))


def give_up_rights(descriptor: int) -> socket.socket:
    """Keep one connection, as descriptor 0, and nothing else.

    With three descriptors open and three allowed, no file and no socket can be opened any more. Memory and
    processor time are bounded, files cannot grow, no core is written.
    """
    os.dup2(descriptor, 0)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    if _START:
        resource.setrlimit(resource.RLIMIT_AS, (_START + EXTRA_MEMORY, _START + EXTRA_MEMORY))
    return socket.socket(fileno=0)


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return 0


_START: Final = _address_space() + 48 * 1024 * 1024
"""Address space of the loaded engine, model tables included."""


def _reply(answer: Answer, body: bytes) -> bytes:
    try:
        reply = dump_json(answer(parse_json(body)))
    except ReasoningError as error:
        reply = dump_json(_failed(error))
    except MemoryError:
        reply = dump_json({"error": "The payer's logic needs more memory than it may use.", "code": "elm.limit"})
    if len(reply) > MAX_REPLY:
        return dump_json({"error": "The payer's logic gives a result that is too large.", "code": "elm.limit"})
    return reply


def _failed(error: GatewayError) -> dict[str, Any]:
    frame = error.frame if isinstance(error, ReasoningError) else {}
    return {"error": error.message, "code": error.reason, "frame": dict(frame)}


def _session(session: Mapping[str, Any]) -> Answer:
    """What answers the requests of a session; an error in setting it up is the answer to all of them."""
    try:
        return _files_session(session) if "files" in session else _form_session(session)
    except ReasoningError as error:
        failed = _failed(error)
    except MemoryError:
        failed = {"error": "The package needs more memory than it may use.", "code": "elm.limit"}
    return lambda request: failed


def _form_session(session: Mapping[str, Any]) -> Answer:
    defines = ElmDefines(
        session["libraries"],
        session["value_sets"],
        session["record"],
        now=datetime.fromisoformat(session["now"]),
        order=session["order"],
        contexts=session["contexts"],
        patient=session["patient"],
        on_error=session["on_error"],
        clock=time.monotonic,
    )

    def answer(request: Mapping[str, Any]) -> Any:
        if "needs" in request:
            names = [(str(define), library) for define, library in request["needs"]]
            types = defines.retrieved_types(names, request.get("inline") or ())
            return {"value_sets": list(defines.unlisted_value_sets()), "types": list(types)}
        name, inline = str(request["define"]), request.get("elm")
        outcome = defines.outcome_of_elm(inline, name) if inline else defines.outcome(name, request.get("library"))
        result = result_of(outcome)
        if outcome.error is not None:
            return {**_failed(outcome.error), "library": result.library}
        sources = [[one.reference, one.version, one.element] for one in result.sources]
        lines = list(result.lines)
        return {"value": result.value, "library": result.library, "sources": sources, "lines": lines}

    return answer


def _files_session(session: Mapping[str, Any]) -> Answer:
    package, value_sets = read_files(session["files"])
    data = parse_file(session["data"]) if session["data"] else {}
    record = RecordSnapshot.from_bundle(data) if data.get("resourceType") == "Bundle" else RecordSnapshot([data])
    value_sets += [one for one in resources_of(data) if one.get("resourceType") == "ValueSet"]
    parameters = {name: parse_json(text.encode()) for name, text in session["parameters"].items()}
    engine = Engine(
        package.libraries,
        value_sets,
        record,
        now=datetime.fromisoformat(session["now"]),
        parameters=parameters,
        patient=session["patient"],
        budget=Budget(clock=time.monotonic),
    )
    return lambda request: _evaluate_files(engine, package, list(request.get("defines") or ()))


def _evaluate_files(engine: Engine, package: PackageLibraries, wanted: list[str]) -> Any:
    broken = {name: {"code": error.reason, "message": error.message} for name, error in package.broken.items()}
    found = {library.name: _evaluate_library(engine, library, wanted) for library in package.mains}
    if len(found) == 1:
        (only,) = found.values()
        return {"defines": only["defines"], "errors": {**only["errors"], **broken}}
    if not found:
        return {"defines": {}, "errors": broken}
    return {"libraries": found, **({"errors": broken} if broken else {})}


def _evaluate_library(engine: Engine, library: CompiledLibrary, wanted: list[str]) -> dict[str, Any]:
    defines: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name in wanted or [one.name for one in library.defines.values() if not one.is_context]:
        define = library.defines.get(name)
        if define is None:
            errors[name] = {"code": "elm.define", "message": "The library has no define of this name."}
            continue
        outcome = engine.outcome_of(define)
        if outcome.error is not None:
            errors[name] = {"code": outcome.error.reason, "message": outcome.error.message}
        else:
            defines[name] = result_json(outcome.value)
    return {"defines": defines, "errors": errors}


if __name__ == "__main__":
    main()
