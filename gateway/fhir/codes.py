"""Code systems under their several names, and ICD-10-CM codes with and without their dot.

Aliases are listed, never inferred: a code that merely looks like HCPCS in a system nobody knows is
reported as unknown. Source of the names: HL7 Terminology, naming systems.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.fhir import Json
from gateway.fhir.reading import text

CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
ICD10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
LOINC = "http://loinc.org"
NDC = "http://hl7.org/fhir/sid/ndc"
NPI = "http://hl7.org/fhir/sid/us-npi"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
SSN = "http://hl7.org/fhir/sid/us-ssn"

ALIASES: Mapping[str, tuple[str, ...]] = {
    CPT: ("urn:oid:2.16.840.1.113883.6.12", "https://www.ama-assn.org/go/cpt"),
    HCPCS: (
        "urn:oid:2.16.840.1.113883.6.285",
        "https://bluebutton.cms.gov/resources/codesystem/hcpcs",
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    ),
    ICD10_CM: ("urn:oid:2.16.840.1.113883.6.90", "https://hl7.org/fhir/sid/icd-10-cm"),
    ICD10_PCS: ("urn:oid:2.16.840.1.113883.6.4", "http://hl7.org/fhir/sid/icd-10-pcs"),
    LOINC: ("urn:oid:2.16.840.1.113883.6.1", "https://loinc.org"),
    NDC: ("urn:oid:2.16.840.1.113883.6.69",),
    NPI: ("urn:oid:2.16.840.1.113883.4.6",),
    RXNORM: ("urn:oid:2.16.840.1.113883.6.88",),
    SNOMED: ("urn:oid:2.16.840.1.113883.6.96", "https://snomed.info/sct"),
    SSN: ("urn:oid:2.16.840.1.113883.4.1",),
}
"""Canonical system to the other names it is met under."""

_CANONICAL = {alias: system for system, names in ALIASES.items() for alias in (system, *names)}
_ICD10 = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4}|\.)?")


def canonical_system(system: str) -> str:
    """The name we write for a code system; a system we do not know is returned as it came."""
    return _CANONICAL.get(system.strip().rstrip("/"), system)


def is_known_system(system: str) -> bool:
    """Whether the system is one whose names we know; a False is reported, not guessed away."""
    return system.strip().rstrip("/") in _CANONICAL


def same_code(left: Json, right: Json) -> bool:
    """Whether two Codings mean the same code: same system under any of its names, same code.

    ICD-10-CM codes are compared without dot and case; all other codes exactly. A Coding without
    system or code equals nothing. Displays and versions are not looked at.
    """
    first, second = normalise_coding(left), normalise_coding(right)
    system, code = text(first.get("system")), text(first.get("code"))
    return bool(system and code) and (system, code) == (text(second.get("system")), text(second.get("code")))


def normalise_coding(coding: Json) -> dict[str, Any]:
    """A copy with the canonical system name and, for ICD-10-CM, the code in written form."""
    system = canonical_system(text(coding.get("system")))
    copied = dict(coding)
    if system:
        copied["system"] = system
    if system == ICD10_CM and coding.get("code"):
        copied["code"] = normalise_icd10(text(coding.get("code")))
    return copied


def normalise_icd10(code: str) -> str:
    """ICD-10-CM as it is written: upper case, dot after the third character, none for three characters.

    A text that is not shaped like ICD-10-CM comes back trimmed but otherwise untouched.
    """
    trimmed = code.strip().upper()
    if not _ICD10.fullmatch(trimmed):
        return code.strip()
    bare = trimmed.replace(".", "")
    return f"{bare[:3]}.{bare[3:]}" if len(bare) > 3 else bare


def icd10_equal(left: str, right: str) -> bool:
    """Whether two ICD-10-CM texts are the same code; never by prefix (S13.4 is not S13.4XXA)."""
    return normalise_icd10(left) == normalise_icd10(right)


def is_npi(number: str) -> bool:
    """Whether a text is a National Provider Identifier: ten digits whose check digit is right.

    The check is Luhn over 80840 and the number (US Core us-core-16, us-core-17).
    """
    if not (number.isascii() and number.isdigit() and len(number) == 10):
        return False
    doubled = [int(digit) * (2 if position % 2 else 1) for position, digit in enumerate(reversed("80840" + number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
