"""`pa-gateway settings check`: are the settings usable, and what is in force?"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from argon2 import PasswordHasher

from gateway.cli.shared import JsonOption, SettingsOption, flat, print_fields, show
from gateway.errors import SettingsError
from gateway.flows.instruments_wording import load_wording
from gateway.flows.services import known_payers
from gateway.settings import CdsClientSettings, ClientSettings, Settings, describe_settings, load_settings

STORE_URL = re.compile(r"sqlite:///(?!:memory:).|postgresql(\+psycopg)?://.*/.")
DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
settings = typer.Typer(help="The settings file.", no_args_is_help=True)


@settings.callback()
def _group() -> None:
    """The settings file."""


@settings.command("check")
def check(settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Read the settings, environment included, and print what is in force with secrets masked.

    Exit code 10 with the file, the key and what was expected when they cannot be used.
    """
    loaded = load_settings(settings_file)
    payers = known_payers(loaded)
    load_wording(loaded)
    problems = list(find_problems(loaded))
    if problems:
        raise SettingsError("\n".join(problems))
    shown = {**describe_settings(loaded), "payers_known": payers}
    show(json.loads(json.dumps(shown), parse_float=Decimal), as_json, _print)


def find_problems(loaded: Settings) -> Iterator[str]:
    """What would fail later, though every value is of the right kind: one line each, beginning with the key."""
    if not STORE_URL.match(loaded.store.url):
        yield "store.url: sqlite:///path (a file) or postgresql+psycopg://user@host/database is expected."
    if not is_npi(loaded.tenant.npi):
        yield "tenant.npi: not a National Provider Identifier (ten digits, the last of which checks the others)."
    if not _is_zone(loaded.tenant.practice_zone):
        yield "tenant.practice_zone: not an IANA time zone such as America/Chicago."
    if loaded.ehr and loaded.tenant.ehr not in loaded.ehr:
        yield f"tenant.ehr: there is no [ehr.{loaded.tenant.ehr}]; there are {', '.join(sorted(loaded.ehr))}."
    for name, row in loaded.ehr.items():
        if row.token_file and not row.token_file.is_file():
            yield f"ehr.{name}.token_file: there is no such file."
        if row.base_url.startswith("http://") and not row.plain_http:
            yield f"ehr.{name}.plain_http: must be true for an http:// address; only loopback may have one."
    for name, client in loaded.clients.items():
        yield from (f"clients.{name}.{problem}" for problem in _client_problems(client, loaded.tenant.id))
    for name, caller in loaded.cds_clients.items():
        yield from (f"cds_clients.{name}.{problem}" for problem in _caller_problems(caller, loaded))


def _caller_problems(caller: CdsClientSettings, loaded: Settings) -> Iterator[str]:
    if caller.ehr not in loaded.ehr:
        yield f"ehr: there is no [ehr.{caller.ehr}]; name the FHIR server that this client speaks for."
    if bool(caller.jwks_url) == bool(caller.jwks_file):
        yield "jwks_url: either this or jwks_file has to name the client's public keys."
    if caller.jwks_file and not caller.jwks_file.is_file():
        yield "jwks_file: there is no such file."
    if sum(other.issuer == caller.issuer for other in loaded.cds_clients.values()) > 1:
        yield "issuer: another client has the same; tokens could not be told apart."


def _client_problems(client: ClientSettings, tenant: str) -> Iterator[str]:
    if not client.secret_sha256 and not client.password_argon2:
        yield "secret_sha256: neither this nor password_argon2 is set, so nobody can come in."
    if client.secret_sha256 and not DIGEST.fullmatch(client.secret_sha256):
        yield "secret_sha256: 64 hex digits are expected: printf %s SECRET | sha256sum"
    if client.password_argon2 and not client.password_argon2.startswith("$argon2id$"):
        yield "password_argon2: an argon2id hash is expected; `pa-gateway settings hash-password` makes one."
    if client.tenant != tenant:
        yield f"tenant: there is no tenant `{client.tenant}`; tenant.id is `{tenant}`."


def is_npi(text: str) -> bool:
    """Whether this is a National Provider Identifier: ten digits that pass Luhn's check after the prefix 80840."""
    if len(text) != 10 or not text.isascii() or not text.isdigit():
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed("80840" + text))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@settings.command("hash-password")
def hash_password() -> None:
    """Ask for a password and print its argon2id hash for `clients.NAME.password_argon2`.

    From a pipe the first line of standard input is the password.
    """
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise typer.BadParameter("the password is empty", param_hint="standard input")
    typer.echo(PasswordHasher().hash(password))


def _print(shown: dict[str, Any]) -> None:
    print_fields(list(flat("", shown)))
    typer.echo("The settings can be used.")
