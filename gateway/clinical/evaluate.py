"""What a rule says about an order: the seam between Python and the rule's own logic.

Python chooses the rows, writes practice-local dates into a copy of the record, passes the parameters and reads
the result; the rule itself is CQL (`questionnaires/conservative-care/library`). The result is advisory; it
never blocks an order. Source: spec/clinical.md §1.7, §12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from gateway.clinical import criteria_lines as lines
from gateway.clinical.chart import order_day
from gateway.clinical.concepts import Concepts, read_order_code
from gateway.clinical.criteria import Criteria, open_criteria
from gateway.clinical.elements import ElementResult, Evaluation, RedFlagState, Status, Verdict
from gateway.clinical.focus import focus
from gateway.clinical.rule_row import Rule
from gateway.fhir import Json
from gateway.fhir.reading import one, text
from gateway.reasoning.record import RecordSnapshot

__all__ = ["ElementResult", "Evaluation", "RedFlagState", "Status", "Verdict", "evaluate"]

ASKED = ("DURATION", "PHARM", "PT_REFERRAL", "PT_SESSIONS", "OUTCOME", "ACTIVITY")
"""Elements that every row lists; one that it does not require is *not required*."""
FURTHER = ("REEVAL", "CODE_SUPPORT", "LATERALITY", "PRIOR_IMAGING")
"""Elements that only some rows ask."""


def evaluate(
    record: RecordSnapshot,
    order: Json,
    rule: Rule,
    concepts: Concepts,
    practice_zone: str,
    now: datetime,
    *,
    audit: bool = False,
) -> Evaluation:
    """The verdict of one rule row on one order.

    `record` holds the patient's resources, the order's own encounter included; `practice_zone` is an
    IANA name; `now` matters only for orders without a date. `audit` also looks at orders that are
    completed or revoked. Steps: (1) which day and which region; (2) row, codes and a copy of the record to the
    criteria; (3) their result. Nothing is raised for content of the record; `InputError` for a zone that does not
    exist, `SettingsError` for a row that names what the concepts do not have, `ReasoningError` when the criteria
    themselves fail: then there is no verdict.
    """
    order_on, notes = order_day(order, practice_zone, now)  # (1)
    code = read_order_code(order, concepts)
    region = concepts.region_of(code or "")
    if region is None or code not in rule.procedure.cpt:
        return _not_applicable(rule, "procedure", order_on, practice_zone, (*notes, *_uncoded(order, concepts)))
    own_rule, own_concepts, own_region = focus(rule, concepts, region, order, record)
    criteria = open_criteria(  # (2)
        record, order, own_rule, own_concepts, own_region, practice_zone, order_on, now, audit=audit
    )
    if scope := criteria.value("Scope", "CareRecord"):  # (3)
        return _not_applicable(rule, scope, order_on, practice_zone, notes)
    return _Reading(criteria, own_rule, own_concepts, order_on).evaluation(practice_zone, notes)


class _Reading:
    """Reads the result of the criteria for one order."""

    def __init__(self, criteria: Criteria, rule: Rule, concepts: Concepts, order_on: date) -> None:
        self._criteria = criteria
        self._rule = rule
        self._concepts = concepts
        self._order_on = order_on

    def evaluation(self, zone: str, notes: tuple[str, ...]) -> Evaluation:
        """The whole result."""
        verdict: Verdict = self._criteria.value("VERDICT")
        flags = self._criteria.element("RED_FLAG")
        elements = self._elements()
        reason = self._reason(verdict, flags, elements)
        if verdict == "RED_FLAG_BYPASS":
            elements = (self._exception(flags), *(_waived(element) for element in elements))
        indication = self._criteria.value("Indication", "CareRecord") or ""
        duration = next((element for element in elements if element.element == "DURATION"), None)
        return Evaluation(
            verdict=verdict,
            reason=reason,
            elements=elements,
            red_flag=flags["reason"],
            resume_on=_resume_on(verdict, elements),
            rule_id=self._rule.rule_id,
            rule_version=self._rule.version,
            rule_status=self._rule.status,
            advisories=tuple(dict.fromkeys((*notes, *self._remarks(bool(indication))))),
            red_flag_lines=self._red_flag_lines(flags),
            red_flag_evidence=flags["evidence"],
            indication=indication,
            order_on=self._order_on,
            required_days=self._rule.required_days(indication) if indication else 0,
            elapsed_days=duration.value if duration and isinstance(duration.value, int) else None,
            onset_days=self._criteria.value("Onset days", "CareRecord"),
            practice_zone=zone,
            criteria=self._criteria.label,
        )

    def _elements(self) -> tuple[ElementResult, ...]:
        """All elements in the order of the rule; without a diagnosis that one alone."""
        indication = self._criteria.element("INDICATION")
        if indication["status"] != "met":
            return (self._result("INDICATION", {**indication, "value": None}),)
        asked = (self._asked(name) for name in ASKED)
        further = ((name, self._criteria.element(name)) for name in FURTHER)
        return (*asked, *(self._result(name, found) for name, found in further if found is not None))

    def _asked(self, name: str) -> ElementResult:
        if name not in self._rule.required_elements:
            return ElementResult(element=name, status="not_required", line="Not asked by this rule.")
        found = self._criteria.element(name)
        if found["status"] == "not_required":
            return ElementResult(element=name, status="not_required", line=lines.NOT_REQUIRED[name])
        return self._result(name, found)

    def _result(self, name: str, found: dict[str, Any]) -> ElementResult:
        """One element with its sentence."""
        base = ElementResult(
            element=name,
            status=found["status"],
            value=found["value"],
            threshold=found["threshold"],
            reason=_REASONS.get(found["reason"], found["reason"]),
            line=self._line(name, found),
            evidence=found["evidence"],
            resume_on=found["resumes"],
        )
        if name != "OUTCOME":
            return base
        value = lines.outcome_value(found, self._concepts)
        return replace(base, value=value, threshold=lines.outcome_threshold(found, self._rule, self._concepts))

    def _line(self, name: str, found: dict[str, Any]) -> str:
        if name == "DURATION":
            return lines.duration_line(found)
        more: dict[str, Any] = {}
        if name == "REEVAL":
            more["due"] = self._criteria.value("Due")
        if name == "CODE_SUPPORT":
            roots = self._criteria.value("Roots", "CareSupport")
            more["where"] = f" in {', '.join(roots)}" if roots else ""
        if name == "LATERALITY":
            more["coded"] = next(iter(self._criteria.value("Coded sides")), "")
        return lines.line_of(name, {**found, **more}, self._rule, self._concepts)

    def _reason(self, verdict: Verdict, flags: dict[str, Any], elements: tuple[ElementResult, ...]) -> str:
        """Why: the category or what raised the question, else the first element of the deciding status."""
        if verdict in ("RED_FLAG_BYPASS", "RED_FLAG_INCOMPLETE"):
            return str(flags["value"])
        deciding = {"GAP": "unmet", "INDETERMINATE": "indeterminate"}.get(verdict)
        return next((element.element for element in elements if element.status == deciding), "")

    def _remarks(self, has_indication: bool) -> Iterator[str]:
        for code in self._criteria.value("Remarks"):
            yield f"{code}: {lines.REMARKS[code]}"
        if self._criteria.chart.others:
            yield f"OTHER_PATIENT: {lines.REMARKS['OTHER_PATIENT']}"
        for code in self._criteria.value("Onset remarks") if has_indication else ():
            yield f"{code}: {lines.REMARKS[code]}"

    def _red_flag_lines(self, flags: dict[str, Any]) -> tuple[str, ...]:
        if flags["reason"] == "none":
            return ()
        label = {flag.code: flag.label for flag in self._concepts.red_flag}
        if flags["reason"] == "complete_attested":
            return (f"Exception documented and attested: {label[flags['value']]}.",)
        raised = [lines.RAISED[item["kind"]] for item in self._criteria.value("Raised", "CareRedFlags")]
        lacking = [
            f"{label[item['category']].capitalize()}: {lines.MISSING.get(what, what)} is missing."
            for item in self._criteria.value("Assessments", "CareRedFlags")
            for what in item["missing"]
        ]
        return tuple(dict.fromkeys(raised + lacking))

    def _exception(self, flags: dict[str, Any]) -> ElementResult:
        return ElementResult(
            element="RED_FLAG",
            status="met",
            value=flags["value"],
            reason="documented",
            line=self._red_flag_lines(flags)[0],
            evidence=flags["evidence"],
        )


_REASONS = {"unknown_drug": "unclear_entry", "no_treatment": "not_documented"}
"""Reasons that differ in their sentence only."""


def _waived(element: ElementResult) -> ElementResult:
    return ElementResult(
        element=element.element,
        status="waived",
        value=element.value,
        threshold=element.threshold,
        reason="red_flag",
        line="Waived: a red-flag exception is documented and attested.",
    )


def _resume_on(verdict: Verdict, elements: tuple[ElementResult, ...]) -> date | None:
    """The latest of the days on which time alone may meet an element that is not met."""
    if verdict not in ("GAP", "INDETERMINATE"):
        return None
    days = [element.resume_on for element in elements if element.status in ("unmet", "indeterminate")]
    return max((day for day in days if day is not None), default=None)


def _not_applicable(rule: Rule, reason: str, order_on: date, zone: str, notes: tuple[str, ...]) -> Evaluation:
    return Evaluation(
        verdict="NOT_APPLICABLE",
        reason=reason,
        elements=(),
        red_flag="none",
        resume_on=None,
        rule_id=rule.rule_id,
        rule_version=rule.version,
        rule_status=rule.status,
        advisories=notes,
        order_on=order_on,
        practice_zone=zone,
    )


def _uncoded(order: Json, concepts: Concepts) -> Iterator[str]:
    """A remark for an order whose text looks like one of the services although its code does not."""
    words = text(one(order.get("code")).get("text")).lower()
    if any(region.uncoded_words and all(word in words for word in region.uncoded_words) for region in concepts.region):
        yield "ORDER_UNCODED: the order looks like imaging of the region but carries no code that is known here"
