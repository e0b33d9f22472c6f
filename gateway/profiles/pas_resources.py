"""EHR resources turned into the PAS profiles' resources.

Each function derives a new resource from an allow-list of elements: what a payer needs and no more.
EHR profiles, narrative, metadata and foreign extensions stay behind; references stay in the EHR's form
until `pas_graph` rewrites them. Source: spec/pas.md §4.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.fhir import Json
from gateway.fhir.codes import CPT, HCPCS, ICD10_PCS, NDC, NPI, SSN, canonical_system, normalise_coding
from gateway.fhir.reading import codings, objects, one, text, thaw
from gateway.profiles.pas_graph import require
from gateway.profiles.pas_input import PasCodes
from gateway.profiles.urls import (
    C4BB_IDENTIFIER_TYPE,
    COVERAGE_CLASS,
    IDENTIFIER_TYPE,
    SUBSCRIBER_RELATIONSHIP,
    pas,
    x12,
)

SERVICE_SYSTEMS = frozenset({CPT, HCPCS, ICD10_PCS, NDC, x12("1365"), "http://hl7.org/fhir/sid/icd-9-cm"})
"""Systems of the value set for requested services."""
_PERSON = ("name", "gender", "birthDate", "address")


def derive_beneficiary(patient: Json, member: Json) -> dict[str, Any]:
    """PAS Beneficiary: the member id (MB) first, then other complete identifiers; social security numbers stay home."""
    name = objects(patient.get("name"))
    has_name = any(item.get("family") or item.get("given") for item in name)
    require(has_name, "The patient needs a family or given name.", "pas.patient-name", "Patient.name")
    born = text(patient.get("birthDate"))
    own = [item for item in _identifiers(patient) if not _is_ssn(item) and not _same_identifier(item, member)]
    built = start(patient, "profile-beneficiary")
    built["identifier"] = [dict(member), *own]
    built |= pick(patient, _PERSON)
    built.setdefault("gender", "unknown")
    if len(born) != 10:
        built.pop("birthDate", None)
    if isinstance(patient.get("multipleBirthInteger"), int):
        built["multipleBirthInteger"] = patient["multipleBirthInteger"]
    return built


def derive_subscriber(person: Json, member: Json) -> dict[str, Any]:
    """PAS Subscriber (always a Patient) of a Patient or RelatedPerson."""
    built = derive_beneficiary(person, member)
    built.pop("multipleBirthInteger", None)
    built["resourceType"] = "Patient"
    built["meta"] = {"profile": [pas("profile-subscriber")]}
    if person.get("resourceType") != "Patient":
        built.pop("id", None)
    return built


def member_identifier(coverage: Json, given: tuple[str, str] | None) -> dict[str, Any]:
    """The member id as an Identifier of type MB: given, else the coverage's own, else its subscriberId."""
    own = next((item for item in _identifiers(coverage) if _has_type(item, "MB")), {})
    system = given[0] if given else text(own.get("system"))
    value = given[1] if given else text(own.get("value")) or text(coverage.get("subscriberId"))
    require(value, "The coverage has no member id.", "pas.member-id", "Coverage.identifier")
    require(system, "The member id has no system.", "pas.member-system", "Coverage.identifier.system")
    typed = {"coding": [{"system": IDENTIFIER_TYPE, "code": "MB"}]}
    return {"type": typed, "system": system, "value": value}


