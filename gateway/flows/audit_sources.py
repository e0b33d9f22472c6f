"""Where charts come from: files, folders and bulk exports, named one after the other and read one at a time.

A source is a small value that may be handed to another process; only there are its bytes read. Nothing that
was named is ever passed over in silence: what cannot be a chart becomes a row or is listed as skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.errors import InputError, TooLarge
from gateway.fhir import Json
from gateway.fhir.json import parse_object
from gateway.fhir.xml import parse_xml

MAX_BYTES: Final = 32 * 1024 * 1024
"""Largest chart read, and longest line of an export."""
FILES: Final = (".json", ".xml")
LINES: Final = (".ndjson", ".jsonl")
"""Endings of the files that are looked at in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One line of a bulk file."""

    path: str
    """File."""
    offset: int
    """First byte."""
    size: int
    """Number of bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A chart that is a file of its own."""

    name: str
    """File name without ending."""
    path: str
    """File."""
    is_named: bool = True
    """It was named itself, not found in a folder: then it must be a chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientSource:
    """One patient of a bulk export."""

    name: str
    """Id of the patient."""
    path: str
    """Folder of the export."""
    pieces: tuple[Piece, ...]
    """Lines that belong to the patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSource:
    """One line of a file in which each line is the Bundle of one chart."""

    name: str
    """Id of the Bundle, or file and number of the line."""
    path: str
    """File."""
    piece: Piece
    """The line."""


Source = FileSource | PatientSource | BundleSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files behind what was named."""

    charts: tuple[FileSource, ...]
    """Charts of their own, in the order named; those of a folder by name."""
    exports: tuple[tuple[str, tuple[str, ...]], ...]
    """Bulk exports: folder, and its files by name."""


class NotAChart(InputError):
    """A JSON file of a folder that is no FHIR resource at all; it is listed as skipped."""

    code = "chart.skipped"


def find_sources(paths: Sequence[Path]) -> Found:
    """What is behind files and folders, folders with everything below them. InputError for one that is not there."""
    charts: dict[str, FileSource] = {}
    exports: dict[str, set[str]] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there.", code="usage.path")
        for file, is_named in [(path, True)] if not path.is_dir() else _below(path):
            if file.suffix.lower() in LINES:
                exports.setdefault(str(file.parent), set()).add(str(file))
            elif str(file) not in charts or is_named:
                charts[str(file)] = FileSource(name=file.stem, path=str(file), is_named=is_named)
    return Found(
        charts=tuple(charts.values()),
        exports=tuple((folder, tuple(sorted(files))) for folder, files in exports.items()),
    )


def _below(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Files of a folder and its subfolders by name; hidden ones and links to folders are not followed."""
    for inner, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in (*FILES, *LINES):
                yield Path(inner) / name, False


def read_chart_file(source: FileSource) -> tuple[list[Any], list[str | None]]:
    """Resources and fullUrls of a chart file, JSON or XML.

    Raises InputError that says what is wrong with it, NotAChart for a file of a folder that is no FHIR.
    """
    body = read_bytes(source.path)
    resource = parse_xml(body, max_bytes=MAX_BYTES) if body.lstrip()[:1] == b"<" else parse_object(body)
    if "resourceType" not in resource and "entry" not in resource and not source.is_named:
        raise NotAChart("The file is no FHIR resource.")
    return bundle_parts(resource)


def bundle_parts(resource: Json) -> tuple[list[Any], list[str | None]]:
    """Resources and fullUrls of a Bundle. InputError for any other resource."""
    if resource.get("resourceType") != "Bundle":
        raise InputError("A chart is a Bundle with the record of one patient; this is none.", code="chart.bundle")
    entries = resource.get("entry", [])
    if not isinstance(entries, list):
        raise InputError("The entries of the Bundle are no list.", code="chart.bundle")
    shaped: Iterable[Json] = [entry if isinstance(entry, dict) else {} for entry in entries]
    pairs = [(entry.get("resource"), entry.get("fullUrl")) for entry in shaped]
    return [item for item, _ in pairs], [url if isinstance(url, str) else None for _, url in pairs]


def read_bytes(path: str) -> bytes:
    """Bytes of a file. Raises InputError for one that cannot be read, TooLarge over `MAX_BYTES`."""
    try:
        with open(path, "rb") as opened:
            body = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"The file cannot be read: {error.strerror}.", code="chart.file") from None
    if len(body) > MAX_BYTES:
        raise TooLarge(f"The chart is larger than {MAX_BYTES // 1024 // 1024} MB.", code="chart.size")
    return body


def read_piece(piece: Piece) -> bytes:
    """Bytes of a line of an export. Raises InputError when the file changed or went away meanwhile."""
    try:
        with open(piece.path, "rb") as opened:
            opened.seek(piece.offset)
            body = opened.read(piece.size)
    except OSError as error:
        raise InputError(f"The export cannot be read: {error.strerror}.", code="bulk.file") from None
    if len(body) != piece.size:
        raise InputError("The export changed while it was read; audit it again.", code="bulk.file")
    return body
