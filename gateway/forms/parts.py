"""The forms of one package: the main one put together, and those that came beside it.

Packages are meant to come assembled. Some come in parts all the same: a placeholder names a further Questionnaire of
the package whose questions stand in its place, or further Questionnaires simply stand beside the first and are to be
answered too (spec/dtr.md §4.3, §5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_package import FormPackageParts, canonical_of
from gateway.profiles.dtr_sdc import extension_value

MAX_NESTING: Final = 5
"""How deep parts may hold parts."""
IN_PARTS: Final = "The form came in parts and was put together here."
PART_MISSING: Final = "A part that the form names was not in the package."
_SHARED: Final = frozenset({urls.VARIABLE, urls.CQF_LIBRARY, urls.LAUNCH_CONTEXT})
"""Root extensions of a part that hold for its questions wherever they stand."""


def forms_of(package: FormPackageParts) -> tuple[FormPackageParts, ...]:
    """Every form of a package that asks something, the main one first; each with all libraries and value sets."""
    assembly = _Assembly(package)
    main = assembly.main()
    beside = (one for one in package.sub_questionnaires if one.get("item") and canonical_of(one) not in assembly.used)
    return (main, *(_alone(one, package) for one in beside))


def content_digest(package: FormPackageParts) -> str:
    """What a form consists of, questions and logic, as one digest: the same bytes mean that nothing changed."""
    everything = [package.questionnaire, *package.libraries, *package.value_sets, *package.sub_questionnaires]
    return hashlib.sha256(b"\n".join(sorted(dump_json(one) for one in everything))).hexdigest()


def _alone(questionnaire: Json, package: FormPackageParts) -> FormPackageParts:
    own = _value_sets(questionnaire)
    return FormPackageParts(
        questionnaire=questionnaire, libraries=package.libraries, value_sets=(*own, *package.value_sets)
    )


def _value_sets(questionnaire: Json) -> tuple[Json, ...]:
    contained = questionnaire.get("contained") or ()
    return tuple(one for one in contained if isinstance(one, Mapping) and one.get("resourceType") == "ValueSet")


class _Assembly:
    """Puts the questions of named parts in the place of their placeholders."""

    def __init__(self, package: FormPackageParts) -> None:
        self._package = package
        self._parts = {canonical_of(one): one for one in package.sub_questionnaires if canonical_of(one)}
        self.used: set[str] = set()
        self._missing = False

    def main(self) -> FormPackageParts:
        """The main form; the package itself where it names no parts."""
        questionnaire = self._package.questionnaire
        items = self._items(questionnaire.get("item"), 0)
        found = [text for text, holds in ((IN_PARTS, self.used), (PART_MISSING, self._missing)) if holds]
        if not found:
            return self._package
        parts = [self._parts[name] for name in sorted(self.used)]
        extensions = list(questionnaire.get("extension") or ())
        for part in parts:
            shared = (one for one in part.get("extension") or () if isinstance(one, Mapping))
            extensions += [one for one in shared if one.get("url") in _SHARED and one not in extensions]
        whole: dict[str, Any] = {**questionnaire, "item": items}
        if extensions:
            whole["extension"] = extensions
        return replace(
            self._package,
            questionnaire=whole,
            value_sets=(*self._package.value_sets, *(one for part in parts for one in _value_sets(part))),
            findings=(*self._package.findings, *found),
        )

    def _items(self, raw: Any, depth: int) -> list[Any]:
        found: list[Any] = []
        for item in raw if isinstance(raw, list) else ():
            named = extension_value(item, urls.SUB_QUESTIONNAIRE) if isinstance(item, Mapping) else None
            if isinstance(named, str):
                found += self._part(named, item, depth)
            elif isinstance(item, Mapping) and item.get("item"):
                found.append({**item, "item": self._items(item["item"], depth)})
            else:
                found.append(item)
        return found

    def _part(self, canonical: str, placeholder: Json, depth: int) -> list[Any]:
        """Questions of a part; the placeholder itself where the part is absent or parts go in a circle."""
        name = self._name(canonical)
        if name is None or depth >= MAX_NESTING:
            self._missing = True
            return [placeholder]
        self.used.add(name)
        return self._items(self._parts[name].get("item"), depth + 1)

    def _name(self, canonical: str) -> str | None:
        """Key of a part: with this version, else with any."""
        url = canonical.partition("|")[0]
        return canonical if canonical in self._parts else next((k for k in self._parts if k.split("|")[0] == url), None)
