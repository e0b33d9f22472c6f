"""The forms a payer hands out: Questionnaire, libraries, value sets, from the folders of `questionnaires` and our own.

A library folder may hold FHIR Library resources, or pairs of CQL text and compiled ELM of the same name; a pair becomes
one Library with both as content. Source: spec/dtr.md §4.3, §6.2.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness.reading import as_object, as_objects, as_text, at, extensions, parse_body, type_of

CQF_LIBRARY = "http://hl7.org/fhir/StructureDefinition/cqf-library"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormParts:
    """One form with what it needs."""

    slug: str
    questionnaire: Json
    libraries: tuple[Json, ...]
    value_sets: tuple[Json, ...]

    @property
    def canonical(self) -> str:
        """url|version, or the url where it has no version."""
        url, version = as_text(self.questionnaire.get("url")), as_text(self.questionnaire.get("version"))
        return f"{url}|{version}" if version else url


class FormShelf:
    """Forms by folder name, read when first asked for."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._read = lru_cache(maxsize=64)(self._load)

    def form(self, slug: str) -> FormParts | None:
        """The form in folder `slug`; None where there is none."""
        return self._read(slug)

    def canonicals(self, slugs: tuple[str, ...]) -> list[str]:
        """Canonicals of these forms, in order, absent ones left out."""
        return [form.canonical for form in map(self.form, slugs) if form is not None]

    def by_canonical(self, canonical: str) -> FormParts | None:
        """The form with this url, and this version where one is named."""
        url, _, version = canonical.partition("|")
        for slug in self._slugs():
            form = self.form(slug)
            if form and form.questionnaire.get("url") == url and version in ("", form.questionnaire.get("version")):
                return form
        return None

    def value_set(self, canonical: str) -> Json | None:
        """The expanded value set of any form with this url, and this version where one is named."""
        url, _, version = canonical.partition("|")
        for form in filter(None, map(self.form, self._slugs())):
            for one in form.value_sets:
                if one.get("url") == url and version in ("", one.get("version")) and at(one, "expansion", "contains"):
                    return one
        return None

    def _roots(self) -> list[Traversable]:
        """Where forms lie: the project's own, then those of the harness."""
        if self._folder is not None:
            return [self._folder]
        return [files("questionnaires"), files("payer_endpoints.harness") / "forms"]

    def _slugs(self) -> list[str]:
        folders = (entry for root in self._roots() for entry in root.iterdir())
        return sorted(entry.name for entry in folders if (entry / "questionnaire.json").is_file())

    def _load(self, slug: str) -> FormParts | None:
        folders = (root / slug for root in self._roots())
        folder = next((one for one in folders if (one / "questionnaire.json").is_file()), None)
        if folder is None:
            return None
        questionnaire, _ = parse_body((folder / "questionnaire.json").read_bytes())
        if questionnaire is None or type_of(questionnaire) != "Questionnaire":
            return None
        return FormParts(
            slug=slug,
            questionnaire=questionnaire,
            libraries=tuple(_libraries(folder / "library", questionnaire)),
            value_sets=tuple(_resources(folder / "valuesets", "ValueSet")),
        )


def _files(folder: Traversable) -> list[Traversable]:
    return (
        sorted((entry for entry in folder.iterdir() if entry.is_file()), key=lambda entry: entry.name)
        if folder.is_dir()
        else []
    )


def _resources(folder: Traversable, kind: str) -> list[Json]:
    found = [parse_body(entry.read_bytes())[0] for entry in _files(folder) if entry.name.endswith(".json")]
    return [resource for resource in found if resource is not None and type_of(resource) == kind]


def _libraries(folder: Traversable, questionnaire: Json) -> list[Json]:
    ready = _resources(folder, "Library")
    named = {as_text(library.get("name")) for library in ready}
    wanted = [as_text(item.get("valueCanonical")) for item in extensions(questionnaire, CQF_LIBRARY)]
    for entry in _files(folder):
        elm, _ = parse_body(entry.read_bytes()) if entry.name.endswith(".json") else (None, "")
        identifier = as_object(at(elm, "library", "identifier"))
        name = as_text(identifier.get("id"))
        if name and name not in named:
            ready.append(_library(folder, entry, identifier, wanted, elm or {}))
    return ready


def _library(folder: Traversable, entry: Traversable, identifier: Json, wanted: list[str], elm: Json) -> dict[str, Any]:
    """A Library resource around compiled ELM and the CQL text beside it."""
    name, version = as_text(identifier.get("id")), as_text(identifier.get("version"))
    urls = [canonical.split("|")[0] for canonical in wanted if canonical.split("|")[0].endswith(f"/{name}")]
    base = wanted[0].split("|")[0].rpartition("/")[0] if wanted else "https://payer.example.org/Library"
    contents = [_content("application/elm+json", entry.read_bytes())]
    cql = folder / (entry.name.rpartition(".")[0] + ".cql")
    if cql.is_file():
        contents.insert(0, _content("text/cql", cql.read_bytes()))
    library: dict[str, Any] = {"resourceType": "Library", "url": urls[0] if urls else f"{base}/{name}"}
    if version:
        library["version"] = version
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/library-type", "code": "logic-library"}]}
    library |= {"name": name, "status": "active", "type": kind}
    needed = [_depends_on(include, base) for include in as_objects(at(elm, "library", "includes", "def"))]
    return library | ({"relatedArtifact": needed} if needed else {}) | {"content": contents}


def _depends_on(include: Json, base: str) -> dict[str, Any]:
    version = as_text(include.get("version"))
    path = as_text(include.get("path")).rpartition("/")[2]
    return {"type": "depends-on", "resource": f"{base}/{path}" + (f"|{version}" if version else "")}


def _content(media_type: str, body: bytes) -> dict[str, Any]:
    return {"contentType": media_type, "data": base64.b64encode(body).decode("ascii")}