def derive_coverage(
    coverage: Json, member: Json, codes: PasCodes, *, beneficiary: str, payor: str, subscriber: str
) -> dict[str, Any]:
    """PAS Coverage with exactly one member id, one payor, and the X12 relationship beside the FHIR one.

    The last three are addresses; `subscriber` is empty where the patient holds the coverage.
    """
    relationship, is_self = _relationship(coverage, codes)
    require(is_self or subscriber, "The coverage needs its subscriber.", "pas.subscriber", "Coverage.subscriber")
    built = start(coverage, "profile-coverage")
    built |= {"identifier": [dict(member)], "status": "active"}
    built |= pick(coverage, ("type",))
    if not is_self:
        built["subscriber"] = {"reference": subscriber}
    built["subscriberId"] = text(coverage.get("subscriberId")) or text(member.get("value"))
    built |= {"beneficiary": {"reference": beneficiary}, "relationship": relationship}
    built |= pick(coverage, ("period",))
    built["payor"] = [{"reference": payor}]
    classes = [pick(item, ("type", "value", "name")) for item in objects(coverage.get("class")) if _is_plan(item)]
    return {**built, "class": classes} if classes else built


def derive_organization(organization: Json, profile: str, x12_type: str) -> dict[str, Any]:
    """PAS Insurer, Requestor or Organization: active, typed by X12 where a type is given, named."""
    require(organization.get("name"), "The organization needs a name.", "pas.organization-name", "Organization.name")
    built = start(organization, profile)
    identifiers = _identifiers(organization)
    if identifiers:
        built["identifier"] = identifiers
    built["active"] = True
    if x12_type:
        built["type"] = [{"coding": [{"system": x12("98"), "code": x12_type}]}]
    built["name"] = organization["name"]
    telecom = _telecom(organization)
    built |= {"telecom": telecom} if telecom else {}
    addresses = [item for item in objects(organization.get("address")) if item.get("use") != "home"]
    built |= {"address": thaw(addresses)} if addresses else {}
    contacts = [pick(item, ("name", "telecom")) for item in objects(organization.get("contact"))]
    listed = [item for item in contacts if item]
    return {**built, "contact": listed} if profile == "profile-requestor" and listed else built


def derive_practitioner(practitioner: Json) -> dict[str, Any]:
    """PAS Practitioner: identifiers (an NPI wanted) and name; private contact data stays home."""
    identifiers = [item for item in _identifiers(practitioner) if not _is_ssn(item)]
    require(identifiers, "The practitioner needs an identifier (NPI).", "pas.npi", "Practitioner.identifier")
    has_name = any(item.get("family") for item in objects(practitioner.get("name")))
    require(has_name, "The practitioner needs a family name.", "pas.practitioner-name", "Practitioner.name")
    npi_first = sorted(identifiers, key=lambda item: item.get("system") != NPI)
    return {**start(practitioner, "profile-practitioner"), "identifier": npi_first, **pick(practitioner, ("name",))}


def role_telecom(*resources: Json) -> list[dict[str, Any]]:
    """Contact points for a role: its own, else the practitioner's, else the organization's; never private ones."""
    return next((found for found in map(_telecom, resources) if found), [])


def derive_practitioner_role(
    role: Json, telecom: list[dict[str, Any]], *, practitioner: str, organization: str
) -> dict[str, Any]:
    """PAS PractitionerRole; the profile demands a telecom (pd-1). The last two are addresses."""
    built = start({**role, "resourceType": "PractitionerRole"}, "profile-practitionerrole")
    built |= {"practitioner": {"reference": practitioner}, "organization": {"reference": organization}}
    built |= pick(role, ("code", "specialty"))
    return {**built, "telecom": telecom}


def service_concept(concept: Json, expression: str) -> dict[str, Any]:
    """The codings of a service that the guide's value set knows, under their canonical systems.

    A coding of an unknown system is left out, not guessed (B97); none left is an `InputError`.
    """
    listed = [normalise_coding(item) for item in codings(concept)]
    kept = [item for item in listed if text(item.get("system")) in SERVICE_SYSTEMS and item.get("code")]
    require(kept, "The service needs a CPT, HCPCS, ICD-10-PCS or NDC code.", "pas.service-code", expression)
    built: dict[str, Any] = {"coding": [pick(item, ("system", "code", "display")) for item in kept]}
    return {**built, "text": concept["text"]} if text(concept.get("text")) else built


