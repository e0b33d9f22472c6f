"""Value sets as sets of codes, from the package alone. What cannot be told raises; it is never "no".

An expansion that is incomplete can prove that a code is in, never that it is not (field case B29).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, Concept, ValueSet
from gateway.reasoning.elm.failures import failure

_MAX_NESTING: Final = 8


@dataclass(frozen=True, slots=True)
class CodeSet:
    """Codes of a value set."""

    pairs: frozenset[tuple[str | None, str]]
    codes: frozenset[str]
    is_complete: bool
    listed: tuple[Code, ...]

    def has(self, code: Code) -> bool:
        """Whether the code is in. Raises `elm.valueset` when an incomplete list does not settle it."""
        found = (code.system, code.code) in self.pairs if code.system else code.code in self.codes
        return self._settled(found)

    def has_text(self, code: str) -> bool:
        """Whether any code system's code of this text is in."""
        return self._settled(code in self.codes)

    def _settled(self, found: bool) -> bool:
        if not found:
            self.require_complete()
        return found

    def require_complete(self) -> None:
        """Raise `elm.valueset` unless all codes are known."""
        if not self.is_complete:
            raise failure("valueset", "A value set of the form is only listed in part.")


class Terminology:
    """Value sets by canonical."""

    def __init__(self, value_sets: Iterable[Json] = ()) -> None:
        self._by_url: dict[str, list[Json]] = {}
        for one in value_sets:
            for key in dict.fromkeys(str(one.get(name, "")) for name in ("url", "id")):
                if key:
                    self._by_url.setdefault(key, []).append(one)
        self._sets: dict[tuple[str, str | None], CodeSet] = {}

    def expand(self, value_set: ValueSet, nesting: int = 0) -> CodeSet:
        """Codes of a value set. Raises `elm.valueset` when it is missing or cannot be listed from what is here."""
        key = (value_set.id, value_set.version)
        if key not in self._sets:
            self._sets[key] = self._read(self._find(value_set), nesting)
        return self._sets[key]

    def lists(self, value_set: ValueSet) -> bool:
        """Whether all codes of a value set are known."""
        try:
            return self.expand(value_set).is_complete
        except ReasoningError:
            return False

    def _find(self, value_set: ValueSet) -> Json:
        url, _, tail = value_set.id.partition("|")
        url = url.removeprefix("urn:oid:") if url.startswith("urn:oid:") and url not in self._by_url else url
        candidates = self._by_url.get(url) or self._by_url.get(f"urn:oid:{url}") or []
        version = value_set.version or tail
        exact = [one for one in candidates if version and one.get("version") == version]
        chosen = exact or ([] if version and any(one.get("version") for one in candidates) else candidates)
        if not chosen:
            raise failure("valueset", "A value set that the logic needs is not in the package.")
        return chosen[-1]

    def _read(self, resource: Json, nesting: int) -> CodeSet:
        if nesting > _MAX_NESTING:
            raise failure("valueset", "A value set includes itself.")
        expansion = resource.get("expansion")
        if isinstance(expansion, Mapping) and (expansion.get("contains") or not resource.get("compose")):
            codes = list(_contained(expansion.get("contains") or ()))
            total = expansion.get("total")
            return _code_set(codes, not isinstance(total, int) or total <= len(codes))
        return self._compose(resource.get("compose"), nesting)

    def _compose(self, compose: Any, nesting: int) -> CodeSet:
        if not isinstance(compose, Mapping) or not compose.get("include"):
            raise failure("valueset", "A value set that the logic needs is not expanded.")
        codes = [code for part in compose["include"] for code in self._part(part, nesting)]
        left_out = {
            (one.system, one.code) for part in compose.get("exclude") or () for one in self._part(part, nesting)
        }
        return _code_set([one for one in codes if (one.system, one.code) not in left_out], True)

    def _part(self, part: Mapping[str, Any], nesting: int) -> list[Code]:
        """Codes of one include or exclude; a filter or a whole code system cannot be listed here."""
        if part.get("filter") or not (part.get("concept") or part.get("valueSet")):
            raise failure("valueset", "A value set that the logic needs is not expanded.")
        system = part.get("system")
        groups: list[list[Code]] = []
        if part.get("concept"):
            rows = [one for one in part["concept"] if isinstance(one, Mapping)]
            groups.append([Code(one.get("code"), system, part.get("version"), one.get("display")) for one in rows])
        for url in part.get("valueSet") or ():
            found = self.expand(ValueSet(str(url)), nesting + 1)
            found.require_complete()
            groups.append([one for one in found.listed if system in (None, one.system)])
        kept = groups[0]
        for group in groups[1:]:
            keys = {(one.system, one.code) for one in group}
            kept = [one for one in kept if (one.system, one.code) in keys]
        return kept


def _contained(rows: Iterable[Any]) -> Iterator[Code]:
    for row in rows:
        if isinstance(row, Mapping):
            if row.get("code") and not row.get("abstract"):
                yield Code(str(row["code"]), row.get("system"), row.get("version"), row.get("display"))
            yield from _contained(row.get("contains") or ())


def _code_set(codes: list[Code], is_complete: bool) -> CodeSet:
    pairs = frozenset((one.system, one.code) for one in codes if one.code is not None)
    return CodeSet(pairs, frozenset(code for _, code in pairs), is_complete, tuple(codes))


def codes_in(value: Any) -> list[Code]:
    """All codes of a Code, a Concept, or a list of them."""
    if isinstance(value, Code):
        return [value]
    if isinstance(value, Concept):
        return list(value.codes)
    if isinstance(value, list):
        return [code for one in value for code in codes_in(one)]
    return []
