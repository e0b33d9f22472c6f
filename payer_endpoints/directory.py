"""The payer directory: packaged rows, overlaid with the operator's own, found by slug or identifier.

It knows addresses and limits and refuses to know what they are used for. It imports nothing of the
gateway, so that the harness, the demo and a script may read it too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from payer_endpoints.rows import (
    BreakerLimits,
    BusinessIdentifier,
    Cdex,
    Crd,
    Dtr,
    Limits,
    Pas,
    Payer,
    PayerRow,
    Quirk,
    RetryLimits,
    Token,
    Transmission,
    X12Codes,
)

__all__ = [
    "BreakerLimits",
    "BusinessIdentifier",
    "Cdex",
    "Crd",
    "Directory",
    "DirectoryError",
    "Dtr",
    "Limits",
    "Pas",
    "Payer",
    "PayerRow",
    "Quirk",
    "RetryLimits",
    "Token",
    "Transmission",
    "X12Codes",
    "load_directory",
    "read_row",
]

MAX_ROW_BYTES = 65_536
"""A payer row is a page of text; anything larger is not one."""


class DirectoryError(ValueError):
    """A row cannot be used: `file` and `key` say where, the message what was expected."""

    def __init__(self, file: str, key: str, expected: str) -> None:
        super().__init__(f"{file}: {key}: {expected}" if key else f"{file}: {expected}")
        self.file = file
        self.key = key
        self.expected = expected


class Directory:
    """All payers known to this installation."""

    def __init__(self, rows: Iterable[PayerRow] = ()) -> None:
        self._rows: dict[str, PayerRow] = {}
        self._by_identifier: dict[tuple[str, str], PayerRow] = {}
        for row in rows:
            self._add(row)

    def _add(self, row: PayerRow) -> None:
        self._rows[row.slug] = row
        for identifier in row.identifiers:
            owner = self._by_identifier.setdefault(identifier, row)
            if owner is not row:
                raise DirectoryError(f"{row.slug}.toml", "payer.identifiers", f"already used by {owner.slug}")

    def __iter__(self) -> Iterator[PayerRow]:
        return iter(sorted(self._rows.values(), key=lambda row: row.slug))

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, slug: str) -> PayerRow | None:
        """The row of that name, or None."""
        return self._rows.get(slug)

    def by_identifier(self, system: str, value: str) -> PayerRow | None:
        """The row that owns this business identifier, or None; compared as it stands."""
        return self._by_identifier.get((system, value))


def load_directory(extra: Sequence[Path] = (), *, allow_loopback: bool = False) -> Directory:
    """Packaged rows and those of `extra` (TOML files or folders of them); a later row replaces one of the same slug.

    Without `allow_loopback` every row loses its private networks and plain http, whatever it says: a
    row may ask, only the settings grant (security T2). Raises `DirectoryError`.
    """
    rows = {row.slug: row for row in _packaged()}
    for path in extra:
        for file in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            row = read_row(_read_file(file), file.name)
            rows[row.slug] = row
    found = rows.values()
    return Directory(found if allow_loopback else [row.without_private_networks() for row in found])


def read_row(text: str, file: str) -> PayerRow:
    """One row from TOML text; `file` names it in errors and must equal the slug plus `.toml`.

    Raises `DirectoryError` with the path of the first key that is unknown, missing or out of range.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DirectoryError(file, "", f"not TOML: {error}") from None
    try:
        row = PayerRow.model_validate(content)
    except ValidationError as error:
        raise _first_problem(file, error) from None
    if f"{row.slug}.toml" != file:
        raise DirectoryError(file, "payer.slug", "the file must be named after the slug")
    return row


def _packaged() -> Iterator[PayerRow]:
    folder: Traversable = files("payer_endpoints") / "payers"
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            yield read_row(file.read_text("utf-8"), file.name)


def _read_file(path: Path) -> str:
    try:
        body = path.read_bytes()
        text = body.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise DirectoryError(path.name, "", "a readable UTF-8 file") from None
    if len(body) > MAX_ROW_BYTES:
        raise DirectoryError(path.name, "", f"at most {MAX_ROW_BYTES} bytes")
    return text


def _first_problem(file: str, error: ValidationError) -> DirectoryError:
    problem: Any = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    expected = "unknown key" if problem["type"] == "extra_forbidden" else str(problem["msg"])
    return DirectoryError(file, key, expected)
