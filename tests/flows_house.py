"""The whole house in one process: the real flows over SQLite, a synthetic EHR and simulated payers behind real clients.

Nothing is patched: the wires of the clients lead into the other applications instead of the network, jobs wait in
memory until a test lets them run, and the clock stands still until it is told to go on.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway.api.routes import install_api
from gateway.cases.facts import Facts, read_facts
from gateway.clients.ehr import EhrClient
from gateway.clients.endpoint import Endpoint
from gateway.clients.payer import PayerClient, endpoints_of
from gateway.clients.tokens import NoToken
from gateway.clients.transport import PAYER, Transport
from gateway.clock import FixedClock
from gateway.demo.ehr_server import create_ehr_app
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.advance import advance
from gateway.flows.ledger import ADVANCE
from gateway.flows.services import Services, open_services
from gateway.jobs.memory import MemoryJobs
from gateway.jobs.sweep import Sweep
from gateway.settings import Settings
from gateway.store.rows import CaseRow, EventRow
from payer_endpoints.harness import HarnessConfig, create_harness_app
from tests import cds_caller

NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
EHR_URL = "http://127.0.0.1:9/fhir"
"""Where the EHR would be, were there a network."""
BASE = "https://gateway.test"
SECRETS = {"ehr": "secret-of-the-ehr", "sam": "secret-of-sam", "ada": "secret-of-ada", "otto": "secret-of-otto"}
STAFF = Actor(id="sam", kind="user", tenant="main", roles=("staff", "clinician"), name="Sam Staff")
SYSTEM = Actor(id="ehr", kind="client", tenant="main", roles=("system",))
AUDITOR = Actor(id="ada", kind="client", tenant="main", roles=("auditor",))


class Killed(BaseException):
    """The process ends here; no code of the product sees it coming."""


Rule = Callable[[httpx.Request], httpx.Response | None]
After = Callable[[httpx.Request, httpx.Response], None]


class Wire(httpx.BaseTransport):
    """Leads requests into an application; `rules` may answer first, `after` may break what was answered."""

    def __init__(self, portal: BlockingPortal, app: ASGIApp) -> None:
        self._portal = portal
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
        self.seen: list[tuple[str, str, bytes]] = []
        """Method, whole URL and body of every request, in order."""
        self.rules: list[Rule] = []
        self.after: list[After] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.seen.append((request.method, str(request.url), body))
        for rule in self.rules:
            answer = rule(request)
            if answer is not None:
                return answer
        send = partial(
            self._client.request, request.method, str(request.url), headers=dict(request.headers), content=body
        )
        inner: httpx.Response = self._portal.call(send)
        response = httpx.Response(inner.status_code, headers=inner.headers, content=inner.content)
        for action in self.after:
            action(request, response)
        return response

    def sent(self, ending: str) -> list[bytes]:
        """Bodies of the requests whose path ends so."""
        return [body for _, url, body in self.seen if httpx.URL(url).path.endswith(ending)]


class KeptJobs(MemoryJobs):
    """Jobs in memory that remember the arguments they were given."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self.arguments: list[tuple[Any, ...]] = []

    def enqueue_at(self, connection: Any, queue: str, name: str, ids: Any, key: str, at: Any, **more: Any) -> bool:
        self.arguments.append((queue, name, *ids, key))
        return super().enqueue_at(connection, queue, name, ids, key, at, **more)


