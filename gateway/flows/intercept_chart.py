"""What is known of a hook's patient: what the EHR prefetched, and what is read from it while time allows.

Only the EHR that is registered for the caller is ever read, with the token of the call where it has one. What
belongs to another patient is left out (security T15); a type that could not be read in time is named, so that
its absence is not taken for evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property

from gateway.clients.ehr import EhrClient
from gateway.clients.ehr_subject import whose
from gateway.clients.tokens import StaticToken
from gateway.errors import GatewayError, NotFound, SettingsError
from gateway.fhir import Json
from gateway.fhir.reading import objects
from gateway.fhir.references import read_reference, reference_text
from gateway.flows.instruments_wording import counts_here
from gateway.flows.intercept_budget import Budget
from gateway.flows.intercept_house import house_of
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles.crd_services import CHART_KEYS, ROLES_KEY
from gateway.profiles.crd_serving import HookCall, is_id, is_searched, prefetched
from gateway.reasoning.record import RecordSnapshot, reference_of

_ABSENT = object()
"""Value of a prefetch key that did not come."""
MAX_TARGETS = 20
"""Impressions whose Provenance is asked for."""
Read = Callable[[], tuple[Json, ...]]


@dataclass(frozen=True, kw_only=True)
class HookChart:
    """A patient's chart as far as a hook could see it."""

    resources: tuple[Json, ...]
    """Each resource once, the draft orders first."""
    unseen: tuple[str, ...]
    """Types that could not be read in time: what they hold was not counted."""
    base: str
    """Base address of the EHR."""

    @cached_property
    def record(self) -> RecordSnapshot:
        """The chart as rules see it."""
        urls = [f"{self.base}/{reference_of(item)}" if item.get("id") else None for item in self.resources]
        return RecordSnapshot(self.resources, urls)

    def find(self, reference: str) -> Json | None:
        """The resource of a reference to this EHR, or None."""
        return self.record.find(reference)


def gather(services: Services, ehr_id: str, call: HookCall, budget: Budget, *, is_clinical: bool) -> HookChart:
    """The chart of a call. `is_clinical`: whether our rules need the whole of it, or the payer's question a part.

    Steps: (1) what came along; (2) what is missing, read at the same time; (3) people and places around it.
    """
    reader = _Reader(services, ehr_id, call, budget)
    reader.add((*call.orders, *call.along))
    for value in call.prefetch.values():
        reader.add(prefetched(value))  # (1)
    reader.read(_missing(reader.ehr, call, is_clinical=is_clinical))  # (2)
    reader.read(_around(reader.ehr, reader.found, call))  # (3)
    seen = tuple(item for item in reader.found.values() if counts_here(services.settings, item))
    return HookChart(resources=seen, unseen=tuple(sorted(reader.unseen)), base=reader.base)


class _Reader:
    """Collects resources of one patient; reads run in threads and are waited for together."""

    def __init__(self, services: Services, ehr_id: str, call: HookCall, budget: Budget) -> None:
        self.ehr = _client(services, ehr_id, call)
        self.base = services.settings.ehr[ehr_id].base_url.rstrip("/")
        self.found: dict[str, Json] = {}
        self.unseen: set[str] = set()
        self._pool = house_of(services).readers
        self._patient_id = call.patient_id
        self._budget = budget
        self._place = 0

    def add(self, resources: Iterable[Json]) -> None:
        """Take what belongs to the patient or to nobody; the first of two with one id stays."""
        for item in resources:
            if whose(item, self._patient_id, self.ehr.endpoint) != "own":
                continue
            self._place += 1
            key = reference_of(item) if is_id(item.get("id")) else f"#{self._place}"
            self.found.setdefault(key, item)

    def read(self, wanted: Iterable[tuple[str, Read]]) -> None:
        """Read (type, how) pairs at the same time, as long as the budget for it lasts."""
        started: dict[Future[tuple[Json, ...]], str] = {}
        if self._budget.left_for_ehr_seconds > 0:
            started = {self._pool.submit(read): kind for kind, read in wanted}
        else:
            self.unseen.update(kind for kind, _ in wanted)
        done = self._budget.wait_for(started, self._budget.left_for_ehr_seconds) if started else set()
        for future, kind in started.items():
            if future not in done or future.cancelled() or not self._take(future):
                self.unseen.add(kind)

    def _take(self, future: Future[tuple[Json, ...]]) -> bool:
        """Whether the read came to something that can be trusted: an empty answer can."""
        try:
            self.add(future.result())
        except NotFound:
            return False
        except GatewayError as error:
            get_logger().info("hook-read-failed", code=error.reason)
            return False
        except Exception as error:
            get_logger().error("hook-read-broken", error=type(error))
            return False
        return True


