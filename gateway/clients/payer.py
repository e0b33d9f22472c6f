"""A payer's client from its row: endpoints, limits and tokens together.

The calls themselves are in `payer_calls`; what a row means for them is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.clients.addresses import Resolver, resolve_host
from gateway.clients.assertions import AssertionKey, HookIdentity
from gateway.clients.endpoint import Endpoint
from gateway.clients.limits import Limits
from gateway.clients.payer_calls import Exchange, PayerClient
from gateway.clients.payer_row import PayerEndpoints, PayerTimeouts, endpoints_of
from gateway.clients.tokens import ClientCredentials, NoToken, StaticToken, TokenProvider
from gateway.clients.transport import PAYER, Transport
from gateway.clock import Clock
from gateway.errors import SettingsError
from payer_endpoints.directory import PayerRow, Token

__all__ = ["Exchange", "PayerClient", "PayerEndpoints", "PayerTimeouts", "endpoints_of", "open_payer", "open_token"]

TOKEN_LIMITS = Limits(total_seconds=5.0, connect_seconds=2.0, raw_bytes=65_536, body_bytes=65_536, connections=4)
"""A token answer is short and quick."""


def open_payer(
    row: PayerRow,
    *,
    clock: Clock | None = None,
    hook_identity: HookIdentity | None = None,
    ca_files: Mapping[str, str] | None = None,
    resolver: Resolver = resolve_host,
) -> PayerClient:
    """The client of a payer row, with the token of each of its endpoints. `SettingsError` when the row or a
    file that it names cannot be used: at start, not at the first order."""
    endpoints = endpoints_of(row, ca_files=ca_files)
    ca_file = (ca_files or {}).get(row.slug)
    wanted = {
        guide: row.token_for(part)
        for guide, part in (("crd", row.crd), ("dtr", row.dtr), ("pas", row.pas))
        if part is not None
    }
    # One provider for each distinct [token], so that endpoints with the same one share what was granted.
    providers = {
        token: open_token(row, token, clock=clock, resolver=resolver, ca_file=ca_file)
        for token in dict.fromkeys(wanted.values())
    }
    tokens = {guide: providers[token] for guide, token in wanted.items()}
    tokens["attachment"] = tokens.get("pas") or NoToken()
    limits = Limits(connect_seconds=endpoints.timeouts.connect)
    return PayerClient(endpoints, tokens, limits=limits, hook_identity=hook_identity, clock=clock, resolver=resolver)


def open_token(
    row: PayerRow,
    token: Token,
    *,
    clock: Clock | None = None,
    resolver: Resolver = resolve_host,
    ca_file: str | None = None,
) -> TokenProvider:
    """The token provider that a row's `[token]` describes; its address obeys the row's network rules."""
    if token.kind == "static" and token.file is not None:
        return StaticToken(file=token.file)
    if token.kind == "client_credentials" and token.key_file is not None:
        key = AssertionKey.from_file(token.key_file, token.key_id)
        if key.algorithm != token.algorithm:
            raise SettingsError(f"Payer {row.slug}: the key does not fit the algorithm {token.algorithm}.")
        endpoint = Endpoint(
            id=f"{row.slug}/token",
            base_url=token.token_url,
            networks=row.networks,
            plain_http=row.plain_http,
            ca_file=ca_file,
        )
        transport = Transport(endpoint, failures=PAYER, limits=TOKEN_LIMITS, clock=clock, resolver=resolver)
        return ClientCredentials(transport, token.client_id, key=key, scopes=token.scopes)
    return NoToken()
