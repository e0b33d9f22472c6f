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
from gateway.flows.intercept_clients import open_callers
from gateway.flows.services import Services

READERS = 24
"""Reads from EHRs at the same time, over all hooks of a process."""
ASKERS = 12
"""Payers asked at the same time, over all hooks of a process."""
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


def house_of(services: Services) -> HookHouse:
    """The one of this process and these services, opened once. Raises SettingsError for a client's entry."""
    with _LOCK:
        if services not in _HOUSES:
            _HOUSES[services] = HookHouse(callers=open_callers(services.settings, services.clock))
        return _HOUSES[services]
