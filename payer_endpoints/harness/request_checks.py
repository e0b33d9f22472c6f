"""A PAS request Bundle judged on its own terms, before anything is decided about it.

Steps: (1) the Bundle itself, (2) its entries and what they refer to, (3) every Claim, (4) the coverage and the people,
(5) attached documents. Source: spec/pas.md §3, §4; PAS 2.2.1 package. Optional elements are never asked for (conf-14).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.claim_checks import check_claim
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.document_checks import check_documents
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import (
    as_objects,
    as_text,
    at,
    entries,
    has_code,
    identifier_key,
    identifier_values,
    member_id,
    profiles,
    references,
    resources,
    type_of,
)

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_URN = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FULL_DATE = re.compile(r"\d{4}-\d\d-\d\d")
MAX_ENTRIES = 5_000


def check_request(bundle: Json, payer: Payer, guide: Guide = Guide.STU2_2) -> list[Issue]:
    """Everything wrong with a `$submit` Bundle; empty = it can be decided."""
    issues = list(check_bundle(bundle, "profile-pas-request-bundle"))
    claims = resources(bundle, "Claim")
    if type_of(bundle) != "Bundle" or not claims:
        return issues or [Issue(text="The Bundle holds no Claim.", at="Bundle.entry", source="spec-12")]
    if len(claims) > (2 if guide is Guide.STU2_2 else 1):
        issues.append(Issue(text="One Claim (2.2: and its prior, for an update).", at="Bundle.entry"))
    for position, (_, claim) in enumerate(claims):
        issues += check_claim(claim, f"Bundle.entry.resource.ofType(Claim)[{position}]", guide)
    if guide is Guide.STU2_2:
        issues += _check_update(claims)
    issues += check_people(bundle, claims[0][1], payer, guide)
    issues += check_documents(bundle, guide)
    return issues


def check_bundle(bundle: Json, profile: str) -> Iterator[Issue]:
    """Steps (1) and (2), the same for requests and inquiries."""
    if type_of(bundle) != "Bundle":
        yield Issue(text="The body must be one Bundle.", code="structure", at="Bundle", source="spec-11")
        return
    if bundle.get("type") != "collection":
        yield Issue(text="Bundle.type must be `collection`.", at="Bundle.type")
    if not identifier_key(bundle.get("identifier")):
        yield Issue(text="Bundle.identifier needs system and value.", at="Bundle.identifier", code="required")
    if not _INSTANT.fullmatch(as_text(bundle.get("timestamp"))):
        yield Issue(text="Bundle.timestamp must be an instant with its zone.", at="Bundle.timestamp", code="required")
    if names.PAS + profile not in profiles(bundle):
        yield Issue(text=f"Bundle.meta.profile must name {profile}.", at="Bundle.meta.profile")
    listed = bundle.get("entry")
    if not isinstance(listed, list) or not listed or len(as_objects(listed)) != len(listed):
        yield Issue(text="Bundle.entry must be a list of entries.", at="Bundle.entry", code="required")
        return
    if len(listed) > MAX_ENTRIES:
        yield Issue(text=f"More than {MAX_ENTRIES} entries.", at="Bundle.entry", code="too-long")
        return
    if type_of(entries(bundle)[0][1]) != "Claim":
        yield Issue(text="The first entry must be the Claim.", at="Bundle.entry[0]", source="spec-12")
    yield from _check_entries(bundle)
    yield from _check_references(bundle)


def _check_entries(bundle: Json) -> Iterator[Issue]:
    seen: set[str] = set()
    for position, entry in enumerate(as_objects(bundle.get("entry"))):
        place = f"Bundle.entry[{position}]"
        url = as_text(entry.get("fullUrl"))
        if not _URN.fullmatch(url) and not re.fullmatch(r"https?://[^\s|]+/[A-Za-z]+/[A-Za-z0-9.-]{1,64}", url):
            yield Issue(
                text="fullUrl must be a lower-case urn:uuid or the real url.", at=f"{place}.fullUrl", source="spec-16"
            )
        if url in seen:
            yield Issue(text="Two entries have the same fullUrl.", at=f"{place}.fullUrl", source="spec-14")
        seen.add(url)
        if not type_of(entry.get("resource")):
            yield Issue(text="Every entry needs a resource.", at=f"{place}.resource", code="required")
        for key in ("search", "request", "response"):
            if key in entry:
                yield Issue(text=f"entry.{key} is not allowed here.", at=f"{place}.{key}")


def _check_references(bundle: Json) -> Iterator[Issue]:
    """Every reference resolves inside, and every entry is reached from a Claim (spec-13, spec-18)."""
    listed = entries(bundle)
    known = {url for url, _ in listed}
    targets: dict[str, set[str]] = {}
    for position, (url, resource) in enumerate(listed):
        targets[url] = set()
        for path, text in references(resource):
            found = resolve(text, url, known, resource)
            if found is None and position > 0 and type_of(resource) == "Claim" and path.startswith("related["):
                continue  # The prior of a prior stays out of the Bundle (spec-66).
            if found is None:
                place = f"Bundle.entry[{position}].resource.{path}"
                yield Issue(
                    text="The reference leads to nothing in this Bundle.", at=place, code="not-found", source="spec-13"
                )
            elif found:
                targets[url].add(found)
        if type_of(resource) == "Bundle":
            targets[url] |= _reached_by_nested(resource, known)
            yield from _check_nested(resource, known, f"Bundle.entry[{position}].resource")
    reached = _reach({url for url, resource in listed if type_of(resource) == "Claim"}, targets)
    for position, (url, _) in enumerate(listed):
        if url not in reached:
            yield Issue(
                text="No reference leads here from the Claim.", at=f"Bundle.entry[{position}]", source="spec-18"
            )


def resolve(text: str, base: str, known: set[str], holder: Json) -> str | None:
    """The fullUrl a reference text means, "" for a contained resource, None where it leads nowhere."""
    if text.startswith("#"):
        contained = {as_text(item.get("id")) for item in as_objects(holder.get("contained"))}
        return "" if text == "#" or text[1:] in contained else None
    plain = text.split("/_history/")[0].split("#")[0]
    if plain in known:
        return plain
    if base.startswith("http") and not plain.startswith(("http", "urn:")):
        absolute = f"{base.rsplit('/', 2)[0]}/{plain}"
        return absolute if absolute in known else None
    return None


def _reached_by_nested(bundle: Json, known: set[str]) -> set[str]:
    """What a Bundle inside the Bundle refers to outside itself; its own entries are its own business."""
    found = {text for _, resource in entries(bundle) for _, text in references(resource)}
    return found & known


def _check_nested(bundle: Json, known: set[str], place: str) -> Iterator[Issue]:
    """A Bundle inside the Bundle (a form and what its answers refer to) resolves inside itself or outside."""
    listed = entries(bundle)
    inner = known | {url for url, _ in listed}
    for position, (url, resource) in enumerate(listed):
        for path, text in references(resource):
            if resolve(text, url, inner, resource) is None:
                spot = f"{place}.entry[{position}].resource.{path}"
                yield Issue(text="The reference leads to nothing in this Bundle.", at=spot, code="not-found")


def _reach(start: set[str], targets: dict[str, set[str]]) -> set[str]:
    reached, waiting = set(start), list(start)
    while waiting:
        fresh = targets.get(waiting.pop(), set()) - reached
        reached |= fresh
        waiting += fresh
    return reached


def _check_update(claims: list[tuple[str, Json]]) -> Iterator[Issue]:
    """An update names its prior and brings it along (spec-65, prof-4)."""
    if not as_objects(claims[0][1].get("related")):
        if len(claims) > 1:
            yield Issue(text="A second Claim is only for the prior of an update.", at="Bundle.entry", source="spec-65")
        return
    prior = as_text(at(as_objects(claims[0][1].get("related"))[0], "claim", "reference"))
    if len(claims) != 2 or claims[1][0] != prior:
        yield Issue(text="related.claim must be the other Claim of this Bundle.", at="Claim.related", source="prof-4")
        return
    kept = [item.get("sequence") for item in as_objects(claims[0][1].get("item"))]
    if any(item.get("sequence") not in kept for item in as_objects(claims[1][1].get("item"))):
        yield Issue(text="An update restates every item of its prior.", at="Claim.item", source="prof-5")


def check_people(bundle: Json, claim: Json, payer: Payer, guide: Guide) -> Iterator[Issue]:
    """Step (4): member, coverage, insurer, requestor as the Claim names them."""
    found = dict(entries(bundle))
    insurer = found.get(as_text(at(claim, "insurer", "reference")), {})
    coverage = found.get(coverage_reference(claim), {})
    patient = found.get(as_text(at(claim, "patient", "reference")), {})
    provider = found.get(as_text(at(claim, "provider", "reference")), {})
    yield from _check_kinds(patient, coverage, insurer, provider)
    yield from _check_coverage(coverage, claim, guide)
    if not any(identifier_key(item) for item in as_objects(patient.get("identifier"))):
        yield Issue(text="The patient needs an identifier with system and value.", at="Patient.identifier")
    if not as_text(patient.get("gender")) or not as_objects(patient.get("name")):
        yield Issue(text="The patient needs name and gender.", at="Patient", code="required")
    if "birthDate" in patient and not _FULL_DATE.fullmatch(as_text(patient["birthDate"])):
        yield Issue(text="birthDate must be a full date.", at="Patient.birthDate", source="FullDateRule")
    if payer.identifier not in identifier_values(insurer):
        yield Issue(text="This payer does not answer for the insurer named.", at="Claim.insurer", code="business-rule")
    for kind, resource in (("insurer", insurer), ("requestor", provider)):
        if type_of(resource) == "Organization" and (resource.get("active") is not True or not resource.get("name")):
            yield Issue(text=f"The {kind} needs active = true and a name.", at=f"Organization({kind})", code="required")
    for number in npis(bundle):
        if guide is Guide.STU2_2 and not is_npi(number):
            yield Issue(
                text="An NPI must be ten digits with a right check digit.", at="identifier", source="us-core-16"
            )


def _check_kinds(patient: Json, coverage: Json, insurer: Json, provider: Json) -> Iterator[Issue]:
    expected = (
        ("patient", patient, {"Patient"}),
        ("insurance.coverage", coverage, {"Coverage"}),
        ("insurer", insurer, {"Organization"}),
        ("provider", provider, {"Organization", "PractitionerRole"}),
    )
    for path, resource, kinds in expected:
        if type_of(resource) not in kinds:
            yield Issue(text=f"Claim.{path} must lead to {' or '.join(sorted(kinds))}.", at=f"Claim.{path}")


def _check_coverage(coverage: Json, claim: Json, guide: Guide) -> Iterator[Issue]:
    if guide is Guide.STU2:
        if not member_id(coverage) or coverage.get("status") != "active":
            yield Issue(text="Coverage is active and has a member number.", at="Coverage", code="required")
        return
    members = [item for item in as_objects(coverage.get("identifier")) if has_code(item.get("type"), "MB")]
    if len(members) != 1 or not as_text(members[0].get("value")):
        yield Issue(text="Coverage needs one member number of type MB.", at="Coverage.identifier", code="required")
    if coverage.get("status") != "active":
        yield Issue(text="Coverage.status must be `active`.", at="Coverage.status")
    if len(as_objects(coverage.get("payor"))) != 1:
        yield Issue(text="Coverage.payor must be exactly one.", at="Coverage.payor")
    elif at(as_objects(coverage["payor"])[0], "reference") != at(claim, "insurer", "reference"):
        yield Issue(text="Coverage.payor and Claim.insurer must be the same.", at="Coverage.payor", severity="warning")
    relationship = coverage.get("relationship")
    if not relationship:
        yield Issue(text="Coverage.relationship is required.", at="Coverage.relationship", code="required")
    if not has_code(relationship, "18") and not coverage.get("subscriber"):
        yield Issue(
            text="Without X12 relationship code 18 a subscriber is required.", at="Coverage", source="self-beneficiary"
        )


def coverage_reference(claim: Json) -> str:
    """Reference text of the first insurance's coverage."""
    insurance = as_objects(claim.get("insurance"))
    return as_text(at(insurance[0], "coverage", "reference")) if insurance else ""


def npis(bundle: Json) -> list[str]:
    """Every NPI in the Bundle."""
    return [number for _, resource in entries(bundle) for number in identifier_values(resource, names.NPI)]


def is_npi(number: Any) -> bool:
    """Ten digits whose Luhn sum over 80840 and the number is a multiple of ten."""
    text = as_text(number)
    if not re.fullmatch(r"[0-9]{10}", text):
        return False
    total = 0
    for position, digit in enumerate(reversed("80840" + text)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
