"""The time a hook has: one deadline, and how much of what passed was spent waiting for others.

A clinician waits for the answer, so nothing is waited for beyond the deadline; what is late is left out and
goes on by itself. Source: design.md §8, spec/crd.md §10.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any

TOTAL_SECONDS = 4.5
"""From the whole request to the answer: half a second below what the EHR waits."""
EHR_SECONDS = 2.0
"""Of it, for reading what was not prefetched; a longer or shorter time is shared in the same way."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """The time of one hook."""

    total_seconds: float = TOTAL_SECONDS
    """Until the answer must be ready."""
    ehr_seconds: float = EHR_SECONDS
    """Until reading the EHR must be done."""
    started: float = field(default_factory=time.monotonic)
    """Reading of the monotonic clock at the beginning."""
    waited_seconds: float = 0.0
    """Spent waiting for EHR and payers."""

    @classmethod
    def of(cls, total_seconds: float) -> Budget:
        """A budget of so much time, beginning now."""
        return cls(total_seconds=total_seconds, ehr_seconds=total_seconds * EHR_SECONDS / TOTAL_SECONDS)

    @property
    def left_seconds(self) -> float:
        """Until the answer must be ready; 0 when that is over."""
        return max(0.0, self.started + self.total_seconds - time.monotonic())

    @property
    def left_for_ehr_seconds(self) -> float:
        """Until reading the EHR must be done; 0 when that is over."""
        return max(0.0, self.started + self.ehr_seconds - time.monotonic())

    @property
    def own_seconds(self) -> float:
        """Spent so far on our own account."""
        return time.monotonic() - self.started - self.waited_seconds

    def wait_for_own(self, futures: Iterable[Future[Any]], seconds: float) -> set[Future[Any]]:
        """The same for work of our own, which is not time spent waiting for others."""
        before = self.waited_seconds
        done = self.wait_for(futures, seconds)
        self.waited_seconds = before
        return done

    def wait_for(self, futures: Iterable[Future[Any]], seconds: float) -> set[Future[Any]]:
        """Those of `futures` that are done within `seconds`; the others are cancelled or go on without us."""
        begun = time.monotonic()
        done, late = wait(list(futures), timeout=seconds)
        self.waited_seconds += time.monotonic() - begun
        for future in late:
            future.cancel()
        return set(done)
