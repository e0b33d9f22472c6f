"""Who acted: organizations, people and the gateway itself, as agents of a statement.

People are always PractitionerRole (a contained one where the EHR names only a Practitioner), and a Device
always acts on behalf of an organization: that keeps both the US Core rule provenance-1 and the HRex advice.
Source: spec/provenance.md §3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provenance.identifiers import Identifier
from provenance.urls import DATA_ABSENT_REASON, NPI

_UNKNOWN_CONTACT: Final[dict[str, Any]] = {
    "system": "other",
    "_value": {"extension": [{"url": DATA_ABSENT_REASON, "valueCode": "unknown"}]},
}
"""US Core pd-1 demands a contact and its binding a system, so "unknown" is said of the value alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Somebody or something that can act."""

    type: str
    """FHIR type: Organization, PractitionerRole, Device, Patient or RelatedPerson."""
    reference: str = ""
    """Absolute or `urn:uuid:` reference, or `#id` of `contained`; empty when only the identifier is known."""
    identifier: Identifier | None = None
    """Business identifier; a signer must have one."""
    display: str = ""
    """Name as shown to people."""
    contained: Mapping[str, Any] | None = field(default=None, hash=False)
    """Resource to carry inside the statement under `reference`."""

    def as_reference(self) -> dict[str, Any]:
        """FHIR Reference."""
        reference: dict[str, Any] = {}
        if self.reference:
            reference["reference"] = self.reference
        reference["type"] = self.type
        if self.identifier is not None:
            reference["identifier"] = self.identifier.as_fhir()
        if self.display:
            reference["display"] = self.display
        return reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One participation of a party in an activity."""

    role: str
    """Code: author, enterer, performer, verifier, legal, attester, informant, custodian, assembler, composer
    or transmitter."""
    who: Party
    on_behalf_of: Party | None = None
    """The organization acted for; required for a Device."""


def organization(identifier: Identifier | None, name: str, reference: str = "") -> Party:
    """An organization by identifier, name and, where it has one, reference."""
    return Party(type="Organization", identifier=identifier, display=name, reference=reference)


def gateway_device(version: str, name: str = "Prior authorization gateway") -> Party:
    """The gateway as a contained Device that says which software version acted. Its owner stays empty."""
    device = {
        "resourceType": "Device",
        "id": "gateway",
        "deviceName": [{"name": name, "type": "user-friendly-name"}],
        "version": [{"value": version}],
    }
    return Party(type="Device", reference="#gateway", display=name, contained=device)


def practitioner_role(
    *,
    key: str,
    name: str,
    npi: str = "",
    practitioner: str = "",
    employer: Party | None = None,
    role: str = "",
    telecom: tuple[str, str] | None = None,
) -> Party:
    """A person in a role, as a contained PractitionerRole.

    `key` names it inside the statement (letters, digits, `-`, at most 64). `practitioner` is the EHR's own
    absolute reference, `npi` the person's number, `role` the job in words; each may be empty. `telecom` is
    a FHIR system and value (`phone`, `email`, …): US Core wants one, so None is stated as unknown.
    """
    who: dict[str, Any] = {"reference": practitioner, "type": "Practitioner"} if practitioner else {}
    if npi:
        who["identifier"] = {"system": NPI, "value": npi}
    resource: dict[str, Any] = {"resourceType": "PractitionerRole", "id": key, "practitioner": {**who, "display": name}}
    if employer is not None:
        resource["organization"] = employer.as_reference()
    if role:
        resource["code"] = [{"text": role}]
    resource["telecom"] = [_UNKNOWN_CONTACT if telecom is None else {"system": telecom[0], "value": telecom[1]}]
    identifier = Identifier(system=NPI, value=npi) if npi else None
    return Party(type="PractitionerRole", reference=f"#{key}", identifier=identifier, display=name, contained=resource)


def person(reference: str, type_: str, display: str = "") -> Party:
    """A patient or related person as the informant of an answer."""
    return Party(type=type_, reference=reference, display=display)
