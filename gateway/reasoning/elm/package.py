"""The libraries of a questionnaire package: ELM taken out of FHIR Library resources, names resolved.

A library is known by its ELM identifier first, then by Library.name, then by the tail of its canonical; two
candidates are an error, never a guess (spec/dtr.md §6.1). A library that cannot be read keeps its reason and
fails only those who ask for it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import CompiledLibrary, LibrarySet, load_library
from gateway.reasoning.elm.shape import MAX_BYTES, listed

ELM_JSON: Final = "application/elm+json"


@dataclass(slots=True, kw_only=True)
class PackageLibraries:
    """What a package holds."""

    libraries: LibrarySet
    names: dict[str, list[CompiledLibrary]] = field(default_factory=dict)
    """By every name a form may use."""
    broken: dict[str, ReasoningError] = field(default_factory=dict)
    """Why a library cannot be used, by every name it has."""
    mains: tuple[CompiledLibrary, ...] = ()
    """Libraries with defines that no other library of the package includes."""

    def named(self, name: str) -> CompiledLibrary:
        """The library that a form calls by a name. Raises the library's own error, or `elm.library`."""
        by_identifier = [one for one in self.libraries.libraries if one.name == name]
        found = by_identifier or self.names.get(name, [])
        if len(found) == 1:
            return found[0]
        if not found and name in self.broken:
            raise self.broken[name]
        word = "Several libraries" if found else "No library"
        raise failure("library", f"{word} of the package can be the one that the form names.")

    def holding(self, define: str) -> CompiledLibrary:
        """The one library that has a define. Raises the error of a broken library when that may have had it."""
        found = [one for one in self.mains if define in one.defines]
        found = found or [one for one in self.libraries.libraries if define in one.defines]
        if len(found) == 1:
            return found[0]
        if not found and self.broken:
            raise next(iter(self.broken.values()))
        word = "Several libraries have" if found else "No library has"
        raise failure("define", f"{word} the define that is asked for.")


def read_package(resources: Iterable[Json]) -> PackageLibraries:
    """Libraries of FHIR Library resources. Never raises for what they hold."""
    compiled: list[CompiledLibrary] = []
    package = PackageLibraries(libraries=LibrarySet(()))
    for resource in resources:
        try:
            library = load_library(elm_of(resource))
        except ReasoningError as error:
            package.broken.update(dict.fromkeys(_names(resource), error))
            continue
        compiled.append(library)
        for name in dict.fromkeys((library.name, *_names(resource))):
            known = package.names.setdefault(name, [])
            if library not in known:
                known.append(library)
    package.libraries = LibrarySet(compiled)
    package.mains = main_libraries(package.libraries)
    return package


def main_libraries(libraries: LibrarySet) -> tuple[CompiledLibrary, ...]:
    """Libraries with defines that no other one includes; all with defines when they include each other."""
    included = {path for one in libraries.libraries for path, _ in one.includes.values()}
    with_defines = tuple(one for one in libraries.libraries if one.defines)
    return tuple(one for one in with_defines if one.name not in included) or with_defines


def _names(resource: Json) -> Iterator[str]:
    for key in ("name", "id"):
        if resource.get(key):
            yield str(resource[key])
    url = str(resource.get("url") or "").partition("|")[0]
    if url:
        yield url
        yield url.rpartition("/")[2]


def elm_of(resource: Json) -> bytes:
    """ELM JSON text of a Library resource. Raises `elm.library` when it has none that can be read."""
    for content in listed(resource.get("content")):
        if isinstance(content, Mapping) and _media_type(content) == ELM_JSON:
            return _decoded(content.get("data"))
    raise failure("library", "A library of the package has no compiled logic (ELM), so it cannot be run.")


def _media_type(content: Mapping[str, Any]) -> str:
    return str(content.get("contentType", "")).partition(";")[0].strip().lower()


def _decoded(data: Any) -> bytes:
    if not isinstance(data, str) or not data:
        raise failure("library", "A library of the package has compiled logic without content.")
    if len(data) > MAX_BYTES * 4 // 3 + 8:
        raise failure("limit", "The library is too large.")
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise failure("library", "A library of the package has content that is not base64.") from None
