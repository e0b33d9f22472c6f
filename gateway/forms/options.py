"""The answers a choice offers: listed options, contained or packaged value sets, and when the list is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.fhir import Json
from gateway.forms.definition import ItemDefinition
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_package import FormPackageParts

MAX_OPTIONS: Final = 2_000
"""Options of one question that are offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One answer that a question offers."""

    value: Json
    """`{"valueCoding": …}`, `{"valueString": …}` and so on: the answer it stands for."""
    text: str
    """What people read."""
    key: str
    """Short text that names it in a page or command: code, or the text of the value."""
    is_initial: bool = False
    is_exclusive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionList:
    """Options of a question; `missing` says why there is no list though the form names one."""

    options: tuple[Option, ...] = ()
    missing: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the list can be chosen from."""
        return not self.missing


def read_options(package: FormPackageParts, item: ItemDefinition) -> OptionList:
    """Options of a choice; empty for other types. A value set that is not at hand is named in `missing`."""
    listed = item.item.get("answerOption") or ()
    if listed:
        return OptionList(options=tuple(_listed(option) for option in listed if isinstance(option, Mapping)))
    canonical = item.item.get("answerValueSet")
    if not isinstance(canonical, str) or not canonical:
        return OptionList()
    value_set = find_value_set(package.value_sets, canonical)
    codings = expansion_codings(value_set) if value_set is not None else None
    if codings is None:
        return OptionList(missing="The list of answers is not available.")
    as_text = item.type in ("string", "text")
    return OptionList(options=tuple(_coded(coding, as_text=as_text) for coding in codings[:MAX_OPTIONS]))


def _listed(option: Json) -> Option:
    key = next((name for name in option if name.startswith("value") and name[5:6].isupper()), "valueString")
    value = option.get(key, "")
    return Option(
        value={key: value},
        text=text_of(value),
        key=_key(value),
        is_initial=option.get("initialSelected") is True,
        is_exclusive=dtr_sdc.is_exclusive(option),
    )


def _coded(coding: Json, *, as_text: bool) -> Option:
    code = str(coding.get("code", ""))
    value: Json = {"valueString": code} if as_text else {"valueCoding": coding}
    return Option(value=value, text=text_of(coding), key=code)


def text_of(value: Any) -> str:
    """Words for a coding, reference or plain value."""
    if isinstance(value, Mapping):
        return str(value.get("display") or value.get("code") or value.get("reference") or "")
    return str(value)


def _key(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("code") or value.get("reference") or value.get("display") or "")
    return str(value)


def find_value_set(value_sets: Sequence[Json], canonical: str) -> Json | None:
    """Value set by canonical: exact version first, then any version; `#id` means a contained one."""
    if canonical.startswith("#"):
        return next((one for one in value_sets if one.get("id") == canonical[1:] or one.get("url") == canonical), None)
    url, _, version = canonical.partition("|")
    same = [one for one in value_sets if one.get("url") == url]
    exact = [one for one in same if str(one.get("version", "")) == version]
    return next(iter(exact or same), None)


def expansion_codings(value_set: Json) -> list[dict[str, Any]] | None:
    """Codings of an expansion, or of an enumeration without filters; None when the codes are not there."""
    contains = (value_set.get("expansion") or {}).get("contains")
    if isinstance(contains, list):
        return list(_contained(contains, 0))
    compose = value_set.get("compose") or {}
    includes = compose.get("include") or []
    enumerated = all("concept" in part and "filter" not in part and "valueSet" not in part for part in includes)
    if not includes or compose.get("exclude") or not enumerated:
        return None
    return [_coding({"system": part.get("system"), **concept}) for part in includes for concept in part["concept"]]


def _contained(contains: Iterable[Any], depth: int) -> Iterable[dict[str, Any]]:
    for part in contains:
        if not isinstance(part, Mapping) or depth > 20:
            continue
        if part.get("code") and part.get("abstract") is not True and part.get("inactive") is not True:
            yield _coding(part)
        yield from _contained(part.get("contains") or (), depth + 1)


def _coding(part: Json) -> dict[str, Any]:
    kept = {key: part[key] for key in ("system", "version", "code", "display") if part.get(key)}
    ordinal = [one for one in part.get("extension") or () if str(one.get("url", "")).endswith("/ordinalValue")]
    return {"extension": ordinal, **kept} if ordinal else kept


def same_coding(one: Json, two: Json) -> bool:
    """Same system and code; a side without system matches by code alone."""
    if one.get("code") != two.get("code") or one.get("code") is None:
        return False
    return one.get("system") == two.get("system") or not one.get("system") or not two.get("system")
