"""A house for tests of the flows: synthetic EHR and simulated payers on loopback, jobs run by the test, a set clock.

`House.payer` stands before the payer's client, so that a test may answer one call itself and leave the others alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import uvicorn

import provenance
from gateway.cases.facts import Facts, read_facts
from gateway.clients.payer import Exchange, PayerClient
from gateway.clinical.rules import load_concepts, load_rules
from gateway.clock import FixedClock
from gateway.demo.charts import DemoChart, demo_charts
from gateway.demo.ehr_server import create_ehr_app
from gateway.demo.processes import _toml
from gateway.demo.script import read_person
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import evidence, forms, ledger
from gateway.flows.actors import Actor
from gateway.flows.advance import advance
from gateway.flows.intake import Posted, accept_orders
from gateway.flows.services import NPI, Services
from gateway.jobs.memory import MemoryJobs
from gateway.settings import EhrSettings, Settings, StoreSettings
from gateway.store import Store
from gateway.store.rows import CaseRow
from payer_endpoints.directory import load_directory
from payer_endpoints.harness.app import create_harness_app
from payer_endpoints.harness.config import HarnessConfig

PERSON = Actor(id="jo", kind="user", tenant="main", roles=("staff", "clinician", "auditor"), name="Jo Synthetic")
SYSTEM = Actor(id="ehr", kind="client", tenant="main", roles=("system",))


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """`app` on a free loopback port, in a thread of its own."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = monotonic() + 20
    while not server.started and monotonic() < until:
        sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def charts(members: Mapping[str, str]) -> dict[str, DemoChart]:
    """The demo's charts, and under further names the approved one with the member number of another scenario."""
    found = {chart.scenario: chart for chart in demo_charts()}
    for name, member in members.items():
        found[name] = _renamed(found["approved"], name, member)
    return found


def _renamed(chart: DemoChart, name: str, member: str) -> DemoChart:
    """The same chart as another patient's: every id and the member number are its own."""
    text = dump_json(chart.bundle).decode().replace("SYN-APPROVE-01", member)
    for entry in chart.bundle["entry"]:
        own = str(entry["resource"]["id"])
        text = text.replace(own, _other_id(own, name))
    bundle = parse_json(text.encode())
    return replace(
        chart,
        scenario=name,
        bundle=bundle,
        **{
            key: _renamed_reference(getattr(chart, key), name)
            for key in ("order_reference", "patient_reference", "coverage_reference")
        },
    )


def _other_id(own: str, name: str) -> str:
    return f"{own[:36]}-{name[:20]}"


def _renamed_reference(reference: str, name: str) -> str:
    kind, _, own = reference.partition("/")
    return f"{kind}/{_other_id(own, name)}"


class Between:
    """A payer's client of which a test answers some calls itself."""

    def __init__(self, client: PayerClient) -> None:
        self._client = client
        self.instead: dict[str, Callable[..., Exchange]] = {}
        """Method name → what is done in its place; it gets the real method first."""
        self.calls: list[str] = []
        """Names of the calls made, in order."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self.calls.append(name)
            return self.instead[name](real, *arguments, **more) if name in self.instead else real(*arguments, **more)

        return call if callable(real) else real

    def close(self) -> None:
        """Close the real client."""
        self._client.close()


def answered(status: int, body: Any = None, request: bytes = b"", **headers: str) -> Exchange:
    """An exchange with that answer."""
    raw = body if isinstance(body, bytes) else dump_json(body) if body is not None else b""
    now = datetime.now(UTC)
    return Exchange(
        request_bytes=request,
        response_bytes=raw,
        status=status,
        media_type="application/fhir+json",
        headers={name.replace("_", "-"): text for name, text in headers.items()},
        sent_at=now,
        answered_at=now,
        endpoint_id="test",
        tls_peer_sha256=None,
    )


@dataclass(kw_only=True)
class House:
    """The gateway's services with everything around them."""

    services: Services
    clock: FixedClock
    jobs: MemoryJobs
    charts: dict[str, DemoChart]
    payers: dict[str, Between] = field(default_factory=dict)

    def payer(self, slug: str = "example-medicare") -> Between:
        """The client of a payer, with this test between."""
        if slug not in self.payers:
            self.payers[slug] = Between(self.services.payer(slug))
            self.services._payers[slug] = self.payers[slug]  # type: ignore[assignment]
        return self.payers[slug]

    def post(self, name: str) -> str:
        """Post a chart's order as it stands in the EHR; the case id."""
        chart = self.charts[name]
        base = self.services.settings.ehr["ehr"].base_url
        body = {"fhirServer": base, "order": chart.order_reference}
        posted = Posted(raw=dump_json(body), media_type="application/json", resource=body)
        return accept_orders(self.services, SYSTEM, posted)[0].case.case_id

    def run(self) -> None:
        """Run every job that is ready now."""
        self.jobs.run_until_idle(500)

    def wait(self, seconds: float) -> None:
        """Let time pass and do what became due, as the sweep does."""
        self.clock.instant += timedelta(seconds=seconds)
        self.run()
        with self.services.store.read() as tx:
            due = tx.cases.due(self.clock.now())
        for case in due:
            advance(self.services, case.tenant_id, case.case_id)
        self.run()

    def case(self, case_id: str) -> CaseRow:
        """The case as it stands."""
        return ledger.load(self.services, "main", case_id)

    def facts(self, case_id: str) -> Facts:
        """What the case remembers."""
        return read_facts(self.case(case_id).facts)

    def verbs(self, case_id: str) -> list[str]:
        """Activities of the case, oldest first."""
        with self.services.store.read() as tx:
            return [event.verb for event in tx.events.list("main", case_id)]

    def answer_forms(self, case_id: str) -> None:
        """Answer every open question as the demo's person does, complete every form, and go on."""
        person = read_person()
        for form in self.facts(case_id).forms:
            if form.status != "completed":
                for _ in range(5):
                    rows = next(
                        item["rows"]
                        for item in forms.show_forms(self.services, PERSON, case_id)
                        if item["form_id"] == form.form_id
                    )
                    found = dict(_answers(rows, person.answers, person.by_type))
                    if not found:
                        break
                    forms.fill(self.services, PERSON, case_id, form.form_id, found)
                forms.complete(self.services, PERSON, case_id, form.form_id)
        self.run()

    def to_state(self, name: str) -> str:
        """Post, let the gateway work, answer the forms, and let it work on; the case id."""
        case_id = self.post(name)
        self.run()
        if self.case(case_id).state == "documenting":
            self.answer_forms(case_id)
        return case_id

    def failing_codes(self, case_id: str) -> set[str]:
        """Codes of the case's evidence beside those that a package without a log always has."""
        report = evidence.verify(self.services, self.case(case_id))
        return {str(code) for code in report.codes} - {"HEAD_MISSING", "PROOF_MISSING", "REVOCATION_UNKNOWN"}


