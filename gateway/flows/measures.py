"""The measures of a period: what the store holds, joined into rows without names, and computed by policy.

Source: spec/clinical.md §8; spec/ux.md (measures).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.cases.facts import Facts, read_facts
from gateway.clinical.instruments import Exam, instruments
from gateway.clinical.rules import in_force
from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.fhir.reading import objects, text
from gateway.flows.actors import Actor
from gateway.flows.measures_files import operator_facts
from gateway.flows.services import Services
from gateway.policy.access import require_access
from gateway.policy.metrics import compute
from gateway.policy.metrics_measure import Measure
from gateway.policy.metrics_rows import (
    FINAL_ACTIONS,
    Advice,
    Answer,
    Judgement,
    MeasuredCase,
    MeasuredForm,
    MeasuredTimer,
    MeasureInput,
    OperatorFacts,
    Period,
    RuleRowFact,
)
from gateway.profiles.dtr_origin import MACHINE_CODES, read_answer_origin
from gateway.store import Tx
from gateway.store.measures import CaseFact, EventFact, SendingFact, TimerFact

DEFAULT_DAYS = 90
"""Days that are reported where no period is asked for, today included."""
MOST_CASES = 20_000
"""Orders that one report covers; more take a shorter period."""
MOST_ON_A_PAGE = 5_000
"""Orders that a page or a call covers, so that nobody waits long for it."""
LONGEST_PERIOD = timedelta(days=1100)
"""Longest period of one report."""
LONGEST_PROTOCOL = timedelta(days=400)
"""A timer that ends in the period began no earlier than this before it."""
_MOVED_ON = frozenset({"", "held", "checking", "received", "needs_attention"})
"""States in which a case that waited has not gone on."""
_CODE = re.compile(r"[A-Za-z0-9.-]{1,12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSheet:
    """The measures of one period."""

    period: Period
    """Days reported."""
    as_of: datetime
    """When the rows were read."""
    orders: int
    """Orders in scope that were looked at."""
    others: int
    """Orders that no clinical rule is about; they are in no measure."""
    measures: tuple[Measure, ...]
    """In the order in which they are shown."""


def read_measures(
    services: Services, actor: Actor, start: date | None = None, end: date | None = None, *, most: int = MOST_CASES
) -> MeasureSheet:
    """The measures of a period of local days, both ends in; the last 90 days where none is given.

    Raises AccessError, InputError for a period that is empty, too long or holds more than `most` orders,
    SettingsError for an operator's file that cannot be read.
    """
    require_access(actor.caller, "measures.read")
    period = _period(services, start, end)
    given = _read(services, actor.tenant, period, operator_facts(services.settings.measures), most)
    scoped = sum(case.first is not None for case in given.cases)
    return MeasureSheet(
        period=period, as_of=given.as_of, orders=scoped, others=len(given.cases) - scoped, measures=compute(given)
    )


def _period(services: Services, start: date | None, end: date | None) -> Period:
    last = end or services.today()
    first = start or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise InputError("The period ends before it begins.", code="period", status=422)
    if last - first > LONGEST_PERIOD:
        raise InputError(f"Choose a period of at most {LONGEST_PERIOD.days} days.", code="period", status=422)
    return Period(start=first, end=last, zone=services.settings.tenant.practice_zone)


def _read(services: Services, tenant: str, period: Period, operator: OperatorFacts, most: int) -> MeasureInput:
    """Everything from one moment of the database."""
    zone = ZoneInfo(period.zone)
    start = datetime.combine(period.start, time(), zone)
    end = datetime.combine(period.end + timedelta(days=1), time(), zone)
    with services.store.read() as tx:
        rows = tx.measures.cases(tenant, start, end, most + 1)
        if len(rows) > most:
            raise InputError(
                f"The period holds more than {most} orders; choose a shorter one.", code="period", status=422
            )
        rows = tuple(filter(_was_ordered, rows))
        history = _by_case(tx.measures.events(tenant, [row.case_id for row in rows]))
        sent = _by_case(tx.measures.sendings(tenant, [row.case_id for row in rows]))
        judged = _judgements(services, tx, tenant, history)
        filled = _filled(tx, tenant, rows)
        timers = tx.measures.timers(tenant, period.start - LONGEST_PROTOCOL, period.end)
        panels = tx.measures.panels(tenant, start, end)
    cases = []
    for row in rows:
        found = _case(services, row, history[row.case_id], sent[row.case_id], judged[row.case_id])
        cases.append(replace(found, forms=tuple(_forms(row, history[row.case_id], filled))))
    return MeasureInput(
        period=period,
        as_of=services.clock.now(),
        cases=tuple(cases),
        timers=tuple(_timer(item, history[item.case_id], period) for item in timers),
        panels=tuple(Advice(on=period.day(panel.shown_at), outcome=panel.outcome) for panel in panels),
        rules=tuple(_rules(services)),
        operator=operator,
    )


def _was_ordered(row: CaseFact) -> bool:
    """Whether there was an order at all: a draft that was dropped before anybody signed it is none."""
    return row.signed_at is not None or row.state != "cancelled"


def _by_case(rows: Iterable[Any]) -> Mapping[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.case_id].append(row)
    return found


def _judgements(
    services: Services, tx: Tx, tenant: str, history: Mapping[str, list[EventFact]]
) -> Mapping[str, list[Judgement]]:
    """Evaluations of each case, oldest first, read from the records that were kept of them."""
    acts = [event for events in history.values() for event in events if event.verb == "evaluate"]
    bodies = dict(tx.measures.bodies(tenant, [(act.case_id, act.object_digest) for act in acts]))
    found: dict[str, list[Judgement]] = defaultdict(list)
    for act in acts:
        body = bodies.get((act.case_id, act.object_digest))
        record = parse_json(body) if body else {}
        if record.get("rule"):
            found[act.case_id].append(_judgement(services, act, record))
    return found


def _judgement(services: Services, act: EventFact, record: Mapping[str, Any]) -> Judgement:
    indication = str(record.get("indication") or "")
    rule = next(
        (row for row in services.rules if (row.rule_id, row.version) == (record["rule"], record.get("version"))), None
    )
    ordered = record.get("order_on")
    return Judgement(
        at=act.at,
        verdict=str(record.get("verdict")),
        indication=indication,
        is_symptom=any(indication == region.symptom_code for region in services.concepts.region),
        needs_support=rule is not None and indication in rule.code_support,
        elements={str(item["element"]): str(item["status"]) for item in record.get("elements", ())},
        order_on=date.fromisoformat(ordered) if ordered else None,
    )


def _case(
    services: Services,
    row: CaseFact,
    history: list[EventFact],
    sent: list[SendingFact],
    judged: list[Judgement],
) -> MeasuredCase:
    facts = read_facts(row.facts)
    answers = tuple(_answers(history))
    decided = next((answer.at for answer in answers if answer.action in FINAL_ACTIONS), None)
    first = next((item for item in sent if item.kind == "submit" and item.first_sent_at), None)
    payer = services.directory.get(row.payer) if row.payer else None
    return MeasuredCase(
        case_id=row.case_id,
        payer=row.payer,
        line_of_business=payer.line_of_business if payer else "other",
        clinician=row.clinician_label,
        is_expedited=row.is_expedited,
        state=row.state,
        opened_at=row.created_at,
        judgements=tuple(judged),
        sent_at=first.first_sent_at if first else None,
        received_at=first.answered_at if first else None,
        requests_sent=sum(_is_request(item, decided) for item in sent),
        was_asked=bool(facts.requests),
        answers=answers,
        denial_codes=tuple(dict.fromkeys(_denial_codes(facts))),
        is_overridden=facts.is_overridden,
        opened_exam=any(event.note.get("form") in _exam_forms() for event in history),
        sendings=tuple(item.state for item in sent),
    )


def _filled(tx: Tx, tenant: str, rows: Iterable[CaseFact]) -> Mapping[tuple[str, str], Json]:
    """The newest answers of every completed form, by (case, digest)."""
    wanted = [
        (row.case_id, form.response)
        for row in rows
        for form in read_facts(row.facts).forms
        if form.status == "completed" and form.response
    ]
    return {key: parse_json(body) for key, body in tx.measures.bodies(tenant, wanted)}


def _forms(
    row: CaseFact, history: Iterable[EventFact], filled: Mapping[tuple[str, str], Json]
) -> Iterator[MeasuredForm]:
    """Completed forms of a case with where their answers are from; forms whose answers are gone are left out."""
    ends = {str(event.note.get("form")): event.at for event in history if event.note.get("kind") == "completed"}
    for form in read_facts(row.facts).forms:
        response = filled.get((row.case_id, form.response))
        if response is not None:
            origins = list(_origins(response))
            yield MeasuredForm(
                title=form.title,
                completed_at=ends.get(form.title[:200]),
                kept=sum(source in MACHINE_CODES for _, source in origins),
                overridden=tuple(link for link, source in origins if source == "override"),
                manual=sum(source == "manual" for _, source in origins),
            )


def _origins(element: Json) -> Iterator[tuple[str, str]]:
    """Link id and origin of every answer that says where it is from."""
    for item in objects(element.get("item")):
        for answer in objects(item.get("answer")):
            origin = read_answer_origin(answer)
            if origin is not None:
                yield text(item.get("linkId")), origin.source
            yield from _origins(answer)
        yield from _origins(item)


def _answers(history: Iterable[EventFact]) -> Iterator[Answer]:
    """Payer's answers on the order's own line, which is the first of a request."""
    for event in history:
        actions = str(event.note.get("review_action") or "")
        if event.verb == "payer-response" and actions:
            yield Answer(at=event.at, action=actions.split(",")[0])


def _is_request(item: SendingFact, decided: datetime | None) -> bool:
    """Whether a sending was a request or an update of it that left before the first decision."""
    sent = item.first_sent_at
    return item.kind in ("submit", "update") and sent is not None and (decided is None or sent <= decided)


def _denial_codes(facts: Facts) -> Iterator[str]:
    """The code before the words of each reason; `no code` where there are words alone."""
    for reason in facts.denial_reasons:
        code = reason.partition(":")[0].strip()
        yield code if _CODE.fullmatch(code) else "no code"


def _exam_forms() -> frozenset[str]:
    return frozenset(item.slug for item in instruments() if isinstance(item.template, Exam))


def _timer(item: TimerFact, history: list[EventFact], period: Period) -> MeasuredTimer:
    left = next(
        (
            period.day(event.at)
            for event in history
            if event.to_state not in _MOVED_ON
            and event.to_state != event.from_state
            and period.day(event.at) >= item.started_on
        ),
        None,
    )
    return MeasuredTimer(
        case_id=item.case_id,
        started_on=item.started_on,
        ends_on=item.started_on + timedelta(days=item.days),
        state=item.state,
        ended_on=period.day(item.ended_at) if item.ended_at else None,
        left_on=left,
    )


def _rules(services: Services) -> Iterator[RuleRowFact]:
    today = services.today()
    for rule in in_force(services.rules, today):
        yield RuleRowFact(
            name=f"{rule.rule_id} {rule.version}",
            is_overdue=rule.review_is_overdue(today),
            is_illustrative=rule.status == "illustrative",
        )
