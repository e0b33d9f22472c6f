"""A library compiled: its definitions by name, each turned into closures when it is first asked for.

Compiled libraries are shared by all evaluations of a process, by the digest of their ELM, and never change
except by filling in what is compiled late. `LibrarySet` joins the libraries of one package.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from gateway.errors import InputError, ReasoningError
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.reasoning.elm.failures import failure, limit
from gateway.reasoning.elm.shape import MAX_BYTES, MAX_NESTING, definitions, listed, local_name, require_library

Frame = list[Any]
"""Slot 0 holds the State, the others the aliases and operands of one define or function call."""
Run = Callable[[Frame], Any]

FHIR_URI: Final = "http://hl7.org/fhir"
SYSTEM_URI: Final = "urn:hl7-org:elm-types:r1"
_KEPT: Final = 64
_SPAN: Final = re.compile(r"(\d+):(\d+)(?:-(\d+):(\d+))?")


@dataclass(slots=True, eq=False)
class Define:
    """A named expression, or a function when it has operands."""

    library: CompiledLibrary
    name: str
    node: Json
    context: str = ""
    operands: tuple[tuple[str, Json | None], ...] | None = None
    """Names and type specifiers of a function's operands; None for an expression."""
    run: Run | None = None
    size: int = 1
    """Slots of a frame."""
    error: ReasoningError | None = None
    is_native: bool = False
    """Code of this engine: calls nothing, so it needs no frame of its own and no count of depth."""
    spelled: tuple[str, ...] | None = None
    """Operand types as text, filled in when overloads are told apart."""

    @property
    def is_context(self) -> bool:
        """Whether it is the define that translators make for the context, like `Patient`."""
        expression = self.node.get("expression")
        kind = expression.get("type") if isinstance(expression, Mapping) else ""
        return self.name == self.context and kind == "SingletonFrom"

    def prepared(self) -> Run:
        """The closure, compiled on first use. Raises what compiling it raised, every time."""
        if self.error is not None:
            raise self.error
        if self.run is None:
            from gateway.reasoning.elm.compiler import compile_define

            try:
                compile_define(self)
            except ReasoningError as error:
                self.error = error
                raise
            except RecursionError:
                self.error = failure("depth", "The library is nested too deeply.")
                raise self.error from None
        assert self.run is not None
        return self.run


@dataclass(slots=True, eq=False)
class CompiledLibrary:
    """One library. Compared by identity: equal digests are one object as long as the cache holds it."""

    name: str
    version: str
    digest: str
    fhir_version: str
    includes: Mapping[str, tuple[str, str]]
    """Path and version by local alias."""
    parameters: Mapping[str, Json]
    code_systems: Mapping[str, Json]
    value_sets: Mapping[str, Json]
    codes: Mapping[str, Json]
    concepts: Mapping[str, Json]
    defines: dict[str, Define] = field(default_factory=dict)
    functions: dict[str, list[Define]] = field(default_factory=dict)
    unknown_models: tuple[str, ...] = ()
    """Models the library uses that are neither System nor FHIR R4."""

    @property
    def label(self) -> str:
        """`name|version`."""
        return f"{self.name}|{self.version}" if self.version else self.name


_cache: OrderedDict[str, CompiledLibrary] = OrderedDict()
_lock = Lock()


def load_library(body: bytes) -> CompiledLibrary:
    """Library of ELM JSON text; compiled once per content.

    Raises ReasoningError `elm.library` for anything that is not ELM, `elm.limit` or `elm.depth` for too much of it.
    """
    if len(body) > MAX_BYTES:
        raise limit("The library is too large.")
    return _cached(hashlib.sha256(body).hexdigest(), lambda: _parse(body))


def _parse(body: bytes) -> Any:
    try:
        return parse_json(body, max_depth=MAX_NESTING)
    except InputError as error:
        if error.reason == "json.depth":
            raise failure("depth", "The library is nested too deeply.") from None
        raise failure("library", f"The library cannot be read. {error.message}") from None


def compile_library(elm: Json) -> CompiledLibrary:
    """Library of parsed ELM JSON (`{"library": …}`); compiled once per content. Errors as `load_library`."""
    require_library(elm)
    return _cached(hashlib.sha256(dump_json(elm)).hexdigest(), lambda: elm)


def _cached(digest: str, body: Callable[[], Any]) -> CompiledLibrary:
    with _lock:
        if digest in _cache:
            _cache.move_to_end(digest)
            return _cache[digest]
    made = _read(require_library(body()), digest)
    with _lock:
        _cache[digest] = made
        while len(_cache) > _KEPT:
            _cache.popitem(last=False)
    return made


def _read(library: Json, digest: str) -> CompiledLibrary:
    identifier = library.get("identifier")
    if not isinstance(identifier, Mapping):
        identifier = {}
    usings = {str(one.get("uri")): str(one.get("version") or "") for one in definitions(library, "usings")}
    made = CompiledLibrary(
        name=str(identifier.get("id", "")),
        version=str(identifier.get("version") or ""),
        digest=digest,
        fhir_version=usings.get(FHIR_URI, ""),
        includes={
            str(one.get("localIdentifier")): (str(one.get("path", "")), str(one.get("version") or ""))
            for one in definitions(library, "includes")
        },
        parameters=_named(library, "parameters"),
        code_systems=_named(library, "codeSystems"),
        value_sets=_named(library, "valueSets"),
        codes=_named(library, "codes"),
        concepts=_named(library, "concepts"),
        unknown_models=tuple(uri for uri, version in usings.items() if not _is_known_model(uri, version)),
    )
    for statement in definitions(library, "statements"):
        _add(made, statement)
    _mark_translation_errors(made, library)
    return made


