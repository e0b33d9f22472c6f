"""A patient's chart: every type that rules and forms read, and what those resources point to.

A type that the server does not offer, or does not let us read, becomes a finding. It never counts as
"nothing there": a rule that needs it answers "cannot tell".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.clients.ehr_records import Extract, Fetched, reference_of, version_of
from gateway.clients.ehr_search import Search
from gateway.clients.ehr_session import EhrSession, read_resource
from gateway.clients.ehr_subject import whose
from gateway.clients.search_query import RESOURCE_ID, require_id, require_type, split_values
from gateway.errors import EhrRejected, EhrUnreadable, NotFound
from gateway.fhir import Json

CHART_TYPES = (
    "Coverage",
    "Condition",
    "ServiceRequest",
    "MedicationRequest",
    "MedicationStatement",
    "MedicationDispense",
    "Procedure",
    "Observation",
    "QuestionnaireResponse",
    "Encounter",
    "CarePlan",
    "Communication",
    "AllergyIntolerance",
    "ClinicalImpression",
    "DocumentReference",
    "DiagnosticReport",
    "Task",
)
"""Types searched by patient, in this order."""
FOLLOWED_TYPES = frozenset(
    {"Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Device", "HealthcareService"}
)
"""Types read because a chart resource points to them."""
HOPS = 2
"""How far references are followed: PractitionerRole, then its Practitioner and Organization."""
MAX_FOLLOWED = 500
"""Most resources read by reference for one chart."""
UNSUPPORTED = frozenset({400, 403, 404, 405, 422, 501})
"""Statuses of a search that mean this server does not offer it, or not to us."""


def read_one(session: EhrSession, resource_type: str, resource_id: str) -> Fetched:
    """The resource; `NotFound` (`ehr.not-found`, `ehr.gone`), or the EHR's errors."""
    path = f"{require_type(resource_type)}/{require_id(resource_id)}"
    reply = session.fetch(path)
    resource = read_resource(reply, session.transport.endpoint.id)
    if reference_of(resource) != path:
        message = f"EHR {session.transport.endpoint.id} answered a read with another resource."
        raise EhrUnreadable(message, code="ehr.other-resource", http_answer=reply.status, body=reply.body)
    version = version_of(resource)
    etag = reply.headers.get("etag") or (f'W/"{version}"' if version else "")
    return Fetched(resource=resource, raw=reply.body, version=version, etag=etag, full_url=str(reply.url))


def read_chart(session: EhrSession, patient_id: str, types: Sequence[str] = CHART_TYPES) -> Extract:
    """The patient, the chart, what it points to, and the Provenance of it.

    The Patient is read first: a search for an id that does not exist finds nothing and looks like an
    empty chart. Raises `NotFound` for such an id and the EHR's errors where reading may pass later.
    """
    patient = read_one(session, "Patient", require_id(patient_id))
    _note_merged(session, patient.resource)
    found: dict[str, Fetched] = {patient.reference: patient}
    for resource_type in types:
        _add(found, _search_type(session, resource_type, [("patient", patient_id)], patient_id))
    _add(found, follow(session, [entry.resource for entry in found.values()], found, patient_id))
    roles = _roles(session, found, patient_id)
    _add(found, roles)
    _add(found, follow(session, [role.resource for role in roles], found, patient_id))
    _add(found, _provenances(session, list(found), patient_id))
    return Extract(fetched=tuple(found.values()), exchanges=tuple(session.exchanges), findings=tuple(session.findings))


def _add(found: dict[str, Fetched], items: Iterable[Fetched]) -> None:
    for item in items:
        found.setdefault(item.reference, item)


def follow(
    session: EhrSession, resources: Iterable[Json], known: Mapping[str, Fetched], patient_id: str | None
) -> list[Fetched]:
    """What `resources` point to, of the followed types, `HOPS` far; what is missing becomes a finding."""
    found: dict[str, Fetched] = {}
    layer = list(resources)
    for _ in range(HOPS):
        wanted = _wanted(session, layer, known, found)
        read = [_try_read(session, reference, patient_id) for reference in wanted]
        fresh = [item for item in read if item]
        found.update({item.reference: item for item in fresh})
        layer = [item.resource for item in fresh]
    return list(found.values())


