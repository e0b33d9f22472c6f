"""One PAS Claim judged on its own terms: header, lists, items.

Source: spec/pas.md §4, §8, and §13 for what 2.0.1 leaves open; the two packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import (
    as_objects,
    at,
    codings,
    extension,
    extensions,
    has_code,
    identifier_key,
    profiles,
)

_FULL_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def check_claim(claim: Json, place: str, guide: Guide) -> Iterator[Issue]:
    """Everything wrong with the Claim at `place`."""
    yield from _check_header(claim, place, guide)
    yield from _check_related(claim, place, guide)
    yield from _check_sequences(claim, place)
    for position, information in enumerate(as_objects(claim.get("supportingInfo"))):
        yield from _check_information(information, f"{place}.supportingInfo[{position}]", guide)
    for position, member in enumerate(as_objects(claim.get("careTeam"))):
        if extension(member, names.PAS + "extension-careTeamClaimScope") is None:
            yield Issue(text="Each care team member says its scope.", at=f"{place}.careTeam[{position}]")
    for position, item in enumerate(as_objects(claim.get("item"))):
        yield from _check_item(item, f"{place}.item[{position}]", guide)


def _check_header(claim: Json, place: str, guide: Guide) -> Iterator[Issue]:
    identifiers = as_objects(claim.get("identifier"))
    most = 2 if guide is Guide.STU2_2 else 1
    if not 1 <= len(identifiers) <= most or not all(identifier_key(item) for item in identifiers):
        yield Issue(text="One identifier (2.2: or two), with system and value.", at=f"{place}.identifier")
    for key, expected in (("status", "active"), ("use", "preauthorization")):
        if claim.get(key) != expected:
            yield Issue(text=f"Claim.{key} must be `{expected}`.", at=f"{place}.{key}")
    if not any(system == names.CLAIM_TYPE and code in names.CLAIM_TYPES for system, code in codings(claim.get("type"))):
        yield Issue(text="Claim.type must be institutional, professional or oral.", at=f"{place}.type")
    for key in ("patient", "created", "insurer", "provider", "priority", "insurance", "item"):
        if not claim.get(key):
            yield Issue(text=f"Claim.{key} is required.", at=f"{place}.{key}", code="required")
    for position, insurance in enumerate(as_objects(claim.get("insurance"))):
        if insurance.get("focal") is not True or not at(insurance, "coverage", "reference"):
            yield Issue(text="Each insurance is focal and names its coverage.", at=f"{place}.insurance[{position}]")


def _check_related(claim: Json, place: str, guide: Guide) -> Iterator[Issue]:
    related, claimed = as_objects(claim.get("related")), profiles(claim)
    if related and guide is Guide.STU2:
        if not identifier_key(at(related[0], "claim", "identifier")):
            yield Issue(text="related.claim.identifier names the prior.", at=f"{place}.related")
    elif related:
        if names.PAS + "profile-claim-update" not in claimed:
            yield Issue(text="A Claim with a prior is a profile-claim-update.", at=f"{place}.meta.profile")
        if len(related) > 1 or not has_code(related[0].get("relationship"), "prior", names.RELATED_CLAIM):
            yield Issue(text="related is one entry of relationship `prior`.", at=f"{place}.related", source="spec-65")
    elif not {names.PAS + "profile-claim", names.PAS + "profile-claim-update"} & set(claimed):
        yield Issue(text="Claim.meta.profile must name profile-claim.", at=f"{place}.meta.profile")


def _check_sequences(claim: Json, place: str) -> Iterator[Issue]:
    numbers: dict[str, list[Any]] = {}
    for key in ("item", "supportingInfo", "diagnosis", "careTeam", "insurance"):
        numbers[key] = [element.get("sequence") for element in as_objects(claim.get(key))]
        whole = [number for number in numbers[key] if isinstance(number, int) and number > 0]
        if len(whole) != len(numbers[key]) or len(set(whole)) != len(whole):
            yield Issue(text=f"{key}.sequence must be there and unique.", at=f"{place}.{key}", source="spec-22")
    links = (
        ("diagnosisSequence", "diagnosis"),
        ("informationSequence", "supportingInfo"),
        ("careTeamSequence", "careTeam"),
    )
    for position, item in enumerate(as_objects(claim.get("item"))):
        for key, target in links:
            listed = item.get(key, [])
            if not isinstance(listed, list) or any(number not in numbers[target] for number in listed):
                yield Issue(text=f"{key} names a {target} that is not there.", at=f"{place}.item[{position}].{key}")


def _check_information(information: Json, place: str, guide: Guide) -> Iterator[Issue]:
    category = information.get("category")
    if has_code(category, "additionalInformation", names.PAS_CODES):
        if not at(information, "valueReference", "reference"):
            yield Issue(text="Additional information is a valueReference.", at=f"{place}.value", source="spec-20")
        if any(key.startswith("timing") for key in information):
            yield Issue(text="Additional information has no timing.", at=f"{place}.timing")
        if guide is Guide.STU2:
            return
        described = extensions(information, names.PAS + "extension-documentInformation")
        if len(described) != 1 or extension(described[0], "reportTypeCode") is None:
            yield Issue(text="documentInformation with its reportTypeCode is required.", at=f"{place}.extension")
    elif has_code(category, "freeFormMessage", names.PAS_CODES) and not information.get("valueString"):
        yield Issue(text="A free form message is a valueString.", at=f"{place}.value")
    dates = (information.get("timingDate"), *_period(information.get("timingPeriod")))
    if any(value is not None and not is_full_date(value) for value in dates):
        yield Issue(text="Timing is in full dates.", at=f"{place}.timing", source="FullDateRule")


def _check_item(item: Json, place: str, guide: Guide) -> Iterator[Issue]:
    if guide is Guide.STU2_2:
        yield from _check_item_extensions(item, place)
        if not codings(item.get("locationCodeableConcept")):
            yield Issue(text="Each item has a location code.", at=f"{place}.locationCodeableConcept", code="required")
        dates = (item.get("servicedDate"), *_period(item.get("servicedPeriod")))
        if any(value is not None and not is_full_date(value) for value in dates):
            yield Issue(text="Service dates are full dates.", at=f"{place}.serviced", source="FullDateRule")
    if not codings(item.get("category")):
        yield Issue(text="Each item has a category.", at=f"{place}.category", code="required")
    elif not any(where == names.X12_CATEGORY for where, _ in codings(item.get("category"))):
        yield Issue(
            text=f"The category is a code of {names.X12_CATEGORY}.", at=f"{place}.category", code="code-invalid"
        )
    if not any(where in names.PRODUCT_SYSTEMS for where, _ in codings(item.get("productOrService"))):
        yield Issue(text="productOrService is of a listed code system.", at=f"{place}.productOrService")
    yield from _check_cancelled(item, place)


def _check_item_extensions(item: Json, place: str) -> Iterator[Issue]:
    required = (("serviceItemRequestType", names.X12_REQUEST_TYPE), ("certificationType", names.X12_CERTIFICATION))
    for name, system in required:
        found = extensions(item, f"{names.PAS}extension-{name}")
        if len(found) != 1 or not any(where == system for where, _ in codings(found[0].get("valueCodeableConcept"))):
            yield Issue(text=f"Each item has one {name} of {system}.", at=f"{place}.extension", code="required")


def _check_cancelled(item: Json, place: str) -> Iterator[Issue]:
    cancelled = is_cancelled(item)
    code = extension(item, names.PAS + "extension-certificationType")
    if cancelled != has_code(at(code, "valueCodeableConcept"), "3"):
        yield Issue(text="A cancelled item has infoCancelled and certification type 3.", at=place, source="prof-7")
    for change in extensions(item, names.PAS + "extension-infoChanged"):
        if change.get("valueCode") not in ("added", "changed"):
            yield Issue(text="infoChanged is `added` or `changed`.", at=f"{place}.extension", source="prof-10")


def is_cancelled(item: Json) -> bool:
    """Whether the item's modifier extension says it is cancelled."""
    marks = as_objects(item.get("modifierExtension"))
    return any(
        mark.get("url") == names.PAS + "modifierextension-infoCancelled" and mark.get("valueBoolean") is True
        for mark in marks
    )


def is_full_date(value: Any) -> bool:
    """Whether the value is a date of exactly ten characters."""
    return isinstance(value, str) and _FULL_DATE.fullmatch(value) is not None


def _period(value: Any) -> tuple[Any, Any]:
    return at(value, "start"), at(value, "end")
