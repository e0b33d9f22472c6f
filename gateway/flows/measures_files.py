"""What an operator adds to the measures: claims and staff minutes as CSV. Read strictly, from settings alone.

`claims`: claim_id,on,expected,paid,denied,overturned,recouped,recouped_on,audit_on,audit_verdict,appeals.
`staff_minutes`: on,minutes. Days are ISO dates, amounts plain decimals, truth `yes` or `no`, empty means none.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn, TypeVar

from gateway.errors import SettingsError
from gateway.policy.metrics_rows import ClaimFact, OperatorFacts
from gateway.settings import MeasureSettings

MAX_BYTES = 20 * 1024 * 1024
"""Larger files are refused."""
CLAIM_COLUMNS = (
    *("claim_id", "on", "expected", "paid", "denied", "overturned", "recouped", "recouped_on"),
    *("audit_on", "audit_verdict", "appeals"),
)
STAFF_COLUMNS = ("on", "minutes")
Value = TypeVar("Value")


def operator_facts(settings: MeasureSettings) -> OperatorFacts:
    """What the operator's files say; None for what they do not. Raises SettingsError with file, line and column."""
    return OperatorFacts(
        claims=tuple(_claims(settings.claims)) if settings.claims else None,
        appeal_cost=settings.appeal_cost,
        staff_minutes=tuple(_minutes(settings.staff_minutes)) if settings.staff_minutes else None,
    )


def _claims(path: Path) -> Iterator[ClaimFact]:
    for cells in _lines(path, CLAIM_COLUMNS):
        yield ClaimFact(
            claim_id=cells.need("claim_id"),
            on=cells.read("on", date.fromisoformat),
            expected=cells.amount("expected"),
            paid=cells.amount("paid"),
            is_denied=cells.truth("denied"),
            is_overturned=cells.truth("overturned"),
            recouped=cells.amount("recouped"),
            recouped_on=cells.day("recouped_on"),
            audit_on=cells.day("audit_on"),
            audit_verdict=cells.text("audit_verdict"),
            appeals=int(cells.amount("appeals")),
        )


def _minutes(path: Path) -> Iterator[tuple[date, Decimal]]:
    for cells in _lines(path, STAFF_COLUMNS):
        yield cells.read("on", date.fromisoformat), cells.amount("minutes")


class _Cells:
    """One line; every fault is named by file, line and column, never by its value."""

    def __init__(self, where: str, values: Mapping[str, str]) -> None:
        self._where = where
        self._values = values

    def text(self, column: str) -> str:
        return self._values[column].strip()

    def need(self, column: str) -> str:
        if not self.text(column):
            self._fail(column, "a value")
        return self.text(column)

    def read(self, column: str, reader: Callable[[str], Value]) -> Value:
        try:
            return reader(self.need(column))
        except ValueError:
            self._fail(column, "a day as YYYY-MM-DD")

    def day(self, column: str) -> date | None:
        return self.read(column, date.fromisoformat) if self.text(column) else None

    def truth(self, column: str) -> bool:
        word = self.text(column).lower()
        if word not in ("", "yes", "no"):
            self._fail(column, "yes or no")
        return word == "yes"

    def amount(self, column: str) -> Decimal:
        try:
            value = Decimal(self.text(column) or "0")
        except InvalidOperation:
            self._fail(column, "a plain number")
        if not value.is_finite() or value < 0:
            self._fail(column, "a plain number of 0 or more")
        return value

    def _fail(self, column: str, expected: str) -> NoReturn:
        raise SettingsError(f"{self._where}: {column}: {expected} is expected.", code="measures.file")


def _lines(path: Path, columns: tuple[str, ...]) -> Iterator[_Cells]:
    reader = csv.DictReader(io.StringIO(_read(path)), strict=True)
    try:
        if tuple(reader.fieldnames or ()) != columns:
            raise SettingsError(
                f"{path.name}: line 1: these columns are expected: {','.join(columns)}.", code="measures.file"
            )
        for row in reader:
            where = f"{path.name}: line {reader.line_num}"
            if None in row or None in row.values():
                raise SettingsError(f"{where}: {len(columns)} cells are expected.", code="measures.file")
            yield _Cells(where, row)
    except csv.Error:
        raise SettingsError(
            f"{path.name}: line {reader.line_num + 1}: this is not CSV.", code="measures.file"
        ) from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            body = opened.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise SettingsError(f"{path.name}: at most {MAX_BYTES} bytes are read.", code="measures.file")
        return body.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{path.name}: a readable UTF-8 file is expected.", code="measures.file") from None
