"""What the CDS services of a process share: the registered callers and the threads that wait for others.

Reading an EHR and asking payers happen in threads of their own, few enough that a slow partner cannot take all
of the gateway with it (security T23).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

from gateway.clients.hook_trust import TrustedCaller
from gateway.clinical.evaluate import evaluate
from gateway.fhir.codes import CPT
from gateway.flows.intercept_clients import open_callers
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.reasoning.record import RecordSnapshot

READERS = 24
"""Reads from EHRs at the same time, over all hooks of a process."""
ASKERS = 12
"""Payers asked at the same time, over all hooks of a process."""
JUDGES = 4
"""Orders judged at the same time; judging uses the processor, so more would only make each slower."""
_HOUSES: WeakKeyDictionary[Services, HookHouse] = WeakKeyDictionary()
_LOCK = Lock()


def _pool(name: str, size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookHouse:
    """Callers and threads."""

    callers: tuple[TrustedCaller, ...]
    """The registered CDS clients."""
    readers: ThreadPoolExecutor = field(default_factory=lambda: _pool("hook-read", READERS), repr=False)
    """Threads that read from an EHR."""
    askers: ThreadPoolExecutor = field(default_factory=lambda: _pool("hook-ask", ASKERS), repr=False)
    """Threads that ask payers; one that is late goes on and records what it heard."""
    judges: ThreadPoolExecutor = field(default_factory=lambda: _pool("hook-judge", JUDGES), repr=False)
    """Threads that evaluate rules; one that is late is not waited for."""


def house_of(services: Services) -> HookHouse:
    """The one of this process and these services, opened once. Raises SettingsError for a client's entry."""
    with _LOCK:
        if services not in _HOUSES:
            house = HookHouse(callers=open_callers(services.settings, services.clock))
            if house.callers:
                house.judges.submit(_warm, services)
            _HOUSES[services] = house
        return _HOUSES[services]


def _warm(services: Services) -> None:
    """Judge an empty chart once, so that the first clinician does not wait while the rules are being read."""
    rule = next(iter(services.rules), None)
    if rule is None:
        return
    coding = {"system": CPT, "code": next(iter(rule.procedure.cpt), "")}
    order = {"resourceType": "ServiceRequest", "status": "draft", "intent": "order", "code": {"coding": [coding]}}
    zone, now = services.settings.tenant.practice_zone, services.clock.now()
    try:
        evaluate(RecordSnapshot([]), order, rule, services.concepts, zone, now)
    except Exception as error:
        get_logger().error("rules-not-warm", error=type(error))
