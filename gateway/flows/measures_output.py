"""The measures as JSON and as CSV: one shape for command, API and page downloads (docs/measures.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from gateway.flows import csv_text
from gateway.flows.measures import MeasureSheet
from gateway.policy.metrics_math import Cell
from gateway.policy.metrics_measure import Measure

CELL_FIELDS = tuple(field.name for field in fields(Cell) if field.name != "is_hidden")
"""Fields of a cell as they stand in JSON and CSV; `hidden` follows them."""
CSV_COLUMNS = ("measure", "unit", *CELL_FIELDS, "hidden", "notes")


def as_json(sheet: MeasureSheet) -> dict[str, Any]:
    """The measures as a JSON value."""
    period = sheet.period
    return {
        "period": {"from": period.start.isoformat(), "to": period.end.isoformat(), "zone": period.zone},
        "as_of": sheet.as_of.isoformat(),
        "orders": sheet.orders,
        "others": sheet.others,
        "measures": [_measure(measure) for measure in sheet.measures],
    }


def as_csv(sheet: MeasureSheet) -> str:
    """The measures as CSV, one line for each cell and one for each measure that is not recorded."""
    return csv_text.write(CSV_COLUMNS, _lines(sheet))


def _measure(measure: Measure) -> dict[str, Any]:
    return {
        "id": measure.id,
        "title": measure.title,
        "definition": measure.definition,
        "unit": measure.unit,
        "recorded": measure.is_recorded,
        "alarm": measure.is_alarm,
        "notes": list(measure.notes),
        "cells": [_cell(cell) for cell in measure.cells],
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {**{name: getattr(cell, name) for name in CELL_FIELDS}, "hidden": cell.is_hidden}


def _lines(sheet: MeasureSheet) -> Iterator[tuple[str, ...]]:
    for measure in sheet.measures:
        notes = " ".join(measure.notes)
        for cell in measure.cells or (Cell(),):
            values = (getattr(cell, name) for name in CELL_FIELDS)
            texts = ("" if value is None else str(value) for value in values)
            yield measure.id, measure.unit, *texts, "yes" if cell.is_hidden else "no", notes