def pas_quantity(quantity: Json | None) -> dict[str, Any]:
    """A quantity as prof-2 and prof-3 want it: value with a unit; a code only of X12 673. Empty for none."""
    found = one(quantity)
    if found.get("value") is None:
        return {}
    built: dict[str, Any] = {"value": found["value"]}
    if found.get("system") == x12("673") and found.get("code"):
        return {**built, **pick(found, ("unit", "system", "code"))}
    return {**built, "unit": text(found.get("unit")) or text(found.get("code")) or "units"}


def start(source: Json, profile: str) -> dict[str, Any]:
    """Type, id and our profile: the id is kept so that a payer's relative echo can be recognised."""
    head = {"resourceType": text(source.get("resourceType"))}
    own = text(source.get("id"))
    return {**head, **({"id": own} if own else {}), "meta": {"profile": [pas(profile)]}}


def pick(source: Json, names: Iterable[str]) -> dict[str, Any]:
    """The named elements and their primitive extensions, copied, empty ones left out."""
    wanted = [key for name in names for key in (name, f"_{name}")]
    return {key: thaw(source[key]) for key in wanted if source.get(key) not in (None, "", [], {})}


def _identifiers(resource: Json) -> list[dict[str, Any]]:
    """Identifiers with system and value, systems under their canonical names; assigners stay behind."""
    found = [pick(item, ("use", "type", "system", "value", "period")) for item in objects(resource.get("identifier"))]
    complete = [item for item in found if text(item.get("system")) and text(item.get("value"))]
    return [{**item, "system": canonical_system(text(item["system"]))} for item in complete]


def _is_ssn(identifier: Json) -> bool:
    return identifier.get("system") == SSN or _has_type(identifier, "SS")


def _has_type(identifier: Json, code: str) -> bool:
    return any(item.get("code") == code for item in codings(identifier.get("type")))


def _same_identifier(left: Json, right: Json) -> bool:
    return all(text(left.get(key)) == text(right.get(key)) for key in ("system", "value"))


def _telecom(resource: Json) -> list[dict[str, Any]]:
    found = [pick(item, ("system", "value", "use")) for item in objects(resource.get("telecom"))]
    own = [item for item in found if item.get("system") and item.get("value")]
    inside = [item for contact in objects(resource.get("contact")) for item in _telecom(contact)]
    return [item for item in own if item.get("use") != "home"] or inside


def _relationship(coverage: Json, codes: PasCodes) -> tuple[dict[str, Any], bool]:
    """FHIR and X12 codings of the relationship, and whether the patient holds the coverage."""
    listed = list(codings(coverage.get("relationship")))
    systems = (SUBSCRIBER_RELATIONSHIP, x12("1069"))
    kept = [pick(item, ("system", "code", "display")) for item in listed if item.get("system") in systems]
    said = {text(item.get("code")) for item in listed}
    is_self = not said or bool(said & {"self", codes.relationship_self})
    if is_self and not any(item.get("system") == systems[0] for item in kept):
        kept.insert(0, {"system": systems[0], "code": "self"})
    if is_self and not any(item.get("system") == systems[1] for item in kept):
        kept.append({"system": systems[1], "code": codes.relationship_self})
    return {"coding": kept or [{"system": systems[0], "code": "other"}]}, is_self


def _is_plan(item: Json) -> bool:
    kinds = {text(c.get("code")) for c in codings(item.get("type")) if c.get("system") == COVERAGE_CLASS}
    return bool(kinds & {"group", "plan"}) and bool(item.get("value"))


def build_insurer(name: str, identifiers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """An insurer Organization from a payer's row, for coverages whose payor the EHR does not keep."""
    typed = {"coding": [{"system": C4BB_IDENTIFIER_TYPE, "code": "payerid"}]}
    listed = [{"type": typed, "system": system, "value": value} for system, value in identifiers]
    return {"resourceType": "Organization", **({"identifier": listed} if listed else {}), "active": True, "name": name}