def _is_known_model(uri: str, version: str) -> bool:
    return uri == SYSTEM_URI or (uri == FHIR_URI and version.startswith("4.0"))


def _named(library: Json, section: str) -> dict[str, Json]:
    return {str(one.get("name")): one for one in definitions(library, section)}


def _add(library: CompiledLibrary, statement: Json) -> None:
    name, context = str(statement.get("name")), str(statement.get("context") or "")
    if statement.get("type") == "FunctionDef" or "operand" in statement:
        operands = tuple(_operand(one) for one in listed(statement.get("operand")))
        library.functions.setdefault(name, []).append(Define(library, name, statement, context, operands))
    else:
        library.defines[name] = Define(library, name, statement, context)


def _operand(node: Json) -> tuple[str, Json | None]:
    specifier = node.get("operandTypeSpecifier")
    if specifier is None and node.get("operandType"):
        specifier = {"type": "NamedTypeSpecifier", "name": node["operandType"]}
    return str(node.get("name")), specifier


def _mark_translation_errors(library: CompiledLibrary, node: Json) -> None:
    """What the translator could not translate is null in the ELM; such defines fail instead of answering null.

    An error with a place marks the define it lies in; where defines carry no places, all of them are marked.
    """
    found = [
        one
        for one in listed(node.get("annotation"))
        if isinstance(one, Mapping)
        and one.get("type") == "CqlToElmError"
        and one.get("errorSeverity", "error") == "error"
        and one.get("libraryId") in (None, library.name)
    ]
    every = [*library.defines.values(), *(one for group in library.functions.values() for one in group)]
    for error in found:
        for define in [one for one in every if _covers(one.node, error)] or every:
            define.error = failure("translation", "The payer's logic has an error in it and was not run.")


def _covers(node: Json, error: Json) -> bool:
    match = _SPAN.match(str(node.get("locator", "")))
    line = error.get("startLine")
    if match is None or not isinstance(line, int):
        return False
    return int(match.group(1)) <= line <= int(match.group(3) or match.group(1))


class LibrarySet:
    """The libraries of one package, with includes resolved by ELM identifier.

    Two libraries of one name are no error until that name is asked for; then there is no guess.
    """

    def __init__(self, libraries: Iterable[CompiledLibrary]) -> None:
        self.libraries = tuple(dict.fromkeys(libraries))
        self._by_name: dict[str, list[CompiledLibrary]] = {}
        for one in self.libraries:
            self._by_name.setdefault(one.name, []).append(one)
        self._links: dict[tuple[CompiledLibrary, str], CompiledLibrary] = {}

    @property
    def fhir_version(self) -> str:
        """FHIR version of the first library that names one."""
        return next((one.fhir_version for one in self.libraries if one.fhir_version), "4.0.1")

    def named(self, name: str) -> CompiledLibrary | None:
        """The library of a name, or None. Raises `elm.library` when several versions could be meant."""
        found = self._by_name.get(name, [])
        if len(found) > 1:
            raise failure("library", "Several libraries of the package have the name that is asked for.")
        return found[0] if found else None

    def included(self, library: CompiledLibrary, alias: str) -> CompiledLibrary:
        """The library that an alias stands for. Raises `elm.include` when it is missing or includes itself."""
        key = (library, alias)
        if key not in self._links:
            found = self._resolve(library, alias)
            self._require_no_circle(library, found)
            self._links[key] = found
        return self._links[key]

    def _resolve(self, library: CompiledLibrary, alias: str) -> CompiledLibrary:
        if alias not in library.includes:
            raise failure("include", "The logic uses a library that it does not include.")
        path, version = library.includes[alias]
        candidates = self._by_name.get(path) or self._by_name.get(path.rpartition("/")[2], [])
        matching = [one for one in candidates if not version or one.version == version]
        if len(matching) == 1:
            return matching[0]
        if not candidates and path.rpartition("/")[2] == "FHIRHelpers":
            from gateway.reasoning.elm.helpers import native_helpers

            return native_helpers(version)
        if matching:
            raise failure("include", "Several libraries of the package could be the included one.")
        word = "in another version" if candidates else "missing"
        raise failure("include", f"A library that the logic includes is {word}.")

    def _require_no_circle(self, start: CompiledLibrary, found: CompiledLibrary) -> None:
        seen, waiting = {found}, [found]
        while waiting:
            at = waiting.pop()
            if at is start:
                raise failure("include", "The libraries of the package include each other in a circle.")
            for path, version in at.includes.values():
                for one in self._by_name.get(path, []):
                    if one not in seen and (not version or one.version == version):
                        seen.add(one)
                        waiting.append(one)


__all__ = ["CompiledLibrary", "Define", "Frame", "LibrarySet", "Run", "compile_library", "load_library", "local_name"]
