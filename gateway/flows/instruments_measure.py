"""Outcome measures: answered by staff or by the patient, scored exactly, written to the EHR, and shown over time.

The response is the record; its score goes beside it as an Observation for readers that know no questionnaires.
Texts of a licensed questionnaire are shown and not stored: answers are kept by code.
Source: spec/clinical.md §3.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.clinical.chart import open_chart, order_day
from gateway.clinical.concepts import Measure, read_order_code
from gateway.clinical.instruments import Instrument, MeasureForm, measure_forms, require_instrument
from gateway.clinical.instruments_scores import (
    Trend,
    mean_observation,
    read_trend,
    scale_observation,
    score_observation,
    score_response,
)
from gateway.clinical.wording import WordingProvider, countable, stamp
from gateway.errors import GatewayError, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.fhir.reading import calendar_day, objects, one, text, thaw
from gateway.flows import desk, instruments, ledger
from gateway.flows.actors import Actor
from gateway.flows.form_cases import author_of
from gateway.flows.instruments import Bench
from gateway.flows.instruments_wording import words_of
from gateway.flows.instruments_write import EhrShelf
from gateway.flows.ledger import Act
from gateway.flows.services import NPI, Services
from gateway.forms.view import FormView
from gateway.policy.access import require_access
from gateway.profiles.dtr_guide import OriginAuthor
from gateway.store.rows import CaseRow

__all__ = [
    "PATIENT",
    "Entry",
    "MeasureSheet",
    "Overview",
    "Trend",
    "case_trends",
    "enter_by_staff",
    "keep",
    "open_measure",
    "overview",
    "with_answers",
    "with_id",
]

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SCORED: Final = "measure-scored"
"""Kind of the event of a response."""
PATIENT: Final = OriginAuthor(roles=({"text": "patient"},))
"""Author of the answers that come by a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSheet:
    """A questionnaire of a measure, ready to be answered."""

    instrument: Instrument
    """The questionnaire as shipped."""
    measure: Measure
    """The measure it fills."""
    questionnaire: Json
    """The questionnaire in the words that are shown."""
    words: WordingProvider | None
    """Whose words; None for our own."""
    response: Json
    """Answers so far."""
    view: FormView
    """Questions and answers."""

    @property
    def notice(self) -> str:
        """What must stand above the questions; empty for nothing."""
        return self.words.notice(self.instrument.title) if self.words else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Measures of a case."""

    sheet: desk.CaseSheet
    """The case."""
    forms: tuple[Instrument, ...]
    """Questionnaires that its rule's measures can be filled with."""
    trends: tuple[Trend, ...]
    """Scores over time, of the measures that have some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is entered, by whom."""

    actor: Actor
    """Who."""
    author: OriginAuthor
    """Author of the answers."""
    response_id: str
    """What the answers are kept under; the same for a repeat, and for what one page sends twice."""
    filled_on: str = ""
    """Day on which a paper form was filled in; empty for now."""


def overview(services: Services, actor: Actor, case_id: str) -> Overview:
    """Measures of the case's rule, and how they went. Conflict where no rule applies."""
    sheet = desk.open_case(services, actor, case_id)
    bench = instruments.open_bench(services, sheet)
    return Overview(sheet=sheet, forms=measure_forms(_measures(bench)), trends=trends(services, bench))


def trends(services: Services, bench: Bench) -> tuple[Trend, ...]:
    """Scores over time of the rule's measures, as the rule counts them today; those without a score are left out."""
    record = countable(bench.snapshot.record, is_production=instruments.is_production(services))
    region = services.concepts.region_of(read_order_code(bench.order, services.concepts) or "")
    if region is None:
        return ()
    on = max(order_day(bench.order, bench.zone, services.clock.now())[0], instruments.today(services, bench))
    chart = open_chart(record, bench.order, bench.rule, bench.concepts, region, bench.zone, on)
    plain = [measure for measure in _measures(bench) if measure.kind != "scale_with_narrative"]
    found = (read_trend(chart, measure) for measure in plain)
    return tuple(trend for trend in found if trend.points)


def case_trends(services: Services, sheet: desk.CaseSheet) -> tuple[Trend, ...]:
    """The same for a case's page, which is shown whatever is wrong with it: empty where nothing can be said."""
    try:
        return trends(services, instruments.open_bench(services, sheet))
    except GatewayError:
        return ()


