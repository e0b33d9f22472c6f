"""Payer logic in a process of its own: what starts it, asks it, and goes on when it dies.

`LogicHost` is one per gateway process; it keeps one prepared worker process and opens a session in a fork of it.
`IsolatedDefines` is what forms get: a `DefineEvaluator` whose engine runs over there.
"""

from __future__ import annotations

import atexit
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.logic_worker import MAX_REPLY, WALL_SECONDS, receive, send
from gateway.reasoning.defines import DefineResult, Source
from gateway.reasoning.elm.defines import STOPPED, OnError
from gateway.reasoning.record import RecordSnapshot

MAX_FILE: Final = 32 * 1024 * 1024
"""Bytes of one file of a package or record; a library of it may have a quarter."""
ENDED: Final = "The payer's logic was ended: it used more time or memory than it may."
_RESTARTS: Final = 2
_GRACE: Final = 1.0


class LogicHost:
    """The prepared process. Thread-safe; started when first needed, started again when it died."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def connect(self) -> socket.socket:
        """A socket to a fresh child. Raises ReasoningError `elm.process` when none can be started."""
        with self._lock:
            for _ in range(2):
                control = self._running()
                ours, theirs = socket.socketpair()
                try:
                    socket.send_fds(control, [b"s"], [theirs.fileno()])
                except OSError:
                    ours.close()
                    self._stop()
                else:
                    return ours
                finally:
                    theirs.close()
        raise ReasoningError("The process for payer logic cannot be started.", code="elm.process")

    def _running(self) -> socket.socket:
        if self._process is None or self._process.poll() is not None or self._control is None:
            self._stop()
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-m", "gateway.flows.logic_worker"],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={"LC_ALL": "C.UTF-8"},
                    cwd="/",
                    close_fds=True,
                    start_new_session=True,
                )
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_GRACE)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the process; sessions that are open end by themselves."""
        with self._lock:
            self._stop()


@cache
def shared_host() -> LogicHost:
    """The host of this process, ended with it."""
    host = LogicHost()
    atexit.register(host.close)
    return host


class LogicSession:
    """One child with its package and record; opened at the first question, opened again after it died."""

    def __init__(self, host: LogicHost, session: Mapping[str, Any]) -> None:
        self._host = host
        self._body = pickle.dumps(session, protocol=pickle.HIGHEST_PROTOCOL)
        self._connection: socket.socket | None = None
        self._left = _RESTARTS
        self._lock = Lock()

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The child's answer. A child that dies or is late gives `error` and `code` `elm.limit`."""
        with self._lock:
            try:
                body = self._exchange(dump_json(request))
            except OSError:
                body = None
            if body is None or len(body) > MAX_REPLY:
                self._drop()
                return {"error": ENDED, "code": "elm.limit", "ended": True}
            answer: dict[str, Any] = parse_json(body, max_depth=500)
            return answer

    def _exchange(self, request: bytes) -> bytes | None:
        if self._connection is None:
            if self._left <= 0:
                return None
            self._left -= 1
            self._connection = self._host.connect()
            self._connection.settimeout(2 * WALL_SECONDS + _GRACE)
            send(self._connection, self._body)
        send(self._connection, request)
        return receive(self._connection)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._left = 0
            self._drop()

    def __del__(self) -> None:
        self._drop()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicNeeds:
    """What logic needs from elsewhere."""

    value_sets: tuple[str, ...] = ()
    """Value sets that libraries declare and whose codes are not all in the package, `url` or `url|version`."""
    types: tuple[str, ...] = ()
    """Resource types that it retrieves."""


