"""The one form of zip: what is written is read back, and what two readers could see differently is refused."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest

from provenance.archive import Limits, read_archive, write_archive
from provenance.codes import Code
from provenance.errors import PackageError

FILES = {"a.json": b'{"a":1}', "b/c-1.txt": b"x" * 5000, "empty": b"", "noise": os.urandom(3000)}


def zipped(write: object = None, **options: object) -> bytes:
    """A zip by the standard library."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:  # type: ignore[call-overload]
            if callable(write):
                write(archive)
    return out.getvalue()


def link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def device(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("device")
    info.external_attr = (stat.S_IFCHR | 0o600) << 16
    archive.writestr(info, "")


def twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("a.json", "1")
    archive.writestr("a.json", "2")


def commented(archive: zipfile.ZipFile) -> None:
    archive.writestr("a.json", "1")
    archive.comment = b"hello"


def extra(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("a.json")
    info.extra = struct.pack("<HH4s", 0x7075, 4, b"\x01abc")
    archive.writestr(info, "1")


def named(name: str) -> bytes:
    return zipped(lambda archive: archive.writestr(name, "x"))


def patched(offset_of: bytes, at: int, value: bytes, body: bytes | None = None) -> bytes:
    """A clean archive with bytes replaced at an offset after the first occurrence of a mark."""
    changed = bytearray(body or write_archive(FILES))
    start = changed.index(offset_of) + at
    changed[start : start + len(value)] = value
    return bytes(changed)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
CLEAN = write_archive(FILES)

REFUSED = {
    "nothing": b"",
    "not a zip": b"hello" * 20,
    "bytes before": b"MZ" + CLEAN,
    "bytes after": CLEAN + b"\x00",
    "bytes between": CLEAN.replace(CENTRAL, b"\x00" + CENTRAL, 1),
    "two archives": CLEAN + CLEAN,
    "comment": zipped(commented),
    "name twice": zipped(twice),
    "link": zipped(link),
    "device": zipped(device),
    "folder": named("folder/"),
    "absolute": named("/etc/passwd"),
    "parent": named("../up"),
    "parent inside": named("a/../../up"),
    "dot": named("./a"),
    "hidden": named(".hidden"),
    "backslash": named("a\\b"),
    "drive": named("C:a"),
    "space": named("a b"),
    "not ASCII": named("naïve"),
    "control character": named("a\x1b[31m"),
    "empty part": named("a//b"),
    "very long name": named("a" * 201),
    "extra field": zipped(extra),
    "encrypted": patched(LOCAL, 6, b"\x01"),
    "encrypted centrally": patched(CENTRAL, 8, b"\x01"),
    "streamed": patched(CENTRAL, 8, b"\x08"),
    "another method": patched(CENTRAL, 10, b"\x0c"),
    "another checksum": patched(CENTRAL, 16, b"\x00\x00\x00\x00"),
    "another local name": patched(LOCAL, 30, b"b.json"),
    "another local size": patched(LOCAL, 22, b"\x01\x00\x00\x00"),
    "another local date": patched(LOCAL, 12, b"\x22"),
    "another number of files": patched(END, 8, b"\x03\x00\x03\x00"),
    "another disk": patched(END, 4, b"\x01"),
    "list elsewhere": patched(END, 16, b"\x00\x00\x00\x00"),
    "file elsewhere": patched(CENTRAL, 42, b"\x01\x00\x00\x00"),
    "list cut off": CLEAN[: CLEAN.index(CENTRAL) + 20] + CLEAN[CLEAN.index(END) :],
    "zip64": zipped(lambda archive: archive.open(zipfile.ZipInfo("a"), "w", force_zip64=True).close()),
}


@pytest.mark.threat("T35")
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_archive_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(PackageError) as caught:
        read_archive(body)
    assert caught.value.code is Code.PACKAGE_FORMAT


def test_files_come_back_and_the_same_files_give_the_same_bytes() -> None:
    assert read_archive(CLEAN) == FILES
    assert write_archive(dict(reversed(FILES.items()))) == CLEAN


def test_standard_library_reads_what_is_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(CLEAN)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_plain_zip_of_the_standard_library_is_read() -> None:
    """An auditor may unpack and pack again: the list of files, not the zip, carries the signature."""
    body = zipped(lambda archive: [archive.writestr(name, content) for name, content in FILES.items()])
    assert read_archive(body) == FILES


def test_empty_archive_has_no_files() -> None:
    assert read_archive(write_archive({})) == {}


def bomb(inflated: int) -> bytes:
    """One file of zeros, deflated as far as it goes."""
    return zipped(lambda archive: archive.writestr("zeros", b"\x00" * inflated))


@pytest.mark.threat("T35")
@pytest.mark.parametrize(
    "body, limits",
    [
        (bomb(20_000_000), Limits()),
        (CLEAN, Limits(files=3)),
        (CLEAN, Limits(total_bytes=8_000)),
        (write_archive({"zeros": b"\x00" * 100_000}), Limits(total_bytes=99_999)),
    ],
    ids=["ratio", "files", "bytes", "bytes of one file"],
)
def test_archive_beyond_the_limits_is_refused(body: bytes, limits: Limits) -> None:
    with pytest.raises(PackageError) as caught:
        read_archive(body, limits)
    assert caught.value.code is Code.PACKAGE_LIMIT


@pytest.mark.threat("T35")
def test_size_that_lies_is_refused_without_inflating_further() -> None:
    """The headers promise little; the data would inflate to much more. Reading stops one byte later."""
    body = bomb(50_000_000)
    stated = struct.pack("<L", 1000)
    body = patched(LOCAL, 22, stated, patched(CENTRAL, 24, stated, body))
    with pytest.raises(PackageError) as caught:
        read_archive(body)
    assert caught.value.code is Code.PACKAGE_FORMAT


def test_what_compresses_too_well_is_stored_so_that_it_can_be_read_back() -> None:
    files = {"zeros": b"\x00" * 1_000_000}
    assert read_archive(write_archive(files)) == files


def test_name_that_is_not_permitted_is_not_written() -> None:
    with pytest.raises(PackageError):
        write_archive({"../up": b""})


def test_deflated_data_followed_by_more_is_refused() -> None:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = squeezer.compress(b"x" * 500) + squeezer.flush() + b"more"
    local = struct.pack("<4s5H3L2H", LOCAL, 20, 0, 8, 0, 33, zlib.crc32(b"x" * 500), len(data), 500, 1, 0) + b"a" + data
    central = (
        struct.pack(
            "<4s6H3L5H2L", CENTRAL, 20, 20, 0, 8, 0, 33, zlib.crc32(b"x" * 500), len(data), 500, 1, 0, 0, 0, 0, 0, 0
        )
        + b"a"
    )
    end = struct.pack("<4s4H2LH", END, 0, 0, 1, 1, len(central), len(local), 0)
    with pytest.raises(PackageError) as caught:
        read_archive(local + central + end)
    assert caught.value.code is Code.PACKAGE_FORMAT
