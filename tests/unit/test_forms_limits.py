"""Forms whose questions switch each other on and off without end, or in very long rows: filling ends, and says so."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.forms.populate import MAX_VISITS, MIN_PASSES, most_passes
from tests.form_samples import expression, filled, form, item, package

pytestmark = [pytest.mark.threat("T6")]
SECONDS = 2.0
"""Processor time that a bad form may take."""


def row(count: int, step: int) -> list[dict[str, Any]]:
    """Questions of which each is switched on by the one before it, or after it."""
    found = []
    for place in range(count):
        asked = {"question": f"q{place + step}", "operator": "exists", "answerBoolean": True}
        switch = {"enableWhen": [asked]} if 0 <= place + step < count else {}
        found.append(item(f"q{place}", "string", initial=[{"valueString": "x"}], **switch))
    return found


def counting(count: int) -> list[dict[str, Any]]:
    """Questions that are on while few are."""
    rules = [expression("enableWhenExpression", f"%resource.item.count() < {place}") for place in range(count)]
    return [item(f"q{place}", "string", rule, initial=[{"valueString": "x"}]) for place, rule in enumerate(rules)]


LONG: dict[str, tuple[list[dict[str, Any]], str]] = {
    "each by the one before": (row(800, -1), "form.unsettled"),
    "each by the one after": (row(800, 1), "form.circle"),
    "each by the number of answers": (counting(150), ""),
}


@pytest.mark.requirement("dtr:spec-67")
@pytest.mark.parametrize(("items", "code"), LONG.values(), ids=LONG.keys())
def test_long_rows_of_switches_end(items: list[dict[str, Any]], code: str) -> None:
    started = time.process_time()
    draft = filled(package(form(*items, item("path", "date", expression("initialExpression", "%patient.birthDate")))))
    assert time.process_time() - started < SECONDS
    found = {answer.link_id: answer.value for answer in draft.answers}
    assert found["path"] == ({"valueDate": "1950-01-01"},)
    assert code in [problem.code for problem in draft.problems] or (not code and draft.blockers)


@pytest.mark.parametrize("step", [-1, 1])
def test_a_row_as_long_as_real_forms_have_settles(step: int) -> None:
    draft = filled(package(form(*row(60, step))))
    assert (draft.problems, draft.blockers) == ((), ())
    assert len([answer for answer in draft.answers if answer.value]) == 60


@pytest.mark.parametrize(("places", "passes"), [(0, 4), (10, 24), (200, 223), (2_999, 15), (MAX_VISITS, MIN_PASSES)])
def test_passes_are_bounded_by_the_work_they_are(places: int, passes: int) -> None:
    assert most_passes(places) == passes
