"""Unpacking an answer without letting it grow.

httpx decodes a chunk whole: 64 kB of gzip became one chunk of 67 MB. Here the raw bytes are
counted as they come and inflated in small pieces that are counted too. Source: security T3.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

GZIP_MAGIC = b"\x1f\x8b\x08"
PIECE_BYTES = 64 * 1024
"""Most that is inflated in one step."""
SMALL_BYTES = 4 * 1024 * 1024
"""Below this size growth is not judged."""
GROWTH = 200
"""Most that a larger body may grow; FHIR JSON grows 5- to 40-fold, a bomb 1000-fold."""
MAX_MEMBERS = 1000
"""Most gzip members that one answer may be made of."""


_Decoder = Callable[[Iterator[bytes]], Iterator[bytes]]


class BodyTooLarge(Exception):
    """The answer is over a limit; reading stopped there."""


class BodyUndecodable(Exception):
    """The content coding is unknown or its data are broken."""


def read_body(chunks: Iterable[bytes], coding: str, *, raw_bytes: int, body_bytes: int) -> tuple[bytes, bool]:
    """The whole decoded body, and whether it was gzip without saying so.

    `coding` is the Content-Encoding header, empty for none. A body without one that begins with the
    gzip signature lost its header on the way and is unpacked all the same: no FHIR body begins so.
    Raises `BodyTooLarge` as soon as a limit is passed or the growth is that of a bomb,
    `BodyUndecodable` for anything unreadable.
    """
    meter = _Meter(raw_bytes, body_bytes)
    counted = meter.count(chunks)
    first = _first_bytes(counted)
    is_undeclared = not coding and first.startswith(GZIP_MAGIC)
    decoder = _choose("gzip" if is_undeclared else coding.strip().lower())
    body = bytearray()
    for piece in decoder(_joined(first, counted)):
        meter.require_room(len(body) + len(piece))
        body += piece
    return bytes(body), is_undeclared


class _Meter:
    """Counts raw bytes as they come and judges how far they may grow."""

    def __init__(self, raw_bytes: int, body_bytes: int) -> None:
        self._raw_limit = raw_bytes
        self._body_limit = body_bytes
        self._raw = 0

    def count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, counted."""
        for chunk in chunks:
            self._raw += len(chunk)
            if self._raw > self._raw_limit:
                raise BodyTooLarge
            yield chunk

    def require_room(self, size: int) -> None:
        """`BodyTooLarge` when a decoded size is over the limit, or out of proportion to what came."""
        if size > self._body_limit or (size > SMALL_BYTES and size > GROWTH * self._raw):
            raise BodyTooLarge


def _first_bytes(chunks: Iterator[bytes]) -> bytes:
    """Enough of the body to recognise the gzip signature, however small the chunks are."""
    first = b""
    while len(first) < len(GZIP_MAGIC):
        chunk = next(chunks, None)
        if chunk is None:
            break
        first += chunk
    return first


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _choose(coding: str) -> _Decoder:
    if coding in ("", "identity"):
        return _plain
    if coding in ("gzip", "x-gzip"):
        return _gunzip
    if coding == "deflate":
        return _inflate
    raise BodyUndecodable


def _plain(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chunks


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from _decompress(chunks, 16 + zlib.MAX_WBITS)


def _inflate(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """`deflate` is a zlib stream; some servers send a raw one, told by its first byte."""
    first = _first_bytes(chunks)
    is_zlib = len(first) >= 2 and first[0] & 0x0F == 8 and (first[0] * 256 + first[1]) % 31 == 0
    yield from _decompress(_joined(first, chunks), zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


def _decompress(chunks: Iterator[bytes], window: int) -> Iterator[bytes]:
    """Inflated pieces of at most `PIECE_BYTES`; gzip members may follow each other."""
    engine = zlib.decompressobj(window)
    members, has_data = 1, False
    for chunk in chunks:
        pending, is_draining = chunk, False
        while pending or is_draining:
            if engine.eof:
                members += 1
                engine = zlib.decompressobj(window)
            if members > MAX_MEMBERS:
                raise BodyUndecodable
            piece, pending = _step(engine, pending)
            yield piece
            has_data = True
            # Output may wait inside the engine although it took all input: ask on until a piece is short.
            is_draining = not engine.eof and len(piece) == PIECE_BYTES
    if has_data and not engine.eof:
        raise BodyUndecodable


def _step(engine: zlib._Decompress, pending: bytes) -> tuple[bytes, bytes]:
    try:
        piece = engine.decompress(pending, PIECE_BYTES)
    except zlib.error:
        raise BodyUndecodable from None
    return piece, engine.unused_data if engine.eof else engine.unconsumed_tail
