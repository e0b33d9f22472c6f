"""The demonstration: a synthetic EHR, simulated payers and the gateway, on loopback, over real HTTP.

It plays the three parties that a hospital has: the EHR that posts orders, the person who answers what
the chart cannot, and the auditor who exports evidence. The gateway itself is a process like any other.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx

import provenance
from gateway.demo.charts import DemoChart, demo_charts
from gateway.demo.processes import House, open_house
from gateway.errors import GatewayError
from gateway.fhir.json import dump_json, parse_json
from gateway.settings import Settings

WAIT_SECONDS = 110
"""How long the demonstration waits for all cases to rest."""
POLL_SECONDS = 0.25
"""Pause between two looks at the cases."""
Progress = Callable[[str], None]


class DemoFailed(GatewayError):
    """The demonstration did not come to its end; the message says what is missing."""

    code = "demo"


class MovedMeanwhile(DemoFailed):
    """What the person was about to do is done already, or cannot be done any more; look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What the demonstration's person does, as data."""

    answers: dict[str, Any]
    """Answer by linkId."""
    by_type: dict[str, Any]
    """Answer by item type, where the form asks something that is not listed."""
    expected: dict[str, str]
    """State in which each scenario has to rest."""


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run."""

    house: House
    """The running processes."""
    person: Person
    """The person at the pages."""
    tell: Progress
    """Where progress goes."""
    charts: dict[str, DemoChart] = field(default_factory=dict)
    """Chart by case id."""
    states: dict[str, str] = field(default_factory=dict)
    """Last state told, by case id."""
    _turn: int = 0

    def post_orders(self, charts: Sequence[DemoChart]) -> None:
        """Post every chart's order as the EHR would: a reference for some, a Bundle for the others."""
        for position, chart in enumerate(charts):
            body = self._by_reference(chart) if position % 2 else self._as_bundle(chart)
            answer = self._send("POST", "/orders", self.house.ehr_secret, dump_json(body), "application/fhir+json")
            case = answer["cases"][0]
            self.charts[case["case_id"]] = chart
            self.tell(f"{chart.scenario}: order accepted, case {case['case_id'][:8]}")

    def wait(self, seconds: float = WAIT_SECONDS) -> None:
        """Play the person until every case rests. Raises DemoFailed with what still moves."""
        until = monotonic() + seconds
        while True:
            cases = [self._show(case_id) for case_id in self.charts]
            for case in cases:
                self._tell_state(case)
            resting = [self._try(case) for case in cases]
            if all(resting):
                return
            if monotonic() > until:
                moving = ", ".join(sorted({case["state"] for case in cases if not self._is_resting(case)}))
                raise DemoFailed(f"Some cases did not come to rest in {seconds:.0f} seconds; still {moving}.")
            sleep(POLL_SECONDS)

    def report(self) -> dict[str, Any]:
        """The result in the stable shape of design.md §6; writes evidence packages and anchors to files."""
        anchors = self.house.folder / "anchors.json"
        anchors.write_bytes(self.house.anchors())
        ledger = httpx.get(f"{self.house.harness_url}/_ledger", timeout=10).json()
        return {
            "cases": [self._result(case_id, anchors.read_bytes()) for case_id in self.charts],
            "anchors": str(anchors),
            "payer_ledger": {key: ledger[key] for key in ("submissions", "distinct_claims", "duplicates")},
        }

    def unexpected(self, report: dict[str, Any]) -> list[str]:
        """Scenarios that are not where they should be, one line each."""
        wrong = []
        for case in report["cases"]:
            wanted = self.person.expected.get(case["scenario"])
            if wanted is not None and case["state"] != wanted:
                wrong.append(f"{case['scenario']}: {case['state']} instead of {wanted}")
            if case["verification"]["verdict"] == provenance.FAILED:
                wrong.append(f"{case['scenario']}: evidence {', '.join(case['verification']['codes'])}")
        if report["payer_ledger"]["duplicates"]:
            wrong.append("the payers' ledger has duplicates")
        return wrong

    def _result(self, case_id: str, anchors: bytes) -> dict[str, Any]:
        case = self._show(case_id)
        events = self._send("GET", f"/cases/{case_id}/events", self.house.person_secret)["events"]
        path = self.house.folder / "evidence" / f"{self.charts[case_id].scenario}.zip"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self._bytes(f"/cases/{case_id}/evidence", self.house.auditor_secret))
        verified = provenance.verify_package(path, anchors)
        return {
            "scenario": self.charts[case_id].scenario,
            "case_id": case_id,
            "order": case["order"],
            "payer": case["payer"],
            "state": case["state"],
            "decision": case["decision"],
            "authorization_number": case["authorization_number"],
            "denial_reasons": case["denial_reasons"],
            "next_action": case["next_action"],
            "events": len(events),
            "evidence": str(path),
            "verification": {"verdict": str(verified.verdict), "codes": [str(code) for code in verified.codes]},
        }

    def _as_bundle(self, chart: DemoChart) -> dict[str, Any]:
        """The order with patient, coverage and payer, as an EHR sends it along."""
        wanted = {chart.order_reference, chart.patient_reference, chart.coverage_reference}
        entries = chart.bundle["entry"]
        kept = [entry for entry in entries if _name(entry) in wanted or _name(entry).startswith("Organization/")]
        return {"resourceType": "Bundle", "type": "collection", "entry": kept}

    def _by_reference(self, chart: DemoChart) -> dict[str, Any]:
        return {"fhirServer": self.house.ehr_url, "order": chart.order_reference}

    def _is_resting(self, case: dict[str, Any]) -> bool:
        wanted = self.person.expected.get(self.charts[case["case_id"]].scenario)
        return not case["busy"] and (wanted is None or case["state"] == wanted or case["state"] == "needs_attention")

    def _try(self, case: dict[str, Any]) -> bool:
        try:
            return self._act(case)
        except MovedMeanwhile:
            return False

    def _act(self, case: dict[str, Any]) -> bool:
        """Do what only a person can do; True when the case rests where it should."""
        if case["busy"]:
            return False
        for form in case["forms"]:
            if case["state"] == "documenting" and form["status"] != "completed":
                self._complete(case["case_id"], form["form_id"])
                return False
        for request in case["requests"]:
            if not request["answered"]:
                self._attach(case["case_id"], request)
                return False
        return self._is_resting(case)

    def _complete(self, case_id: str, form_id: str) -> None:
        path = f"/cases/{case_id}/forms"
        for _ in range(5):
            forms = self._send("GET", path, self.house.person_secret)["forms"]
            form = next(item for item in forms if item["form_id"] == form_id)
            answers = dict(self._answers(form["rows"]))
            if not answers:
                break
            self._send("POST", f"{path}/{form_id}/answers", self.house.person_secret, dump_json({"answers": answers}))
        self._send("POST", f"{path}/{form_id}/complete", self.house.person_secret)
        self.tell(f"{self.charts[case_id].scenario}: a person answered the open questions and completed the form")

    def _answers(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
        for row in rows:
            if not (row["enabled"] and row["required"] and not row["values"]) or row["type"] in ("group", "display"):
                continue
            value = self.person.answers.get(row["link_id"], self.person.by_type.get(row["type"]))
            if row["options"] and row["link_id"] not in self.person.answers:
                value = row["options"][0]["key"]
            yield row["link_id"], [value]

    def _attach(self, case_id: str, request: dict[str, Any]) -> None:
        documents = self._send("GET", f"/cases/{case_id}/documents", self.house.person_secret)["documents"]
        chosen = [document["reference"] for document in documents if document["fits"]] or [documents[0]["reference"]]
        body = dump_json({"documents": chosen[-1:]})
        self._send("POST", f"/cases/{case_id}/requests/{request['control_number']}", self.house.person_secret, body)
        self.tell(f"{self.charts[case_id].scenario}: a person sent the document that the payer asked for")

    def _tell_state(self, case: dict[str, Any]) -> None:
        case_id = case["case_id"]
        if self.states.get(case_id) != case["state"]:
            before = self.states.get(case_id, "")
            arrow = f"{before} → {case['state']}" if before else case["state"]
            number = f" ({case['authorization_number']})" if case["authorization_number"] else ""
            self.tell(f"{self.charts[case_id].scenario}: {arrow}{number}")
            self.states[case_id] = case["state"]

    def _show(self, case_id: str) -> dict[str, Any]:
        return self._send("GET", f"/cases/{case_id}", self.house.person_secret)

    def _send(
        self, method: str, path: str, secret: str, body: bytes | None = None, media_type: str = "application/json"
    ) -> dict[str, Any]:
        answer: dict[str, Any] = parse_json(self._bytes(path, secret, method, body, media_type))
        return answer

    def _bytes(
        self,
        path: str,
        secret: str,
        method: str = "GET",
        body: bytes | None = None,
        media_type: str = "application/json",
    ) -> bytes:
        """One request to a gateway process, in turn; a process that restarts is waited for."""
        self._turn += 1
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": media_type}
        for attempt in range(120):
            base = self.house.gateway_urls[(self._turn + attempt) % len(self.house.gateway_urls)]
            try:
                answer = httpx.request(method, base + path, headers=headers, content=body, timeout=30)
            except httpx.TransportError:
                sleep(POLL_SECONDS)
                continue
            if answer.status_code in (429, 503) and attempt < 20:
                sleep(POLL_SECONDS)
                continue
            if answer.status_code == 409:
                raise MovedMeanwhile("The case moved meanwhile.")
            if answer.is_error:
                raise DemoFailed(f"{method} {path.split('/')[1]} answered {answer.status_code}: {answer.text[:300]}")
            return answer.content
        raise DemoFailed("The gateway does not answer.")


def _name(entry: dict[str, Any]) -> str:
    resource = entry["resource"]
    return f"{resource['resourceType']}/{resource.get('id', '')}"


def read_person() -> Person:
    """The person of the demonstration, from person.toml."""
    raw = tomllib.loads((files("gateway.demo") / "person.toml").read_text("utf-8"))
    return Person(answers=raw["answers"], by_type=raw["by_type"], expected=raw["expected"])


def chosen_charts(settings: Settings) -> tuple[DemoChart, ...]:
    """The scenarios to run: those named in `demo.scenarios`, or all. Raises DemoFailed for an unknown one."""
    charts = demo_charts()
    unknown = set(settings.demo.scenarios) - {chart.scenario for chart in charts}
    if unknown:
        raise DemoFailed(f"demo.scenarios names unknown scenarios: {', '.join(sorted(unknown))}.")
    return tuple(chart for chart in charts if not settings.demo.scenarios or chart.scenario in settings.demo.scenarios)


def run_once(
    settings: Settings, tell: Progress, keep: Callable[[Demo], None] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Start everything, run the scenarios to their rest, report, and stop; `keep` is called before stopping.

    Returns the report and what is not as expected. Raises DemoFailed, SettingsError.
    """
    charts = chosen_charts(settings)
    with open_house(settings, charts, tell) as house:
        demo = Demo(house=house, person=read_person(), tell=tell)
        demo.post_orders(charts)
        demo.wait()
        report = demo.report()
        wrong = demo.unexpected(report)
        if keep is not None:
            keep(demo)
    return report, wrong


def newest_folder(settings: Settings) -> Path:
    """Folder of the newest run."""
    return max(settings.demo.directory.glob("run-*"))
