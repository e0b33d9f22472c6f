"""Which EHRs may call our CDS services, and that each of their tokens counts once.

The tenant and the EHR come from the registration and from nowhere else (security T1, T14).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from gateway.clients.endpoint import Endpoint
from gateway.clients.hook_trust import TrustedCaller, verify_hook_token
from gateway.clients.key_sets import FetchedKeys, FixedKeys, KeySource
from gateway.clients.limits import Limits
from gateway.clients.transport import Transport
from gateway.clock import Clock
from gateway.errors import AccessError, SettingsError
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.policy.access import require_access
from gateway.settings import CdsClientSettings, Settings

KEY_LIMITS = Limits(total_seconds=2.0, connect_seconds=1.0, raw_bytes=262_144, body_bytes=262_144, connections=2)
"""A key set is short, and the clinician waits for it."""


def open_callers(settings: Settings, clock: Clock) -> tuple[TrustedCaller, ...]:
    """The registered CDS clients. Raises SettingsError that names the entry at fault."""
    return tuple(_open(name, row, settings, clock) for name, row in settings.cds_clients.items())


def require_caller(
    services: Services, callers: Sequence[TrustedCaller], authorization: str | None, *audiences: str
) -> TrustedCaller:
    """The EHR whose token the Authorization header holds; the token is used up.

    `audiences` are the addresses that the token may be made for, the usual one first. Raises AccessError (401).
    """
    for audience in audiences[:-1]:
        try:
            return _verify(services, authorization, audience, callers)
        except AccessError as error:
            if error.reason != "hook.audience":
                raise
    return _verify(services, authorization, audiences[-1], callers)


def actor_of(caller: TrustedCaller) -> Actor:
    """The EHR as the one who acts. Raises AccessError where systems may not call hooks."""
    actor = Actor(id=caller.ehr_id, kind="ehr", tenant=caller.tenant, roles=("system",))
    require_access(actor.caller, "hook.call")
    return actor


def _verify(
    services: Services, authorization: str | None, audience: str, callers: Sequence[TrustedCaller]
) -> TrustedCaller:
    tenants = {caller.issuer: caller.tenant for caller in callers}

    def use_once(issuer: str, jti: str, until: datetime) -> bool:
        digest = hashlib.sha256(f"{issuer}\n{jti}".encode()).hexdigest()
        with services.store.begin() as tx:
            return tx.hooks.use_token(tenants[issuer], digest, until)

    return verify_hook_token(authorization, audience, callers, services.clock.now(), use_once)


def _open(name: str, row: CdsClientSettings, settings: Settings, clock: Clock) -> TrustedCaller:
    if row.ehr not in settings.ehr:
        raise SettingsError(f"cds_clients.{name}.ehr: there is no [ehr.{row.ehr}].")
    return TrustedCaller(
        issuer=row.issuer,
        tenant=settings.tenant.id,
        ehr_id=row.ehr,
        keys=_keys(name, row, clock),
        jwks_url=row.jwks_url,
        algorithms=tuple(row.algorithms),
    )


def _keys(name: str, row: CdsClientSettings, clock: Clock) -> KeySource:
    if row.jwks_file is not None:
        try:
            return FixedKeys(row.jwks_file.read_bytes())
        except OSError:
            raise SettingsError(f"cds_clients.{name}.jwks_file: the file cannot be read.") from None
    if not row.jwks_url:
        raise SettingsError(f"cds_clients.{name}: jwks_url or jwks_file has to name the client's public keys.")
    endpoint = Endpoint(
        id=f"{name}/keys", base_url=row.jwks_url.rstrip("/"), networks=row.networks, plain_http=row.plain_http
    )
    return FetchedKeys(Transport(endpoint, limits=KEY_LIMITS, clock=clock))