def _wanted(
    session: EhrSession, layer: Iterable[Json], known: Mapping[str, Fetched], found: Mapping[str, Fetched]
) -> list[str]:
    """`Type/id` of followed types that are pointed to and not here yet; foreign addresses become findings."""
    wanted: dict[str, None] = {}
    for text in dict.fromkeys(reference for resource in layer for reference in references_in(resource)):
        relative = session.transport.endpoint.relative(text)
        if relative is None:
            if "://" in text:
                session.note("foreign-reference", "", "", "a reference to another server was not followed")
            continue
        if relative.partition("/")[0] in FOLLOWED_TYPES and relative not in known and relative not in found:
            wanted[relative] = None
    return list(wanted)[: MAX_FOLLOWED - len(found)]


def references_in(value: Any) -> Iterator[str]:
    """Every literal reference in a resource, contained ones left out."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            reference = value.get("reference")
            if isinstance(reference, str) and not reference.startswith("#"):
                yield reference
            stack.extend(item for item in reversed(value.values()) if isinstance(item, dict | list))
        elif isinstance(value, list):
            stack.extend(reversed(value))


def _try_read(session: EhrSession, reference: str, patient_id: str | None) -> Fetched | None:
    resource_type, _, resource_id = reference.partition("/")
    try:
        item = read_one(session, resource_type, resource_id)
    except NotFound:
        session.note("not-found", resource_type, reference)
        return None
    except EhrRejected as error:
        if error.http_answer not in UNSUPPORTED:
            raise
        session.note("not-readable", resource_type, reference, f"status {error.http_answer}")
        return None
    if patient_id is not None and whose(item.resource, patient_id, session.transport.endpoint) != "own":
        session.note("foreign-patient", resource_type, reference)
        return None
    return item


def _search_type(
    session: EhrSession, resource_type: str, pairs: Sequence[tuple[str, str]], patient_id: str
) -> tuple[Fetched, ...]:
    """Matches of one type; empty with a finding where it cannot be read."""
    if not session.token.may_read(resource_type):
        session.note("scope-missing", resource_type, "", "the granted scopes do not include this type")
        return ()
    try:
        return Search(session, resource_type, [*pairs, ("_count", str(session.page_size))], patient_id).run()
    except NotFound:
        session.note("not-readable", resource_type, "", "the server does not offer this type")
    except EhrRejected as error:
        if error.http_answer not in UNSUPPORTED:
            raise
        session.note("not-readable", resource_type, "", f"the search was refused with status {error.http_answer}")
    return ()


def _roles(session: EhrSession, found: Mapping[str, Fetched], patient_id: str) -> list[Fetched]:
    """PractitionerRoles of the practitioners that have none yet: an order often names the person alone, and a
    request for authorization needs the role. Nothing in a chart points to them."""
    covered = {
        session.transport.endpoint.relative(str((item.resource.get("practitioner") or {}).get("reference", "")))
        for item in found.values()
        if item.reference.startswith("PractitionerRole/")
    }
    people = [reference for reference in found if reference.startswith("Practitioner/") and reference not in covered]
    roles: list[Fetched] = []
    for portion in split_values(people):
        ids = ",".join(reference.partition("/")[2] for reference in portion)
        roles += _search_type(session, "PractitionerRole", [("practitioner", ids)], patient_id)
    return roles


def _provenances(session: EhrSession, references: Sequence[str], patient_id: str) -> list[Fetched]:
    """Provenance that names a resource of the chart, asked in portions; those of other resources are dropped."""
    mine = {reference for reference in references if RESOURCE_ID.fullmatch(reference.partition("/")[2])}
    found: list[Fetched] = []
    for portion in split_values(sorted(mine)):
        before = len(session.findings)
        found += _search_type(session, "Provenance", [("target", ",".join(portion))], patient_id)
        if any(item.kind in ("not-readable", "scope-missing") for item in session.findings[before:]):
            break
    return [item for item in found if _targets(session, item.resource) & mine]


def _targets(session: EhrSession, provenance: Json) -> set[str | None]:
    targets = [item.get("reference", "") for item in provenance.get("target") or () if isinstance(item, Mapping)]
    return {session.transport.endpoint.relative(str(text)) for text in targets}


def _note_merged(session: EhrSession, patient: Json) -> None:
    links = [item for item in patient.get("link") or () if isinstance(item, Mapping)]
    if any(item.get("type") in ("replaced-by", "replaces") for item in links):
        session.note("merged-patient", "Patient", reference_of(patient), "the patient record was merged")
