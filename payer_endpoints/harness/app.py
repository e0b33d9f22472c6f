"""The harness as one web application: several simulated payers below `/{payer}/…`, and the controls of the fake.

THIS IS A FAKE. It decides nothing about real people; its answers come from scenario files. Routes that begin with `/_`
exist only here: a real payer has no ledger to read and no faults to order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import yaml
from fastapi import FastAPI
from starlette.types import ASGIApp

from payer_endpoints.harness.access import Access
from payer_endpoints.harness.adaptive import NextQuestions
from payer_endpoints.harness.attachments import Attachments
from payer_endpoints.harness.book import Authorization, Book
from payer_endpoints.harness.config import HarnessConfig, Payer
from payer_endpoints.harness.control_routes import control_router
from payer_endpoints.harness.expansions import Expansions
from payer_endpoints.harness.faults import FaultBoard
from payer_endpoints.harness.form_shelf import FormShelf
from payer_endpoints.harness.gate import Gate
from payer_endpoints.harness.hooks import Hooks
from payer_endpoints.harness.inquiries import Inquiries
from payer_endpoints.harness.journal import Journal
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.packages import Packages
from payer_endpoints.harness.payer_routes import payer_router
from payer_endpoints.harness.scenarios import Scenario, load_scenarios
from payer_endpoints.harness.submissions import Submissions
from payer_endpoints.harness.subscriptions import Subscriptions


class Harness:
    """Everything one process holds: the book, the ledger, the desks, the clockwork of later decisions."""

    def __init__(self, config: HarnessConfig) -> None:
        self.config = config
        self.payers = {payer.slug: payer for payer in config.payers}
        self.journal = Journal(config.ledger_file)
        self.faults = FaultBoard()
        self.access = Access(config)
        self.scenarios = load_scenarios(config.scenarios)
        self.shelf = FormShelf(config.forms)
        self.ledger = Ledger(self.journal, config.max_messages)
        self.book = Book(self.journal)
        self.submissions = Submissions(
            config, self.scenarios, self.book, self.ledger, self.faults.count, self.canonicals
        )
        self.subscriptions = Subscriptions(config, self.ledger, self.journal, self.faults)
        self.attachments = Attachments(self.book, self.ledger, self.submissions)
        self.inquiries = Inquiries(self.book, self.ledger, config.now)
        self.hooks = Hooks(config, self.scenarios, self.book, self.ledger, self.canonicals)
        self.packages = Packages(config, self.scenarios, self.book, self.ledger, self.shelf)
        self.next_questions = NextQuestions(config, self.scenarios, self.book, self.ledger, self.shelf)
        self.expansions = Expansions(self.ledger, self.shelf)
        self._tasks: set[asyncio.Task[None]] = set()
        self._restore()

    def payer(self, slug: str) -> Payer | None:
        """The payer with this slug."""
        return self.payers.get(slug)

    def canonicals(self, scenario: Scenario) -> list[str]:
        """Canonicals of the forms a scenario wants."""
        return self.shelf.canonicals(scenario.forms)

    def schedule_due(self, authorization: Authorization | None) -> None:
        """Decide later what is due later."""
        if authorization is None or not authorization.due_at:
            return
        wait = (datetime.fromisoformat(authorization.due_at) - self.config.now()).total_seconds()
        task = asyncio.get_running_loop().create_task(self._decide_later(authorization.id, max(wait, 0)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        """Take up what a restart interrupted."""
        self.subscriptions.start()
        for authorization in list(self.book.due()):
            self.schedule_due(authorization)

    async def stop(self) -> None:
        """End the background work; the journal keeps what is open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.subscriptions.stop()
        self.journal.close()

    def reset(self) -> None:
        """As new: no requests, no subscriptions, no faults, no tokens."""
        for task in list(self._tasks):
            task.cancel()
        self.subscriptions.clear()
        self.book.clear()
        self.ledger.clear()
        self.faults.clear()
        self.access.clear()
        self.journal.clear()

    async def _decide_later(self, key: str, wait: float) -> None:
        await asyncio.sleep(wait)
        authorization = self.book.authorization(key)
        if authorization is not None and authorization.is_pended and authorization.due_at:
            self.subscriptions.publish(self.submissions.decide_due(authorization))

    def _restore(self) -> None:
        readers: tuple[Callable[[dict[str, Any]], None], ...] = (
            self.ledger.restore,
            self.book.restore,
            self.subscriptions.restore,
        )
        for line in self.journal.lines():
            for read in readers:
                read(dict(line))


def describe() -> str:
    """The OpenAPI description of the routes as YAML; `openapi/harness.yaml` is this text."""
    described = create_harness_app(HarnessConfig()).openapi()
    described["components"] = {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}}
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=120)


class HarnessApp(FastAPI):
    """The application behind its gate. The gate stands outside every other layer, where the connection can be cut."""

    def build_middleware_stack(self) -> ASGIApp:
        """The usual stack, with the gate around it."""
        inner = super().build_middleware_stack()
        harness: Harness = self.state.harness
        return Gate(inner, config=harness.config, ledger=harness.ledger, faults=harness.faults)


def create_harness_app(config: HarnessConfig | None = None) -> HarnessApp:
    """The simulated payers as an application. `app.state.harness` is the `Harness` behind it."""
    harness = Harness(config or HarnessConfig())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await harness.start()
        yield
        await harness.stop()

    app = HarnessApp(
        title="Simulated payers",
        version="1",
        description="Fakes of payers for tests and demonstrations. Routes that begin with `/_` exist only here.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/_openapi.json",
    )
    app.state.harness = harness
    app.include_router(control_router(harness))
    app.include_router(payer_router(harness))
    return app
