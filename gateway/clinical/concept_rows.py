"""Shape of the concepts file: one model for each table, unknown keys refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Codes = tuple[str, ...]
"""Code values of one system."""


class Part(BaseModel):
    """Base of every table: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CodeMapRow(Part):
    """An order code of another system and the CPT code it stands for."""

    system: str
    """System of the code."""
    code: str
    """The code."""
    cpt: str
    """CPT code."""


class OrderConcepts(Part):
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


class Triggers(Part):
    """Diagnoses that raise a red-flag question."""

    always: Codes
    """Whatever the screen says."""
    unless_screened: Codes
    """Unless all screens are negative."""
    never: Codes
    """Never."""


class Side(Part):
    """What belongs to one side of a region that has two."""

    conditions: Codes = ()
    """Diagnoses of this side (ICD-10-CM patterns)."""
    body_sites: Codes = ()
    """Body sites of this side (SNOMED CT)."""


class Sides(Part):
    """The two sides of a region; both empty for a region without sides."""

    right: Side = Side()
    """Right."""
    left: Side = Side()
    """Left."""


class SideWords(Part):
    """How an order names one side."""

    modifiers: Codes
    """Billing modifiers (HCPCS)."""
    qualifiers: Codes
    """Laterality (SNOMED CT)."""


class Answers(Part):
    """Answers to a question as other systems code them, each `system|code`."""

    yes: Codes = ()
    """Yes."""
    no: Codes = ()
    """No."""
    unknown: Codes = ()
    """Nobody could say, or nobody asked: no answer."""


class Laterality(Part):
    """How an order names its side."""

    right: SideWords
    """Right."""
    left: SideWords
    """Left."""


class Region(Part):
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
    diagnosis_code: str = ""
    """Diagnosis that needs findings and may not be uncertain; empty for a region without one."""
    refinement_days: int
    """A symptom that ended so shortly before the diagnosis began is the same episode."""
    conditions: Codes
    """Diagnoses of the region (ICD-10-CM patterns)."""
    snomed_conditions: Codes = ()
    """Diagnoses of the region (SNOMED CT)."""
    body_sites: Codes = ()
    """Body sites of the region (SNOMED CT)."""
    sides: Sides = Sides()
    """What belongs to one side only."""
    prior_imaging: Codes = ()
    """Plain imaging that comes first (CPT)."""
    excludes: dict[str, Codes] = {}
    """Diagnosis → diagnoses that are not coded with it (ICD-10-CM patterns, Excludes1)."""
    red_flag_triggers: Triggers
    """Diagnoses that raise a red-flag question."""


class TherapyConcepts(Part):
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


class Advice(Part):
    """Activity advice (local codes)."""

    codes: Codes
    """All kinds."""
    home_exercise: str
    """The one that is a home exercise program."""


class Drug(Part):
    """One ingredient."""

    name: str
    """Generic name."""
    ingredient: str
    """RxNorm ingredient."""
    kind: Annotated[str, Field(alias="class")]
    """Class; `other` counts for nothing."""
    products: Codes = ()
    """RxNorm products of it."""


class DrugRules(Part):
    """How drugs are judged."""

    first_line: str
    """Class that counts first."""
    contraindications: Codes
    """Diagnoses that speak against it (ICD-10-CM patterns)."""
    stopped_ineffective: Codes
    """Stop reasons: did not work (local codes)."""
    stopped_intolerance: Codes
    """Stop reasons: not tolerated (local codes)."""


class Measure(Part):
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
    mdc: Decimal | None = None
    """Largest improvement that still counts as none, inclusive, in the measure's own unit; wins over the row's."""
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


class Exam(Part):
    """The examination of one part of the body."""

    id: str = ""
    """Name by which a rule row chooses it."""
    present: str
    """Finding is present (SNOMED CT)."""
    absent: str
    """Finding is absent (SNOMED CT)."""
    normal: str
    """Asked and normal (SNOMED CT)."""
    side: str
    """Component that names the side (local)."""
    symptom: str
    """The symptom that goes into the limb (local)."""
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


class ExamTemplate(Part):
    """Another examination: what it does not name is that of the first one."""

    id: str
    """Name by which a rule row chooses it."""
    symptom: str
    """The symptom that goes into the limb (local)."""
    provocation: Codes
    """Provocative tests (local)."""
    upper_motor_neuron: Codes = ()
    """Signs of the long tracts (local)."""
    root_order: Codes = ()
    """Roots from top to bottom."""
    motor: dict[str, Codes]
    """Strength sign → roots."""
    reflex: dict[str, Codes] = {}
    """Reflex sign → roots."""
    sensory: dict[str, Codes] = {}
    """Sensory sign → roots."""
    radiation_roots: dict[str, Codes] = {}
    """Where the symptom goes → roots."""


class RedFlagConcepts(Part):
    """What all red flags share."""

    catalog: str = ""
    """Name by which a rule row chooses this catalogue."""
    notice: str = ""
    """Sentence that is always shown: an emergency that is not a question for this imaging."""
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


class Group(Part):
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


class RedFlag(Part):
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


class RedFlagCatalog(Part):
    """The exceptions of another part of the body."""

    id: str
    """Name by which a rule row chooses it."""
    notice: str = ""
    """Sentence that is always shown: an emergency that is not a question for this imaging."""
    screens: Codes
    """Screening questions (local)."""
    signs: Codes = ()
    """Signs whose presence alone raises the question (local)."""
    category: tuple[RedFlag, ...]
    """Categories."""


class RegionFile(Part):
    """One more part of the body, in a file of its own."""

    region: tuple[Region, ...]
    """The part itself."""
    measure: tuple[Measure, ...] = ()
    """Its outcome measures."""
    exam_template: tuple[ExamTemplate, ...] = ()
    """Its examination."""
    red_flag_catalog: tuple[RedFlagCatalog, ...] = ()
    """Its exceptions."""
