"""The panel that tells a clinician, at order time, what a payer may miss.

It advises and never blocks: continuing anyway is always among the choices. Source: spec/clinical.md
§1.8.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

from gateway.clinical.elements import ElementResult, Evaluation
from gateway.clinical.rule_row import Rule

SHOWN = frozenset({"GAP", "INDETERMINATE", "RED_FLAG_INCOMPLETE"})
"""Verdicts with a panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One thing a clinician may do."""

    code: str
    """Machine word."""
    label: str
    """Label of the button."""
    note: str = ""
    """Small print below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Text of the panel; a CDS Hooks card of indicator `warning` or a box on a page."""

    title: str
    """First line."""
    facts: tuple[str, ...]
    """Short facts, shown side by side."""
    lines: tuple[str, ...]
    """One sentence for each element that is missing or undecided."""
    rule: str
    """Which rule says so, and how far it can be trusted."""
    choices: tuple[Choice, ...]
    """What may be done."""
    overrides: tuple[Choice, ...]
    """Reasons for going on anyway."""

    @property
    def summary(self) -> str:
        """The facts in one line."""
        return " | ".join(self.facts)


RED_FLAG = Choice(code="red-flag", label="Document Red-Flag Exception", note="Nothing is final before you attest it.")
TIMER = Choice(
    code="timer",
    label="Start Conservative-Care Timer",
    note="Confirms six negative screens and proposes orders for you to edit and sign.",
)
UPGRADE = "Upgrade to {code} with Neuro Exam Template"
OVERRIDES = (
    Choice(code="specialist-request", label="Specialist request"),
    Choice(code="patient-specific", label="Patient-specific need"),
    Choice(code="no-authorization", label="Payer does not require prior authorization"),
    Choice(code="outside-data", label="Data outside this system"),
    Choice(code="other", label="Other (say what)"),
)
"""Reasons that are offered for going on anyway; each is logged."""
NOT_A_POLICY = "illustrative, not a payer policy"
SHORT = 5
"""A class of drugs with so few letters is an abbreviation and written large."""


def build_panel(evaluation: Evaluation, rule: Rule, today: date, first_line: str = "medication") -> Panel | None:
    """The panel for a verdict; None for verdicts without one.

    `today` decides whether a review is overdue; `first_line` is the class of drugs that counts first (`Concepts`).
    """
    if evaluation.verdict not in SHOWN:
        return None
    incomplete = evaluation.verdict == "RED_FLAG_INCOMPLETE"
    title = (
        "Red-flag exception: fields are missing" if incomplete else "Prior authorization risk: conservative-care gap"
    )
    open_elements = [item for item in evaluation.elements if item.status in ("unmet", "indeterminate")]
    return Panel(
        title=title,
        facts=tuple(_facts(evaluation, rule, first_line)),
        lines=(*evaluation.red_flag_lines, *(item.line for item in open_elements)),
        rule=rule_line(evaluation, rule, today),
        choices=_choices(evaluation, rule),
        overrides=OVERRIDES,
    )


def rule_line(evaluation: Evaluation, rule: Rule, today: date) -> str:
    """Payer, row, version, status and dates of the rule, in one line."""
    status = NOT_A_POLICY if evaluation.rule_status == "illustrative" else evaluation.rule_status
    overdue = "; review overdue" if rule.review_is_overdue(today) else ""
    since = rule.effective.start.isoformat()
    return f"Rule: {rule.payer.name} {rule.rule_id} v{rule.version} ({status}), effective {since}{overdue}"


def _facts(evaluation: Evaluation, rule: Rule, first_line: str) -> list[str]:
    found = {element.element: element for element in evaluation.elements}
    facts = [f"{evaluation.indication or 'no diagnosis'} primary", _progress(evaluation)]
    facts += [_sessions(found["PT_SESSIONS"])] if "PT_SESSIONS" in found else []
    for name, words in _missing(rule, first_line).items():
        element = found.get(name)
        if element is not None and element.status == "unmet" and element.reason == "not_documented":
            facts.append(words)
    return facts


def _missing(rule: Rule, first_line: str) -> dict[str, str]:
    """Words for an element of which nothing is documented; what they name comes from the rule and the concepts."""
    short = first_line.upper() if len(first_line) <= SHORT else first_line
    measure = next(iter(rule.outcome.measures), "outcome")
    return {
        "PHARM": f"no structured {short} order found",
        "OUTCOME": f"no {measure} score documented",
        "ACTIVITY": "activity advice not documented",
    }


def _progress(evaluation: Evaluation) -> str:
    """How far conservative care is; where no treatment is documented, how long the symptoms last, and that."""
    need, elapsed, onset = evaluation.required_days, evaluation.elapsed_days, evaluation.onset_days
    if elapsed is not None:
        return _day(elapsed, need)
    if onset is not None:
        return f"{_day(onset, need)} since symptom onset, no treatment start documented"
    return f"start of care unknown, {need} days asked"


def _day(elapsed: int, need: int) -> str:
    return f"day {elapsed} of {need} (week {elapsed // 7} of {need // 7})"


def _sessions(element: ElementResult) -> str:
    if not element.value:
        return "no PT CPT codes on file"
    return f"PT {element.value} of {element.threshold} sessions"


def _choices(evaluation: Evaluation, rule: Rule) -> tuple[Choice, ...]:
    """What may be done; an exception that was begun is completed before anything else is offered."""
    if evaluation.verdict == "RED_FLAG_INCOMPLETE":
        return (RED_FLAG,)
    upgrades = [code for code in rule.code_support if code != evaluation.indication]
    offered = [
        Choice(code="upgrade", label=UPGRADE.format(code=code), note="Only if findings support it.")
        for code in upgrades
    ]
    return (RED_FLAG, TIMER, *offered)


def panel_key(patient_reference: str, procedure: str, evaluation: Evaluation) -> str:
    """Hex key of a panel: the same one is not shown again within a day.

    Made of patient, procedure, rule version and the status of every element, hashed.
    """
    states = [f"{element.element}={element.status}" for element in evaluation.elements]
    parts = [patient_reference, procedure, evaluation.rule_id, evaluation.rule_version, evaluation.verdict, *states]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
