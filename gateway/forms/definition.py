"""A Questionnaire as forms work with it: items in order, each with its parents, and what we cannot do.

Content that the guide calls must-support and that we do not handle is a blocker with a sentence, so that
the form says "cannot be completed here" and nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from gateway.fhir import Json
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_package import canonical_of

QUESTION_TYPES: Final = frozenset(
    {
        "boolean",
        "decimal",
        "integer",
        "date",
        "dateTime",
        "time",
        "string",
        "text",
        "url",
        "choice",
        "open-choice",
        "attachment",
        "reference",
        "quantity",
    }
)
OPERATORS: Final = frozenset({"exists", "=", "!=", ">", "<", ">=", "<="})
"""How an enableWhen compares."""
KNOWN_TYPES: Final = QUESTION_TYPES | {"group", "display"}
MAX_ITEMS: Final = 3_000
"""Items of a form that are read; a larger one is refused as a whole."""
MAX_DEPTH: Final = 30
TOO_LARGE: Final = "The form is too large to be shown here."


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDefinition:
    """One item of a form."""

    link_id: str
    item: Json
    """The item as the payer wrote it."""
    parent: ItemDefinition | None = field(default=None, repr=False)
    children: tuple[ItemDefinition, ...] = ()

    @property
    def type(self) -> str:
        """Item type code; empty when the form has none."""
        return str(self.item.get("type", ""))

    @property
    def text(self) -> str:
        """Question text as written; empty when there is none."""
        return str(self.item.get("text", ""))

    @property
    def is_group(self) -> bool:
        """Whether it only holds other items."""
        return self.type == "group"

    @property
    def is_question(self) -> bool:
        """Whether it takes answers."""
        return self.type in QUESTION_TYPES

    @property
    def repeats(self) -> bool:
        """Whether it takes several answers, or the group several repetitions."""
        return self.item.get("repeats") is True

    @property
    def is_required(self) -> bool:
        """Whether it must be answered when it is enabled."""
        return self.item.get("required") is True

    @property
    def is_hidden(self) -> bool:
        """Whether it, or a group it is in, is not to be shown."""
        return dtr_sdc.is_hidden(self.item) or (self.parent is not None and self.parent.is_hidden)

    @property
    def is_read_only(self) -> bool:
        """Whether a person may not change it."""
        return self.item.get("readOnly") is True or self.is_hidden

    def walk(self) -> Iterator[ItemDefinition]:
        """This item and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class FormDefinition:
    """A form, read once."""

    questionnaire: Json
    items: tuple[ItemDefinition, ...]
    blockers: tuple[str, ...]
    """Why the form cannot be completed here, one sentence each; empty when it can."""

    @property
    def canonical(self) -> str:
        """`url|version`."""
        return canonical_of(self.questionnaire)

    @property
    def title(self) -> str:
        """Title for people; the name or canonical when the form has none."""
        form = self.questionnaire
        return str(form.get("title") or form.get("name") or self.canonical or "Untitled form")

    def walk(self) -> Iterator[ItemDefinition]:
        """Every item in document order."""
        for item in self.items:
            yield from item.walk()

    @cached_property
    def by_link_id(self) -> Mapping[str, ItemDefinition]:
        """Items by linkId."""
        return {item.link_id: item for item in self.walk()}


def read_definition(questionnaire: Json) -> FormDefinition:
    """Read a form. Never raises for content: what cannot be handled is listed in `blockers`."""
    reader = _Reader()
    items = reader.items(questionnaire.get("item"), None, 1)
    return FormDefinition(
        questionnaire=questionnaire,
        items=items,
        blockers=tuple(dict.fromkeys((*_form_blockers(questionnaire), *reader.blockers))),
    )


def _form_blockers(questionnaire: Json) -> Iterator[str]:
    if questionnaire.get("resourceType") != "Questionnaire":
        yield "The package holds no readable form."
    if questionnaire.get("modifierExtension"):
        yield "The form carries a modifier that is not known here."
    if not questionnaire.get("item") and not dtr_sdc.is_adaptive(questionnaire):
        yield "The form has no questions."


class _Reader:
    """Reads items and collects what cannot be handled."""

    def __init__(self) -> None:
        self.blockers: list[str] = []
        self._seen: set[str] = set()

    def items(self, raw: Any, parent: ItemDefinition | None, depth: int) -> tuple[ItemDefinition, ...]:
        if not isinstance(raw, list) or not raw:
            return ()
        if depth > MAX_DEPTH or len(self._seen) + len(raw) > MAX_ITEMS:
            self.blockers.append(TOO_LARGE)
            return ()
        return tuple(self._item(item, parent, depth) for item in raw if isinstance(item, Mapping))

    def _item(self, item: Json, parent: ItemDefinition | None, depth: int) -> ItemDefinition:
        definition = ItemDefinition(link_id=str(item.get("linkId", "")), item=item, parent=parent)
        self._check(definition)
        # The parent is needed by its children: the frozen record is completed once, before anyone sees it.
        object.__setattr__(definition, "children", self.items(item.get("item"), definition, depth + 1))
        return definition

    def _check(self, definition: ItemDefinition) -> None:
        link_id, item = definition.link_id, definition.item
        if not link_id or link_id in self._seen:
            self.blockers.append("A question has no linkId, or two have the same.")
        self._seen.add(link_id)
        if definition.type not in KNOWN_TYPES:
            self.blockers.append(f"Question {link_id} has a type that is not known here.")
        conditions = [one for one in item.get("enableWhen") or () if isinstance(one, Mapping)]
        if any(str(one.get("operator")) not in OPERATORS for one in conditions):
            self.blockers.append(f"Whether question {link_id} applies cannot be told: its condition is not known here.")
        if item.get("modifierExtension"):
            self.blockers.append(f"Question {link_id} carries a modifier that is not known here.")
