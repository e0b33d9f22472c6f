"""The socket that the gateway answers on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.cli.serve import listen
from gateway.errors import SettingsError


def test_no_answer_waits_for_an_acknowledgement() -> None:
    """Nagle's algorithm with delayed acknowledgements costs 40 ms an answer on a kept connection."""

    async def delays_off() -> int:
        listening = listen("127.0.0.1", 0)
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(greet, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            is_off = await found
            writer.close()
            await writer.wait_closed()
        return is_off

    assert asyncio.run(delays_off()) != 0


def test_a_taken_port_is_said_in_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(SettingsError, match="Choose another port"):
            listen("127.0.0.1", taken.getsockname()[1])
