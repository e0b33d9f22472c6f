"""The one plain form of zip that an evidence package may have, written and read without surprises.

`zipfile` accepts bytes before the archive, names given twice and headers that contradict each other, so that
two readers can see two different packages. This reader walks the bytes itself: every local entry follows the
one before without a gap, equals its central record, and is inflated against limits counted while inflating.
Nothing is ever written to disk. Source: spec/provenance.md §10; spec/security.md T35.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from provenance.codes import Code
from provenance.errors import PackageError

MAX_FILES: Final = 50_000
MAX_TOTAL_BYTES: Final = 2 * 1024**3
MAX_RATIO: Final = 100
_RATIO_FLOOR: Final = 64 * 1024
"""Small files may compress better than the ratio; their size is harmless."""
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_LOCAL_MARK: Final = b"PK\x03\x04"
_CENTRAL_MARK: Final = b"PK\x01\x02"
_END_MARK: Final = b"PK\x05\x06"
_STORED: Final = 0
_DEFLATED: Final = 8
_UTF8_NAMES: Final = 0x800
_FIXED_TIME: Final = 0
_FIXED_DATE: Final = 0x21
"""1980-01-01: the earliest date of the format, the same for every file."""
_UNIX_FILE: Final = (stat.S_IFREG | 0o600) << 16
_MADE_ON_UNIX: Final = 0x0314
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a package may hold."""

    files: int = MAX_FILES
    total_bytes: int = MAX_TOTAL_BYTES
    ratio: int = MAX_RATIO
    """Inflated size over deflated size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    name: str
    offset: int
    flags: int
    method: int
    crc: int
    deflated: int
    inflated: int
    encoded_name: bytes
    needed: int
    time: int
    date: int


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files in sorted order; the same files give the same bytes. Errors: PackageError."""
    local, central = bytearray(), bytearray()
    for name in sorted(files):
        _require_name(name)
        method, data = _packed(files[name])
        common = (20, 0, method, _FIXED_TIME, _FIXED_DATE, zlib.crc32(files[name]), len(data), len(files[name]))
        encoded = name.encode("ascii")
        central += _CENTRAL.pack(
            _CENTRAL_MARK, _MADE_ON_UNIX, *common, len(encoded), 0, 0, 0, 0, _UNIX_FILE, len(local)
        )
        central += encoded
        local += _LOCAL.pack(_LOCAL_MARK, *common, len(encoded), 0) + encoded + data
    count = len(files)
    if count > MAX_FILES or len(local) + len(central) > MAX_TOTAL_BYTES:
        raise PackageError(Code.PACKAGE_LIMIT, "more than a package may hold")
    end = _END.pack(_END_MARK, 0, 0, count, count, len(central), len(local), 0)
    return bytes(local + central + end)