@dataclass(kw_only=True)
class House:
    """One running house."""

    folder: Path
    clock: FixedClock
    portal: BlockingPortal
    ehr: Wire
    payers: Wire
    harness: Any
    ehr_store: Any
    services: Services
    jobs: KeptJobs = field(init=False)
    sweep: Sweep = field(init=False)
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        self._furnish()

    def _furnish(self) -> None:
        self.jobs = KeptJobs(self.clock)
        services = self.services
        services.jobs = self.jobs
        self.sweep = Sweep(services.store, self.jobs)
        self.jobs.start({ADVANCE: lambda ids: advance(services, *ids)}, threads=0)
        services._ehrs["ehr"] = EhrClient(Transport(Endpoint(**_place()), clock=self.clock, wire=self.ehr), NoToken())
        for row in services.directory:
            ends = endpoints_of(row)
            guides = {"crd": ends.crd, "dtr": ends.dtr, "pas": ends.pas, "attachment": ends.attachment}
            transports = {
                name: Transport(end, failures=PAYER, clock=self.clock, wire=self.payers)
                for name, end in guides.items()
                if end is not None
            }
            services._payers[row.slug] = PayerClient(ends, NoToken(), clock=self.clock, transports=transports)
        self.app = FastAPI(docs_url=None, redoc_url=None)
        self.app.state.services = services
        install_api(self.app)

    def restart(self) -> None:
        """The process died: everything in memory is gone, the database and the others stay."""
        self.services.store.close()
        self.services = open_services(_settings(self.folder), self.clock)
        self._furnish()

    def call(self, method: str, path: str, *, by: str = "sam", **more: Any) -> httpx.Response:
        """One request to the gateway's API; `by=""` sends no credentials."""
        headers = {"Authorization": f"Bearer {SECRETS[by]}"} if by else {}
        headers |= more.pop("headers", {})
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=BASE)
        answer: httpx.Response = self.portal.call(partial(client.request, method, path, headers=headers, **more))
        return answer

    def post(self, body: Any, *, by: str = "ehr", **headers: str) -> httpx.Response:
        """`POST /orders`."""
        content = body if isinstance(body, bytes) else dump_json(body)
        return self.call(
            "POST", "/orders", by=by, content=content, headers={"Content-Type": "application/fhir+json", **headers}
        )

    def open_case(self, body: Any) -> CaseRow:
        """Post an order that has to be taken; gives its case."""
        answer = self.post(body)
        assert answer.status_code == 202, answer.text
        return self.case(answer.json()["cases"][0]["case_id"])

    def case(self, case_id: str) -> CaseRow:
        """The case as it stands."""
        return ledger.load(self.services, "main", case_id)

    def facts(self, case_id: str) -> Facts:
        """What the case remembers."""
        return read_facts(self.case(case_id).facts)

    def events(self, case_id: str) -> tuple[EventRow, ...]:
        """The history of the case."""
        with self.services.store.read() as tx:
            return tuple(tx.events.list("main", case_id))

    def complete_forms(self, case_id: str, words: str = "Reviewed with the patient at this visit.") -> None:
        """Answer what is open in every form as a person, `words` where text is asked, and complete it."""
        for form in self.call("GET", f"/cases/{case_id}/forms").json()["forms"]:
            path = f"/cases/{case_id}/forms/{form['form_id']}"
            for _ in range(6):
                rows = self.call("GET", f"/cases/{case_id}/forms").json()["forms"]
                found = next(item for item in rows if item["form_id"] == form["form_id"])
                answers = {row["link_id"]: [_answer(row, words)] for row in found["rows"] if _is_open(row)}
                if not answers:
                    break
                answered = self.call("POST", f"{path}/answers", json={"answers": answers})
                assert answered.status_code == 200, answered.text
            completed = self.call("POST", f"{path}/complete")
            assert completed.status_code == 200, completed.text

    def count(self) -> int:
        """How many cases there are."""
        return len(self.call("GET", "/cases", params={"limit": 500}).json()["cases"])

    def work(self) -> int:
        """Let the jobs run that are ready now."""
        return self.jobs.run_until_idle()

    def work_on(self, case_id: str, until: Callable[[CaseRow], bool], tries: int = 100) -> CaseRow:
        """Let jobs run, and time go on to the next due instant, until the case is as wanted.

        Payers notify in their own time, a moment later.
        """
        for _ in range(tries):
            is_idle = self.work() == 0
            case = self.case(case_id)
            if until(case):
                return case
            if is_idle and not self.sweep.run(self.clock.now()):
                sleep(0.03)
            self.clock.instant = max(case.due_at or self.clock.now(), self.clock.now()) + timedelta(seconds=1)
        raise AssertionError(f"the case stays {self.case(case_id).state}: {self.case(case_id).next_action}")


@contextmanager
def open_house(folder: Path, bundles: Sequence[Json], **harness: Any) -> Iterator[House]:
    """A house whose EHR holds these Bundles. `harness` are settings of the simulated payers."""
    clock = FixedClock(NOW)
    folder.chmod(0o700)
    with start_blocking_portal() as portal:
        ehr_app = create_ehr_app(bundles, None, now=clock.now)
        door = _Door()
        config = HarnessConfig(
            require_token=False, pace=0.0, transport=httpx.ASGITransport(door), now=clock.now, **harness
        )
        payers_app = create_harness_app(config)
        with portal.wrap_async_context_manager(payers_app.router.lifespan_context(payers_app)):
            house = House(
                folder=folder,
                clock=clock,
                portal=portal,
                ehr=Wire(portal, ehr_app),
                payers=Wire(portal, payers_app),
                harness=payers_app.state.harness,
                ehr_store=ehr_app.state.store,
                services=open_services(_settings(folder), clock),
            )
            door.house = house
            try:
                yield house
            finally:
                house.services.store.close()


class _Door:
    """Where the payers' notifications arrive: the gateway that runs at that moment."""

    house: House

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.house.app(scope, receive, send)


def _is_open(row: dict[str, Any]) -> bool:
    return bool(row["enabled"] and row["required"] and not row["values"] and row["type"] not in ("group", "display"))


def _answer(row: dict[str, Any], words: str) -> Any:
    by_type = {"boolean": True, "integer": 1, "decimal": 1, "date": "2026-02-16", "dateTime": "2026-02-16"}
    return row["options"][0]["key"] if row["options"] else by_type.get(row["type"], words)


def _place() -> dict[str, Any]:
    return {"id": "ehr", "base_url": EHR_URL, "networks": ("127.0.0.0/8",), "plain_http": True}


def _settings(folder: Path) -> Settings:
    def client(name: str, *roles: str, tenant: str = "main") -> dict[str, Any]:
        return {"secret_sha256": hashlib.sha256(SECRETS[name].encode()).hexdigest(), "roles": roles, "tenant": tenant}

    return Settings.model_validate(
        {
            "server": {"base_url": BASE, "hook_seconds": 60},
            "store": {"url": f"sqlite:///{folder / 'gateway.db'}"},
            "keys": {"directory": _keys() / "keys"},
            "ehr": {"ehr": {key: value for key, value in _place().items() if key != "id"}},
            "clients": {
                "ehr": client("ehr", "system"),
                "sam": client("sam", "staff", "clinician"),
                "ada": client("ada", "auditor"),
                "otto": client("otto", "system", tenant="other"),
            },
            "cds_clients": {"our-ehr": {"issuer": cds_caller.ISSUER, "jwks_file": cds_caller.key_file(_keys())}},
        }
    )


@functools.cache
def _keys() -> Path:
    """A folder for keys that are made once per run: RSA keys take a while."""
    folder = Path(tempfile.mkdtemp(prefix="pa-flows-keys-"))
    folder.chmod(0o700)
    return folder
