"""Charts that were tampered with, before the audit: each gives a row, none breaks it, none is blamed on us."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clinical.rules import load_concepts, load_rules
from gateway.fhir.json import dump_json
from gateway.flows.audit_chart import ChartContent, audit_chart
from gateway.flows.audit_html import HtmlSink
from gateway.flows.audit_output import csv_rows
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_summary import Summary
from tests.clinical_charts import NOW, ZONE
from tests.generative.test_clinical_hostile import JSON, everything

RULE = "ill-cgs"
PLAN = AuditPlan(rules=load_rules(), concepts=load_concepts(), zone=ZONE, now=NOW, rule_ids=(RULE,))
LIMITS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _tampered(data: st.DataObject) -> list[Any]:
    """The chart with up to three values anywhere in it replaced, and perhaps something that is no resource."""
    resources: list[Any] = list(everything().values())
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = data.draw(st.sampled_from([item for item in resources if item]))
        while True:
            key = data.draw(st.sampled_from(sorted(place))) if isinstance(place, dict) else 0
            below = place[key]
            if not below or not isinstance(below, dict | list) or data.draw(st.booleans()):
                place[key] = data.draw(JSON)
                break
            place = below
    return [*resources, *data.draw(st.lists(JSON, max_size=1))]


@LIMITS
@given(data=st.data())
def test_every_tampered_chart_is_a_row_in_every_output(data: st.DataObject) -> None:
    content = ChartContent(name="chart", path="chart.json", resources=_tampered(data))
    rows = audit_chart(content, PLAN)
    assert rows
    summary = Summary()
    for row in rows:
        assert row.rules or any(problem.severity == "error" for problem in row.problems)
        assert "chart.failed" not in {problem.code for problem in row.problems}, row.problems
        assert json.loads(dump_json(row.as_json()))["chart"] == "chart"
        assert list(csv_rows(row))
        summary.add(row)
    assert summary.charts == len(rows)
    assert summary.exit_code in (0, 1, 3)


def test_the_report_takes_what_is_left(tmp_path: Any) -> None:
    content = ChartContent(name="chart", path="chart.json", resources=[None, 5, [], {}, {"resourceType": 5}])
    with (tmp_path / "report.html").open("wb") as out:
        sink = HtmlSink(out, PLAN)
        rows, summary = audit_chart(content, PLAN), Summary()
        for row in rows:
            sink.add(row)
            summary.add(row)
        sink.close(summary)
    assert [problem.code for problem in rows[0].problems if problem.severity == "error"] == ["chart.no-order"]
