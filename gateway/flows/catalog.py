"""What an installation holds as data: payers and signing keys, as plain values for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import provenance
from gateway.clock import Clock
from gateway.errors import NotFound, SettingsError
from gateway.flows.services import NPI, open_directory
from gateway.settings import Settings
from payer_endpoints.directory import PayerRow


def list_payers(settings: Settings) -> list[dict[str, Any]]:
    """Every payer row in force. Raises SettingsError that names the file and the key at fault."""
    return [_payer(row) for row in open_directory(settings)]


def show_payer(settings: Settings, slug: str) -> dict[str, Any]:
    """One payer row with its files checked. Raises SettingsError, NotFound."""
    row = open_directory(settings).get(slug)
    if row is None:
        raise NotFound("There is no payer with this slug; `pa-gateway payer list` shows them.")
    token = row.token.file
    if row.token.kind == "static" and token is not None and not token.is_file():
        raise SettingsError(f"{slug}.toml: token.file: there is no such file.")
    return _payer(row)


def create_keys(settings: Settings, clock: Clock) -> list[dict[str, Any]]:
    """Make authorities and keys in `keys.directory`. Raises SettingsError where some are there already."""
    folder = settings.keys.directory
    if folder.exists():
        raise SettingsError(f"keys.directory: {folder} is there already; nothing was changed.")
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    tenant = settings.tenant
    try:
        ring = provenance.KeyRing.create(folder, tenant.name, NPI, tenant.npi, clock.now(), allow_development=True)
    except provenance.KeyRingError as error:
        raise SettingsError(f"keys.directory: {error}") from None
    return _keys(ring)


def list_keys(settings: Settings) -> list[dict[str, Any]]:
    """Every signing key, oldest first. Raises SettingsError."""
    return _keys(_open(settings.keys.directory))


def rotate_key(settings: Settings, clock: Clock, purpose: str) -> list[dict[str, Any]]:
    """A new key for `seal` or `event`; the old certificate stays, so that what it signed can be checked."""
    ring = _open(settings.keys.directory)
    ring.rotate(purpose, clock.now())
    return _keys(ring)


def key_anchors(settings: Settings, clock: Clock) -> bytes:
    """anchors.json for auditors, to be handed over by another way than the packages."""
    return _open(settings.keys.directory).export_anchors(clock.now())


def _open(folder: Path) -> provenance.KeyRing:
    try:
        return provenance.KeyRing.open(folder, allow_development=True)
    except (provenance.KeyRingError, OSError) as error:
        raise SettingsError(f"keys.directory: no keys in {folder} that can be used ({error}).") from None


def _keys(ring: provenance.KeyRing) -> list[dict[str, Any]]:
    return [
        {
            "thumbprint": row.x5t,
            "purpose": str(row.purpose),
            "algorithm": row.alg,
            "not_before": row.not_before,
            "not_after": row.not_after,
            "in_use": row.is_active,
            "revoked_at": row.revoked_at or "",
        }
        for row in ring.key_rows()
    ]


def _payer(row: PayerRow) -> dict[str, Any]:
    doors = {"crd": row.crd, "dtr": row.dtr, "pas": row.pas}
    return {
        "slug": row.slug,
        "name": row.name,
        "identifiers": [{"system": system, "value": value} for system, value in row.identifiers],
        "release": row.release,
        "endpoints": {
            name: {"base_url": door.base_url, "version": door.version} for name, door in doors.items() if door
        },
    }
