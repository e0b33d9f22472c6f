"""What each milestone asks of a chart, and the sentence for what is missing.

A milestone never decides: it prompts the one who can act. Source: spec/clinical.md §2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from gateway.clinical.milestones_view import Progress
from gateway.clinical.protocol import Milestone

WORST = ("unmet", "indeterminate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a milestone found."""

    missing: tuple[str, ...]
    """One sentence for each thing that is missing; empty where nothing is."""
    warnings: tuple[str, ...] = ()
    """Remarks that ask for nothing."""

    @property
    def outcome(self) -> str:
        """met or missing."""
        return "missing" if self.missing else "met"


def judge_milestone(milestone: Milestone, progress: Progress) -> Judgement:
    """What the milestone finds in the chart. An unknown question counts as missing: it is never passed silently."""
    missing = tuple(line for need in milestone.needs for line in _ask(need, progress))
    return Judgement(missing=missing, warnings=tuple(_warnings(milestone, progress)))


def _ask(need: str, progress: Progress) -> Iterator[str]:
    asked = _NEEDS.get(need)
    if asked is None:
        yield f"This gateway does not know how to check “{need}”."
        return
    yield from asked(progress)


def _status(progress: Progress, name: str) -> str:
    found = progress.element(name)
    return found.status if found else "not_required"


def _onset(progress: Progress) -> Iterator[str]:
    found = progress.element("DURATION")
    if found is not None and found.status == "indeterminate":
        yield "The onset of symptoms is not dated; record it on the problem."


def _screens(progress: Progress) -> Iterator[str]:
    if progress.screened_on is None:
        yield "Not every red-flag screen has an answer."
    elif not progress.is_screen_negative:
        yield "A red-flag screen was answered with yes."


def _drug(progress: Progress) -> Iterator[str]:
    if not progress.has_drug and _status(progress, "PHARM") != "not_required":
        yield "No drug or accepted alternative is on file."


def _advice(progress: Progress) -> Iterator[str]:
    if _status(progress, "ACTIVITY") in WORST:
        yield "No activity advice is on file; the plan gives it once it is signed."


def _baseline(progress: Progress) -> Iterator[str]:
    if progress.timed.outcome and not progress.score_days:
        yield "No baseline score is on file."


def _referral(progress: Progress) -> Iterator[str]:
    if _status(progress, "PT_REFERRAL") in WORST:
        yield "The therapy request is not signed."


def _booked(progress: Progress) -> Iterator[str]:
    if progress.sessions_needed and not progress.booked and not progress.attended:
        yield "No therapy visit is booked or on file."


def _midpoint(progress: Progress) -> Iterator[str]:
    outcome = progress.timed.outcome
    if outcome is None or len(outcome.windows) < 3:
        return
    first = progress.timed.day_zero + timedelta(days=outcome.windows[1][0])
    if not any(first <= day <= progress.timed.today for day in progress.score_days):
        yield "No midpoint score is on file."


def _rescreen(progress: Progress) -> Iterator[str]:
    if progress.screened_on is None or progress.screened_on <= progress.timed.day_zero:
        yield "The red-flag screen was not repeated since the start."
    elif not progress.is_screen_negative:
        yield "A red-flag screen was answered with yes."


def _tolerated(progress: Progress) -> Iterator[str]:
    if progress.has_drug and not progress.is_tolerated:
        yield "Nothing says whether the drug is tolerated; ask about stomach, kidneys and blood pressure."


def _session(progress: Progress) -> Iterator[str]:
    if progress.sessions_needed and not progress.attended:
        yield "No therapy session is on file; call the clinic and import its records."


def _half(progress: Progress) -> Iterator[str]:
    if progress.attended and progress.attended * 2 < progress.sessions_needed:
        yield f"{progress.attended} of {progress.sessions_needed} therapy sessions are on file, less than half."


def _coverage(progress: Progress) -> Iterator[str]:
    now = progress.element("PHARM")
    then = next((item for item in progress.at_end.elements if item.element == "PHARM"), None)
    if now is None or now.status in ("met", "waived", "not_required"):
        return
    reach = then.value if then is not None and isinstance(then.value, int) else 0
    if then is None or then.status in WORST:
        yield f"The supply on file covers {reach} of {now.threshold} days by the decision day; ask for a refill."


def _projection(progress: Progress) -> Iterator[str]:
    if progress.projected < progress.sessions_needed:
        yield f"{progress.projected} of {progress.sessions_needed} therapy sessions are to be expected by the decision."


def _ready(progress: Progress) -> Iterator[str]:
    for element in progress.at_end.elements:
        if element.status in WORST:
            yield element.line


def _decision(progress: Progress) -> Iterator[str]:
    for element in progress.found.elements:
        if element.status in WORST:
            yield element.line


def _decided(_: Progress) -> Iterator[str]:
    yield "No decision was taken: order the imaging, continue care, refer, or close as resolved."


_NEEDS: dict[str, Callable[[Progress], Iterator[str]]] = {
    "onset": _onset,
    "screens": _screens,
    "drug": _drug,
    "advice": _advice,
    "baseline": _baseline,
    "referral": _referral,
    "booked": _booked,
    "midpoint": _midpoint,
    "rescreen": _rescreen,
    "tolerated": _tolerated,
    "session": _session,
    "half": _half,
    "coverage": _coverage,
    "projection": _projection,
    "ready": _ready,
    "decision": _decision,
    "decided": _decided,
}
"""Questions that a milestone of the data may ask."""


def known_needs() -> frozenset[str]:
    """Names of the questions that can be answered."""
    return frozenset(_NEEDS)


def _warnings(milestone: Milestone, progress: Progress) -> Iterator[str]:
    outcome = progress.timed.outcome
    if outcome is None or not outcome.windows or "baseline" not in milestone.needs or progress.score_days:
        return
    last = progress.timed.day_zero + timedelta(days=outcome.baseline_grace_day)
    yield f"A baseline until {last.isoformat()} is taken late, with a warning."
