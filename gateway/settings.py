"""Settings: one TOML file, overridden by the environment, unknown keys refused with their path.

The file is named by `--settings` or `PA_GATEWAY_SETTINGS`; any value may be overridden as
`PA_GATEWAY__STORE__URL=…`. Secrets are given as files or as digests; nothing secret is printed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from gateway.errors import SettingsError

PREFIX = "PA_GATEWAY__"
"""Environment variables that override a setting begin with this; `__` separates the levels."""


class Section(BaseModel):
    """Base of every section: frozen, unknown keys refused, input never repeated in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on."""
    base_url: str = "http://127.0.0.1:8080"
    """Address at which EHRs and payers reach this gateway; never guessed from a request."""
    max_body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Largest request body accepted, before and after decompression."""
    hook_seconds: float = Field(default=4.5, ge=0.5, le=60)
    """Time within which a CDS hook is answered, EHR and payer included; below what the EHRs wait."""
    mode: Literal["demonstration", "production"] = "demonstration"
    """`production` refuses development keys and illustrative rules that nobody accepted."""


class StoreSettings(Section):
    """The database."""

    url: str = "sqlite:///var/gateway.db"
    """`sqlite:///path` or `postgresql+psycopg://user@host/name`."""


class JobSettings(Section):
    """Background work."""

    threads: int = Field(default=4, ge=1, le=64)
    """Jobs that run at the same time in one process."""
    poll_seconds: float = Field(default=0.1, ge=0.01, le=5)
    """How often the queue is looked at."""
    sweep_seconds: float = Field(default=2.0, ge=0.1, le=300)
    """How often due cases without a live job are looked for."""


class KeySettings(Section):
    """Signing keys."""

    directory: Path = Path("var/keys")
    """Folder of the key files; created with a development CA when absent and the mode allows it."""


class TenantSettings(Section):
    """The organization on whose behalf the gateway acts."""

    id: str = "main"
    """Name of the tenant in the database."""
    name: str = "Example Clinic"
    """Name printed in documents and certificates."""
    npi: str = "1234567893"
    """National Provider Identifier of the organization."""
    ehr: str = "ehr"
    """Id of the EHR that orders without `fhirServer` belong to."""
    practice_zone: str = "America/Los_Angeles"
    """IANA time zone used where a chart names none."""


class EhrSettings(Section):
    """One EHR's FHIR endpoint. Only endpoints listed here are ever called."""

    base_url: str
    """FHIR base, e.g. `https://ehr.example.org/fhir`."""
    token_file: Path | None = None
    """File that holds a bearer token; empty for none."""
    networks: tuple[str, ...] = ()
    """Private or loopback networks (CIDR) this endpoint may live in."""
    plain_http: bool = False
    """Allow http; loopback only."""
    timeout_seconds: float = Field(default=10, gt=0, le=60)
    """Budget of one call."""
    page_size: int = Field(default=50, ge=1, le=500)
    """`_count` asked for in searches."""
    keeps_forms: bool = True
    """Completed payer forms are saved there as QuestionnaireResponse; false where it takes none."""

    @field_validator("base_url")
    @classmethod
    def _has_scheme(cls, value: str) -> str:
        if not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// (or http:// on loopback)")
        return value


class ClientSettings(Section):
    """A system or person that may call the gateway."""

    secret_sha256: str = ""
    """Hex SHA-256 of a random client secret (systems)."""
    password_argon2: str = ""
    """argon2id hash of a password (people who sign in to the pages)."""
    tenant: str = "main"
    """Tenant this caller belongs to; never taken from a request."""
    roles: tuple[Literal["system", "staff", "clinician", "auditor"], ...] = ("system",)
    """What the caller may do, see gateway/policy/access.py."""
    name: str = ""
    """Name shown for a person."""
    practitioner: str = ""
    """Reference of the person's Practitioner in the EHR, e.g. `Practitioner/1`."""


class CdsClientSettings(Section):
    """An EHR that may call our CDS services; its signed tokens prove it."""

    issuer: str
    """`iss` of its tokens, exactly as they have it."""
    ehr: str = "ehr"
    """Id under `ehr` of the FHIR server it speaks for; a call that names another server is refused."""
    jwks_url: str = ""
    """Address of its public keys, which is the only `jku` that its tokens may name."""
    jwks_file: Path | None = None
    """File with its public keys (a JWKS), in place of the address."""
    algorithms: tuple[Literal["ES256", "ES384", "RS256", "RS384"], ...] = ("ES384", "RS384")
    """Signature algorithms taken from it."""
    networks: tuple[str, ...] = ()
    """Private or loopback networks (CIDR) that jwks_url may live in."""
    plain_http: bool = False
    """Allow http for jwks_url; loopback only."""


class PayerSettings(Section):
    """Where payer rows come from."""

    directories: tuple[Path, ...] = ()
    """Folders of payer TOML files beside the packaged ones; same slug replaces."""
    allow_loopback: bool = True
    """Let payer rows name loopback addresses; false in production."""
    secrets_directory: Path | None = None
    """Folder with one file per payer slug that holds its token or client secret."""


class RuleSettings(Section):
    """Clinical rule rows."""

    directories: tuple[Path, ...] = ()
    """Folders of rule YAML files beside the packaged ones."""
    accepted: tuple[str, ...] = ()
    """Illustrative rules accepted for production use by the operator."""


class InstrumentSettings(Section):
    """Questionnaires that staff and patients answer."""

    wording_file: Path | None = None
    """JSON file with the licensed words of a questionnaire whose own may not be shipped; empty: none."""
    link_hours: int = Field(default=24, ge=1, le=72)
    """How long a patient's one-time link stays open."""


