"""One form at work: its package, what it is filled for, the record, the instant, the guide version.

Everything that decides about the form (population, switches, validation, views) goes through a session, so
that all of them see the same names and the same "now".
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.forms.definition import FormDefinition, ItemDefinition, read_definition
from gateway.forms.launch import LaunchContext
from gateway.forms.marks import is_private
from gateway.forms.offers import offered
from gateway.forms.options import OptionList, expansion_codings, find_value_set, read_options, same_coding
from gateway.forms.required import unanswerable
from gateway.forms.scope import Means, Scope
from gateway.forms.signatures import is_demanded
from gateway.forms.slots import Sheet, Slot, without_empty
from gateway.forms.switches import decide_enabled
from gateway.profiles import dtr_2_2_0, dtr_sdc
from gateway.profiles.dtr_guide import DtrGuide
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.defines import DefineEvaluator
from gateway.reasoning.fhirpath import FhirPath, Item, Meter
from gateway.reasoning.fhirpath_operators import truth
from gateway.reasoning.record import RecordSnapshot

MAX_STEPS = 1_000_000
"""FHIRPath steps that all expressions of a form may take together in one session."""
UNSIGNED = "The form demands a signature, which a form that its payer completes cannot have here."
EXPIRED = "The form is no longer in force; ask the payer for the current one."
DEFAULT_GUIDE = cast(DtrGuide, dtr_2_2_0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enabled:
    """Which places of a response are switched on."""

    addresses: set[str]
    undecided: tuple[str, ...] = ()
    """Why the form is blocked as it stands: switches that could not be run (their items are shown), and required
    questions that nothing fills and nobody may answer."""


@dataclass(frozen=True, kw_only=True)
class FormSession:
    """See the module. `rows` is filled while a form is populated."""

    package: FormPackageParts
    launch: LaunchContext | None = None
    record: RecordSnapshot = field(default_factory=lambda: RecordSnapshot(()))
    now: datetime | None = None
    evaluator: DefineEvaluator | None = None
    guide: DtrGuide = DEFAULT_GUIDE
    rows: dict[str, tuple[str, Item]] = field(default_factory=dict)
    _options: dict[str, OptionList] = field(default_factory=dict, repr=False)

    @classmethod
    def of_response(cls, questionnaire: Json, guide: DtrGuide = DEFAULT_GUIDE) -> FormSession:
        """A session that knows only the form: expressions see the response and nothing else."""
        package = FormPackageParts(questionnaire=questionnaire, value_sets=_contained_value_sets(questionnaire))
        return cls(package=package, guide=guide)

    @cached_property
    def form(self) -> FormDefinition:
        """The form, read."""
        return read_definition(self.package.questionnaire)

    @cached_property
    def blockers(self) -> tuple[str, ...]:
        """Why the form cannot be completed here: its content, or that it is out of date (dtr:spec-123)."""
        day = self.means.now.date().isoformat() if self.means.now else ""
        end = dtr_sdc.read_effective_end(self.package.questionnaire)
        expired = bool(day and end) and day[: len(end)] > end[:10]
        unsigned = dtr_sdc.is_adaptive(self.package.questionnaire) and is_demanded(self.form)
        return (*self.form.blockers, *([EXPIRED] if expired else ()), *([UNSIGNED] if unsigned else ()))

    @cached_property
    def means(self) -> Means:
        """What expressions are evaluated with."""
        now = self.launch.local(self.now) if self.launch and self.now else self.now
        return Means(
            questionnaire=self.package.questionnaire,
            contexts=self.launch.environment() if self.launch else {},
            record=self.record,
            now=now,
            evaluator=self.evaluator,
            engine=FhirPath(
                now=now, resolve=self._resolve, member_of=self._member_of, budget=Meter(steps_left=MAX_STEPS)
            ),
            member_of=self._member_of,
        )

    def launch_time(self, now: datetime) -> str:
        """`now` as FHIR text in the practice's zone, to the second."""
        return (self.launch.local(now) if self.launch else now).isoformat(timespec="seconds")

    def _resolve(self, reference: str) -> Json | None:
        found = self.record.find(reference)
        if found is not None or self.launch is None:
            return found
        known = [self.launch.patient, self.launch.order, self.launch.coverage, self.launch.user, self.launch.encounter]
        plain = reference.split("/_history/")[0]
        return next((one for one in known if one and f"{one.get('resourceType')}/{one.get('id')}" == plain), None)

    def _member_of(self, canonical: str, value: Mapping[str, Any] | str) -> bool | None:
        value_set = find_value_set(self.package.value_sets, canonical)
        codings = expansion_codings(value_set) if value_set is not None else None
        if codings is None:
            return None
        own = [{"code": value}] if isinstance(value, str) else value.get("coding", [value])
        return any(same_coding(one, other) for one in own for other in codings)

    def sheet(self, response: Json) -> Sheet:
        """A working copy of a response laid beside the form."""
        return Sheet(self.form, response)

    def options(self, item: ItemDefinition) -> OptionList:
        """Answers that an item offers; read once."""
        if item.link_id not in self._options:
            self._options[item.link_id] = read_options(self.package, item)
        return self._options[item.link_id]

    def offers(self, slot: Slot, scope: Scope) -> OptionList:
        """Answers that a place offers at this moment: the item's list, computed and switched as the form says."""
        return offered(self.options(slot.definition), slot, scope)

    def units(self, item: ItemDefinition) -> tuple[Json, ...]:
        """Units that a quantity may have, listed or from a value set of the package; empty: any."""
        listed = dtr_sdc.read_unit_options(item.item)
        canonical = dtr_sdc.read_unit_value_set(item.item)
        if listed or not canonical:
            return listed
        value_set = find_value_set(self.package.value_sets, canonical)
        return tuple(expansion_codings(value_set) or ()) if value_set is not None else ()

    def scope(self, sheet: Sheet, addresses: set[str]) -> Scope:
        """Names and values for expressions, as the response stands with these items switched on."""
        view, nodes = _view(sheet, addresses)

        def node_of(slot: Slot) -> Json:
            return nodes.get(id(slot.node), slot.node)

        return Scope(self.means, view, node_of, self.rows)

    def enabled(self, sheet: Sheet) -> Enabled:
        """Items that are switched on. Raises InputError `form.circle` when the switches do not settle."""
        ruled = {
            slot.address: expression
            for slot in sheet.walk()
            if (expression := dtr_sdc.read_expression(slot.definition.item, "enableWhenExpression"))
        }
        verdicts: dict[str, bool] = dict.fromkeys(ruled, False)
        for _ in range(len(ruled) + 2):
            addresses = decide_enabled(sheet, verdicts)
            scope = self.scope(sheet, addresses)
            found, undecided = _verdicts(sheet, scope, ruled)
            if found == verdicts:
                return Enabled(addresses=addresses, undecided=(*undecided, *unanswerable(sheet, addresses)))
            verdicts = found
        raise InputError("The form's switches do not settle.", code="form.circle")