class IsolatedDefines:
    """`DefineEvaluator` and `InlineEvaluator` over a worker process. Arguments as `ElmDefines`."""

    def __init__(
        self,
        libraries: Iterable[Json],
        value_sets: Iterable[Json],
        record: RecordSnapshot,
        *,
        now: datetime,
        order: Json | None = None,
        contexts: Mapping[str, Any] | None = None,
        patient: str | None = None,
        on_error: OnError = "stop",
        host: LogicHost | None = None,
    ) -> None:
        session = {
            "libraries": list(libraries),
            "value_sets": list(value_sets),
            "record": record,
            "now": now.isoformat(),
            "order": order,
            "contexts": dict(contexts or {}),
            "patient": patient,
            "on_error": on_error,
        }
        self._session = LogicSession(host or shared_host(), session)
        self._may_stop = on_error == "stop"
        self._is_stopped = False
        self._known: dict[tuple[str, str | None], DefineResult] = {}
        self.failures: dict[tuple[str, str | None], Mapping[str, Any]] = {}
        """`code` and `frame` (library, define, localId, locator) of errors, without patient data, for the payer."""

    def evaluate(self, define: str, library: str | None = None) -> DefineResult:
        """Value of a define, asked once. Never raises for logic."""
        key = (define, library)
        if key not in self._known:
            self._keep(key, self._ask({"define": define, "library": library}), library)
        return self._known[key]

    def needs(self, names: Iterable[tuple[str, str | None]] = (), inline: Iterable[str] = ()) -> LogicNeeds:
        """What has to be fetched before logic runs; `names` are defines with their library, `inline` compiled logic.

        Empty also where the libraries cannot be read: then nothing of them runs.
        """
        found = self._session.ask({"needs": [list(one) for one in names], "inline": list(inline)})
        listed = {key: tuple(str(one) for one in found.get(key) or ()) for key in ("value_sets", "types")}
        return LogicNeeds(value_sets=listed["value_sets"], types=listed["types"])

    def evaluate_elm(self, elm: str, name: str = "") -> DefineResult:
        """Value of logic that the form carries inline, asked once. Never raises for logic."""
        key = (name, elm)
        if key not in self._known:
            self._keep(key, self._ask({"define": name, "elm": elm}), None)
        return self._known[key]

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The child's answer. A new child does not know that an old one was ended; here it is remembered."""
        if self._is_stopped:
            return {"error": STOPPED, "code": "elm.stopped"}
        answer = self._session.ask(request)
        self._is_stopped = self._may_stop and bool(answer.get("ended"))
        return answer

    def _keep(self, key: tuple[str, str | None], answer: Mapping[str, Any], library: str | None) -> None:
        self._known[key] = _result(answer, library)
        if answer.get("error"):
            self.failures[key] = {"code": answer.get("code", ""), "frame": answer.get("frame") or {}}

    def close(self) -> None:
        """End the worker's child."""
        self._session.close()


def _result(answer: Mapping[str, Any], library: str | None) -> DefineResult:
    name = str(answer.get("library") or library or "")
    if answer.get("error"):
        return DefineResult(error=str(answer["error"]), code=str(answer.get("code") or ""), library=name)
    sources = tuple(
        Source(reference=str(reference), version=str(version), element=str(element))
        for reference, version, element in answer.get("sources") or ()
    )
    lines = tuple(str(one) for one in answer.get("lines") or ())
    return DefineResult(value=answer.get("value"), sources=sources, library=name, lines=lines)


def evaluate_files(
    files: Sequence[Path],
    data: Path | None,
    *,
    now: datetime,
    parameters: Mapping[str, str] | None = None,
    defines: Sequence[str] = (),
    patient: str | None = None,
    host: LogicHost | None = None,
) -> dict[str, Any]:
    """`{"defines", "errors"}` of the libraries in files, or the same per library under `libraries`.

    Numbers keep their digits. Errors are data; only a file that cannot be opened or is too large raises
    ReasoningError. `parameters` are JSON texts by name.
    """
    session = {
        "files": [(path.stem, _read(path)) for path in files],
        "data": _read(data) if data else b"",
        "now": now.isoformat(),
        "parameters": dict(parameters or {}),
        "patient": patient,
    }
    connection = LogicSession(host or shared_host(), session)
    try:
        answer = connection.ask({"defines": list(defines)})
    finally:
        connection.close()
    if "error" in answer:
        name = files[0].stem if files else ""
        return {"defines": {}, "errors": {name: {"code": answer.get("code", ""), "message": answer["error"]}}}
    return answer


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise ReasoningError(f"{path.name} is larger than is accepted.", code="elm.limit")
        return path.read_bytes()
    except OSError:
        raise ReasoningError(f"{path.name} cannot be read.", code="elm.file") from None
