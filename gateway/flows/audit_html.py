"""An audit as one HTML file to read, print and hand on: no scripts, nothing fetched, every text escaped.

Rows are rendered as they come and kept in a file, because the summary that stands above them is known last.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime
from functools import lru_cache
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow
from gateway.flows.audit_summary import STATUSES, VERDICTS, Summary

WORDS: Final = {
    "PASS": "Pass",
    "GAP": "Gap",
    "INDETERMINATE": "Cannot tell",
    "RED_FLAG_BYPASS": "Red-flag exception",
    "RED_FLAG_INCOMPLETE": "Red flag incomplete",
    "NOT_APPLICABLE": "Not applicable",
}
"""Verdict → words."""
STATUS_WORDS: Final = {
    "met": "met",
    "unmet": "unmet",
    "indeterminate": "cannot tell",
    "waived": "waived",
    "not_required": "not asked",
}
"""Status of an element → words."""
ELEMENT_WORDS: Final = {
    "DURATION": "Duration of care",
    "PHARM": "Medication",
    "PT_REFERRAL": "Therapy referral",
    "PT_SESSIONS": "Therapy sessions",
    "OUTCOME": "Outcome scores",
    "ACTIVITY": "Activity advice",
    "REEVAL": "Re-evaluation",
    "CODE_SUPPORT": "Support of the diagnosis",
    "INDICATION": "Diagnosis on the order",
    "RED_FLAG": "Red-flag exception",
}
"""Element → words; an element that is not here is shown by its name."""


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("gateway.flows", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {"words": WORDS, "status_words": STATUS_WORDS, "element_words": ELEMENT_WORDS}
    made.globals |= {"verdicts": VERDICTS, "statuses": STATUSES}
    return made


class HtmlSink:
    """One HTML document with summary first, then what could not be audited, then every order."""

    def __init__(self, out: IO[bytes], plan: AuditPlan, *, tenant: str = "") -> None:
        self._out = out
        self._shared = {"tenant": tenant, **report_head(plan)}
        self._refused = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`)
        self._rows = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`)

    def add(self, row: ChartRow) -> None:
        """Render one row and keep it."""
        spool = self._rows if row.is_audited else self._refused
        spool.write(_render("audit_row.html", row=row))

    def close(self, summary: Summary) -> None:
        """Write the document."""
        counts = sorted(summary.rules.values(), key=lambda count: count.rule)
        values = {**self._shared, "summary": summary, "counts": counts}
        self._out.write(_render("audit_head.html", **values))
        for part, spool in (("refused", self._refused), ("audited", self._rows)):
            spool.seek(0)
            if spool.read(1):
                spool.seek(0)
                self._out.write(_render("audit_open.html", part=part))
                shutil.copyfileobj(spool, self._out)
                self._out.write(_render("audit_close.html"))
            spool.close()
        self._out.write(_render("audit_tail.html", **values))
        self._out.flush()


def report_head(plan: AuditPlan) -> dict[str, Any]:
    """What every report says of how it was made."""
    made_at: datetime = plan.now.astimezone(ZoneInfo(plan.zone))
    asked = "every rule about the ordered service" if plan.is_all else "the rule that applies to the coverage"
    return {
        "made_at": made_at.strftime("%Y-%m-%d %H:%M"),
        "zone": plan.zone,
        "asked": ", ".join(plan.rule_ids) or asked,
        "overlaid": ", ".join(sorted(plan.overlaid)),
    }


def _render(template: str, **values: Any) -> bytes:
    return _environment().get_template(template).render(values).encode("utf-8", "replace")