def _verdicts(
    sheet: Sheet, scope: Scope, ruled: Mapping[str, dtr_sdc.FormExpression]
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Answer of every enableWhenExpression; one that cannot be run leaves its item shown."""
    found: dict[str, bool] = {}
    undecided: list[str] = []
    for address, expression in ruled.items():
        slot = sheet.find(address)
        result = scope.evaluate(expression, slot)
        if result.reason:
            undecided.append(f"Whether question {address} applies cannot be decided: {result.reason}")
        found[address] = bool(result.reason) or truth(list(result.items)) is True
    return found, tuple(undecided)


def _contained_value_sets(questionnaire: Json) -> tuple[Json, ...]:
    return tuple(one for one in questionnaire.get("contained") or () if one.get("resourceType") == "ValueSet")


def _view(sheet: Sheet, addresses: set[str]) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """Copy of the response without what is switched off or empty, and its nodes by the slot's node."""
    off = {id(slot.node) for slot in sheet.walk() if slot.address not in addresses}
    nodes: dict[int, dict[str, Any]] = {}

    def copied(node: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in node.items() if key not in ("item", "answer")}
        nodes[id(node)] = kept
        if node.get("answer"):
            kept["answer"] = [copied(answer) for answer in node["answer"]]
        items = [copied(item) for item in node.get("item") or () if id(item) not in off]
        items = [item for item in items if item.get("answer") or item.get("item")]
        if items:
            kept["item"] = items
        return kept

    return copied(sheet.response), nodes


def response_as_sent(session: FormSession, sheet: Sheet, addresses: set[str] | None = None) -> dict[str, Any]:
    """The response without switched-off items, empty items and private marks (field case B39).

    Where the guide wants an item and nothing is answered, the first one that is switched on stands empty.
    `addresses` are those switched on; without them the form decides. Raises InputError `form.circle`.
    """
    if addresses is None:
        addresses = session.enabled(sheet).addresses
    view, _ = _view(sheet, addresses)
    sent = _without_private(copy.deepcopy(without_empty(view)))
    if session.guide.NEEDS_ITEM and "item" not in sent:
        first = next((slot for slot in sheet.walk() if slot.parent is None and slot.address in addresses), None)
        if first is not None:
            texts = {key: first.definition.item[key] for key in ("text",) if key in first.definition.item}
            sent["item"] = [{"linkId": first.definition.link_id, **texts}]
    return sent


def _without_private(node: dict[str, Any]) -> dict[str, Any]:
    kept = [extension for extension in node.get("extension") or () if not is_private(extension)]
    node.pop("extension", None)
    if kept:
        node = {**{key: node[key] for key in ("id",) if key in node}, "extension": kept, **node}
    for key in ("item", "answer"):
        if key in node:
            node[key] = [_without_private(child) for child in node[key]]
    return node
