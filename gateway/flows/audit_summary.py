"""What an audit adds up to: verdicts, elements and problems, counted while the rows go by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any, Final, get_args

from gateway.clinical.elements import Status, Verdict
from gateway.flows.audit_rows import ChartRow, RuleRow

VERDICTS: Final[tuple[Verdict, ...]] = (
    *("PASS", "GAP", "INDETERMINATE", "RED_FLAG_BYPASS", "RED_FLAG_INCOMPLETE", "NOT_APPLICABLE"),
)
"""In the order in which people read them."""
STATUSES: Final[tuple[str, ...]] = get_args(Status)
DONE, REFUSED, CANNOT_TELL = 0, 1, 3
"""Exit codes: every order has a verdict · at least one has none · something that was not read stands beside one."""


@dataclass(kw_only=True)
class RuleCount:
    """One rule over all orders."""

    rule: str
    versions: Counter[str] = field(default_factory=Counter)
    """Orders by version of the row."""
    status: str = ""
    """illustrative or verified, as the latest row said."""
    is_overlaid: bool = False
    """A what-if changed the row."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Orders by verdict."""
    elements: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Element → orders by status."""
    elapsed: list[int] = field(default_factory=list)
    """Days of conservative care, where they are known."""

    @property
    def total(self) -> int:
        """Orders the rule was asked about."""
        return sum(self.verdicts.values())

    @property
    def median_days(self) -> int | None:
        """Median of the days; None where none are known."""
        return median_low(self.elapsed) if self.elapsed else None

    def add(self, row: RuleRow) -> None:
        """Count one verdict."""
        found = row.found
        self.versions[found.rule_version] += 1
        self.status, self.is_overlaid = found.rule_status, row.is_overlaid
        self.verdicts[found.verdict] += 1
        for item in found.elements:
            self.elements[item.element][item.status] += 1
        if found.elapsed_days is not None:
            self.elapsed.append(found.elapsed_days)

    def as_json(self) -> dict[str, Any]:
        """The counts; every verdict and status is there, also those nobody got."""
        return {
            "versions": dict(sorted(self.versions.items())),
            "rule_status": self.status,
            "overlaid": self.is_overlaid,
            "verdicts": _all(self.verdicts, VERDICTS),
            "elements": {name: _all(counts, STATUSES) for name, counts in self.elements.items()},
            "median_elapsed_days": self.median_days,
        }


@dataclass(kw_only=True)
class Summary:
    """Everything counted so far."""

    charts: int = 0
    """Rows: orders, and charts in which none could be audited."""
    audited: int = 0
    """Rows with verdicts."""
    uncertain: int = 0
    """Rows with verdicts beside something that was not read."""
    rules: dict[str, RuleCount] = field(default_factory=dict)
    """By rule id, in the order met."""
    problems: Counter[str] = field(default_factory=Counter)
    """Rows by code of problem."""
    skipped: tuple[str, ...] = ()
    """Files of folders that are no FHIR; set at the end."""
    others: int = 0
    """Patients of exports without an order that a rule is about; set at the end."""

    @property
    def refused(self) -> int:
        """Rows without a verdict."""
        return self.charts - self.audited

    @property
    def exit_code(self) -> int:
        """0 every row has verdicts, 1 at least one has none, 3 something was not read beside one."""
        if self.refused or not self.charts:
            return REFUSED
        return CANNOT_TELL if self.uncertain else DONE

    def add(self, row: ChartRow) -> None:
        """Count one row."""
        self.charts += 1
        self.audited += row.is_audited
        self.uncertain += row.is_audited and not row.is_certain
        for code in {problem.code for problem in row.problems}:
            self.problems[code] += 1
        for rule in row.rules:
            self.rules.setdefault(rule.found.rule_id, RuleCount(rule=rule.found.rule_id)).add(rule)

    def as_json(self) -> dict[str, Any]:
        """The summary as `--json` prints it."""
        return {
            "charts": self.charts,
            "audited": self.audited,
            "not_audited": self.refused,
            "uncertain": self.uncertain,
            "rules": {name: count.as_json() for name, count in sorted(self.rules.items())},
            "findings": dict(sorted(self.problems.items())),
            "skipped": list(self.skipped),
            "patients_without_order": self.others,
        }


def _all(counts: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    return {name: counts.get(name, 0) for name in names}
