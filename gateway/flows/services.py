"""Everything a flow needs, opened once per process from the settings.

Endpoints are found by id here and nowhere else: a URL from a message never leads to a request
(security T1).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import Any
from zoneinfo import ZoneInfo

import provenance
from gateway.clients.ehr import EhrClient
from gateway.clients.endpoint import Endpoint
from gateway.clients.limits import Limits
from gateway.clients.payer import PayerClient, open_payer
from gateway.clients.tokens import NoToken, StaticToken
from gateway.clients.transport import Transport
from gateway.clinical.concepts import Concepts
from gateway.clinical.practice import practice_zone
from gateway.clinical.rule_checks import require_sound
from gateway.clinical.rules import Rule, load_concepts, load_rules
from gateway.clinical.wording import LicensedWording
from gateway.clock import Clock, SystemClock
from gateway.errors import NotFound, SettingsError
from gateway.fhir.references import read_reference
from gateway.flows.instruments_wording import load_wording
from gateway.flows.recent import Recent
from gateway.jobs.dbos_adapter import DbosJobs
from gateway.jobs.port import Jobs, QueueLimits
from gateway.reasoning.record import RecordSnapshot
from gateway.settings import EhrSettings, Settings
from gateway.store import Store
from payer_endpoints.directory import Directory, DirectoryError, PayerRow, load_directory

CASE_QUEUE = "cases"
"""Queue of the job that moves a case on."""
SNAPSHOTS = 8
"""Charts kept in memory between the steps of their cases."""
NPI = "http://hl7.org/fhir/sid/us-npi"
"""Identifier system of the tenant's National Provider Identifier."""


@dataclass(kw_only=True, eq=False)
class Services:
    """The opened house: settings, store, jobs, keys, clients. Shared by all threads of a process."""

    settings: Settings
    """Settings in force."""
    store: Store
    """The database."""
    jobs: Jobs
    """The durable engine."""
    clock: Clock
    """The time."""
    keys: provenance.KeyRing
    """Signing keys of the tenant."""
    directory: Directory
    """Payers."""
    rules: tuple[Rule, ...]
    """Clinical rule rows."""
    concepts: Concepts
    """Code sets of the clinical rules."""
    secret: bytes = field(repr=False)
    """Key of our own short tokens and cookies."""
    wording: LicensedWording | None = field(default=None, repr=False)
    """Licensed words of the settings; None without a licence."""
    snapshots: Recent[tuple[str, str, str], Any] = field(default_factory=lambda: Recent(SNAPSHOTS), repr=False)
    """Charts read lately, by tenant, case and digest of the manifest."""
    _ehrs: dict[str, EhrClient] = field(default_factory=dict, repr=False)
    _payers: dict[str, PayerClient] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @cached_property
    def version(self) -> str:
        """Version of the installed gateway."""
        try:
            return version("davinci-pa-gateway")
        except PackageNotFoundError:
            return "0+unknown"

    @cached_property
    def tenant_party(self) -> provenance.Party:
        """The tenant's organization as signer and agent."""
        tenant = self.settings.tenant
        return provenance.organization(provenance.Identifier(system=NPI, value=tenant.npi), tenant.name)

    @property
    def facade_url(self) -> str:
        """Base address of the read-only façade for payers."""
        return f"{self.settings.server.base_url.rstrip('/')}/payer-fhir"

    def new_id(self) -> str:
        """A random UUID as text."""
        return str(uuid.uuid4())

    def new_case_tag(self) -> str:
        """128 random bits as base64url, never derived from anything of the patient."""
        return secrets.token_urlsafe(16)

    def ehr(self, ehr_id: str) -> EhrClient:
        """The client of a registered EHR; NotFound for an unknown id."""
        row = self.settings.ehr.get(ehr_id)
        if row is None:
            raise NotFound("This EHR is not registered; add it under `ehr` in the settings.")
        with self._lock:
            if ehr_id not in self._ehrs:
                self._ehrs[ehr_id] = _open_ehr(ehr_id, row, self.clock)
            return self._ehrs[ehr_id]

    def ehr_by_url(self, tenant: str, base_url: str) -> str | None:
        """Id of the EHR that the tenant's callers may name by this base address, or None."""
        if tenant != self.settings.tenant.id:
            return None
        wanted = base_url.rstrip("/")
        return next((key for key, row in self.settings.ehr.items() if row.base_url.rstrip("/") == wanted), None)

    def address(self, ehr_id: str, reference: str) -> str:
        """Absolute address of `Type/id` in an EHR."""
        return f"{self.settings.ehr[ehr_id].base_url.rstrip('/')}/{reference}"

    def practitioner_address(self, reference: str) -> str:
        """Absolute address of a person's Practitioner in the tenant's EHR; empty for none."""
        relative = read_reference(reference).relative if reference else ""
        return self.address(self.settings.tenant.ehr, relative) if relative else ""

    def payer_row(self, slug: str) -> PayerRow:
        """The payer's row; NotFound when the directory has none."""
        row = self.directory.get(slug)
        if row is None:
            raise NotFound("The directory has no row of this payer; correct the slug, or add its row again.")
        return row

    def payer(self, slug: str) -> PayerClient:
        """The client of a payer; NotFound for an unknown slug."""
        row = self.payer_row(slug)
        with self._lock:
            if slug not in self._payers:
                self._payers[slug] = open_payer(row, clock=self.clock)
            return self._payers[slug]

    def zone_of(self, record: RecordSnapshot) -> str:
        """IANA time zone of the practice: the one a Location of the record names, else the tenant's."""
        return practice_zone(record, self.settings.tenant.practice_zone)

    def today(self) -> date:
        """The calendar day at the practice: coverage and days of service begin and end there, not in Greenwich."""
        return self.clock.now().astimezone(ZoneInfo(self.settings.tenant.practice_zone)).date()

    def close(self) -> None:
        """Close clients and database."""
        for ehr in self._ehrs.values():
            ehr.close()
        for payer in self._payers.values():
            payer.close()
        self.store.close()


