"""Checking a password: slow on purpose, equally slow for names that do not exist, and braked after failures.

The brake is kept in memory, so it counts per process; it holds digests of names, never names.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock, Semaphore
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.errors import Busy
from gateway.flows.services import Services
from gateway.web.sessions import person

FREE_TRIES: Final = 5
"""Failures in a row before a name has to wait."""
FIRST_WAIT: Final = timedelta(seconds=30)
"""First wait; each further failure doubles it."""
LONGEST_WAIT: Final = timedelta(minutes=15)
MAX_NAMES: Final = 10_000
"""Names remembered; the one that failed longest ago is forgotten first."""
MAX_PASSWORD: Final = 1_000
"""Characters of a password that are looked at."""
_HASHER: Final = PasswordHasher()
_NOBODY: Final = _HASHER.hash("nobody has this password")
"""Checked for names that do not exist, so that they take as long as others."""
_AT_ONCE: Final = Semaphore(2)
"""Each check takes 64 MiB; more at once would let strangers fill the memory."""


@dataclass(slots=True)
class _Failures:
    count: int
    until: datetime


class Brake:
    """Counts failures by name and says who has to wait."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = Lock()

    def require_free(self, name: str, now: datetime) -> None:
        """Raises Busy while the name has to wait."""
        with self._lock:
            found = self._names.get(_key(name))
        if found is not None and now < found.until:
            raise Busy("Too many attempts with this user name. Wait a while, then try again.", code="sign-in.wait")

    def failed(self, name: str, now: datetime) -> None:
        """Count one failure."""
        with self._lock:
            found = self._names.setdefault(_key(name), _Failures(0, now))
            found.count += 1
            found.until = now + _wait(found.count)
            self._names.move_to_end(_key(name))
            while len(self._names) > MAX_NAMES:
                self._names.popitem(last=False)

    def succeeded(self, name: str) -> None:
        """Forget the failures of a name."""
        with self._lock:
            self._names.pop(_key(name), None)


def check(services: Services, brake: Brake, user: str, password: str) -> bool:
    """Whether the password is the user's. Raises Busy while the name has to wait.

    An attempt counts before it is checked, so that many at once do not get more tries than one after another.
    """
    now = services.clock.now()
    brake.require_free(user, now)
    brake.failed(user, now)
    client = person(services, user)
    fits = _fits(client.password_argon2 if client else _NOBODY, password[:MAX_PASSWORD])
    if fits and client is not None:
        brake.succeeded(user)
        return True
    return False


def _fits(hashed: str, password: str) -> bool:
    with _AT_ONCE:
        try:
            return _HASHER.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


def _wait(count: int) -> timedelta:
    if count <= FREE_TRIES:
        return timedelta(0)
    return min(FIRST_WAIT * (1 << min(count - FREE_TRIES - 1, 10)), LONGEST_WAIT)


def _key(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
