"""Whose words a licensed questionnaire is shown in, and whether answers to those words count.

The questions of some measures belong to their authors and are not shipped. An operator with a licence gives
them in a file; without one there are generic anchors for synthetic patients, and plain numbers for what was
filled in on paper. A response says which words it was answered in. Source: spec/clinical.md §3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from pydantic import Field, ValidationError, field_validator

from gateway.clinical.concept_rows import Part
from gateway.errors import InputError, SettingsError
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.fhir.reading import objects, text, thaw
from gateway.reasoning.record import RecordSnapshot

WORDING_SOURCE: Final = "urn:oid:2.25.94492686211768030265051248232142081200.6"
"""Extension of a response, and of a score made from it: the source of its wording."""
Source = Literal["licensed", "neutral-demo", "transcribed"]
ANCHORS: Final = (
    "not at all",
    "slightly",
    "moderately",
    "considerably",
    "severely",
    "completely, or unable",
)
"""Generic anchors of our own, 0 to 5; they are no translation of any index."""
NOT_VALIDATED: Final = "Not the validated {label}: generic words for synthetic patients."
GENERIC: Final = "neutral-demo"
"""Source of generic words, which count nowhere but in a demonstration."""
MAX_FILE: Final = 1_000_000
"""Bytes of a wording file."""


class WordingItem(Part):
    """One question of a wording file."""

    text: str = Field(min_length=1, max_length=1000)
    """The question."""
    options: tuple[str, ...] = Field(min_length=2, max_length=11)
    """Texts of its answers, from value 0 upwards."""


class WordingFile(Part):
    """A wording file: words under licence for one questionnaire."""

    questionnaire: str
    """Canonical it is for, with or without a version."""
    language: str = Field(min_length=2, max_length=35)
    """Language of the words (BCP 47)."""
    licence: str
    """Reference of the licence under which the words may be used here."""
    items: dict[str, WordingItem]
    """Questions by linkId."""

    @field_validator("licence")
    @classmethod
    def _has_reference(cls, value: str) -> str:
        if len(value.strip()) < 3:
            raise ValueError("a licence reference is needed; without one the words may not be used")
        return value.strip()


class WordingProvider(Protocol):
    """Gives a questionnaire its words."""

    @property
    def source(self) -> Source:
        """What responses say of the words they were answered in."""

    @property
    def licence(self) -> str:
        """Reference of the licence; empty where none is needed."""

    def notice(self, label: str) -> str:
        """What must stand on the page; empty for nothing."""

    def worded(self, questionnaire: Json) -> dict[str, Any]:
        """A copy of the questionnaire in these words; codes and values stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicensedWording:
    """Words from an operator's file."""

    file: WordingFile = field(repr=False)
    """The file, read."""
    source: Source = "licensed"
    """See the protocol."""

    @property
    def licence(self) -> str:
        """See the protocol."""
        return self.file.licence

    def notice(self, label: str) -> str:
        """See the protocol."""
        return f"Words under licence: {self.licence}"

    def worded(self, questionnaire: Json) -> dict[str, Any]:
        """See the protocol."""
        return _worded(questionnaire, {key: (row.text, row.options) for key, row in self.file.items.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class NeutralDemoWording:
    """Generic anchors for every topic."""

    source: Source = "neutral-demo"
    """See the protocol."""
    licence: str = ""
    """See the protocol."""

    def notice(self, label: str) -> str:
        """See the protocol."""
        return NOT_VALIDATED.format(label=label)

    def worded(self, questionnaire: Json) -> dict[str, Any]:
        """See the protocol."""
        items = objects(questionnaire.get("item"))
        words = {text(item.get("linkId")): (f"{text(item.get('text'))}: limited", ANCHORS) for item in items}
        return _worded(questionnaire, words)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribedWording:
    """No words at all: numbers of a form that was filled in on paper, by topic."""

    source: Source = "transcribed"
    """See the protocol."""
    licence: str = ""
    """See the protocol."""

    def notice(self, label: str) -> str:
        """See the protocol."""
        return f"Enter the numbers of a {label} that was filled in on paper; leave open what was left blank there."

    def worded(self, questionnaire: Json) -> dict[str, Any]:
        """See the protocol."""
        return dict(thaw(questionnaire))


def read_wording(raw: bytes, questionnaire: Json, name: str = "instruments.wording_file") -> LicensedWording:
    """Words of a file for a questionnaire.

    Raises SettingsError that names the file and the key: not JSON, an unknown key, no licence reference,
    words for another questionnaire, a question without words, or another number of answers.
    """
    if len(raw) > MAX_FILE:
        raise SettingsError(f"{name}: the file is larger than a wording file can be.", code="wording.file")
    try:
        file = WordingFile.model_validate(parse_json(raw))
    except InputError as error:
        raise SettingsError(f"{name}: not JSON: {error.message}", code="wording.file") from None
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"]) or "(the whole)"
        raise SettingsError(f"{name}: {path}: {problem['msg']}.", code="wording.file") from None
    _require_fit(file, questionnaire, name)
    return LicensedWording(file=file)


def choose_wording(licensed: LicensedWording | None, *, is_production: bool) -> WordingProvider:
    """Whose words are used: licensed ones; else numbers only in production, generic anchors elsewhere."""
    if licensed is not None:
        return licensed
    return TranscribedWording() if is_production else NeutralDemoWording()


def stamp(source: Source, licence: str = "") -> dict[str, Any]:
    """The extension that says in whose words a response was answered."""
    parts: list[dict[str, Any]] = [{"url": "source", "valueCode": source}]
    parts += [{"url": "licence", "valueString": licence}] if licence else []
    return {"url": WORDING_SOURCE, "extension": parts}


def wording_source(resource: Json) -> str:
    """Source of the words of a response or score; empty for one that came from elsewhere."""
    for extension in objects(resource.get("extension")):
        if extension.get("url") == WORDING_SOURCE:
            parts = {text(part.get("url")): text(part.get("valueCode")) for part in objects(extension.get("extension"))}
            return parts.get("source", "")
    return ""


def countable(record: RecordSnapshot, *, is_production: bool) -> RecordSnapshot:
    """The record that rules may look at: in production without answers to generic words."""
    if not is_production:
        return record
    kept = [item for item in record.all() if wording_source(item) != GENERIC]
    return record if len(kept) == len(record.all()) else RecordSnapshot(kept)


def _require_fit(file: WordingFile, questionnaire: Json, name: str) -> None:
    own = f"{questionnaire.get('url')}|{questionnaire.get('version')}"
    if file.questionnaire not in (own, questionnaire.get("url")):
        raise SettingsError(f"{name}: questionnaire: the words are for another one than {own}.", code="wording.file")
    expected = {text(item.get("linkId")): len(objects(item.get("answerOption"))) for item in _questions(questionnaire)}
    for link_id, count in expected.items():
        if link_id not in file.items:
            raise SettingsError(f"{name}: items.{link_id}: this question has no words.", code="wording.file")
        if len(file.items[link_id].options) != count:
            where = f"{name}: items.{link_id}.options"
            raise SettingsError(f"{where}: {count} texts are expected, for 0 to {count - 1}.", code="wording.file")
    unknown = sorted(set(file.items) - set(expected))
    if unknown:
        raise SettingsError(f"{name}: items.{unknown[0]}: the questionnaire has no such question.", code="wording.file")


def _questions(questionnaire: Json) -> tuple[Json, ...]:
    return tuple(item for item in objects(questionnaire.get("item")) if item.get("type") == "choice")


def _worded(questionnaire: Json, words: Mapping[str, tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    made: dict[str, Any] = thaw(questionnaire)
    for item in made.get("item", ()):
        if item.get("linkId") in words and item.get("type") == "choice":
            item["text"], texts = words[item["linkId"]]
            for option, shown in zip(item["answerOption"], texts, strict=True):
                option["valueCoding"]["display"] = shown
    return made
