"""Files of a command line as a package: ELM, FHIR Library and ValueSet resources, Bundles and Parameters of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import InputError, ReasoningError
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.package import ELM_JSON, PackageLibraries, read_package
from gateway.reasoning.elm.shape import MAX_NESTING, listed


def read_files(files: list[tuple[str, bytes]]) -> tuple[PackageLibraries, list[Json]]:
    """Libraries and value sets of named files. A file that cannot be read is a broken library of its name."""
    libraries: list[Json] = []
    value_sets: list[Json] = []
    broken: dict[str, ReasoningError] = {}
    for name, body in files:
        try:
            found = parse_file(body)
        except ReasoningError as error:
            broken[name] = error
            continue
        if "library" in found:
            data = base64.b64encode(body).decode()
            libraries.append({"id": name, "content": [{"contentType": ELM_JSON, "data": data}]})
            continue
        resources = list(resources_of(found))
        libraries += [one for one in resources if one.get("resourceType") == "Library"]
        value_sets += [one for one in resources if one.get("resourceType") == "ValueSet"]
        if not any(one.get("resourceType") in ("Library", "ValueSet") for one in resources):
            broken[name] = failure("library", "The file holds neither ELM nor FHIR libraries or value sets.")
    package = read_package(libraries)
    package.broken.update(broken)
    return package, value_sets


def parse_file(body: bytes) -> Json:
    """JSON object of a file. Raises `elm.library` when it is none, `elm.depth` when it is nested too deeply."""
    try:
        found = parse_json(body, max_depth=MAX_NESTING)
    except InputError as error:
        kind = "depth" if error.reason == "json.depth" else "library"
        raise failure(kind, f"The file cannot be read. {error.message}") from None
    if not isinstance(found, Mapping):
        raise failure("library", "The file is not a JSON object.")
    return found


def resources_of(value: Any) -> Iterator[Json]:
    """A resource, and those inside Bundles, Parameters and `contained`, each after its holder."""
    if not isinstance(value, Mapping) or "resourceType" not in value:
        return
    yield value
    for entry in (*listed(value.get("entry")), *listed(value.get("parameter"))):
        if isinstance(entry, Mapping):
            yield from resources_of(entry.get("resource"))
    for resource in listed(value.get("contained")):
        yield from resources_of(resource)
