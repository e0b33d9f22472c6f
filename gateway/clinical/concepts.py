"""The codes that the rules are about, read from data and asked by meaning.

`Concepts` answers questions such as *which drug is this* or *is this diagnosis about the region*;
the codes themselves are in `questionnaires/<slug>/concepts.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import SettingsError
from gateway.fhir import Json
from gateway.fhir.codes import CPT, HCPCS, ICD10_CM, LOINC, RXNORM, SNOMED, canonical_system, normalise_icd10
from gateway.fhir.reading import codings, text

Codes = tuple[str, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CodeMapRow(_Part):
    """An order code of another system and the CPT code it stands for."""

    system: str
    """System of the code."""
    code: str
    """The code."""
    cpt: str
    """CPT code."""


class OrderConcepts(_Part):
    """Which orders are looked at."""

    statuses: Codes
    """Order statuses in scope."""
    audit_statuses: Codes
    """Further statuses when past orders are audited."""
    intents: Codes
    """Order intents in scope."""
    adult_age: int
    """Age in years from which the rules apply."""
    acute_encounter_classes: Codes
    """Encounter classes to which they do not apply."""
    repeat_imaging_days: int
    """Earlier imaging within so many days is mentioned."""
    code_map: tuple[CodeMapRow, ...] = ()
    """Order codes of other systems."""


class Triggers(_Part):
    """Diagnoses that raise a red-flag question."""

    always: Codes
    """Whatever the screen says."""
    unless_screened: Codes
    """Unless all screens are negative."""
    never: Codes
    """Never."""


class Region(_Part):
    """One part of the body, with the services and diagnoses that belong to it."""

    name: str
    """Our word for it, used in sentences."""
    procedures: Codes
    """Imaging services of the region (CPT)."""
    contrast_procedures: Codes = ()
    """Those with contrast."""
    uncoded_words: Codes = ()
    """Words that make an uncoded order look like one of them."""
    symptom_code: str
    """Symptom diagnosis, the default."""
    diagnosis_code: str
    """Diagnosis that needs findings and may not be uncertain."""
    refinement_days: int
    """A symptom that ended so shortly before the diagnosis began is the same episode."""
    conditions: Codes
    """Diagnoses of the region (ICD-10-CM patterns)."""
    snomed_conditions: Codes = ()
    """Diagnoses of the region (SNOMED CT)."""
    body_sites: Codes = ()
    """Body sites of the region (SNOMED CT)."""
    red_flag_triggers: Triggers
    """Diagnoses that raise a red-flag question."""


class TherapyConcepts(_Part):
    """Physical therapy."""

    referral_codes: Codes
    """Codes of a referral (CPT)."""
    evaluation_codes: Codes
    """Evaluations: shown, not counted (CPT)."""
    category_snomed: Codes
    """Category of a referral (SNOMED CT)."""
    encounter_types: Codes
    """Type of a therapy visit (SNOMED CT)."""
    reminder_categories: Codes
    """Communication categories that are no contact."""


class Advice(_Part):
    """Activity advice (local codes)."""

    codes: Codes
    """All kinds."""
    home_exercise: str
    """The one that is a home exercise program."""


class Drug(_Part):
    """One ingredient."""

    name: str
    """Generic name."""
    ingredient: str
    """RxNorm ingredient."""
    kind: Annotated[str, Field(alias="class")]
    """Class; `other` counts for nothing."""
    products: Codes = ()
    """RxNorm products of it."""


class DrugRules(_Part):
    """How drugs are judged."""

    first_line: str
    """Class that counts first."""
    contraindications: Codes
    """Diagnoses that speak against it (ICD-10-CM patterns)."""
    stopped_ineffective: Codes
    """Stop reasons: did not work (local codes)."""
    stopped_intolerance: Codes
    """Stop reasons: not tolerated (local codes)."""


class Measure(_Part):
    """One outcome measure."""

    name: str
    """Name used by rule rows."""
    kind: Literal["items", "scale", "scale_with_narrative"]
    """Summed items read as per cent; one number; one number with a narrative."""
    label: str
    """Our word in sentences."""
    questionnaires: Codes = ()
    """Canonicals of its questionnaire."""
    items: Codes = ()
    """linkIds of its items."""
    item_max: int = 0
    """Largest value of an item."""
    min_items: int = 0
    """Fewest answered items of a valid score."""
    ordinals: Codes = ()
    """Answer codes by their value, 0 first."""
    totals: Codes = ()
    """LOINC codes of a total."""
    local_totals: Codes = ()
    """Local codes of a total."""
    total_max: int = 0
    """Largest total."""
    higher_is: Literal["worse", "better"] = "worse"
    """Direction."""
    plateau_below: Decimal | None = None
    """An improvement smaller than this is none (scales)."""
    residual: Decimal | None = None
    """Disability that must remain (scales)."""
    component: str = ""
    """Local code of the parts a total is the mean of."""
    min_components: int = 0
    """Fewest parts."""
    max_components: int = 0
    """Most parts."""
    base: str = ""
    """Measure that the narrative belongs to."""
    narrative_type: str = ""
    """Local code of the narrative document."""
    narrative_limit: str = ""
    """Local code of a limit that the narrative names."""


class Exam(_Part):
    """The neurologic examination."""

    present: str
    """Finding is present (SNOMED CT)."""
    absent: str
    """Finding is absent (SNOMED CT)."""
    normal: str
    """Asked and normal (SNOMED CT)."""
    side: str
    """Component that names the side (local)."""
    symptom: str
    """The arm symptom (local)."""
    radiation: str
    """Component that says where it goes (local)."""
    provocation: Codes
    """Provocative tests (local)."""
    upper_motor_neuron: Codes
    """Signs of the long tracts (local)."""
    right: str
    """Right side (SNOMED CT)."""
    left: str
    """Left side (SNOMED CT)."""
    both: str
    """Both sides (SNOMED CT)."""
    strength_grades: dict[str, int]
    """Strength codes with their order."""
    strength_normal: int
    """Full strength."""
    strength_severe: int
    """This or less is severe."""
    reflex_grades: dict[str, int]
    """Reflex codes with their order."""
    reflex_low: int
    """Low where the other side is not recorded."""
    sensation_grades: dict[str, int]
    """Sensation codes with their order."""
    sensation_normal: int
    """Normal sensation."""
    root_order: Codes
    """Roots from top to bottom."""
    motor: dict[str, Codes]
    """Strength sign → roots."""
    reflex: dict[str, Codes]
    """Reflex sign → roots."""
    sensory: dict[str, Codes]
    """Sensory sign → roots."""
    radiation_roots: dict[str, Codes]
    """Where the symptom goes → roots."""


class RedFlagConcepts(_Part):
    """What all red flags share."""

    attestation: str
    """Code of the attesting ClinicalImpression (local)."""
    attester_role: str
    """Agent type of the attester in a Provenance."""
    screens: Codes
    """Screening questions (local)."""
    negations: Codes
    """Words in a problem's text that contradict a confirmed status."""
    signs: Codes
    """Signs whose presence alone raises the question (local)."""


