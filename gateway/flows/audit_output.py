"""An audit written as JSON or CSV, row by row, so that ten thousand charts need no memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Final, Protocol

from gateway.fhir.json import dump_json
from gateway.flows import csv_text
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow, Problem, RuleRow
from gateway.flows.audit_summary import Summary

COLUMNS: Final = (
    *("chart", "order", "order date", "rule", "version", "rule status", "verdict", "days", "days required"),
    *("unmet", "undecided", "found", "earliest date by time alone", "evidence", "findings", "path"),
)
NOT_AUDITED: Final = "NOT_AUDITED"
"""Stands in the verdict column of a row without one."""


class Sink(Protocol):
    """Somewhere to write an audit."""

    def add(self, row: ChartRow) -> None:
        """Write one row."""

    def close(self, summary: Summary) -> None:
        """Write what comes at the end."""


class RunningAudit(Protocol):
    """An audit that is being made, over files, an EHR or cases."""

    plan: AuditPlan
    """What is asked."""
    skipped: list[str]
    """Files that are no charts; complete when the rows are."""
    others: int
    """Patients without an order that a rule is about."""

    @property
    def total(self) -> int:
        """How many charts will be read."""

    def rows(self) -> Iterator[ChartRow]:
        """Every row, once."""


def write_audit(audit: RunningAudit, sinks: Iterable[Sink], watch: Iterable[Sink] = ()) -> Summary:
    """Make an audit and write it everywhere at once; `watch` only sees the rows, e.g. to show progress."""
    summary, opened = Summary(), [*sinks]
    for row in audit.rows():
        summary.add(row)
        for sink in (*opened, *watch):
            sink.add(row)
    summary.skipped, summary.others = tuple(audit.skipped), audit.others
    for sink in (*opened, *watch):
        sink.close(summary)
    return summary


class JsonSink:
    """`{"charts": […], "summary": {…}}`, one chart a line."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._out.write(b'{"charts":[')
        self._between = b"\n"

    def add(self, row: ChartRow) -> None:
        """Write one row."""
        self._out.write(self._between + dump_json(row.as_json()))
        self._between = b",\n"

    def close(self, summary: Summary) -> None:
        """Write the summary."""
        self._out.write(b'\n],"summary":' + dump_json(summary.as_json()) + b"}\n")
        self._out.flush()


class CsvSink:
    """A line for each order and rule; a line with `NOT_AUDITED` for each row without a verdict."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._out.write(csv_text.line(COLUMNS).encode())

    def add(self, row: ChartRow) -> None:
        """Write the lines of one row."""
        for cells in csv_rows(row):
            self._out.write(csv_text.line([csv_text.inert(cell) for cell in cells]).encode("utf-8", "replace"))

    def close(self, summary: Summary) -> None:
        """Nothing comes after the rows."""
        self._out.flush()


def csv_rows(row: ChartRow) -> Iterator[tuple[str, ...]]:
    """Cells of each line that a row gives, in the order of `COLUMNS`."""
    begin = (row.chart, row.order, row.order_on.isoformat() if row.order_on else "")
    end = (" ".join(map(_said, row.problems)), row.path)
    for rule in row.rules:
        yield (*begin, *_verdict(rule), *end)
    if not row.rules:
        yield (*begin, "", "", "", NOT_AUDITED, *([""] * 7), *end)


def _verdict(rule: RuleRow) -> tuple[str, ...]:
    found = rule.found
    status = f"{found.rule_status}, what-if" if rule.is_overlaid else found.rule_status
    evidence = dict.fromkeys(reference for item in rule.failing for reference in item.evidence)
    return (
        *(found.rule_id, found.rule_version, status, found.verdict),
        "" if found.elapsed_days is None else str(found.elapsed_days),
        str(found.required_days or ""),
        " ".join(found.unmet),
        " ".join(found.indeterminate),
        " ".join(item.line for item in rule.failing),
        found.resume_on.isoformat() if found.resume_on else "",
        " ".join(evidence),
    )


def _said(problem: Problem) -> str:
    return f"{problem.severity} {problem.code}: {problem.message}"
