"""The page "audit the last 25 charts": what the rules say of recent orders, to look at and to take away."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from gateway.errors import InputError, NotFound
from gateway.flows.audit_cases import LAST, house_plan, open_case_audit, require_auditor
from gateway.flows.audit_ehr import open_ehr_audit
from gateway.flows.audit_html import ELEMENT_WORDS, STATUS_WORDS, WORDS, HtmlSink
from gateway.flows.audit_output import CsvSink, JsonSink, RunningAudit, Sink, write_audit
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow
from gateway.flows.audit_summary import STATUSES, VERDICTS, Summary
from gateway.logs import get_logger
from gateway.web.chips import Chip
from gateway.web.page import Page

SOURCES: Final = {"cases": "Orders that this gateway handled", "ehr": "Orders in the EHR, charts read now"}
"""Where the orders come from → words."""
EVERY: Final = "*"
"""Choice of every rule about the ordered service; empty is the rule that applies to the coverage."""
BACK: Final = timedelta(days=365)
"""How far back orders of the EHR are looked for."""
FILES: Final = {
    "csv": ("text/csv; charset=utf-8", "chart-audit.csv"),
    "json": ("application/json", "chart-audit.json"),
    "html": ("text/html; charset=utf-8", "chart-audit.html"),
}
"""Downloads: media type and file name."""
CHIPS: Final = {
    "PASS": Chip(word=WORDS["PASS"], shape="check", tone="good"),
    "RED_FLAG_BYPASS": Chip(word=WORDS["RED_FLAG_BYPASS"], shape="check", tone="good"),
    "GAP": Chip(word=WORDS["GAP"], shape="cross", tone="bad"),
    "RED_FLAG_INCOMPLETE": Chip(word=WORDS["RED_FLAG_INCOMPLETE"], shape="triangle", tone="alert"),
    "INDETERMINATE": Chip(word=WORDS["INDETERMINATE"], shape="half", tone="wait"),
    "NOT_APPLICABLE": Chip(word=WORDS["NOT_APPLICABLE"], shape="dash", tone="quiet"),
}
"""Verdict → chip."""


def show(page: Page) -> Response:
    """What may be audited, and the button."""
    require_auditor(page.who.actor)
    return _page(page, "cases", "")


def run(page: Page) -> Response:
    """Audit, and show the result or hand it out as a file."""
    require_auditor(page.who.actor)
    source, rule, form = page.form.one("source"), page.form.one("rule"), page.form.one("as")
    if source not in SOURCES or form not in {"", *FILES}:
        raise InputError("Open the page again and choose what is offered there.", code="audit.choice")
    audit = _opened(page, source, rule)
    if form:
        actor = page.who.actor
        get_logger().info("chart-audit-exported", tenant=actor.tenant, actor=actor.label, verb=form)
        return _file(audit, form, page.services.settings.tenant.name)
    kept = _Kept()
    summary = write_audit(audit, [kept])
    return _page(page, source, rule, kept, summary)


def _opened(page: Page, source: str, rule: str) -> RunningAudit:
    services, actor = page.services, page.who.actor
    plan: AuditPlan = house_plan(services, [rule] if rule not in ("", EVERY) else [], is_all=rule == EVERY)
    if source == "cases":
        return open_case_audit(services, actor, plan)
    if actor.tenant != services.settings.tenant.id:
        raise NotFound("There is no EHR for this tenant.")
    since = services.today() - BACK
    return open_ehr_audit(services, actor, services.settings.tenant.ehr, plan, since=since, limit=LAST)


class _Kept:
    """The rows, for the page."""

    def __init__(self) -> None:
        self.rows: list[ChartRow] = []

    def add(self, row: ChartRow) -> None:
        """Keep one row."""
        self.rows.append(row)

    def close(self, summary: Summary) -> None:
        """Nothing comes after the rows."""


def _file(audit: RunningAudit, form: str, tenant: str) -> Response:
    out = io.BytesIO()
    sinks: dict[str, Sink] = {}
    if form == "html":
        sinks[form] = HtmlSink(out, audit.plan, tenant=tenant)
    else:
        sinks[form] = CsvSink(out) if form == "csv" else JsonSink(out)
    write_audit(audit, sinks.values())
    media_type, name = FILES[form]
    return Response(out.getvalue(), 200, {"Content-Disposition": f'attachment; filename="{name}"'}, media_type)


def _page(page: Page, source: str, rule: str, kept: _Kept | None = None, summary: Summary | None = None) -> Response:
    counts = sorted(summary.rules.values(), key=lambda count: count.rule) if summary else []
    return page.show(
        "audit.html",
        sources=SOURCES,
        source=source,
        rule=rule,
        every=EVERY,
        rules=sorted({row.rule_id for row in page.services.rules}),
        last=LAST,
        rows=kept.rows if kept else [],
        summary=summary,
        counts=counts,
        illustrative=any(count.status == "illustrative" for count in counts),
        chips=CHIPS,
        words=WORDS,
        element_words=ELEMENT_WORDS,
        status_words=STATUS_WORDS,
        verdicts=VERDICTS,
        statuses=STATUSES,
    )