def open_services(settings: Settings, clock: Clock | None = None) -> Services:
    """Open everything the settings name. Raises SettingsError that says which setting is wrong."""
    clock = clock or SystemClock()
    rules, concepts = load_rules(settings.rules.directories), load_concepts(extra=settings.rules.directories)
    require_sound(rules, concepts, clock.now().date())
    store = Store.open(settings.store.url, clock=clock)
    keys, secret = open_keys(settings, clock)
    return Services(
        settings=settings,
        store=store,
        jobs=open_jobs(settings, store),
        clock=clock,
        keys=keys,
        directory=open_directory(settings),
        rules=rules,
        concepts=concepts,
        secret=secret,
        wording=load_wording(settings),
    )


def open_jobs(settings: Settings, store: Store) -> Jobs:
    """The durable engine over the same database, its queue declared; nothing runs before `start`."""
    jobs = DbosJobs(store.engine, poll_seconds=settings.jobs.poll_seconds)
    jobs.declare_queue(CASE_QUEUE, QueueLimits(concurrency=settings.jobs.threads))
    return jobs


def _open_ehr(ehr_id: str, row: EhrSettings, clock: Clock) -> EhrClient:
    endpoint = Endpoint(id=ehr_id, base_url=row.base_url.rstrip("/"), networks=row.networks, plain_http=row.plain_http)
    transport = Transport(endpoint, limits=Limits(total_seconds=row.timeout_seconds), clock=clock)
    token = StaticToken(file=row.token_file) if row.token_file else NoToken()
    return EhrClient(transport, token, page_size=row.page_size)


def known_payers(settings: Settings) -> list[str]:
    """Slugs of every payer row the settings lead to. Raises SettingsError that names the row at fault."""
    return [row.slug for row in open_directory(settings)]


def open_directory(settings: Settings) -> Directory:
    """Every payer row the settings lead to. Raises SettingsError that names the file and the key at fault."""
    try:
        return load_directory(settings.payers.directories, allow_loopback=settings.payers.allow_loopback)
    except DirectoryError as error:
        raise SettingsError(f"payers.directories: {error}") from None


def open_keys(settings: Settings, clock: Clock) -> tuple[provenance.KeyRing, bytes]:
    """The signing keys and the key of our own tokens, made at the first start. Raises SettingsError."""
    folder = settings.keys.directory
    is_development = settings.server.mode == "demonstration"
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(folder.with_suffix(".lock")):
        try:
            if not folder.exists():
                ring = _create_keys(settings, clock, folder)
            else:
                ring = provenance.KeyRing.open(folder, allow_development=is_development)
            ring.rotate_due(clock.now())
        except provenance.KeyRingError as error:
            raise SettingsError(f"keys.directory: {error}") from None
        return ring, _open_secret(settings, folder)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Hold off other processes: the first start makes the keys, a second one beside it waits and reads them."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _create_keys(settings: Settings, clock: Clock, folder: Path) -> provenance.KeyRing:
    if settings.server.mode == "production":
        raise SettingsError("keys.directory: no keys there; run `pa-gateway keys init` first.")
    tenant = settings.tenant
    return provenance.KeyRing.create(folder, tenant.name, NPI, tenant.npi, clock.now(), allow_development=True)


def _open_secret(settings: Settings, folder: Path) -> bytes:
    """The key of cookies and façade tokens: from the settings, else made once beside the keys."""
    given = settings.session_secret.get_secret_value()
    if given:
        return given.encode()
    path = folder.with_suffix(".session")
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(secrets.token_hex(32).encode())
    return path.read_bytes()