class Group(_Part):
    """One thing that an exception must document."""

    label: str
    """Our words for what is wanted."""
    any: Codes = ()
    """Local codes, any of them."""
    prefix: str = ""
    """Local codes that begin so, any of them."""
    loinc: Codes = ()
    """LOINC codes, any of them."""
    snomed: Codes = ()
    """SNOMED CT codes, any of them."""
    problems: Codes = ()
    """Diagnoses that satisfy it (ICD-10-CM patterns)."""
    present: bool = False
    """The finding must be present."""
    sided: bool = False
    """A finding that is present must name its side."""
    unsided: Codes = ()
    """Findings without a side."""
    counted: dict[str, str] = {}
    """Finding → component that must give a number."""
    pending: bool = False
    """An active order for it is enough."""
    max_age_days: int | None = None
    """Own age limit."""


class RedFlag(_Part):
    """One category of exception."""

    code: str
    """Category."""
    label: str
    """Our words for it."""
    screen: str
    """Its screening question and finding category (local)."""
    max_age_days: int
    """Oldest finding that counts."""
    needs: tuple[Group, ...]
    """Everything that must be documented."""


class Concepts(_Part):
    """All codes of one set of rules."""

    local_system: str
    """System of the local codes."""
    order: OrderConcepts
    """Orders."""
    region: tuple[Region, ...]
    """Regions."""
    therapy: TherapyConcepts
    """Physical therapy."""
    advice: Advice
    """Activity advice."""
    drug: tuple[Drug, ...]
    """Ingredients."""
    drug_rules: DrugRules
    """How drugs are judged."""
    measure: tuple[Measure, ...]
    """Outcome measures."""
    exam: Exam
    """Examination."""
    red_flags: RedFlagConcepts
    """What all red flags share."""
    red_flag: tuple[RedFlag, ...]
    """Red flags."""

    def region_of(self, cpt: str) -> Region | None:
        """The region that a service belongs to."""
        return next((region for region in self.region if cpt in region.procedures), None)

    def drug_of(self, rxcui: str) -> Drug | None:
        """The ingredient behind an RxNorm code; None for a code nobody here knows."""
        return next((drug for drug in self.drug if rxcui == drug.ingredient or rxcui in drug.products), None)

    def measure_named(self, name: str) -> Measure | None:
        """The measure that a rule row names."""
        return next((measure for measure in self.measure if measure.name == name), None)

    def local(self, concept: Any) -> frozenset[str]:
        """Local codes of a CodeableConcept."""
        return codes_in(concept, self.local_system)


