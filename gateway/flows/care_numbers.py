"""The numbers of a look at a timer's chart, as they are kept and shown: nothing that names anybody."""

from __future__ import annotations

from datetime import date
from typing import Any

from gateway.clinical.milestones_view import Progress


def numbers(progress: Progress) -> dict[str, Any]:
    """What the dashboard shows of a look: numbers and days, nothing that names anybody."""
    return {
        "day": progress.timed.day,
        "on": progress.timed.today.isoformat(),
        "verdict": progress.found.verdict,
        "sessions": progress.attended,
        "sessions_needed": progress.sessions_needed,
        "projected": progress.projected,
        "booked": len(progress.booked),
        "covered_days": progress.covered,
        "covered_needed": _threshold(progress, "PHARM"),
        "scores": [[day.isoformat(), value] for day, value in progress.scores],
        "is_improving": progress.is_improving,
        "screened_on": _text(progress.screened_on),
        "adherence_percent": progress.adherence_percent,
        "gaps": [
            element.element for element in progress.found.elements if element.status in ("unmet", "indeterminate")
        ],
    }


def _threshold(progress: Progress, name: str) -> int:
    found = progress.element(name)
    return found.threshold if found is not None and isinstance(found.threshold, int) else 0


def _text(day: date | None) -> str:
    return day.isoformat() if day else ""
