"""What a clinician attests: the codes they may choose and what each rests on, what speaks against a choice,
and the exact words of the statement.

Nothing is chosen here. A sign needs a finding, a disease needs the word of the clinician that it is documented
and confirmed, and one with weight in risk adjustment a second word. Source: spec/clinical.md §4.1, §4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from gateway.clinical.concepts import Concepts, codes_in, matches
from gateway.clinical.instruments import Candidate, RedFlagTemplate, weight_of
from gateway.fhir import Json
from gateway.fhir.codes import ICD10_CM, LOINC, SNOMED
from gateway.fhir.reading import objects, one, text
from gateway.reasoning.record import reference_of

_FINAL: Final = frozenset({"final", "amended", "corrected"})
EXPEDITED: Final = (
    "Waiting for the standard time to decide could seriously jeopardize the patient's life, health, or ability to "
    "regain function."
)
"""What a clinician asserts to have the shorter time asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One finding that speaks for a code."""

    reference: str
    """`Type/id`; empty for an answer of this form that is not recorded yet."""
    line: str
    """What was found and when, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A code that may be chosen, with what speaks for it."""

    candidate: Candidate
    """The code."""
    evidence: tuple[Evidence, ...]
    """Findings, newest last; empty when nothing recorded speaks for it."""
    weight: str
    """Risk-adjustment group; empty for a code without weight."""
    texts: tuple[Evidence, ...] = ()
    """Findings in free text, which a person has to read: they speak for no code of themselves."""

    @property
    def needs_confirmation(self) -> bool:
        """Whether it may be chosen only as documented and confirmed."""
        return self.candidate.kind == "diagnosis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a clinician chose on the page."""

    codes: tuple[str, ...] = ()
    """Codes ticked, in the order of the template."""
    confirmed: frozenset[str] = frozenset()
    """Those said to be documented and confirmed."""
    weighed: frozenset[str] = frozenset()
    """Those confirmed a second time, because of their weight."""
    is_expedited: bool = False
    """The shorter time to decide is asked for."""
    renews_order: bool = False
    """The order is renewed as of the attestation."""


def make_offers(
    template: RedFlagTemplate, findings: Iterable[Json], concepts: Concepts, since: date, until: date
) -> tuple[Offer, ...]:
    """Every code of a template with the positive findings that speak for it, dated from `since` to `until`."""
    positive = [item for item in findings if is_positive(item, concepts) and since <= _day(item) <= until]

    def offer(candidate: Candidate) -> Offer:
        own = [item for item in positive if _codes(item, concepts) & set(candidate.supported_by)]
        return Offer(
            candidate=candidate,
            evidence=tuple(_evidence(item) for item in own if not _is_free_text(item)),
            weight=weight_of(candidate.code),
            texts=tuple(_evidence(item) for item in own if _is_free_text(item)),
        )

    return tuple(offer(candidate) for candidate in template.candidate)


def free_texts(offers: Iterable[Offer]) -> tuple[Evidence, ...]:
    """Each finding in free text that might matter to a code, once."""
    return tuple(dict.fromkeys(item for offer in offers for item in offer.texts))


def check_choices(offers: Sequence[Offer], choices: Choices) -> tuple[str, ...]:
    """What speaks against the choice, one sentence each; empty when nothing does. No code at all is a fair choice."""
    known = {offer.candidate.code: offer for offer in offers}
    problems = ["A code that is not offered was chosen."] if set(choices.codes) - set(known) else []
    chosen = [known[code] for code in choices.codes if code in known]
    for offer in chosen:
        problems += _against(offer, choices, [other.candidate for other in chosen if other is not offer])
    return tuple(problems)


def _against(offer: Offer, choices: Choices, others: Sequence[Candidate]) -> Iterator[str]:
    own = offer.candidate
    if own.kind == "sign" and not offer.evidence:
        yield f"{own.code}: no finding is recorded that it could rest on."
    if offer.needs_confirmation and own.code not in choices.confirmed:
        yield f"{own.code}: a suspected disease is not coded; choose a sign, or confirm that it is documented."
    if offer.weight and own.code not in choices.weighed:
        yield f"{own.code} carries weight in risk adjustment ({offer.weight}) and needs the second confirmation."
    for other in others:
        if matches(other.code, own.excludes):
            yield f"{own.code} and {other.code} exclude each other; choose one of them."
    if own.only_second and not any(other.kind == "diagnosis" and not other.only_second for other in others):
        yield f"{own.code} stands second only; choose the underlying disease as well."


def build_condition(
    offer: Offer, own: Mapping[str, Any], evidence: Iterable[str], recorder: Json, at: datetime
) -> dict[str, Any]:
    """A chosen code as a problem of the patient; `own` holds subject, encounter and onset."""
    coding = [{"system": ICD10_CM, "code": offer.candidate.code}]
    return build_problem(coding, offer.candidate.label, own, evidence, recorder, at)


