"""The page of measures: each a question with its table, a small chart beside rates, and the numbers as CSV.

Charts are drawn on the server as inline SVG with a title and a description; the table says the same.
Source: spec/ux.md (measures); spec/clinical.md §8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from gateway.errors import InputError
from gateway.flows import desk
from gateway.flows.measures import MOST_ON_A_PAGE, MeasureSheet, read_measures
from gateway.flows.measures_output import as_csv, as_json
from gateway.web.page import Page
from gateway.web.safety import NO_STORE

BAR_WIDTH: Final = 300
"""Units that 100 per cent take in a chart."""
BAR_STEP: Final = 22
"""Units between two bars."""
MOST_BARS: Final = 12
"""A chart shows so many bars; the table has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a measure's table."""

    name: str
    """What it is about."""
    n: str
    """Denominator, or why there is none."""
    value: str
    """The number in words."""
    interval: str
    """Its 95 % interval; empty where it has none."""
    percent: Decimal | None
    """Share in per cent, for the chart."""
    low: Decimal | None
    """Lower end of the interval."""
    high: Decimal | None
    """Upper end of the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of a chart, in its units."""

    name: str
    """What it is about."""
    text: str
    """Its number."""
    top: int
    """Upper edge."""
    width: Decimal
    """Length."""
    low: Decimal
    """Left end of the interval's line."""
    high: Decimal
    """Right end of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One measure as the page shows it."""

    id: str
    """Name; also the anchor."""
    title: str
    """Heading."""
    definition: str
    """Numerator over denominator."""
    notes: tuple[str, ...]
    """What to know."""
    is_alarm: bool
    """Something that must be 0 is not."""
    lines: tuple[Line, ...]
    """Table; empty where nothing is recorded."""
    bars: tuple[Bar, ...]
    """Chart; empty where it would show nothing."""
    description: str
    """The chart in words."""

    @property
    def height(self) -> int:
        """Height of the chart."""
        return BAR_STEP * len(self.bars)


def show(page: Page) -> Response:
    """The measures of the period asked for."""
    sheet = _read(page)
    query = urlencode({name: page.query(name) for name in ("from", "to") if page.query(name)})
    payers = desk.payer_names(page.services)
    measures = [_shown(item, payers) for item in as_json(sheet)["measures"]]
    return page.show("measures.html", sheet=sheet, measures=measures, query=query, bar_width=BAR_WIDTH)


def export(page: Page) -> Response:
    """The same numbers as CSV."""
    headers = {**NO_STORE, "Content-Disposition": 'attachment; filename="measures.csv"'}
    return Response(as_csv(_read(page)), 200, headers, "text/csv; charset=utf-8")


def _read(page: Page) -> MeasureSheet:
    return read_measures(page.services, page.who.actor, _day(page, "from"), _day(page, "to"), most=MOST_ON_A_PAGE)


def _day(page: Page, name: str) -> date | None:
    try:
        return date.fromisoformat(page.query(name)) if page.query(name) else None
    except ValueError:
        raise InputError("Write a day as YYYY-MM-DD.", code="period", status=422) from None


def _shown(measure: dict[str, object], payers: Mapping[str, str]) -> Shown:
    cells = measure["cells"]
    assert isinstance(cells, list)
    unit = str(measure["unit"])
    lines = tuple(_line(cell, unit, payers) for cell in cells)
    rated = [line for line in lines if line.percent is not None][:MOST_BARS]
    notes = measure["notes"]
    assert isinstance(notes, list)
    return Shown(
        id=str(measure["id"]),
        title=str(measure["title"]),
        definition=str(measure["definition"]),
        notes=tuple(str(note) for note in notes),
        is_alarm=bool(measure["alarm"]),
        lines=lines,
        bars=tuple(_bar(line, place) for place, line in enumerate(rated)),
        description="; ".join(f"{line.name}: {line.value}" for line in rated),
    )


def _line(cell: dict[str, object], unit: str, payers: Mapping[str, str]) -> Line:
    def number(name: str) -> Decimal | None:
        value = cell[name]
        return value if isinstance(value, Decimal) else None

    group = str(cell["group"])
    if cell["by"] == "payer":
        group = payers.get(group, group)
    low, high = number("low"), number("high")
    return Line(
        name=f"{cell['by']}: {group}" if cell["by"] else "All",
        n="" if cell["denominator"] is None else str(cell["denominator"]),
        value=_value(cell, unit),
        interval=f"{low} to {high} %" if low is not None and high is not None else "",
        percent=number("percent"),
        low=low,
        high=high,
    )


def _value(cell: dict[str, object], unit: str) -> str:
    if cell["hidden"]:
        return "hidden, fewer than 11"
    if cell["percent"] is not None:
        return f"{cell['percent']} % ({cell['numerator']})"
    if cell["median"] is not None:
        return f"median {cell['median']} {unit}, 90 % within {cell['p90']}"
    if cell["amount_low"] is not None:
        return f"{cell['amount_low']} to {cell['amount_high']}"
    return "none" if cell["numerator"] in (None, 0) else str(cell["numerator"])


def _bar(line: Line, place: int) -> Bar:
    def units(percent: Decimal | None) -> Decimal:
        return (percent or Decimal(0)) * BAR_WIDTH / 100

    return Bar(
        name=line.name,
        text=line.value,
        top=BAR_STEP * place,
        width=units(line.percent),
        low=units(line.low),
        high=units(line.high),
    )
