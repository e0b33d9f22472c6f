"""Public keys of partners, by key id: from the settings, or fetched from their registered address.

A key is found by its exact `kid` in the set registered for the partner; a header of a token never
brings or names one. Source: security T8.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.clients.transport import Transport
from gateway.errors import GatewayError, InputError, SettingsError
from gateway.fhir.json import parse_json

PublicKey = ECKey | RSAKey
LIFE = timedelta(minutes=10)
"""How long a fetched set is used without asking again."""
SOONEST = timedelta(minutes=1)
"""An unknown key id asks again, but not more often than this: a stranger must not make us call the partner."""
MAX_KEYS = 50
"""Most keys of one set."""
MIN_RSA_CHARACTERS = 2048 // 6
"""Length of the modulus of a 2048-bit key in base64url."""


class KeySource(Protocol):
    """Finds a partner's public key."""

    def find(self, key_id: str) -> PublicKey | None:
        """The key of that exact id, or None."""
        ...


class FixedKeys:
    """A key set given in the settings. `SettingsError` when it is none."""

    def __init__(self, jwks: bytes) -> None:
        try:
            self._keys = read_key_set(jwks)
        except InputError as error:
            raise SettingsError(f"The key set cannot be used: {error.message}") from None

    def find(self, key_id: str) -> PublicKey | None:
        """The key of that exact id, or None."""
        return self._keys.get(key_id)


class FetchedKeys:
    """A key set at its registered address, kept for minutes and asked for again when a new id turns up."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._keys: Mapping[str, PublicKey] = {}
        self._asked_at: datetime | None = None
        self._lock = threading.Lock()

    def find(self, key_id: str) -> PublicKey | None:
        """The key of that exact id, or None, also where the address does not answer."""
        with self._lock:
            age = self._age()
            if age is None or age > LIFE or (key_id not in self._keys and age > SOONEST):
                self._fetch()
            return self._keys.get(key_id)

    def _age(self) -> timedelta | None:
        return None if self._asked_at is None else self._transport.clock.now() - self._asked_at

    def _fetch(self) -> None:
        """Replace the set; an address that does not answer, or not with a key set, leaves the old one."""
        self._asked_at = self._transport.clock.now()
        try:
            reply = self._transport.send("GET", "", headers={"accept": "application/json"})
            if reply.is_success:
                self._keys = read_key_set(reply.body)
        except GatewayError:
            return


def read_key_set(body: bytes) -> Mapping[str, PublicKey]:
    """Signing keys of a JWKS by `kid`; keys of other kinds, too weak ones and those without id are left out.

    Raises `InputError` when the body is no key set, or two keys share an id.
    """
    value = parse_json(body)
    listed = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise InputError("A JSON object with a short array `keys` is expected.", code="jwks")
    keys: dict[str, PublicKey] = {}
    for item in listed:
        key = _read_key(item) if isinstance(item, dict) else None
        if key is None:
            continue
        if item["kid"] in keys:
            raise InputError("Two keys have the same id.", code="jwks")
        keys[item["kid"]] = key
    return keys


def _read_key(item: dict[str, Any]) -> PublicKey | None:
    kinds: dict[Any, type[ECKey] | type[RSAKey]] = {"EC": ECKey, "RSA": RSAKey}
    kind = kinds.get(item.get("kty")) if isinstance(item.get("kty"), str) else None
    if kind is None or not isinstance(item.get("kid"), str) or not item["kid"] or item.get("use", "sig") != "sig":
        return None
    if kind is RSAKey and len(str(item.get("n", ""))) < MIN_RSA_CHARACTERS:
        return None
    public = {name: value for name, value in item.items() if name in ("kty", "crv", "x", "y", "n", "e", "kid")}
    try:
        return kind.import_key(public)
    except (JoseError, ValueError, TypeError):
        return None