def _measures(bench: Bench) -> list[Measure]:
    named = [bench.concepts.measure_named(name) for name in bench.rule.outcome.measures]
    bases = [bench.concepts.measure_named(measure.base) for measure in named if measure and measure.base]
    return [measure for measure in (*named, *bases) if measure is not None]


def open_measure(services: Services, slug: str) -> MeasureSheet:
    """A questionnaire without answers. NotFound for a template that is no measure."""
    instrument = require_instrument(slug)
    template = instrument.template
    measure = services.concepts.measure_named(template.measure) if isinstance(template, MeasureForm) else None
    if measure is None:
        raise NotFound("There is no such measure.", code="instrument.unknown")
    words = words_of(services.wording, instrument, is_production=instruments.is_production(services))
    questionnaire = words.worded(instrument.questionnaire) if words else instrument.questionnaire
    response = instruments.blank(services, instrument)
    return MeasureSheet(
        instrument=instrument,
        measure=measure,
        questionnaire=questionnaire,
        words=words,
        response=response,
        view=instruments.view_of(questionnaire, response, services),
    )


def with_id(opened: MeasureSheet, response_id: str) -> MeasureSheet:
    """The questionnaire whose answers are kept under this id; its own stands where that is no UUID."""
    own = {"id": response_id} if _UUID.fullmatch(response_id) else {}
    return replace(opened, response={**opened.response, **own})


def with_answers(
    services: Services, opened: MeasureSheet, answers: Mapping[str, Sequence[str]], author: OriginAuthor
) -> tuple[MeasureSheet, dict[str, str]]:
    """The questionnaire with these answers, and link id → sentence of each that does not fit."""
    response, refused = instruments.answer(services, opened.questionnaire, opened.response, answers, author)
    view = instruments.view_of(opened.questionnaire, response, services)
    return replace(opened, response=response, view=view), refused


def enter_by_staff(
    services: Services, actor: Actor, case_id: str, opened: MeasureSheet, *, filled_on: str = "", anyway: bool = False
) -> CaseRow:
    """Keep answers that a person of the practice entered. AccessError, InputError 422, the EHR's errors."""
    case = desk.open_case(services, actor, case_id).case
    require_access(actor.caller, "measure.enter", instruments.about(case))
    entry = Entry(actor=actor, author=author_of(actor), response_id=str(opened.response["id"]), filled_on=filled_on)
    return keep(services, case, opened, entry, anyway=anyway)


def keep(services: Services, case: CaseRow, opened: MeasureSheet, entry: Entry, *, anyway: bool = False) -> CaseRow:
    """Write a response and its score to the EHR, record it, and have a held case looked at again.

    InputError 422 where it is incomplete; too few items for a score are refused unless `anyway`. The EHR's errors:
    a repeat of the same answers under the same response id writes nothing twice.
    """
    snapshot = read_facts(case.facts).snapshot
    if not snapshot:
        raise InputError("The chart is being read; try again in a moment.", code="case.reading", status=409)
    wrong = instruments.open_questions(opened.questionnaire, opened.response)
    if wrong:
        raise InputError(f"Still open, or not as asked: {', '.join(wrong)}.", code="measure.incomplete", status=422)
    response = _response(services, case, opened, entry)
    scores = _scores(services, opened, response)
    if not scores and not anyway:
        raise InputError(_too_few(opened.measure), code="measure.too-few", status=422)
    shelf = EhrShelf(services=services, case=case, act_id=_act_id(entry, response))
    reference = shelf.put("response", response)
    for position, score in enumerate(scores):
        shelf.put(f"score-{position}", {**score, "derivedFrom": [{"reference": reference}]})
    return ledger.retry_on_conflict(lambda: _record(services, case, opened, entry, shelf))


def _act_id(entry: Entry, response: Json) -> str:
    """What is kept under: answers that were changed after a fault are others, so that a score fits its response."""
    said = dump_json([response.get("item", []), entry.filled_on.strip()])
    return f"{entry.response_id}:{hashlib.sha256(said).hexdigest()}"


def _too_few(measure: Measure) -> str:
    if measure.kind == "items":
        return f"With fewer than {measure.min_items} answers there is no score; answer more, or save it without one."
    return f"Name at least {measure.min_components} activities, each with its number."


