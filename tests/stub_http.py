"""A small HTTP server on loopback whose every answer is scripted, byte by byte where a test wants it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send back. `raw` replaces the whole answer; `pieces` sends the body slowly."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    wait_seconds: float = 0.0
    """Before the first byte."""
    piece_seconds: float = 0.0
    """Between single bytes of the body."""
    is_last: bool = False
    """Close the connection afterwards."""


def fhir(value: Any, status: int = 200, **headers: str) -> Answer:
    """An answer of FHIR JSON; header names with underscores for dashes."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(
        status=status, body=json.dumps(value).encode(), headers={"content-type": "application/fhir+json", **named}
    )


class StubServer:
    """Answers with `script(seen)` and remembers every request and connection."""

    def __init__(self, script: Callable[[Seen], Answer], tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self.seen: list[Seen] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_open = True
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/fhir") -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._is_open = False
        for open_socket in [self._listener, *self._sockets]:
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            open_socket.close()

    def _accept(self) -> None:
        while self._is_open:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            with connection, connection.makefile("rb") as reader:
                for seen in self._requests(reader):
                    self.seen.append(seen)
                    if not self._answer(connection, self._script(seen)):
                        return
        except (OSError, ValueError):
            return

    def _requests(self, reader: Any) -> Iterator[Seen]:
        while line := reader.readline():
            method, target, _ = line.decode("ascii").split(" ", 2)
            headers: dict[str, str] = {}
            while (text := reader.readline().decode("latin-1").strip()) != "":
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", "0")))
            yield Seen(method=method, target=target, headers=headers, body=body)

    def _answer(self, connection: socket.socket, answer: Answer) -> bool:
        time.sleep(answer.wait_seconds)
        if answer.raw is not None:
            connection.sendall(answer.raw)
            return False
        headers = {"content-length": str(len(answer.body)), **answer.headers}
        head = f"HTTP/1.1 {answer.status} X\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n"
        if not answer.piece_seconds:
            connection.sendall(head.encode("latin-1") + answer.body)
            return not answer.is_last
        connection.sendall(head.encode("latin-1"))
        for position in range(len(answer.body)):
            connection.sendall(answer.body[position : position + 1])
            time.sleep(answer.piece_seconds)
        return not answer.is_last


@contextmanager
def stub_server(script: Callable[[Seen], Answer], tls: ssl.SSLContext | None = None) -> Iterator[StubServer]:
    """A server for the time of a `with` block."""
    server = StubServer(script, tls)
    try:
        yield server
    finally:
        server.close()