def _answers(
    rows: list[dict[str, Any]], known: Mapping[str, Any], by_type: Mapping[str, Any]
) -> Iterator[tuple[str, list[Any]]]:
    for row in rows:
        if not (row["enabled"] and row["required"] and not row["values"]) or row["type"] in ("group", "display"):
            continue
        value = known.get(row["link_id"], by_type.get(row["type"]))
        if row["options"] and row["link_id"] not in known:
            value = row["options"][0]["key"]
        yield row["link_id"], [value]


@contextmanager
def open_house(
    folder: Path, members: Mapping[str, str] | None = None, more: Sequence[DemoChart] = ()
) -> Iterator[House]:
    """A fresh house in `folder`; the EHR holds `more` charts beside those of the demo."""
    found = charts(members or {}) | {chart.scenario: chart for chart in more}
    ehr_app = create_ehr_app([chart.bundle for chart in found.values()], None)
    harness = create_harness_app(HarnessConfig(require_token=False, delivery_seconds=0.1, pace=0.0))
    with serving(ehr_app) as ehr_url, serving(harness) as payer_url:
        clock = FixedClock(datetime.now(UTC))
        services, jobs = _services(folder, clock, ehr_url, payer_url)
        jobs.start({ledger.ADVANCE: lambda ids: advance(services, *ids)}, threads=0)
        try:
            yield House(services=services, clock=clock, jobs=jobs, charts=found)
        finally:
            services.close()


def _services(folder: Path, clock: FixedClock, ehr_url: str, payer_url: str) -> tuple[Services, MemoryJobs]:
    jobs = MemoryJobs(clock)
    settings = Settings(
        store=StoreSettings(url=f"sqlite:///{folder / 'gateway.db'}"),
        ehr={"ehr": EhrSettings(base_url=f"{ehr_url}/fhir", networks=("127.0.0.0/8",), plain_http=True)},
    )
    tenant = settings.tenant
    ring = provenance.KeyRing.create(folder / "keys", tenant.name, NPI, tenant.npi, clock.now(), allow_development=True)
    ring.rotate_due(clock.now())
    directory = load_directory(_payer_rows(folder, payer_url), allow_loopback=True)
    services = Services(
        settings=settings,
        store=Store.open(settings.store.url, clock=clock),
        jobs=jobs,
        clock=clock,
        keys=ring,
        directory=directory,
        rules=load_rules(()),
        concepts=load_concepts(),
        secret=b"test",
    )
    return services, jobs


def _payer_rows(folder: Path, payer_url: str) -> list[Path]:
    """The packaged payer rows at this address, patient enough for a test that sets the clock."""
    (folder / "payers").mkdir()
    for row in load_directory(allow_loopback=True):
        content: dict[str, Any] = row.model_dump(mode="json", exclude_none=True)
        base = f"{payer_url}/{row.slug}"
        content["token"] = {"kind": "none"}
        content["crd"]["base_url"] = f"{base}/cds-services"
        content["dtr"]["base_url"] = content["pas"]["base_url"] = f"{base}/fhir"
        content["cdex"]["attachment_url"] = f"{base}/fhir/$submit-attachment"
        content["retry"] |= {"first_wait_seconds": 10, "longest_wait_seconds": 60, "max_attempts": 3}
        (folder / "payers" / f"{row.slug}.toml").write_text(_toml(content), "utf-8")
    return [folder / "payers"]
