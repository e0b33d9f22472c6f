"""One sentence for staff from what the criteria found. Says nothing that the criteria did not decide.

A sentence carries no word that identifies a patient. Source: spec/clinical.md §1.7, §1.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from gateway.clinical.concepts import Concepts, Measure
from gateway.clinical.outcome import show
from gateway.clinical.rule_row import Rule

Found = Mapping[str, Any]
"""`status`, `value`, `threshold`, `reason`, `evidence` and `resumes` of one element."""
REMARKS = {
    "CODE_REDUNDANT": "the symptom is part of the diagnosis that is listed beside it",
    "UNCERTAIN": "the diagnosis is recorded as uncertain only",
    "SCREEN_MISSING": "not all red-flag screening questions have an answer",
    "TEXT_CONFLICT": "a problem's text says it was ruled out, its status does not; a person decides",
    "CONTRAST_UNJUSTIFIED": "contrast is ordered and no reason for it is coded",
    "REPEAT_IMAGING": "the same region was imaged within the last year",
    "CODE_EXCLUDES1": "an active diagnosis is not coded together with the order's; review the codes",
    "DATA_ERROR": "an onset lies after the order or before birth",
    "ONSET_TEXT": "the onset is text only; a date is needed",
    "STATUS_MISSING": "a problem has no clinical status and was taken for a present one",
    "NO_REASON": "a drug or an advice that counts does not say what it is for",
    "OTHER_PATIENT": "resources of another patient were left out",
}
"""Sentence of each remark that decides nothing."""
RAISED = {
    "trigger_code": "A reason of the order raises a red-flag question.",
    "screen": "A red-flag screen was answered with yes.",
    "sign": "A sign of the long tracts is present.",
    "weakness": "Strength is severely reduced or lower than in an earlier exam.",
    "attestation_incomplete": "A red-flag exception is begun and not complete.",
}
"""Sentence of each thing that raises a red-flag question."""
MISSING = {
    "assessment": "a completed and recent assessment",
    "attestation": "the attestation of a clinician on the order or its encounter",
}
"""What a red-flag exception lacks beside its own groups."""
NOT_REQUIRED = {
    "PT_REFERRAL": "No therapy referral is asked.",
    "ACTIVITY": "No activity advice is asked.",
}


def line_of(element: str, found: Found, rule: Rule, concepts: Concepts) -> str:
    """The sentence of one element."""
    if element == "OUTCOME":
        return outcome_line(found, rule, concepts)
    sentence = _LINES[element].get(found["reason"]) or _LINES[element][""]
    if found["reason"] == "second_agent" and rule.pharm.min_agents >= found["threshold"]:
        sentence = _LINES[element]["agents"]  # the row always asks so many
    need, value = found["threshold"], found["value"]
    left = need - value if isinstance(need, int) and isinstance(value, int) else 0
    return sentence.format(
        **{**found, "value": value, "threshold": need, "left": left, **_inflected(value, need, left)}
    )


def _inflected(value: object, need: object, left: int) -> dict[str, str]:
    """Words that follow a number: one day is asked, two days are asked."""
    return {
        "are_left": "is" if left == 1 else "are",
        "are_asked": "is" if need == 1 else "are",
        "were": "was" if value == 1 else "were",
        "count": "counts" if value == 1 else "count",
        "days": "day" if value == 1 else "days",
        "agents": "agent" if value == 1 else "agents",
        "sessions": "session" if value == 1 else "sessions",
        "need_days": "day" if need == 1 else "days",
    }


def duration_line(found: Found) -> str:
    """The sentence of DURATION."""
    if found["reason"] == "onset_missing" and found["value"] is not None:
        line = "Treatment reached day {value} of {threshold}, and the onset of symptoms is not dated."
        return line.format(**found)
    return line_of("DURATION", found, *_NOTHING)


_NOTHING: tuple[Any, Any] = (None, None)
_LINES: dict[str, dict[str, str]] = {
    "DURATION": {
        "documented": "Day {value} of {threshold}: long enough.",
        "partial_date": "Day 0 is known only roughly; {threshold} days may or may not have passed.",
        "too_short": "Day {value} of {threshold}; {left} more {are_left} asked.",
        "unclear_entry": "Treatment may have lasted {threshold} days, but the entries that say so are not clear.",
        "onset_missing": "The onset of symptoms is not dated; {threshold} days are asked.",
        "not_documented": "No treatment is documented from which {threshold} days could count.",
    },
    "PHARM": {
        "documented": "Medication covers {value} {days} before the order; {threshold} asked.",
        "waived_alternative": (
            "An alternative agent counts, because a contraindication to the first choice is on file."
        ),
        "unclear_entry": (
            "Medication covers {value} {days} for certain and might cover {threshold}, "
            "but an entry lacks an end or a readable reason."
        ),
        "unknown_drug": (
            "Medication covers {value} {days} for certain and might cover {threshold}, "
            "but a drug code is not known here."
        ),
        "second_agent": (
            "{value} {agents} {were} tried; {threshold} {are_asked} asked, because the first one was stopped."
        ),
        "agents": "{value} {agents} {were} tried; {threshold} {are_asked} asked.",
        "not_documented": "No structured medication order counts; {threshold} covered {need_days} {are_asked} asked.",
        "too_short": "Medication covers {value} {days} before the order; {threshold} {are_asked} asked.",
    },
    "PT_REFERRAL": {
        "documented": "A therapy referral of {value} is on file.",
        "no_reason": "A therapy referral is on file, but it does not say what for.",
        "not_documented": "No therapy referral is on file.",
    },
    "PT_SESSIONS": {
        "documented": "{value} therapy {sessions} {were} attended; {threshold} {are_asked} asked.",
        "home_exercise": "A documented home exercise program stands in for therapy sessions.",
        "no_reason": (
            "{value} therapy {sessions} {count} for certain; more are on file that do not say what for; "
            "{threshold} {are_asked} asked."
        ),
        "too_few": "{value} of {threshold} therapy sessions are on file.",
        "not_documented": "No therapy session is on file; {threshold} {are_asked} asked.",
    },
    "ACTIVITY": {
        "documented": "Activity advice of {value} is on file.",
        "unclear_reason": "Activity advice is on file, but what it is for cannot be read.",
        "not_documented": "No dated activity advice is on file.",
    },
    "REEVAL": {
        "documented": "Re-evaluated on {value}, after day {threshold} of treatment.",
        "no_reason": "A contact after the treatment is on file, but it does not say what about.",
        "no_treatment": "No re-evaluation can count, because no treatment is documented.",
        "not_documented": "No re-evaluation on or after {due} (day {threshold} of treatment) is on file.",
    },
    "CODE_SUPPORT": {
        "documented": "Findings support the diagnosis: {value}{where}.",
        "uncertain_diagnosis": (
            "The diagnosis is recorded as uncertain only; uncertain diagnoses are not codable for outpatients."
        ),
        "not_documented": "No symptom into the limb with its examination is documented for the diagnosis.",
        "": "Findings give {value} support for the diagnosis; {threshold} is asked.",
    },
    "LATERALITY": {
        "documented": "Order and diagnosis name the {value} side.",
        "not_documented": "The order does not say which side; add the side's modifier or body site to the order.",
        "two_sides": "The order names both sides; order each one.",
        "side_differs": "The order says {value} and its diagnosis says {coded}; one of them is wrong.",
        "unspecified_side": (
            "The order says {value}; its diagnosis does not say which side. Code the diagnosis with its side."
        ),
    },
    "PRIOR_IMAGING": {
        "documented": "Plain imaging of {value} is on file.",
        "not_documented": "No plain imaging of the region is on file; it comes first.",
    },
    "INDICATION": {
        "not_documented": ("The order names no diagnosis, and its encounter neither; add the diagnosis to the order."),
    },
}


def measure_of(found: Found, concepts: Concepts) -> Measure | None:
    """The measure an OUTCOME speaks of; the one below it where a narrative is added."""
    measure = concepts.measure_named(found["threshold"] or "")
    if measure is not None and measure.kind == "scale_with_narrative":
        return concepts.measure_named(measure.base)
    return measure


def outcome_value(found: Found, concepts: Concepts) -> str | None:
    """The scores: both of a pair, or the last one on file; None when there is none."""
    first, last, measure = found["value"]["first"], found["value"]["last"], measure_of(found, concepts)
    if first is None:
        return None if last is None else show(Fraction(last))
    unit = " %" if measure is not None and measure.kind == "items" else ""
    return f"{show(Fraction(first))}{unit} → {show(Fraction(last))}{unit}"


def outcome_threshold(found: Found, rule: Rule, concepts: Concepts) -> str | None:
    """The largest change that still counts as none."""
    measure = measure_of(found, concepts)
    if measure is None:
        return None
    if measure.mdc is not None:
        return f"improvement ≤ {measure.mdc}"
    if measure.kind != "items":
        return f"improvement < {measure.plateau_below}"
    unit = "percentage points" if rule.outcome.plateau.mode == "absolute_pp" else "% of the baseline"
    return f"improvement ≤ {rule.outcome.plateau.threshold} {unit}"


def outcome_line(found: Found, rule: Rule, concepts: Concepts) -> str:
    """The sentence of OUTCOME."""
    measure = measure_of(found, concepts)
    label = measure.label if measure is not None else "outcome"
    words = {
        "label": label,
        "scores": outcome_value(found, concepts),
        "interval": rule.outcome.min_interval_days,
        "age": rule.outcome.max_age_days,
    }
    return _OUTCOME[found["reason"]].format(**words)


_OUTCOME = {
    "documented": "{label} {scores}: no relevant improvement.",
    "OUTCOME_MINIMAL": "{label} {scores}: little disability remains.",
    "OUTCOME_IMPROVING": "{label} {scores}: improving, imaging is not yet supported.",
    "needs_verification": "A {label} total without a unit is on file; say whether it is points or per cent.",
    "not_documented": "No {label} score is on file.",
    "no_follow_up": "One {label} score is on file; a second one at least {interval} days later is asked.",
    "follow_up_too_early": "The last {label} score is less than {interval} days after the first.",
    "follow_up_too_old": "The last {label} score is more than {age} days old.",
}