def _client(services: Services, ehr_id: str, call: HookCall) -> EhrClient:
    """The registered EHR, with the token of the call where that can be used."""
    ehr = services.ehr(ehr_id)
    try:
        return ehr.with_token(StaticToken(call.token)) if call.token and call.server else ehr
    except (GatewayError, SettingsError):
        return ehr


def _missing(ehr: EhrClient, call: HookCall, *, is_clinical: bool) -> Iterator[tuple[str, Read]]:
    """Reads for every template that did not come, or not to its end."""
    patient_id = call.patient_id
    if not prefetched(call.prefetch.get("patient")):
        yield "Patient", lambda: (ehr.read("Patient", patient_id).resource,)
    if not is_searched(call.prefetch.get("coverage", _ABSENT)):
        active = {"patient": patient_id, "status": "active"}
        yield "Coverage", lambda: ehr.search("Coverage", active, patient_id=patient_id).resources
    for key, kind in CHART_KEYS.items() if is_clinical else ():
        if not is_searched(call.prefetch.get(key, _ABSENT)):
            yield kind, _search(ehr, kind, patient_id)


def _search(ehr: EhrClient, kind: str, patient_id: str) -> Read:
    return lambda: ehr.search(kind, {"patient": patient_id}, patient_id=patient_id).resources


def _around(ehr: EhrClient, found: dict[str, Json], call: HookCall) -> list[tuple[str, Read]]:
    """Payors, requesters, their places, and who attested: what something points to and is not here yet."""
    coverages = [item for item in found.values() if item.get("resourceType") == "Coverage"]
    named = [reference_text(payor) for coverage in coverages for payor in objects(coverage.get("payor"))]
    named += [reference_text(order.get("requester")) for order in call.orders]
    wanted = list(dict.fromkeys(filter(None, (_own(ehr, reference) for reference in named))))
    reads: list[tuple[str, Read]] = [
        (reference.partition("/")[0], _follow(ehr, reference)) for reference in wanted if reference not in found
    ]
    has_roles = any(reference.startswith("PractitionerRole/") for reference in found)
    if not has_roles and not is_searched(call.prefetch.get(ROLES_KEY, _ABSENT)):
        people = [reference for reference in wanted if reference.startswith("Practitioner/")]
        reads += [("PractitionerRole", _roles(ehr, person)) for person in people]
    return [*reads, *_attestations(ehr, found)]


def _attestations(ehr: EhrClient, found: dict[str, Json]) -> list[tuple[str, Read]]:
    """Reads of the Provenance of impressions that came without any."""
    provenances = [item for item in found.values() if item.get("resourceType") == "Provenance"]
    told = {
        ehr.endpoint.relative(reference_text(target)) for item in provenances for target in objects(item.get("target"))
    }
    bare = [key for key in found if key.startswith("ClinicalImpression/") and key not in told]
    return [("Provenance", _targeting(ehr, bare))] if bare else []


def _targeting(ehr: EhrClient, references: list[str]) -> Read:
    return lambda: ehr.search("Provenance", {"target": ",".join(references[:MAX_TARGETS])}).resources


def _own(ehr: EhrClient, reference: str) -> str:
    """`Type/id` of a shared resource of this EHR; empty for anything else."""
    relative = ehr.endpoint.relative(reference) or ""
    shared = ("Organization", "Practitioner", "PractitionerRole")
    return relative if relative.partition("/")[0] in shared else ""


def _follow(ehr: EhrClient, reference: str) -> Read:
    """The resource and what it points to: a role leads to its person, organization and place."""

    def read() -> tuple[Json, ...]:
        resource = ehr.read(*reference.split("/", 1)).resource
        return (resource, *ehr.follow([resource]).resources)

    return read


def _roles(ehr: EhrClient, person: str) -> Read:
    def read() -> tuple[Json, ...]:
        found = ehr.search("PractitionerRole", {"practitioner": read_reference(person).id}).resources
        return (*found, *ehr.follow(found).resources)

    return read


def is_of(order: Json, patient_id: str, base: str) -> bool:
    """Whether an order names this patient of this EHR."""
    named = reference_text(order.get("subject")) or reference_text(order.get("patient"))
    read = read_reference(named)
    return read.relative == f"Patient/{patient_id}" and read.base in ("", base)
