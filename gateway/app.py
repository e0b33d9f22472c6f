"""The application: settings in, a running gateway out. The one place that joins doors, flows and jobs."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import packages_distributions

from fastapi import FastAPI

from gateway.api.routes import install_api
from gateway.errors import GatewayError, SettingsError
from gateway.flows.advance import advance
from gateway.flows.intercept_house import house_of
from gateway.flows.ledger import ADVANCE
from gateway.flows.services import Services, open_services
from gateway.jobs.sweep import Sweep
from gateway.logs import configure_logs, get_logger
from gateway.settings import Settings
from gateway.web import pages

PACKAGES = ("gateway", "provenance", "payer_endpoints", "questionnaires")
"""Top-level packages that must be ours alone."""
DISTRIBUTION = "davinci-pa-gateway"


def create_app(settings: Settings, services: Services | None = None, *, work: bool = True) -> FastAPI:
    """The gateway as an ASGI application.

    With `work` it also takes jobs and sweeps due cases; without it only answers. `services` replaces what
    would be opened from the settings. Raises SettingsError.
    """
    configure_logs(settings.log_level)
    require_own_packages()
    opened = services or open_services(settings)
    house_of(opened)  # the keys of CDS clients: a mistake is told at start, not to the first clinician

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = Worker(opened) if work else None
        if worker:
            worker.start()
        try:
            yield
        finally:
            if worker:
                worker.stop()
            opened.close()

    app = FastAPI(
        title="Prior-authorization gateway",
        version=opened.version,
        description="A completed order in; a decided prior authorization and checkable evidence out.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = opened
    install_api(app)
    pages.install(app)
    return app


class Worker:
    """Takes jobs and sweeps due cases until stopped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._sweep = Sweep(services.store, services.jobs)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._services.jobs.start({ADVANCE: lambda ids: advance(self._services, *ids)})
        self._thread.start()

    def stop(self) -> None:
        """Take nothing new and wait for what runs."""
        self._stopping.set()
        self._services.jobs.stop()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._sweep.run(self._services.clock.now())
            except GatewayError as error:
                get_logger().warning("sweep-failed", code=error.reason)
            self._stopping.wait(self._services.settings.jobs.sweep_seconds)


def require_own_packages() -> None:
    """Refuse to start where another distribution has overwritten one of our packages (style.md §15)."""
    owners = packages_distributions()
    for name in PACKAGES:
        found = set(owners.get(name, [DISTRIBUTION]))
        if found != {DISTRIBUTION}:
            raise SettingsError(
                f"The package `{name}` also belongs to {', '.join(sorted(found - {DISTRIBUTION}))}; "
                "install the gateway in an environment of its own."
            )