class PilotSettings(Section):
    """Conservative care: for whose orders it is switched on. The timer and automatic sending are two switches."""

    timer: Literal["everybody", "listed"] = "everybody"
    """Whose orders may start a timer."""
    timer_practitioners: tuple[str, ...] = ()
    """Clinicians for whom the timer is on where it is `listed`, e.g. `Practitioner/1`."""
    submission: Literal["everybody", "listed"] = "everybody"
    """Whose packets leave by themselves where the payer's row allows it; all others wait for a person."""
    submission_practitioners: tuple[str, ...] = ()
    """Clinicians for whom automatic sending is on where it is `listed`."""
    coordinator: str = ""
    """Reference in the EHR of whoever coordinates conservative care, e.g. `PractitionerRole/1`; owns the Tasks."""


class MeasureSettings(Section):
    """What an operator adds to the measures, because no gateway sees it."""

    claims: Path | None = None
    """CSV of claims from billing (docs/measures.md); empty: revenue at risk, audits and recoveries are not recorded."""
    staff_minutes: Path | None = None
    """CSV of active staff minutes per request (docs/measures.md); empty: not recorded."""
    appeal_cost: Decimal | None = Field(default=None, ge=0)
    """Cost of one appeal, added to revenue at risk; empty: appeals are left out."""


class DemoSettings(Section):
    """The demonstration."""

    directory: Path = Path("demo-data")
    """Folder for the database, keys and evidence of the demonstration."""
    gateway_processes: int = Field(default=1, ge=1, le=4)
    """Gateway processes to run; more than one needs PostgreSQL."""
    ehr_base_url: str = ""
    """Use this FHIR server, loaded with the demo charts, instead of the synthetic EHR."""
    ehr_token_file: Path | None = None
    """Bearer token for that server."""
    scenarios: tuple[str, ...] = ()
    """Only these scenarios; empty means all."""


class Settings(Section):
    """Everything that can be configured."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    jobs: JobSettings = JobSettings()
    keys: KeySettings = KeySettings()
    tenant: TenantSettings = TenantSettings()
    ehr: Mapping[str, EhrSettings] = {}
    """EHR endpoints by id."""
    clients: Mapping[str, ClientSettings] = {}
    """Callers by client id."""
    cds_clients: Mapping[str, CdsClientSettings] = {}
    """EHRs that may call the CDS services, by a name of yours."""
    payers: PayerSettings = PayerSettings()
    rules: RuleSettings = RuleSettings()
    instruments: InstrumentSettings = InstrumentSettings()
    measures: MeasureSettings = MeasureSettings()
    pilot: PilotSettings = PilotSettings()
    demo: DemoSettings = DemoSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is logged."""
    session_secret: SecretStr = SecretStr("")
    """Key that signs staff session cookies; empty: made at first start and kept beside the signing keys."""


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from a TOML file (or `PA_GATEWAY_SETTINGS`, or defaults) and the environment.

    Raises SettingsError that names the file, the key's path and what was expected.
    """
    environment = os.environ if environment is None else environment
    chosen = path or (Path(environment["PA_GATEWAY_SETTINGS"]) if environment.get("PA_GATEWAY_SETTINGS") else None)
    values = _read_toml(chosen) if chosen else {}
    for name, text in environment.items():
        if name.startswith(PREFIX):
            _override(values, name[len(PREFIX) :].lower().split("__"), text)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error, chosen)) from None


def describe_settings(settings: Settings) -> dict[str, Any]:
    """The settings in force as plain JSON; secrets and password hashes are masked."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    for client in shown["clients"].values():
        for key in ("secret_sha256", "password_argon2"):
            client[key] = "set" if client[key] else ""
    shown["session_secret"] = "set" if settings.session_secret.get_secret_value() else ""
    shown["store"]["url"] = _mask_url(settings.store.url)
    return shown


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SettingsError(f"The settings file {path} cannot be read; check its name and its permissions.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not TOML: {error}") from None


def _override(values: dict[str, Any], keys: list[str], text: str) -> None:
    place = values
    for key in keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise SettingsError(f"The environment sets a part of `{key}`, which is not a section.")
    place[keys[-1]] = _environment_value(text)


def _environment_value(text: str) -> Any:
    """TOML arrays and tables are read as such; everything else stays text for pydantic to convert."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise SettingsError("An environment override that starts with [ or { must be a TOML value.") from None


def _explain(error: ValidationError, path: Path | None) -> str:
    where = f"{path} and environment" if path else "environment"
    return f"Settings ({where}) cannot be used: {'; '.join(_problem(item) for item in error.errors())}"


def _problem(item: Any) -> str:
    """One finding of pydantic with the key's path, in our words where its own say too little."""
    path = [str(part) for part in item["loc"]]
    if item["type"] != "extra_forbidden":
        return f"{'.'.join(path)}: {str(item['msg']).removeprefix('Value error, ')}"
    close = get_close_matches(path[-1], _known_keys(path[:-1]), n=1)
    hint = f"; did you mean `{close[0]}`?" if close else ""
    return f"{'.'.join(path)}: there is no such setting{hint}"


def _known_keys(path: Sequence[str]) -> list[str]:
    """Names of the settings in the section at `path`."""
    if not path:
        return list(Settings.model_fields)
    entries: dict[str, type[Section]] = {
        "ehr": EhrSettings,
        "clients": ClientSettings,
        "cds_clients": CdsClientSettings,
    }
    section = entries.get(path[0]) or Settings.model_fields[path[0]].annotation
    return list(getattr(section, "model_fields", ()))


def _mask_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{user.split(':')[0]}{at}{host}" if at else url
