"""An audit of charts on a terminal: progress, the table, and the summary under it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.output import err, print_table
from gateway.flows.audit_html import ELEMENT_WORDS
from gateway.flows.audit_output import NOT_AUDITED
from gateway.flows.audit_rows import ChartRow
from gateway.flows.audit_summary import Summary

Cells = tuple[object, ...]
NOT_READ = "not read"
"""Stands in the verdict column of a row that only says what in the chart could not be read."""


class Watch:
    """Progress on a terminal."""

    def __init__(self, total: int, stack: ExitStack) -> None:
        columns = (TextColumn("charts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._shown = stack.enter_context(Progress(*columns, console=err, transient=True))
        self._task = self._shown.add_task("charts", total=total)
        self._last = ("", "")

    def add(self, row: ChartRow) -> None:
        """Count a chart, however many orders it has."""
        if (row.chart, row.path) != self._last:
            self._last = (row.chart, row.path)
            self._shown.advance(self._task)

    def close(self, summary: Summary) -> None:
        """Take the bar away."""
        self._shown.stop()


class Table:
    """The table for people, printed at the end because its columns are as wide as their widest cell."""

    def __init__(self) -> None:
        self._rows: list[Cells] = []

    def add(self, row: ChartRow) -> None:
        """Keep the lines of one row."""
        self._rows.extend(_lines(row))

    def close(self, summary: Summary) -> None:
        """Print all lines."""
        if self._rows:
            print_table(("chart", "order date", "rule", "verdict", "days", "fails"), self._rows)
            typer.echo()


def _lines(row: ChartRow) -> Iterator[Cells]:
    begin = (row.chart, row.order_on or "-")
    said = "; ".join(problem.message for problem in row.problems if problem.severity != "note")
    for rule in row.rules:
        failing = "; ".join(f"{item.element}{_mark(item.status)}: {item.line.rstrip('.')}" for item in rule.failing)
        yield (*begin, rule.found.rule_id, rule.found.verdict, rule.days or "-", failing or "-")
    if not row.rules or said:
        yield (*begin, "-", NOT_AUDITED if not row.rules else NOT_READ, "-", said)


def _mark(status: str) -> str:
    return " (cannot tell)" if status == "indeterminate" else ""


def print_summary(summary: Summary) -> None:
    typer.echo(f"{summary.audited} audited, {summary.refused} not audited, {summary.uncertain} with something not read")
    if summary.others:
        typer.echo(f"{summary.others} patients without an order that a rule is about")
    for skipped in summary.skipped:
        typer.echo(f"no chart: {skipped}")
    for rule, count in sorted(summary.rules.items()):
        found = ", ".join(f"{number} {verdict}" for verdict, number in count.verdicts.most_common())
        worst = {name: statuses["unmet"] for name, statuses in count.elements.items() if statuses["unmet"]}
        names = sorted(worst, key=lambda name: -worst[name])
        missing = ", ".join(f"{worst[name]} {ELEMENT_WORDS.get(name, name).lower()}" for name in names)
        typer.echo(f"{rule}: {found}{'; unmet: ' + missing if missing else ''}")
