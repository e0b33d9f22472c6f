"""Our own templates and measures: which there are, for which region, and what they need besides the questions.

A template is a folder under `questionnaires/`: the Questionnaire says what is asked and how each answer is
recorded, `template.toml` what it is for. The code here knows no body region and no diagnosis.
Source: spec/clinical.md §3, §4, §5.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from gateway.clinical.concept_rows import Codes, Measure, Part
from gateway.clinical.concepts import matches
from gateway.errors import NotFound, SettingsError
from gateway.fhir import Json
from gateway.fhir.json import parse_json

__all__ = [
    "Candidate",
    "Exam",
    "Instrument",
    "RedFlagTemplate",
    "exam_of",
    "instruments",
    "measure_forms",
    "red_flags_of",
    "require_instrument",
    "weight_of",
]


class Candidate(Part):
    """A diagnosis code that a clinician may choose; never chosen for them."""

    code: str
    """ICD-10-CM code."""
    label: str
    """Our own words for it."""
    kind: Literal["sign", "history", "diagnosis"]
    """A sign, a past illness, or a disease that must be documented and confirmed."""
    supported_by: Codes
    """Codes of findings (local, LOINC or SNOMED CT) that speak for it."""
    excludes: Codes = ()
    """Diagnoses that may not stand beside it (ICD-10-CM patterns)."""
    only_second: bool = False
    """It stands for a manifestation: another disease is coded first."""
    note: str = ""
    """What to know before choosing it."""


class RedFlagTemplate(Part):
    """One category of red-flag exception."""

    kind: Literal["red-flag"]
    """Kind of template."""
    catalog: str
    """Red-flag catalogue of the concepts that it belongs to."""
    category: str
    """Category that rule rows accept."""
    screen: str
    """Local code of the category and of its screening question."""
    order: int
    """Place in lists."""
    label: str
    """Our own words."""
    alert: str = ""
    """What must happen before anything else; empty where nothing must."""
    notes: tuple[str, ...] = ()
    """What is always shown beside it."""
    candidate: tuple[Candidate, ...] = ()
    """Codes that may be chosen."""


class Redirect(Part):
    """Documented diagnoses beside which another one is not coded."""

    when: Codes
    """ICD-10-CM patterns."""
    say: str
    """What to do instead."""


class Exam(Part):
    """An examination that a diagnosis may rest on."""

    kind: Literal["exam"]
    """Kind of template."""
    id: str
    """Examination of the concepts that it records."""
    label: str
    """Our own words."""
    notes: tuple[str, ...] = ()
    """What is always shown beside it."""
    statement: str
    """What a clinician asserts before the order's diagnosis is changed."""
    diagnosis_label: str
    """Our own words for the diagnosis that the findings may support."""
    diagnosis_snomed: str = ""
    """SNOMED CT code of it; empty for none."""
    redirect: tuple[Redirect, ...] = ()
    """Causes that are coded in place of the diagnosis."""


class MeasureForm(Part):
    """A questionnaire that fills one measure of the rules."""

    kind: Literal["measure"]
    """Kind of template."""
    measure: str
    """Name of the measure."""
    label: str
    """Our own words."""
    wording: bool = False
    """Its wording is licensed and not shipped."""


Template = Annotated[RedFlagTemplate | Exam | MeasureForm, Field(discriminator="kind")]
_TEMPLATE: TypeAdapter[Any] = TypeAdapter(Template)


class Instrument(Part):
    """One template with its questions."""

    slug: str
    """Name of its folder."""
    template: Template
    """What it is for."""
    questionnaire: dict[str, Any]
    """The Questionnaire; never changed."""

    @property
    def canonical(self) -> str:
        """`url|version`."""
        return f"{self.questionnaire['url']}|{self.questionnaire['version']}"

    @property
    def title(self) -> str:
        """Title for people."""
        return str(self.questionnaire["title"])


class Weight(Part):
    """Diagnoses that carry weight in risk adjustment."""

    patterns: Codes
    """ICD-10-CM patterns."""
    group: str
    """Group of the payer's model."""
    source: str
    """Where that is from."""


@cache
def instruments() -> tuple[Instrument, ...]:
    """Every packaged template, by folder name. Raises SettingsError that names the file and the key."""
    folders = sorted(files("questionnaires").iterdir(), key=lambda entry: entry.name)
    return tuple(_read(folder) for folder in folders if (folder / "template.toml").is_file())


def require_instrument(slug: str) -> Instrument:
    """The template of a folder; NotFound when there is none."""
    found = next((item for item in instruments() if item.slug == slug), None)
    if found is None:
        raise NotFound("There is no such template.", code="instrument.unknown")
    return found


def red_flags_of(catalog: str, accepted: Iterable[str]) -> tuple[Instrument, ...]:
    """Templates of a red-flag catalogue in their order: those of the categories that are accepted."""
    wanted = frozenset(accepted)
    found = [
        item
        for item in instruments()
        if isinstance(item.template, RedFlagTemplate)
        and item.template.catalog == catalog
        and item.template.category in wanted
    ]
    return tuple(sorted(found, key=lambda item: getattr(item.template, "order", 0)))


def exam_of(exam_id: str) -> Instrument | None:
    """The template of an examination, or None."""
    exams = (item for item in instruments() if isinstance(item.template, Exam))
    return next((item for item in exams if getattr(item.template, "id", "") == exam_id), None)


def measure_forms(measures: Iterable[Measure]) -> tuple[Instrument, ...]:
    """Questionnaires that fill one of these measures, in the order of the measures."""
    own = [item for item in instruments() if isinstance(item.template, MeasureForm)]
    names = list(dict.fromkeys(measure.base or measure.name for measure in measures))
    return tuple(item for name in names for item in own if getattr(item.template, "measure", "") == name)


def weight_of(code: str) -> str:
    """Risk-adjustment group of a diagnosis; empty for one without weight."""
    return next((row.group for row in _weights() if matches(code, row.patterns)), "")


@cache
def _weights() -> tuple[Weight, ...]:
    rows = _toml(files("questionnaires") / "risk-adjustment.toml", "risk-adjustment.toml")
    return tuple(Weight.model_validate(row) for row in rows["weight"])


def _read(folder: Traversable) -> Instrument:
    name = f"{folder.name}/template.toml"
    try:
        template = _TEMPLATE.validate_python(_toml(folder / "template.toml", name))
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{name}: {path}: {problem['msg']}.", code="instrument.template") from None
    questionnaire: Json = parse_json((folder / "questionnaire.json").read_bytes())
    return Instrument(slug=folder.name, template=template, questionnaire=dict(questionnaire))


def _toml(file: Traversable, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{name}: cannot be read: {type(error).__name__}.", code="instrument.template") from None
