"""Measures of what was known when the order was written, and of conservative care.

Source: spec/clinical.md §8, §4.3.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

from gateway.policy.metrics_math import Cell, count, median, plain_count, rate
from gateway.policy.metrics_measure import Measure, shares
from gateway.policy.metrics_payer import in_scope
from gateway.policy.metrics_rows import Judgement, MeasuredCase, MeasureInput

AFTER_TIMER = timedelta(days=90)
"""A red flag found so soon after a timer began is looked at case by case."""
ENOUGH_ORDERS = 20
"""Orders of one clinician from which a high share of exceptions is called high."""
HIGH_SHARE = Fraction(30, 100)
"""Share of exceptions that is looked at, given enough orders."""


def authored(given: MeasureInput) -> list[tuple[MeasuredCase, Judgement]]:
    """Orders in scope that are dated in the period, with their evaluation at order time; cancelled ones too."""
    return [(case, case.first) for case in in_scope(given) if case.first and given.period.has(case.authored_on)]


def early_orders(given: MeasureInput) -> Measure:
    """Orders for the symptom code before the weeks of conservative care are over."""
    rows = [(case, first) for case, first in authored(given) if first.is_symptom and not first.is_bypass]
    early = sum(first.elements.get("DURATION") == "unmet" for _, first in rows)
    unclear = sum(first.elements.get("DURATION") == "indeterminate" for _, first in rows)
    cells: list[Cell] = [rate(early, len(rows)), rate(unclear, len(rows), "cannot tell", "duration not known")]
    cells += shares(rows, _is_early, ("payer", lambda row: row[0].payer))[1:]
    return Measure(
        id="early_orders",
        title="Orders before the end of conservative care",
        definition="duration unmet when the order was judged and no complete red flag / orders of the period for the "
        "symptom code, those with a complete red flag left out",
        unit="share",
        cells=tuple(cells),
    )


def _is_early(row: tuple[MeasuredCase, Judgement]) -> bool:
    return row[1].elements.get("DURATION") == "unmet"


def completeness(given: MeasureInput) -> Measure:
    """Orders with everything documented, as a whole and per element."""
    rows = [first for _, first in authored(given) if not first.is_bypass]
    cells: list[Cell] = [rate(sum(first.verdict == "PASS" for first in rows), len(rows))]
    names = sorted({name for first in rows for name in first.elements})
    for name in names:
        asked = [first for first in rows if first.elements.get(name, "not_required") != "not_required"]
        met = sum(first.elements[name] in ("met", "waived") for first in asked)
        cells += [rate(met, len(asked), "element", name)] if asked else []
    return Measure(
        id="documentation_completeness",
        title="Documentation complete at order time",
        definition="orders with every required element met / orders of the period, exceptions left out; per element "
        "over the orders whose rule asks it",
        unit="share",
        cells=tuple(cells),
    )


def decided_in_time(given: MeasureInput) -> Measure:
    """Cases decided on the very day on which the protocol ended."""
    rows = [
        timer
        for timer in given.timers
        if given.period.has(timer.ends_on)
        and timer.ends_on <= given.period.day(given.as_of)
        and not (timer.ended_on is not None and timer.ended_on < timer.ends_on)
    ]
    decided = sum(timer.ends_on in (timer.ended_on, timer.left_on) for timer in rows)
    return Measure(
        id="decided_on_protocol_day",
        title="Decided on the day the protocol ended",
        definition="the timer ended or the case went on that day / timers that reached their last day in the period",
        unit="share",
        cells=(rate(decided, len(rows)),),
    )


def upgrades(given: MeasureInput) -> Measure:
    """Supported upgrades from the symptom to the diagnosis, over cases in which the examination was opened."""
    opened = [case for case in in_scope(given) if case.opened_exam and given.period.has(case.opened_at)]
    supported = sum(any(found.is_supported for found in _upgraded(case)) for case in opened)
    return Measure(
        id="supported_upgrade_rate",
        title="Supported upgrades of the diagnosis",
        definition="cases whose diagnosis went from the symptom to one that findings support / cases opened in the "
        "period in which the examination template was used",
        unit="share",
        cells=(rate(supported, len(opened)),),
    )


def unsupported_upgrades(given: MeasureInput) -> Measure:
    """Upgrades without the support that the rule asks; must be none."""
    cases = [case for case in in_scope(given) if any(given.period.has(found.at) for found in _unsupported(case))]
    return Measure(
        id="unsupported_upgrades",
        title="Upgrades of the diagnosis without support",
        definition="cases whose diagnosis went from the symptom to one that needs findings, without them; must be 0",
        unit="count",
        cells=(count(len(cases)),),
        notes=(f"{'Not 0: ' if cases else ''}review each such case.",) if cases else (),
        is_alarm=bool(cases),
    )


def _upgraded(case: MeasuredCase) -> list[Judgement]:
    """Evaluations with which the diagnosis went from the symptom to one that needs support."""
    return [later for earlier, later in pairwise(case.judgements) if earlier.is_symptom and later.needs_support]


def _unsupported(case: MeasuredCase) -> list[Judgement]:
    return [found for found in _upgraded(case) if not found.is_supported and not found.is_bypass]


def overrides(given: MeasureInput) -> Measure:
    """Orders that went on in spite of a gap, and panels that were overridden."""
    shown_gaps = [
        case for case, first in authored(given) if first.verdict in ("GAP", "INDETERMINATE", "RED_FLAG_INCOMPLETE")
    ]
    cells: list[Cell] = [rate(sum(case.is_overridden for case in shown_gaps), len(shown_gaps))]
    panels = [panel for panel in given.panels if given.period.has(panel.on)]
    cells.append(rate(sum(panel.outcome == "overridden" for panel in panels), len(panels), "panel", "at order entry"))
    cells += shares(shown_gaps, lambda case: case.is_overridden, ("payer", lambda case: case.payer))[1:]
    return Measure(
        id="overrides",
        title="Gaps overridden",
        definition="orders that a clinician let go on in spite of a gap / orders of the period with a gap",
        unit="share",
        cells=tuple(cells),
    )


def bypasses(given: MeasureInput) -> Measure:
    """Red-flag exceptions, per clinician as well; high shares are named."""
    rows = [case for case, _ in authored(given)]
    cells = shares(rows, _has_bypass, ("clinician", lambda case: case.clinician), ("payer", lambda case: case.payer))
    high = _high_bypass(rows)
    notes = tuple(f"{name}: share of exceptions is high; look at each of them." for name in high)
    return Measure(
        id="red_flag_bypasses",
        title="Red-flag exceptions",
        definition="orders with a complete, attested red flag / orders of the period",
        unit="share",
        cells=cells,
        notes=notes,
        is_alarm=bool(high),
    )


def _has_bypass(case: MeasuredCase) -> bool:
    return any(found.is_bypass for found in case.judgements)


def _high_bypass(rows: list[MeasuredCase]) -> list[str]:
    """Clinicians with enough orders whose share is above 30 %, or above twice the median of such clinicians."""
    groups: dict[str, list[MeasuredCase]] = defaultdict(list)
    for case in rows:
        groups[case.clinician].append(case)
    own = {
        name: Fraction(sum(map(_has_bypass, cases)), len(cases))
        for name, cases in groups.items()
        if name and len(cases) >= ENOUGH_ORDERS
    }
    if not own:
        return []
    usual = median(list(own.values()))
    return sorted(name for name, share in own.items() if share > HIGH_SHARE or share > 2 * usual > 0)


def flags_after_timer(given: MeasureInput) -> Measure:
    """Red flags found soon after a timer began: each is a safety review."""
    by_id = {case.case_id: case for case in given.cases}
    started = [timer for timer in given.timers if given.period.has(timer.started_on)]
    found = sum(
        any(
            item.is_bypass and timer.started_on <= given.period.day(item.at) <= timer.started_on + AFTER_TIMER
            for item in by_id[timer.case_id].judgements
        )
        for timer in started
        if timer.case_id in by_id
    )
    return Measure(
        id="red_flags_after_timer",
        title="Red flags within 90 days of a timer",
        definition="timers after which a red flag was completed within 90 days / timers started in the period",
        unit="share",
        cells=(rate(found, len(started)),),
        notes=("Each such case wants a safety review.",) if found else (),
    )


def rule_rows(given: MeasureInput) -> Measure:
    """Rule rows past their review date, and rows that nobody compared with a payer's text."""
    overdue = [row.name for row in given.rules if row.is_overdue]
    illustrative = sum(row.is_illustrative for row in given.rules)
    return Measure(
        id="rule_rows_overdue",
        title="Rule rows past their review date",
        definition="rule rows in force whose review is overdue; of how many",
        unit="count",
        cells=(
            Cell(numerator=len(overdue), denominator=len(given.rules)),
            plain_count(illustrative, "status", "illustrative, not a payer policy"),
        ),
        notes=tuple(f"{name}: review overdue." for name in overdue),
        is_alarm=bool(overdue),
    )


def volume(given: MeasureInput) -> Measure:
    """Orders of the period by clinician: where a pilot finds its first clinicians."""
    rows = [case for case, first in authored(given) if first.is_symptom]
    names = sorted({case.clinician for case in rows if case.clinician})
    cells = [count(len(rows))]
    cells += [count(sum(case.clinician == name for case in rows), "clinician", name) for name in names]
    return Measure(
        id="orders_by_clinician",
        title="Orders for the symptom code by clinician",
        definition="orders of the period for the symptom code",
        unit="count",
        cells=tuple(cells),
    )


BUILDERS = (
    early_orders,
    completeness,
    decided_in_time,
    upgrades,
    unsupported_upgrades,
    overrides,
    bypasses,
    flags_after_timer,
    rule_rows,
    volume,
)
"""Measures of this module, in their order."""