def codes_in(concept: Any, *systems: str) -> frozenset[str]:
    """Codes of a CodeableConcept in one of `systems`, under any of their names; ICD-10-CM in written form."""
    wanted = {canonical_system(system) for system in systems}
    return frozenset(
        normalise_icd10(text(coding.get("code"))) if icd else text(coding.get("code"))
        for coding in codings(concept)
        if (system := canonical_system(text(coding.get("system")))) in wanted and coding.get("code")
        for icd in (system == ICD10_CM,)
    )


def service_codes(concept: Any) -> frozenset[str]:
    """CPT values of a CodeableConcept; payers hand CPT back as HCPCS (spec/clinical.md §1.1)."""
    return codes_in(concept, CPT, HCPCS)


def diagnoses(concept: Any) -> tuple[str, ...]:
    """ICD-10-CM codes of a CodeableConcept, in their order and in written form."""
    return tuple(
        normalise_icd10(text(coding.get("code")))
        for coding in codings(concept)
        if canonical_system(text(coding.get("system"))) == ICD10_CM and coding.get("code")
    )


def snomed_codes(concept: Any) -> frozenset[str]:
    """SNOMED CT codes of a CodeableConcept."""
    return codes_in(concept, SNOMED)


def loinc_codes(concept: Any) -> frozenset[str]:
    """LOINC codes of a CodeableConcept."""
    return codes_in(concept, LOINC)


def rxnorm_codes(concept: Any) -> frozenset[str]:
    """RxNorm codes of a CodeableConcept."""
    return codes_in(concept, RXNORM)


def matches(code: str, patterns: Iterable[str]) -> bool:
    """Whether an ICD-10-CM code fits one of the patterns: exact, `X-` with everything below, `A..B` by category."""
    plain = normalise_icd10(code).replace(".", "")
    return any(_fits(plain, pattern) for pattern in patterns)


def _fits(plain: str, pattern: str) -> bool:
    first, ranged, last = pattern.partition("..")
    bare = first.rstrip("-").replace(".", "")
    if ranged:
        return bare[:3] <= plain[:3] <= last.rstrip("-").replace(".", "")[:3]
    return plain.startswith(bare) if first.endswith("-") else plain == bare


def read_order_code(order: Json, concepts: Concepts) -> str | None:
    """The CPT code of an imaging order, also by the site's code map; None when it has none that is known here."""
    known = {code for region in concepts.region for code in region.procedures}
    own = service_codes(order.get("code"))
    mapped = [
        row.cpt
        for row in concepts.order.code_map
        for coding in codings(order.get("code"))
        if canonical_system(text(coding.get("system"))) == canonical_system(row.system)
        and coding.get("code") == row.code
    ]
    return next((code for code in [*sorted(own & known), *mapped, *sorted(own)]), None)


def parse_concepts(content: str, name: str = "concepts.toml") -> Concepts:
    """Concepts from TOML text; raises `SettingsError` with the path of the first key at fault."""
    try:
        return Concepts.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: not TOML: {error}", code="concepts") from None
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{name}: {path}: {problem['msg']}.", code="concepts") from None


@cache
def packaged_concepts(slug: str = "conservative-care") -> Concepts:
    """The packaged concepts of a set of rules; `SettingsError` when there are none."""
    try:
        content = (files("questionnaires") / slug / "concepts.toml").read_text("utf-8")
    except (OSError, ModuleNotFoundError):
        raise SettingsError(f"The package holds no concepts for {slug}.", code="concepts") from None
    return parse_concepts(content, f"{slug}/concepts.toml")