def _record(services: Services, case: CaseRow, opened: MeasureSheet, entry: Entry, shelf: EhrShelf) -> CaseRow:
    now = ledger.load(services, case.tenant_id, case.case_id)
    facts = read_facts(now.facts)
    act = Act(
        verb="manual-answer",
        about=shelf.items(),
        actor=entry.actor,
        note={
            "kind": SCORED,
            "form": opened.instrument.slug,
            "origin": opened.words.source if opened.words else "",
            "count": len(shelf.written) - 1,
        },
    )
    if now.state == CaseState.HELD:
        facts = replace(facts, held_until=services.clock.now().isoformat())
        return ledger.append(services, now, act, facts=facts)
    return ledger.append(services, now, act)


def _response(services: Services, case: CaseRow, opened: MeasureSheet, entry: Entry) -> dict[str, Any]:
    patient = {"reference": case.patient_reference}
    zone = ZoneInfo(services.settings.tenant.practice_zone)
    at = services.clock.now().astimezone(zone).isoformat(timespec="seconds")
    header: dict[str, Any] = {
        "subject": patient,
        "authored": _filled_on(entry.filled_on, services.today()) or at,
        "author": _author(services, entry, patient),
        "source": patient,
    }
    done = instruments.finished(opened.questionnaire, opened.response, **header)
    done.pop("id", None)
    if opened.words is None:
        return done
    done["item"] = [_without_words(item) for item in done["item"]]
    return {
        "resourceType": "QuestionnaireResponse",
        "extension": [stamp(opened.words.source, opened.words.licence)],
        **{key: value for key, value in done.items() if key != "resourceType"},
    }


def _filled_on(value: str, today: date) -> str:
    if not value.strip():
        return ""
    day = calendar_day(value.strip())
    if day is None or day > today:
        raise InputError("The day is given as YYYY-MM-DD and not in the future.", code="measure.date", status=422)
    return day.isoformat()


def _author(services: Services, entry: Entry, patient: Json) -> dict[str, Any]:
    """Who entered it: the patient, a practitioner, else the practice."""
    if entry.actor.kind == "patient":
        return dict(patient)
    if entry.actor.practitioner:
        return {"reference": entry.actor.practitioner}
    tenant = services.settings.tenant
    return {
        "type": "Organization",
        "identifier": {"system": NPI, "value": tenant.npi},
        "display": tenant.name,
    }


def _without_words(item: Json) -> dict[str, Any]:
    """An item by its codes alone: neither the question's text nor the answer's."""
    made: dict[str, Any] = {key: value for key, value in thaw(item).items() if key != "text"}
    for answer in made.get("answer", ()):
        answer.get("valueCoding", {}).pop("display", None)
    return made


def _scores(services: Services, opened: MeasureSheet, response: Json) -> tuple[dict[str, Any], ...]:
    """Observations of the score; empty where there is none."""
    measure = opened.measure
    own = {
        "subject": response["subject"],
        "effectiveDateTime": response["authored"],
        "performer": [response["author"]],
        **({"extension": response["extension"]} if "extension" in response else {}),
    }
    if measure.kind == "items":
        score = score_response(response, measure)
        return (score_observation(response, score, measure, own),) if score.percent is not None else ()
    if measure.component:
        pairs = [pair for group in objects(response.get("item")) if (pair := _named_score(group)) is not None]
        enough = measure.min_components <= len(pairs) <= measure.max_components
        return (mean_observation(measure, services.concepts.local_system, pairs, own),) if enough else ()
    return tuple(_scale(opened, measure, item, own) for item in objects(response.get("item")))


def _scale(opened: MeasureSheet, measure: Measure, item: Json, own: Mapping[str, Any]) -> dict[str, Any]:
    asked = next(
        one_item
        for one_item in objects(opened.instrument.questionnaire["item"])
        if one_item["linkId"] == item.get("linkId")
    )
    answer = objects(item.get("answer"))[0]
    number = _number(answer)
    unit = "mm" if "valueInteger" in answer else "{score}"
    return scale_observation(measure, objects(asked.get("code"))[0], number, unit, own)


def _named_score(group: Json) -> tuple[str, int] | None:
    """(activity, number) of a group of which both are answered."""
    answers = [objects(item.get("answer"))[0] for item in objects(group.get("item")) if item.get("answer")]
    names = [text(answer.get("valueString")) for answer in answers if "valueString" in answer]
    numbers = [_number(answer) for answer in answers if "valueCoding" in answer]
    return (names[0], numbers[0]) if names and numbers else None


def _number(answer: Json) -> int:
    if "valueInteger" in answer:
        return int(answer["valueInteger"])
    extension = objects(one(answer.get("valueCoding")).get("extension"))[0]
    return int(extension["valueDecimal"])
