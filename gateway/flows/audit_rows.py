"""What an audit of charts says: one row per order, one verdict per rule, and what stood in the way.

Plain frozen values that travel between processes and become JSON, CSV or a report. No name, birth date or
address of a patient is in them: a chart is named by its file or its id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from gateway.clinical.elements import ElementResult, Evaluation

Severity = Literal["error", "warning", "note"]
"""`error`: the order has no verdict · `warning`: it has, and something was not read · `note`: good to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a chart that whoever reads the audit must know."""

    code: str
    """Stable machine word: `chart.two-patients`, `order.date`, …; docs/chart-audit.md lists them all."""
    severity: Severity
    """What it means for the verdicts of the row."""
    message: str
    """One sentence for staff that says what to do; no patient data."""
    evidence: tuple[str, ...] = ()
    """`Type/id` of the resources concerned, at most a few."""

    def as_json(self) -> dict[str, Any]:
        """The problem as `--json` prints it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """What one rule says about one order."""

    found: Evaluation
    """The evaluation as the clinical rules gave it."""
    is_overlaid: bool = False
    """The row was changed for a what-if; the verdict is not the rule's own."""

    @property
    def failing(self) -> tuple[ElementResult, ...]:
        """Elements that are unmet or undecided, in the order of the rule."""
        return tuple(item for item in self.found.elements if item.status in ("unmet", "indeterminate"))

    @property
    def days(self) -> str:
        """`21 of 42`, `- of 42`; empty where the rule does not apply."""
        if not self.found.required_days:
            return ""
        elapsed = self.found.elapsed_days
        return f"{'-' if elapsed is None else elapsed} of {self.found.required_days}"

    def as_json(self) -> dict[str, Any]:
        """The verdict as `--json` prints it (design.md §5), with more keys than promised there."""
        found = self.found
        return {
            "rule": found.rule_id,
            "version": found.rule_version,
            "rule_status": found.rule_status,
            "overlaid": self.is_overlaid,
            "verdict": found.verdict,
            "reason": found.reason,
            "indication": found.indication,
            "elapsed_days": found.elapsed_days,
            "required_days": found.required_days or None,
            "resume_on": _day(found.resume_on),
            "red_flag": found.red_flag,
            "red_flag_evidence": list(found.red_flag_evidence),
            "unmet": list(found.unmet),
            "indeterminate": list(found.indeterminate),
            "elements": [_element(item) for item in found.elements],
            "advisories": list(found.advisories),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRow:
    """One order of one chart, or one chart in which no order could be audited."""

    chart: str
    """Name of the chart: its file without ending, the patient's id in a bulk export or an EHR, or a case id."""
    path: str
    """File or folder it came from; a FHIR base for an EHR."""
    order: str = ""
    """`ServiceRequest/id`; empty where none was found."""
    order_on: date | None = None
    """Local day of the order."""
    rules: tuple[RuleRow, ...] = ()
    """Verdicts, by rule id; empty where there is none."""
    problems: tuple[Problem, ...] = ()
    """What stood in the way."""

    @property
    def is_audited(self) -> bool:
        """Whether there is at least one verdict and nothing that forbids one."""
        return bool(self.rules) and not any(item.severity == "error" for item in self.problems)

    @property
    def is_certain(self) -> bool:
        """Whether nothing that was not read stands beside the verdicts."""
        return self.is_audited and not any(item.severity == "warning" for item in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        return {
            "chart": self.chart,
            "path": self.path,
            "order": self.order or None,
            "order_date": _day(self.order_on),
            "rules": [rule.as_json() for rule in self.rules],
            "findings": [problem.as_json() for problem in self.problems],
        }


def refused(chart: str, path: str, code: str, message: str, evidence: tuple[str, ...] = ()) -> ChartRow:
    """The row of a chart without any verdict."""
    problem = Problem(code=code, severity="error", message=message, evidence=evidence)
    return ChartRow(chart=chart, path=path, problems=(problem,))


def _element(item: ElementResult) -> dict[str, Any]:
    return {
        "element": item.element,
        "status": item.status,
        "value": item.value,
        "threshold": item.threshold,
        "reason": item.reason,
        "line": item.line,
        "resume_on": _day(item.resume_on),
        "evidence": list(item.evidence),
    }


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None