def read_archive(body: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    """The files of a package by name. Errors: PackageError PACKAGE_FORMAT or PACKAGE_LIMIT."""
    limits = limits or Limits()
    files: dict[str, bytes] = {}
    expected, total = 0, 0
    start = _central_start(body, limits)
    for record in _central_records(body, start):
        if record.name in files:
            raise PackageError(Code.PACKAGE_FORMAT, "a name is given twice", record.name)
        if record.offset != expected:
            raise PackageError(Code.PACKAGE_FORMAT, "bytes between the files", record.name)
        data_at = _require_local(body, record)
        expected = data_at + record.deflated
        total += record.inflated
        if total > limits.total_bytes:
            raise PackageError(Code.PACKAGE_LIMIT, "more bytes than permitted", record.name)
        files[record.name] = _inflate(body[data_at:expected], record, limits)
    if expected != start:
        raise PackageError(Code.PACKAGE_FORMAT, "bytes between the files and their list")
    return files


def _packed(content: bytes) -> tuple[int, bytes]:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = squeezer.compress(content) + squeezer.flush()
    # What would look like a bomb to the reader, or gains nothing, is stored as it is.
    too_good = len(content) > max(_RATIO_FLOOR, MAX_RATIO * len(data))
    return (_STORED, content) if too_good or len(data) >= len(content) else (_DEFLATED, data)


def _central_start(body: bytes, limits: Limits) -> int:
    if len(body) < _END.size or body[-_END.size : -_END.size + 4] != _END_MARK:
        raise PackageError(Code.PACKAGE_FORMAT, "not a zip, or bytes after its end")
    _, disk, central_disk, here, total, size, start, comment = _END.unpack(body[-_END.size :])
    if disk or central_disk or here != total or comment or start + size + _END.size != len(body):
        raise PackageError(Code.PACKAGE_FORMAT, "an end record that does not fit the archive")
    if total > limits.files:
        raise PackageError(Code.PACKAGE_LIMIT, "more files than permitted")
    if sum(1 for _ in _central_records(body, start)) != total:
        raise PackageError(Code.PACKAGE_FORMAT, "the number of files is another than stated")
    return int(start)


def _central_records(body: bytes, at: int) -> Iterator[_Record]:
    end = len(body) - _END.size
    while at < end:
        if at + _CENTRAL.size > end:
            raise PackageError(Code.PACKAGE_FORMAT, "a file record is cut off")
        mark, _made, needed, flags, method, time, date, crc, deflated, inflated, *rest = _CENTRAL.unpack_from(body, at)
        name_size, extra, comment, disk, _internal, external, offset = rest
        encoded = body[at + _CENTRAL.size : at + _CENTRAL.size + name_size]
        if mark != _CENTRAL_MARK or extra or comment or disk or at + _CENTRAL.size + name_size > end:
            raise PackageError(Code.PACKAGE_FORMAT, "a file record of another form")
        name = _read_name(encoded)
        _require_plain(name, flags, method, external, deflated, inflated)
        yield _Record(
            name=name,
            offset=offset,
            flags=flags,
            method=method,
            crc=crc,
            deflated=deflated,
            inflated=inflated,
            encoded_name=encoded,
            needed=needed,
            time=time,
            date=date,
        )
        at += _CENTRAL.size + name_size


def _require_plain(name: str, flags: int, method: int, external: int, deflated: int, inflated: int) -> None:
    if flags & ~_UTF8_NAMES or method not in (_STORED, _DEFLATED):
        raise PackageError(Code.PACKAGE_FORMAT, "encrypted, streamed or packed in another way", name)
    kind = stat.S_IFMT(external >> 16)
    if kind not in (0, stat.S_IFREG):
        raise PackageError(Code.PACKAGE_FORMAT, "not a plain file", name)
    if method == _STORED and deflated != inflated:
        raise PackageError(Code.PACKAGE_FORMAT, "two sizes for one stored file", name)


def _require_local(body: bytes, record: _Record) -> int:
    """Offset of the file's data, after its local header proved equal to the central record."""
    expected = _LOCAL.pack(
        _LOCAL_MARK,
        record.needed,
        record.flags,
        record.method,
        record.time,
        record.date,
        record.crc,
        record.deflated,
        record.inflated,
        len(record.encoded_name),
        0,
    )
    header = expected + record.encoded_name
    if body[record.offset : record.offset + len(header)] != header:
        raise PackageError(Code.PACKAGE_FORMAT, "local and central header differ", record.name)
    return record.offset + len(header)


def _inflate(data: bytes, record: _Record, limits: Limits) -> bytes:
    if record.inflated > max(_RATIO_FLOOR, limits.ratio * record.deflated):
        raise PackageError(Code.PACKAGE_LIMIT, "inflates beyond the permitted ratio", record.name)
    content = data
    if record.method == _DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than stated is enough to see that there is more.
            content = inflater.decompress(data, record.inflated + 1)
        except zlib.error as error:
            raise PackageError(Code.PACKAGE_FORMAT, "damaged data", record.name) from error
        if not inflater.eof or inflater.unused_data:
            raise PackageError(Code.PACKAGE_FORMAT, "data cut off, or more of it than stated", record.name)
    if len(content) != record.inflated or zlib.crc32(content) != record.crc:
        raise PackageError(Code.PACKAGE_FORMAT, "content of another size or checksum than stated", record.name)
    return content


def _read_name(encoded: bytes) -> str:
    try:
        name = encoded.decode("ascii")
    except UnicodeDecodeError as error:
        raise PackageError(Code.PACKAGE_FORMAT, "a name that is not plain ASCII") from error
    _require_name(name)
    return name


def _require_name(name: str) -> None:
    # The pattern has no leading dot in any part, so neither `..` nor an absolute path can be written with it.
    if len(name) > 200 or not _NAME.fullmatch(name):
        raise PackageError(Code.PACKAGE_FORMAT, "a file name that is not permitted")