def build_problem(
    coding: Sequence[Json], label: str, own: Mapping[str, Any], evidence: Iterable[str], recorder: Json, at: datetime
) -> dict[str, Any]:
    """An active, confirmed problem that a clinician recorded and asserts, with the findings it rests on."""
    details = [{"reference": item} for item in evidence]
    made: dict[str, Any] = {
        "resourceType": "Condition",
        "clinicalStatus": _status("condition-clinical", "active"),
        "verificationStatus": _status("condition-ver-status", "confirmed"),
        "category": [_status("condition-category", "problem-list-item")],
        "code": {"coding": [dict(item) for item in coding], "text": label},
        **own,
        "recordedDate": at.isoformat(timespec="seconds"),
        "recorder": recorder,
        "asserter": recorder,
        "evidence": [{"detail": details}] if details else [],
    }
    return {key: value for key, value in made.items() if value}


def statement_of(
    template: RedFlagTemplate, clinician: str, order: str, findings: Sequence[str], choices: Choices, at: datetime
) -> str:
    """The words that are attested, exactly as they stand on the page; every run over the same input gives the same."""
    lines = [
        f"Red-flag exception: {template.label} ({template.category}).",
        f"Order: {order}.",
        "Findings:",
        *(f"- {line}" for line in findings),
        f"Codes: {', '.join(choices.codes) or 'none'}.",
        *([f"Expedited: {EXPEDITED}"] if choices.is_expedited else []),
        f"I, {clinician}, examined this patient or reviewed these findings myself,",
        "and attest that they are recorded as they were found.",
        f"Attested at {at.isoformat(timespec='seconds')}.",
    ]
    return "\n".join(lines) + "\n"


def finding_lines(findings: Iterable[Json]) -> tuple[str, ...]:
    """Each finding in words, for people and for the statement."""
    return tuple(_line(item) for item in findings)


def is_positive(observation: Json, concepts: Concepts) -> bool:
    """Whether a finding speaks for something: present, abnormal, true, or a value; not absent, normal or false."""
    if text(observation.get("status")) not in _FINAL or observation.get("valueBoolean") is False:
        return False
    exam = concepts.exam
    value = one(observation.get("valueCodeableConcept"))
    local = concepts.local(value)
    if codes_in(value, SNOMED) & {exam.absent, exam.normal}:
        return False
    graded = (
        (exam.strength_grades, exam.strength_normal),
        (exam.sensation_grades, exam.sensation_normal),
    )
    if any(grades[code] >= normal for grades, normal in graded for code in local & set(grades)):
        return False
    if any(exam.reflex_grades[code] == exam.reflex_low + 1 for code in local & set(exam.reflex_grades)):
        return False
    return any(key.startswith("value") for key in observation)


def _is_free_text(observation: Json) -> bool:
    concept = one(observation.get("valueCodeableConcept"))
    return "valueString" in observation or (bool(concept) and not objects(concept.get("coding")))


def _codes(observation: Json, concepts: Concepts) -> frozenset[str]:
    code = observation.get("code")
    return concepts.local(code) | codes_in(code, LOINC) | codes_in(code, SNOMED)


def _day(observation: Json) -> date:
    try:
        return date.fromisoformat(text(observation.get("effectiveDateTime"))[:10])
    except ValueError:
        return date.min


def _evidence(observation: Json) -> Evidence:
    reference = reference_of(observation) if observation.get("id") else ""
    return Evidence(reference=reference, line=_line(observation))


def _line(observation: Json) -> str:
    code = one(observation.get("code"))
    name = text(code.get("text")) or next((text(item.get("code")) for item in objects(code.get("coding"))), "finding")
    parts = [words for part in objects(observation.get("component")) if (words := _words(part))]
    detail = f" ({', '.join(parts)})" if parts else ""
    joined = name if name.endswith("?") else f"{name}:"
    return f"{joined} {_words(observation)}{detail}, {text(observation.get('effectiveDateTime'))[:10]}"


def _words(element: Json) -> str:
    concept = one(element.get("valueCodeableConcept"))
    if concept:
        return text(concept.get("text")) or next(
            (text(item.get("code")) for item in objects(concept.get("coding"))), ""
        )
    quantity = one(element.get("valueQuantity"))
    if quantity:
        return f"{quantity.get('value')} {text(quantity.get('unit')) or text(quantity.get('code'))}".strip()
    if isinstance(element.get("valueBoolean"), bool):
        return "yes" if element["valueBoolean"] else "no"
    for name in ("valueString", "valueDateTime", "valueInteger"):
        if name in element:
            return str(element[name])
    return ""


def _status(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def weighty_codes(choices: Choices, offers: Sequence[Offer]) -> tuple[str, ...]:
    """Chosen codes with weight in risk adjustment: these are logged."""
    return tuple(offer.candidate.code for offer in offers if offer.weight and offer.candidate.code in choices.codes)
