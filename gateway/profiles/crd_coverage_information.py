"""The coverage-information extension: read in every version, merged, and taken off again.

Readers know 2.0.1, 2.1 and 2.2 at once (spec/crd.md §8, §16). What a part means for the case is
decided in `gateway.policy.need`; a breach of the extension's invariants is a warning here and never
makes a decision disappear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date as calendar_date
from typing import Any

from gateway.fhir import Json
from gateway.fhir.extensions import extension_value, extension_values, extensions, value_of, without_extensions
from gateway.fhir.reading import calendar_day, codings, objects, one, text, thaw
from gateway.fhir.references import read_reference, reference_text, same_target
from gateway.profiles.urls import COVERAGE_INFORMATION

_BOTH = {"both": ("clinical", "admin")}
"""2.0.1 wrote `both` where later versions repeat doc-needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageDetail:
    """One detail of an assertion: a limit, a cost, a policy link."""

    category: str = ""
    """cat-limitation, cat-decisional or cat-other (2.2); empty in older versions."""
    code: str = ""
    """Code of the detail, whichever system it came in."""
    text: str = ""
    """Text or display of the code."""
    value: Any = None
    """boolean, string, url, Quantity or Period, as parsed."""
    qualification: str = ""
    """Free text that restricts the detail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageReason:
    """Why the payer says so."""

    code: str = ""
    """gold-card, no-member-found, … by code under either system; empty when only text was given."""
    text: str = ""
    """Text, or the display of the coding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageInformation:
    """One repetition of the extension: what a payer asserts about an order under one coverage."""

    coverage: str
    """Reference text of the Coverage, as it came."""
    covered: str
    """covered, not-covered, conditional, indeterminate; empty when missing."""
    pa_needed: str = ""
    """no-auth, auth-needed, satisfied, performpa, conditional, indeterminate; empty = no statement."""
    doc_needed: tuple[str, ...] = ()
    """clinical, admin, patient, conditional, indeterminate; `both` of 2.0.1 is read as clinical and admin."""
    doc_purpose: tuple[str, ...] = ()
    """withpa, withclaim, withorder, retain-doc, OTH."""
    info_needed: tuple[str, ...] = ()
    """performer, location, timeframe, contract-window, detail-code, OTH."""
    billing_codes: tuple[Json, ...] = ()
    """Codings: the assertion holds only if billed so."""
    reasons: tuple[CoverageReason, ...] = ()
    """Reasons, in order."""
    details: tuple[CoverageDetail, ...] = ()
    """Limits, costs and links."""
    dependency: tuple[str, ...] = ()
    """Reference texts of orders on which the assertion hinges."""
    questionnaires: tuple[str, ...] = ()
    """Canonicals of forms to fill."""
    responses: tuple[str, ...] = ()
    """References to QuestionnaireResponses (2.0.1 only)."""
    date: calendar_date | None = None
    """Day of the assertion."""
    assertion_id: str = ""
    """coverage-assertion-id: the trace id, DTR's `context`; kept forever."""
    satisfied_pa_id: str = ""
    """Number of an authorization that exists already."""
    contacts: tuple[str, ...] = ()
    """Where to ask, as plain text."""
    expiry_date: calendar_date | None = None
    """Last day of validity; None = unknown, not unlimited."""
    warnings: tuple[str, ...] = ()
    """Invariants that the repetition breaks; for staff, never a reason to drop it."""
    raw: Json = field(default_factory=dict)
    """The extension as it came."""


def read_coverage_informations(resource: Json) -> tuple[CoverageInformation, ...]:
    """The coverage-information repetitions of an order, in their order; empty when it has none."""
    return tuple(read_coverage_information(found) for found in extensions(resource, COVERAGE_INFORMATION))


def read_coverage_information(extension: Json) -> CoverageInformation:
    """One repetition of the extension. Missing or odd parts read as empty; nothing is raised."""
    needed = tuple(item for code in _codes(extension, "doc-needed") for item in _BOTH.get(code, (code,)))
    info = CoverageInformation(
        coverage=reference_text(extension_value(extension, "coverage")),
        covered=_code(extension, "covered"),
        pa_needed=_code(extension, "pa-needed"),
        doc_needed=needed,
        doc_purpose=_codes(extension, "doc-purpose"),
        info_needed=_codes(extension, "info-needed"),
        billing_codes=objects(list(extension_values(extension, "billingCode"))),
        reasons=tuple(_reason(value) for value in extension_values(extension, "reason")),
        details=tuple(_detail(found) for found in extensions(extension, "detail")),
        dependency=_references(extension, "dependency"),
        questionnaires=_codes(extension, "questionnaire"),
        responses=_references(extension, "response"),
        date=calendar_day(extension_value(extension, "date")),
        assertion_id=_code(extension, "coverage-assertion-id"),
        satisfied_pa_id=_code(extension, "satisfied-pa-id"),
        contacts=tuple(filter(None, map(_contact, extension_values(extension, "contact")))),
        expiry_date=calendar_day(extension_value(extension, "expiry-date")),
        raw=extension,
    )
    return _with_warnings(info)


def without_coverage_information(resource: Json) -> dict[str, Any]:
    """A copy of the order without any coverage-information."""
    return without_extensions(resource, COVERAGE_INFORMATION)


