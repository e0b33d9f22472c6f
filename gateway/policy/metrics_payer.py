"""Measures of what payers decided and when. Source: spec/clinical.md §8."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction

from gateway.policy.deadline import Deadline, decide_deadline
from gateway.policy.metrics_math import Cell, count, rate, spread
from gateway.policy.metrics_measure import Measure, shares
from gateway.policy.metrics_rows import Answer, MeasuredCase, MeasureInput

_HOUR = timedelta(hours=1)


def in_scope(given: MeasureInput) -> list[MeasuredCase]:
    """Orders that a clinical rule is about."""
    return [case for case in given.cases if case.first is not None]


def _determined(given: MeasureInput) -> list[MeasuredCase]:
    """Requests whose first final determination is dated in the period, withdrawn ones left out."""
    return [
        case
        for case in in_scope(given)
        if case.determination is not None and given.period.has(case.determination.at) and not case.is_withdrawn
    ]


def _diagnosis(case: MeasuredCase) -> str:
    return case.first.indication if case.first else ""


def _is_denied(case: MeasuredCase) -> bool:
    return case.determination is not None and case.determination.action == "A3"


def initial_denials(given: MeasureInput) -> Measure:
    """Initial denial rate, split by payer, diagnosis and the payer's reason."""
    rows = _determined(given)
    cells = shares(rows, _is_denied, ("payer", lambda case: case.payer), ("diagnosis", _diagnosis))
    denied = [case for case in rows if _is_denied(case)]
    codes = sorted({code for case in denied for code in case.denial_codes})
    reasons = [rate(sum(code in case.denial_codes for case in denied), len(rows), "reason", code) for code in codes]
    return Measure(
        id="initial_denial_rate",
        title="Initial denial rate",
        definition="requests whose line was denied in the first final determination / requests with a first final "
        "determination in the period",
        unit="share",
        cells=(*cells, *reasons),
        notes=(
            "Withdrawn, cancelled, not required and still pended requests are left out.",
            "Reasons are those of the newest answer; one request may have several.",
        ),
    )


def first_pass(given: MeasureInput) -> Measure:
    """First-pass approval."""
    rows = [
        case
        for case in in_scope(given)
        if given.period.has(case.sent_at) and case.determination is not None and not case.is_withdrawn
    ]
    return Measure(
        id="first_pass_approval",
        title="First-pass approval",
        definition="approved as asked in the first determination, without a request for information and without a "
        "second request / requests sent in the period that reached a first determination",
        unit="share",
        cells=shares(rows, _is_first_pass, ("payer", lambda case: case.payer)),
        notes=("An approval with changes is none.", "Peer-to-peer calls and appeals are not recorded here."),
    )


def _is_first_pass(case: MeasuredCase) -> bool:
    answer = case.determination
    return answer is not None and answer.action == "A1" and not case.was_asked and case.requests_sent <= 1


def time_to_authorization(given: MeasureInput) -> Measure:
    """Hours from sending to approval, by approval date."""
    rows = [(case, case.approval) for case in in_scope(given) if case.sent_at is not None]
    approved = [(case, answer) for case, answer in rows if answer is not None and given.period.has(answer.at)]
    open_ones = sum(
        given.period.has(case.sent_at) and case.determination is None and not case.is_withdrawn for case, _ in rows
    )
    payers = sorted({case.payer for case, _ in approved if case.payer})
    cells = [spread([_hours(case, answer) for case, answer in approved])]
    cells += [
        spread([_hours(case, answer) for case, answer in approved if case.payer == payer], "payer", payer)
        for payer in payers
    ]
    return Measure(
        id="time_to_authorization",
        title="Time to authorization",
        definition="hours from the first request to the approval, requests approved in the period: median and 90th "
        "percentile",
        unit="hours",
        cells=(*cells, count(open_ones, "still undecided", "sent in the period")),
        notes=("A denial that was undone later is left out.",),
    )


def _hours(case: MeasuredCase, answer: Answer) -> Fraction:
    sent = case.sent_at or answer.at
    return _in_hours(max(answer.at - sent, timedelta(0)))


def _in_hours(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), _HOUR // timedelta(microseconds=1))


def days_from_order(given: MeasureInput) -> Measure:
    """Calendar days from the order to the approval: the second clock."""
    values = []
    for case in in_scope(given):
        answer = case.approval
        if answer is not None and given.period.has(answer.at) and case.authored_on is not None:
            values.append(Fraction(max((given.period.day(answer.at) - case.authored_on).days, 0)))
    return Measure(
        id="days_from_order",
        title="Days from order to authorization",
        definition="calendar days from the order's date to the approval, requests approved in the period: median and "
        "90th percentile",
        unit="days",
        cells=(spread(values),),
        notes=("Weeks of conservative care are in it.",),
    )


def payer_timeliness(given: MeasureInput) -> Measure:
    """Determinations within the payer's legal limit."""
    rows = [(case, case.determination, _limit(case)) for case in _determined(given)]
    limited = [(case, answer, limit) for case, answer, limit in rows if answer is not None and limit is not None]
    late = sum(_is_late(case, given) for case in in_scope(given))
    splits = (("payer", lambda row: row[0].payer), ("limit", lambda row: row[2].rule))
    cells = shares(limited, lambda row: row[1].at <= row[2].due_at, *splits)
    return Measure(
        id="payer_timeliness",
        title="Payer decisions within the legal limit",
        definition="determinations by the limit / determinations in the period by payers that have one; the clock "
        "starts at the confirmed receipt of the request",
        unit="share",
        cells=(*cells, count(late, "undecided past the limit", "now")),
        notes=("Extensions are not recorded; requests for information do not stop the clock here.",),
    )


def _limit(case: MeasuredCase) -> Deadline | None:
    return decide_deadline(case.received_at, case.line_of_business, is_expedited=case.is_expedited)


def _is_late(case: MeasuredCase, given: MeasureInput) -> bool:
    limit = _limit(case)
    waits = case.determination is None and not case.is_withdrawn and given.period.has(case.received_at)
    return waits and limit is not None and limit.due_at < given.as_of


def payers_of(rows: Iterable[MeasuredCase]) -> tuple[Cell, ...]:
    """How the requests of a measure spread over payers: the payer mix that a comparison must show."""
    listed = list(rows)
    names = sorted({case.payer for case in listed if case.payer})
    return tuple(rate(sum(case.payer == name for case in listed), len(listed), "payer", name) for name in names)


def payer_mix(given: MeasureInput) -> Measure:
    """How the requests of the period spread over payers."""
    rows = [case for case in in_scope(given) if given.period.has(case.sent_at)]
    return Measure(
        id="payer_mix",
        title="Payer mix",
        definition="requests to the payer / requests sent in the period; two periods compare only beside it",
        unit="share",
        cells=(count(len(rows)), *payers_of(rows)),
    )


BUILDERS = (initial_denials, first_pass, time_to_authorization, days_from_order, payer_timeliness, payer_mix)
"""Measures of this module, in their order."""
