"""Measures of forms and of the way out: what the chart answered, what people changed, what did not leave.

Source: spec/ux.md (measures).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gateway.policy.metrics_math import Cell, plain_count, rate
from gateway.policy.metrics_measure import Measure
from gateway.policy.metrics_payer import in_scope
from gateway.policy.metrics_rows import FINAL_ACTIONS, MeasuredForm, MeasureInput

WAITING = frozenset({"intent", "sending", "unknown"})
"""States of a sending that has neither answer nor end."""


def _forms(given: MeasureInput) -> list[MeasuredForm]:
    """Forms that were completed in the period, of all orders."""
    return [form for case in given.cases for form in case.forms if given.period.has(form.completed_at)]


def answers_from_chart(given: MeasureInput) -> Measure:
    """Share of the answers of completed forms that the machine gave and nobody changed."""
    forms = _forms(given)
    cells = [_share(forms)]
    cells += [_share([form for form in forms if form.title == title], title) for title in _titles(forms)]
    return Measure(
        id="answers_from_chart",
        title="Answers from the chart",
        definition="answers that were prefilled and kept / all answers of forms completed in the period",
        unit="share",
        cells=tuple(cells),
    )


def _share(forms: Iterable[MeasuredForm], title: str = "") -> Cell:
    counted = list(forms)
    kept = sum(form.kept for form in counted)
    total = kept + sum(len(form.overridden) + form.manual for form in counted)
    return rate(kept, total, "form" if title else "", title)


def answers_overridden(given: MeasureInput) -> Measure:
    """Share of prefilled answers that a person changed, by form and question."""
    forms = _forms(given)
    cells = [_changed(forms)]
    cells += [_changed([form for form in forms if form.title == title], title) for title in _titles(forms)]
    questions = Counter(f"{form.title}: {link}" for form in forms for link in form.overridden)
    cells += [plain_count(number, "question", name) for name, number in sorted(questions.items())]
    return Measure(
        id="answers_overridden",
        title="Prefilled answers that people changed",
        definition="prefilled answers that were changed / prefilled answers of forms completed in the period; per "
        "question how often",
        unit="share",
        cells=tuple(cells),
        notes=("A question that is changed often wants its logic looked at.",) if questions else (),
    )


def _changed(forms: Iterable[MeasuredForm], title: str = "") -> Cell:
    counted = list(forms)
    changed = sum(len(form.overridden) for form in counted)
    return rate(changed, changed + sum(form.kept for form in counted), "form" if title else "", title)


def _titles(forms: Iterable[MeasuredForm]) -> list[str]:
    return sorted({form.title for form in forms})


def decided_at_first(given: MeasureInput) -> Measure:
    """Share of requests whose first answer was a decision."""
    rows = [case for case in in_scope(given) if case.answers and given.period.has(case.sent_at)]
    names = sorted({case.payer for case in rows if case.payer})
    first = {case.case_id: case.answers[0].action in FINAL_ACTIONS for case in rows}
    cells = [rate(sum(first.values()), len(rows))]
    for name in names:
        own = [first[case.case_id] for case in rows if case.payer == name]
        cells.append(rate(sum(own), len(own), "payer", name))
    return Measure(
        id="decided_at_first_answer",
        title="Decided at the first answer",
        definition="requests whose first answer decided the line / requests sent in the period that have an answer",
        unit="share",
        cells=tuple(cells),
    )


def outbox(given: MeasureInput) -> Measure:
    """What was to leave and has neither answer nor end, and what was given up."""
    states = Counter(state for case in given.cases for state in case.sendings)
    waiting = sum(states[state] for state in WAITING)
    return Measure(
        id="outbox",
        title="Outbox",
        definition="things to be sent that have no answer yet, and those that were given up; of the orders looked at",
        unit="count",
        cells=(
            plain_count(states.total()),
            plain_count(waiting, "state", "on the way"),
            plain_count(states["failed"], "state", "given up"),
            plain_count(states["refused"], "state", "refused"),
            plain_count(states["answered"], "state", "answered"),
        ),
        is_alarm=states["failed"] > 0,
        notes=("What was given up waits for a person on the worklist.",) if states["failed"] else (),
    )


BUILDERS = (decided_at_first, answers_from_chart, answers_overridden, outbox)
"""Measures of this module, in their order."""