def merge_coverage_information(current: Json, answer: Json) -> dict[str, Any]:
    """The current order with the answer's coverage-information merged in; nothing else is taken over.

    Group by coverage and assertion id: for every group of the answer all stored repetitions go and all
    of the answer's come, in its order. Groups the answer does not name stay where they are.
    Source: spec/crd.md §9; crd:resp-33, resp-37.
    """
    arriving = extensions(answer, COVERAGE_INFORMATION)
    merged = thaw(current)
    kept = [item for item in objects(merged.get("extension")) if not _belongs_to_any(item, arriving)]
    if kept or arriving:
        merged["extension"] = [*kept, *(thaw(item) for item in arriving)]
    else:
        merged.pop("extension", None)
    return _extension_first(merged)


def in_force(infos: Iterable[CoverageInformation], on: calendar_date) -> tuple[CoverageInformation, ...]:
    """The repetitions that have not expired on that day; an assertion without expiry date stays."""
    return tuple(info for info in infos if info.expiry_date is None or on <= info.expiry_date)


def _belongs_to_any(item: Json, arriving: Iterable[Json]) -> bool:
    return item.get("url") == COVERAGE_INFORMATION and any(_same_group(item, other) for other in arriving)


def _same_group(left: Json, right: Json) -> bool:
    """Same coverage, whatever the form of its reference, and same assertion id."""
    ids = _code(left, "coverage-assertion-id") == _code(right, "coverage-assertion-id")
    covers = [reference_text(extension_value(item, "coverage")) for item in (left, right)]
    return ids and (covers[0] == covers[1] or same_target(covers[0], covers[1]))


def _extension_first(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Put `extension` where FHIR writes it, after the id, meta, text and contained elements."""
    head = (
        "resourceType",
        "id",
        "meta",
        "implicitRules",
        "_implicitRules",
        "language",
        "_language",
        "text",
        "contained",
    )
    order = [key for key in head if key in resource]
    order += ["extension"] if "extension" in resource else []
    order += [key for key in resource if key not in order]
    return {key: resource[key] for key in order}


def _code(extension: Json, part: str) -> str:
    return text(extension_value(extension, part)).strip()


def _codes(extension: Json, part: str) -> tuple[str, ...]:
    found = (text(value).strip() for value in extension_values(extension, part))
    return tuple(dict.fromkeys(code for code in found if code))


def _references(extension: Json, part: str) -> tuple[str, ...]:
    return tuple(filter(None, map(reference_text, extension_values(extension, part))))


def _reason(value: Any) -> CoverageReason:
    coding = next(iter(codings(value)), {})
    return CoverageReason(
        code=text(coding.get("code")), text=text(one(value).get("text")) or text(coding.get("display"))
    )


def _detail(extension: Json) -> CoverageDetail:
    concept = one(extension_value(extension, "code"))
    coding = next(iter(codings(concept)), {})
    category = extension_value(extension, "category")
    first_category = next(iter(codings(category)), {})
    return CoverageDetail(
        category=text(category) or text(first_category.get("code")),
        code=text(coding.get("code")),
        text=text(concept.get("text")) or text(coding.get("display")),
        value=next((value_of(found) for found in extensions(extension, "value")), None),
        qualification=_code(extension, "qualification"),
    )


def _contact(value: Any) -> str:
    """A ContactDetail (2.2) or ContactPoint (2.0.1, 2.1) as one line."""
    contact = one(value)
    points = objects(contact.get("telecom")) or (contact,)
    shown = [text(contact.get("name")), *(text(point.get("value")) for point in points)]
    return " ".join(part for part in shown if part)


def _with_warnings(info: CoverageInformation) -> CoverageInformation:
    found = tuple(message for message, broken in _breaches(info) if broken)
    if not found:
        return info
    fields = {name: getattr(info, name) for name in CoverageInformation.__slots__}
    return CoverageInformation(**{**fields, "warnings": found})


def _breaches(info: CoverageInformation) -> tuple[tuple[str, bool], ...]:
    """Invariants of spec/crd.md §8, as written there; q4 as meant, since its expression misspells `no-auth`."""
    conditional = "conditional" in (info.covered, info.pa_needed, *info.doc_needed)
    indeterminate = "indeterminate" in (info.covered, info.pa_needed, *info.doc_needed)
    closed = info.covered == "not-covered" or info.pa_needed in ("satisfied", "no-auth")
    return (
        ("no coverage named", not info.coverage),
        ("no coverage-assertion-id", not info.assertion_id),
        ("q1: a questionnaire without doc-needed", bool(info.questionnaires) and not info.doc_needed),
        (
            "q2: not covered, and yet a statement on authorization",
            info.covered == "not-covered" and bool(info.pa_needed),
        ),
        ("q3: conditional without info-needed", conditional and not info.info_needed),
        ("q4: documents for an authorization that is not needed", closed and "withpa" in info.doc_purpose),
        ("q5: satisfied and number do not go together", (info.pa_needed == "satisfied") != bool(info.satisfied_pa_id)),
        ("q6: other information needed without a reason", "OTH" in info.info_needed and not info.reasons),
        ("q9: indeterminate without a reason", indeterminate and not info.reasons),
    )


def coverage_id(info: CoverageInformation) -> str:
    """The logical id of the Coverage an assertion speaks of; empty when the reference names none."""
    return read_reference(info.coverage).id
