"""Who is calling: static client secrets for systems, session cookies for people at the pages.

The tenant comes from the caller's credentials and from nowhere else (security T14).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from gateway.errors import AccessError
from gateway.settings import ClientSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """An authenticated caller."""

    client_id: str
    """Id under `clients` in the settings."""
    tenant: str
    """Tenant that every query of this caller is bound to."""
    roles: tuple[str, ...]
    """Roles of the access table in gateway/policy."""
    name: str = ""
    """Name of a person, empty for a system."""
    practitioner: str = ""
    """Reference of a person's Practitioner in the EHR, or empty."""


def authenticate(request: Request, clients: Mapping[str, ClientSettings]) -> Principal:
    """The caller named by `Authorization: Bearer <secret>` or `Basic <client id:secret>`.

    Raises AccessError (401) that does not tell whether the id or the secret was wrong.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    client_id, secret = _credentials(scheme.lower(), value.strip())
    digest = hashlib.sha256(secret.encode()).hexdigest()
    found = None
    for name, client in clients.items():
        fits = client.secret_sha256 and hmac.compare_digest(client.secret_sha256.lower(), digest)
        if fits and client_id in ("", name):
            found = name
    if not secret or found is None:
        raise AccessError(
            "Send a client secret as Bearer token; see clients in the settings.", code="login", status=401
        )
    return principal_of(found, clients[found])


def principal_of(client_id: str, client: ClientSettings) -> Principal:
    """The principal that a settings entry describes."""
    return Principal(
        client_id=client_id,
        tenant=client.tenant,
        roles=tuple(client.roles),
        name=client.name or client_id,
        practitioner=client.practitioner,
    )


def _credentials(scheme: str, value: str) -> tuple[str, str]:
    if scheme == "bearer":
        return "", value
    if scheme != "basic":
        return "", ""
    try:
        client_id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client_id, secret
