"""A patient under conservative care in the house: the chart at day 0, and what clinic and patient record later."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.demo.charts import build_chart
from gateway.demo.charts_recipe import Recipe, case_recipe
from gateway.fhir.bundle import resources
from gateway.fhir.json import dump_json
from gateway.flows import care_start
from gateway.flows.actors import Actor
from gateway.flows.care_facts import TimerFacts, read_facts
from gateway.store.care_rows import DueRow, TimerRow
from tests.flows_house import EHR_URL, House

ZONE = ZoneInfo("America/Los_Angeles")
DAY_ZERO = date(2026, 3, 2)
LOCAL = "urn:oid:2.25.94492686211768030265051248232142081200.2"
CPT = "http://www.ama-assn.org/go/cpt"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
NDI = "urn:oid:2.25.94492686211768030265051248232142081200.4|1.0.0"
SCREENS = frozenset(f"rf{number}" for number in range(1, 7))


def recipe(**changes: Any) -> Recipe:
    """Neck pain since ten days, ordered today, nothing tried yet; nobody has screened."""
    blank: dict[str, Any] = {
        "order_on": DAY_ZERO,
        "first_visit_on": None,
        "recorded_on": DAY_ZERO,
        "onset": {"onsetDateTime": "2026-02-20"},
        "screens": {},
        "notes": (),
        "member_id": "SYN-APPROVE-77",
        "without": ("daily", "knee-drug"),
    }
    return replace(case_recipe("P02"), **blank | changes)


def chart(**changes: Any) -> dict[str, Any]:
    """The chart at day 0."""
    return dict(build_chart(recipe(**changes)))


def order_of(bundle: dict[str, Any]) -> dict[str, Any]:
    """The imaging order of a chart."""
    return dict(next(item for item in resources(bundle, "ServiceRequest") if "insurance" in item))


def local(day: int, clock: str = "12:00") -> datetime:
    """An instant of a day of the protocol, in UTC."""
    hour, minute = map(int, clock.split(":"))
    return datetime.combine(DAY_ZERO + timedelta(days=day), time(hour, minute), ZONE).astimezone(UTC)


def clinician(bundle: dict[str, Any]) -> Actor:
    """The person who ordered, signed in."""
    reference = order_of(bundle)["requester"]["reference"]
    return Actor(
        id="olga", kind="user", tenant="main", roles=("clinician",), name="Olga Ordering", practitioner=reference
    )


def confirmed(choice: str = "naproxen-500", **more: Any) -> care_start.Confirmation:
    """Six ticks and a choice."""
    return care_start.Confirmation(**{"negative": SCREENS, "choice": choice} | more)


class Patient:
    """One patient of the synthetic EHR: what is recorded as the weeks go by."""

    def __init__(self, house: House, bundle: dict[str, Any]) -> None:
        self.house = house
        self.bundle = bundle
        self.order = order_of(bundle)
        self.reference = self.order["subject"]["reference"]
        self.problem = self.order["reasonReference"][0]["reference"]

    def add(self, kind: str, day: int, **body: Any) -> str:
        """Record a resource of the patient; gives its reference."""
        resource = {"resourceType": kind, "subject": {"reference": self.reference}, **body}
        stored, _ = self.house.ehr_store.create(kind, resource, None)
        return str(stored.key)

    def session(self, day: int, **more: Any) -> str:
        """An attended therapy session."""
        body = {
            "status": "completed",
            "code": {"coding": [{"system": CPT, "code": "97110"}]},
            "performedDateTime": _text(day, "16:30"),
            "reasonReference": [{"reference": self.problem}],
        }
        return self.add("Procedure", day, **body | more)

    def score(self, day: int, raw: int) -> str:
        """A filled-in form whose answers add up to `raw`."""
        values = [min(5, max(0, raw - 5 * place)) for place in range(10)]
        items = [
            {"linkId": f"ndi-{place}", "answer": [{"valueCoding": {"system": LOCAL, "code": f"ordinal-{value}"}}]}
            for place, value in enumerate(values, 1)
        ]
        body = {"questionnaire": NDI, "status": "completed", "authored": _text(day, "09:00"), "item": items}
        return self.add("QuestionnaireResponse", day, **body)

    def screens(self, day: int, **answers: bool) -> None:
        """All screens answered, no unless `answers` says otherwise."""
        for code in sorted(SCREENS):
            self.add(
                "Observation",
                day,
                status="final",
                code={"coding": [{"system": LOCAL, "code": code}]},
                effectiveDateTime=_text(day, "09:10"),
                valueBoolean=answers.get(code, False),
            )

    def visit(self, day: int, kind: str = "AMB") -> str:
        """A visit about the problem."""
        return self.add(
            "Encounter",
            day,
            status="finished",
            **{"class": {"code": kind}},
            period={"start": _text(day, "08:30"), "end": _text(day, "09:00")},
            diagnosis=[{"condition": {"reference": self.problem}, "rank": 1}],
        )

    def book(self, day: int) -> str:
        """A therapy appointment."""
        appointment = {
            "resourceType": "Appointment",
            "status": "booked",
            "serviceType": [{"coding": [{"system": SNOMED, "code": "91251008"}]}],
            "start": local(day, "16:30").isoformat(),
            "participant": [{"actor": {"reference": self.reference}, "status": "accepted"}],
        }
        stored, _ = self.house.ehr_store.create("Appointment", appointment, None)
        return str(stored.key)

    def find(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """Resources of a type in the EHR whose elements are as wanted."""
        answer = self.house.services.ehr("ehr").search(kind, {}, patient_id=self.reference.split("/")[1])
        return [
            dict(item.resource)
            for item in answer
            if all(item.resource.get(name) == value for name, value in wanted.items())
        ]

    def post(self) -> str:
        """Hand the order in; gives the case."""
        reference = f"ServiceRequest/{self.order['id']}"
        body = {"fhirServer": EHR_URL, "order": reference}
        return self.house.open_case(dump_json(body)).case_id

    def timer(self, case_id: str) -> TimerRow:
        """The case's timer."""
        with self.house.services.store.read() as tx:
            return tx.timers.get("main", self.house.facts(case_id).timer)

    def timer_facts(self, case_id: str) -> TimerFacts:
        """What the case's timer remembers."""
        return read_facts(self.timer(case_id))

    def rows(self, case_id: str) -> dict[str, DueRow]:
        """Milestones of the case's timer by name."""
        with self.house.services.store.read() as tx:
            return {row.name: row for row in tx.care_due.of_timer("main", self.house.facts(case_id).timer)}

    def at(self, day: int, clock: str = "12:00") -> None:
        """Time goes on to a day of the protocol, and everything that is due is done."""
        self.house.clock.instant = local(day, clock)
        self.settle()

    def settle(self) -> None:
        """Everything that is due now is done."""
        for _ in range(20):
            self.house.sweep.run(self.house.clock.now())
            if not self.house.work():
                return
        raise AssertionError("work never ends")


def _text(day: int, clock: str) -> str:
    return local(day, clock).astimezone(ZONE).isoformat()
