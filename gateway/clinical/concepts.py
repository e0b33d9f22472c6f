"""The codes that the rules are about, read from data and asked by meaning.

`Concepts` answers questions such as *which drug is this* or *is this diagnosis about the region*;
the codes themselves are in `questionnaires/<slug>/concepts.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, TypeVar

from pydantic import ValidationError

from gateway.clinical.concept_rows import (
    Advice,
    Answers,
    Drug,
    DrugRules,
    Exam,
    ExamTemplate,
    Group,
    Laterality,
    Measure,
    OrderConcepts,
    Part,
    RedFlag,
    RedFlagCatalog,
    RedFlagConcepts,
    Region,
    RegionFile,
    TherapyConcepts,
)
from gateway.errors import SettingsError
from gateway.fhir import Json
from gateway.fhir.codes import CPT, HCPCS, ICD10_CM, LOINC, RXNORM, SNOMED, canonical_system, normalise_icd10
from gateway.fhir.reading import codings, text

__all__ = [
    "Concepts",
    "Drug",
    "Group",
    "Measure",
    "RedFlag",
    "Region",
    "codes_in",
    "diagnoses",
    "loinc_codes",
    "matches",
    "packaged_concepts",
    "parse_concepts",
    "read_order_code",
    "rxnorm_codes",
    "service_codes",
    "snomed_codes",
    "with_regions",
]


class Concepts(Part):
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
    laterality: Laterality
    """How an order names its side."""
    answers: Answers = Answers()
    """Yes and no as other systems code them."""
    exam_template: tuple[ExamTemplate, ...] = ()
    """Examinations of other parts of the body."""
    red_flag_catalog: tuple[RedFlagCatalog, ...] = ()
    """Exceptions of other parts of the body."""

    def exam_named(self, name: str) -> Exam | None:
        """The examination a rule row chooses, the first one for an empty name; None for an unknown name."""
        if name in ("", self.exam.id):
            return self.exam
        chosen = next((template for template in self.exam_template if template.id == name), None)
        return self.exam.model_copy(update=dict(chosen)) if chosen else None

    def with_catalog(self, name: str) -> Concepts | None:
        """These concepts with the red flags a rule row chooses, the first ones for an empty name; None if unknown."""
        if name in ("", self.red_flags.catalog):
            return self
        chosen = next((catalog for catalog in self.red_flag_catalog if catalog.id == name), None)
        if chosen is None:
            return None
        shared = {"catalog": chosen.id, "notice": chosen.notice, "screens": chosen.screens, "signs": chosen.signs}
        return self.model_copy(
            update={"red_flags": self.red_flags.model_copy(update=shared), "red_flag": chosen.category}
        )

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
        if (system := canonical_system(text(coding.get("system")))) in wanted and text(coding.get("code"))
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
        if canonical_system(text(coding.get("system"))) == ICD10_CM and text(coding.get("code"))
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
    return _matches(code, tuple(patterns))


@lru_cache(maxsize=4096)
def _matches(code: str, patterns: tuple[str, ...]) -> bool:
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
    return _validated(Concepts, content, name)


def with_regions(concepts: Concepts, files: Iterable[tuple[str, str]]) -> Concepts:
    """The concepts with further parts of the body, each from the (name, TOML text) of a file of its own.

    Raises `SettingsError` with the path of the first key at fault, and where a name or a service stands twice.
    """
    for name, content in files:
        added = _validated(RegionFile, content, name)
        merged = {key: (*getattr(concepts, key), *rows) for key, rows in added if rows}
        concepts = concepts.model_copy(update=merged)
        _require_distinct(concepts, name)
    return concepts


def _require_distinct(concepts: Concepts, name: str) -> None:
    listed = {
        "region.name": [region.name for region in concepts.region],
        "region.procedures": [code for region in concepts.region for code in region.procedures],
        "measure.name": [measure.name for measure in concepts.measure],
        "exam_template.id": [concepts.exam.id, *(template.id for template in concepts.exam_template)],
        "red_flag_catalog.id": [concepts.red_flags.catalog, *(item.id for item in concepts.red_flag_catalog)],
    }
    for path, values in listed.items():
        if len(set(values)) < len(values):
            raise SettingsError(f"{name}: {path}: one of these stands in another file already.", code="concepts")


_Model = TypeVar("_Model", bound=Part)


def _validated(model: type[_Model], content: str, name: str) -> _Model:
    try:
        return model.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: not TOML: {error}", code="concepts") from None
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{name}: {path}: {problem['msg']}.", code="concepts") from None


@cache
def packaged_concepts(slug: str = "conservative-care") -> Concepts:
    """The packaged concepts of a set of rules with all its regions; `SettingsError` when there are none."""
    folder = files("questionnaires") / slug
    try:
        content = (folder / "concepts.toml").read_text("utf-8")
    except (OSError, ModuleNotFoundError):
        raise SettingsError(f"The package holds no concepts for {slug}.", code="concepts") from None
    regions = folder / "regions"
    more = [item for item in regions.iterdir() if item.name.endswith(".toml")] if regions.is_dir() else []
    texts = sorted((f"{slug}/regions/{item.name}", item.read_text("utf-8")) for item in more)
    return with_regions(parse_concepts(content, f"{slug}/concepts.toml"), texts)
