"""Identifiers of organizations and people, and how a certificate carries them.

A certificate names its holder twice: as otherName with the OID of the identifier system (CDex) and as a
URI (HRex). Matching asks for either. Source: spec/provenance.md §6 (SAN match order).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from provenance.urls import EIN, NPI, URI

_OID_BY_SYSTEM: Final = {NPI: "2.16.840.1.113883.4.6"}
_URN_OID: Final = "urn:oid:"
_DER_UTF8_STRING: Final = 0x0C


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """A business identifier."""

    system: str
    """URI of the namespace, e.g. the NPI's."""
    value: str
    """The identifier itself, e.g. ten digits."""

    def as_fhir(self) -> dict[str, str]:
        """FHIR Identifier."""
        return {"system": self.system, "value": self.value}

    @classmethod
    def read(cls, value: Any) -> Identifier | None:
        """From a FHIR Identifier; None where system or value is absent or not text."""
        if not isinstance(value, Mapping):
            return None
        system, number = value.get("system"), value.get("value")
        if not (isinstance(system, str) and isinstance(number, str) and system and number):
            return None
        return cls(system=system, value=number)

    def answers_to(self, text: str) -> bool:
        """Whether `text` means this identifier: `SYSTEM|VALUE`, or the value of an NPI or EIN alone."""
        system, bar, value = text.rpartition("|")
        if bar:
            return (system, value) == (self.system, self.value)
        return value == self.value and self.system in (NPI, EIN)


def oid_of_system(system: str) -> str | None:
    """OID of an identifier system in dotted form; None where the system has none."""
    if system.startswith(_URN_OID):
        return system.removeprefix(_URN_OID)
    return _OID_BY_SYSTEM.get(system)


def san_names(identifier: Identifier) -> list[x509.GeneralName]:
    """The subject alternative names of a holder. Errors: ValueError for a system without OID that is no URI."""
    if identifier.system == URI:
        return [x509.UniformResourceIdentifier(identifier.value)]
    oid = oid_of_system(identifier.system)
    if oid is None:
        raise ValueError("the identifier system has no OID: use NPI, EIN, urn:oid:… or a URI identifier")
    other = x509.OtherName(x509.ObjectIdentifier(oid), _der_utf8(identifier.value))
    return [other, x509.UniformResourceIdentifier(f"{_URN_OID}{oid}.{identifier.value}")]


def is_named_by(identifier: Identifier, certificate: x509.Certificate) -> bool:
    """Whether the certificate carries the identifier as otherName or as URI."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        wanted = san_names(identifier)
    except (x509.ExtensionNotFound, ValueError):
        return False
    # cryptography returns an otherName as raw DER, so equality here is equality of the whole encoding.
    return any(name in wanted for name in names)


def _der_utf8(text: str) -> bytes:
    content = text.encode()
    if len(content) > 127:
        raise ValueError("an identifier of more than 127 bytes")
    return bytes((_DER_UTF8_STRING, len(content))) + content
