"""The read-only façade: what a payer may read of one case's chart while it answers a hook.

The payer gets our own address and a token bound to one case, one payer and half a minute, never the
EHR's (crd:sec-9). It sees the snapshot, not the EHR, and of all coverages only its own (crd:dev-29).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

from gateway.cases.facts import read_facts
from gateway.errors import AccessError, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.bundle import build_bundle
from gateway.fhir.references import read_reference, reference_text
from gateway.flows import ledger
from gateway.flows.extract import Snapshot, references_in
from gateway.flows.intercept_record import visible_chart
from gateway.flows.services import Services
from gateway.store.rows import CaseRow

READABLE = frozenset(
    {
        "Appointment",
        "Coverage",
        "Device",
        "DeviceRequest",
        "Encounter",
        "Location",
        "Medication",
        "MedicationRequest",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "ServiceRequest",
    }
)
"""Types a payer may read during a hook: the minimum data set of spec/crd.md §5."""
ONLY_OWN = frozenset({"Coverage", "DeviceRequest", "MedicationRequest", "Patient", "ServiceRequest"})
"""Types of which it sees the case's own alone, whatever refers to others: they may be of other care."""


def issue_token(services: Services, case: CaseRow, life: timedelta) -> str:
    """A bearer token for this case and its payer that ends after `life`."""
    claims = {
        "t": case.tenant_id,
        "c": case.case_id,
        "p": case.payer,
        "e": int((services.clock.now() + life).timestamp()),
    }
    payload = base64.urlsafe_b64encode(json.dumps(claims, sort_keys=True).encode()).rstrip(b"=")
    return f"{payload.decode()}.{_mac(services, payload)}"


def read_as_payer(services: Services, token: str, path: str, query: Iterable[tuple[str, str]]) -> Json:
    """What the holder of `token` gets for `Type/id` or `Type` with a query.

    Raises AccessError (401) for a token that is not ours or has ended, NotFound, InputError for a
    search parameter that is not supported.
    """
    case = _case_of(services, token)
    snapshot = visible_chart(services, case, read_facts(case.facts))
    kind, _, resource_id = path.strip("/").partition("/")
    if resource_id:
        return _require(_read(_visible(snapshot, case), f"{kind}/{resource_id}"))
    return _searchset(services.facade_url, _search(_visible(snapshot, case), kind, list(query)))


def finder(snapshot: Snapshot, case: CaseRow) -> Callable[[str], Json | None]:
    """Answers `Type/id` and `Type?query` over the snapshot as the payer may see it; None for nothing found."""
    visible = _visible(snapshot, case)

    def find(query: str) -> Json | None:
        path, mark, text = query.partition("?")
        if not mark:
            return _read(visible, path)
        found = _search(visible, path, parse_qsl(text, keep_blank_values=True))
        return _searchset("", found) if found else None

    return find


def _visible(snapshot: Snapshot, case: CaseRow) -> list[Json]:
    """The order, the patient, this payer's coverage and what these refer to; nothing clinical."""
    by_reference = {item.reference: item.resource for item in snapshot.kept}
    own = (case.order_reference, case.patient_reference, case.coverage_reference)
    wanted = list(own)
    seen: dict[str, Json] = {}
    while wanted:
        reference = read_reference(wanted.pop(0)).relative
        resource = by_reference.get(reference)
        if resource is None or reference in seen or resource["resourceType"] not in READABLE:
            continue
        if resource["resourceType"] in ONLY_OWN and reference not in own:
            continue
        seen[reference] = resource
        wanted.extend(references_in(resource))
    roles = [item.resource for item in snapshot.kept if item.resource["resourceType"] == "PractitionerRole"]
    for role in roles:
        if read_reference(reference_text(role.get("practitioner"))).relative in seen:
            seen.setdefault(f"PractitionerRole/{role.get('id')}", role)
    return list(seen.values())


def _read(visible: list[Json], path: str) -> Json | None:
    wanted = read_reference(path).relative
    return next((item for item in visible if f"{item['resourceType']}/{item.get('id')}" == wanted), None)


def _search(visible: list[Json], kind: str, query: list[tuple[str, str]]) -> list[Json]:
    found = [item for item in visible if item["resourceType"] == kind]
    for name, value in query:
        if name in ("_count", "_format", "_include", "_include:iterate", "_revinclude"):
            continue
        test = _TESTS.get(name)
        if test is None:
            raise InputError(
                "This search parameter is not supported here; read by id instead.", code="search.parameter"
            )
        wanted = [part for part in value.split(",") if part]
        found = [item for item in found if any(test(item, part) for part in wanted)]
    return found


def _refers(*names: str) -> Callable[[Json, str], bool]:
    def test(resource: Json, wanted: str) -> bool:
        references = (resource.get(name) for name in names)
        held = {read_reference(reference_text(item)).relative for item in references}
        return any(item == wanted or item.partition("/")[2] == wanted for item in held if item)

    return test


_TESTS: dict[str, Callable[[Json, str], bool]] = {
    "_id": lambda resource, wanted: resource.get("id") == wanted.rpartition("/")[2],
    "patient": _refers("patient", "subject", "beneficiary"),
    "subject": _refers("subject"),
    "beneficiary": _refers("beneficiary"),
    "practitioner": _refers("practitioner"),
    "organization": _refers("organization"),
    "status": lambda resource, wanted: resource.get("status") == wanted.rpartition("|")[2],
}


def _searchset(base: str, found: list[Json]) -> dict[str, Any]:
    members = [(f"{base}/{item['resourceType']}/{item.get('id')}" if base else "", item) for item in found]
    return build_bundle("searchset", members, total=len(found))


def _require(resource: Json | None) -> Json:
    if resource is None:
        raise NotFound("There is no such resource.")
    return resource


def _case_of(services: Services, token: str) -> CaseRow:
    payload, _, mac = token.partition(".")
    if not hmac.compare_digest(mac.encode(), _mac(services, payload.encode()).encode()):
        raise AccessError("This token was not issued here.", code="login", status=401)
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError):
        raise AccessError("This token was not issued here.", code="login", status=401) from None
    if claims["e"] < services.clock.now().timestamp():
        raise AccessError("This token has ended.", code="login", status=401)
    return ledger.load(services, claims["t"], claims["c"])


def _mac(services: Services, payload: bytes) -> str:
    return hmac.new(services.secret + b"/facade", payload, hashlib.sha256).hexdigest()
