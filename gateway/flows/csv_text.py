"""CSV that a spreadsheet shows and does not run (security T32, field case B115)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as CSV text with a header line; every cell is quoted and starts no formula."""
    return line(columns) + "".join(line([inert(cell) for cell in row]) for row in rows)


def line(cells: Sequence[str]) -> str:
    """One line of CSV as it stands; see `inert` for cells from outside."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def inert(cell: str) -> str:
    """The cell with `'` before whatever a spreadsheet would take for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
