"""DTR: `$questionnaire-package` of the simulated payers, as 2.2.0 and as 2.0.1 have it. Source: spec/dtr.md §4, §16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.adaptive import contained_shell, is_adaptive, packaged_shell
from payer_endpoints.harness.answers import instant
from payer_endpoints.harness.book import Assertion, Book
from payer_endpoints.harness.config import HarnessConfig, Payer
from payer_endpoints.harness.coverage_information import assertion_ids
from payer_endpoints.harness.form_shelf import FormParts, FormShelf
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.outcomes import Issue, errors_of, operation_outcome
from payer_endpoints.harness.package_damage import damage
from payer_endpoints.harness.reading import as_objects, as_text, at, member_id, type_of
from payer_endpoints.harness.scenarios import Scenario, ScenarioBook

ORDER_KINDS = frozenset({*names.ORDER_TYPES, "Appointment", "Encounter", "SupplyRequest", "ImmunizationRecommendation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A package request, read."""

    coverages: tuple[Json, ...]
    orders: tuple[Json, ...]
    questionnaires: tuple[str, ...]
    contexts: tuple[str, ...]
    changed_since: str


def read_request(body: Json) -> Asked:
    """The parameters by name; unknown names are passed over (the slicing is open)."""
    listed = as_objects(body.get("parameter"))

    def named(name: str, key: str) -> tuple[Any, ...]:
        return tuple(item[key] for item in listed if item.get("name") == name and key in item)

    return Asked(
        coverages=tuple(item for item in named("coverage", "resource") if isinstance(item, dict)),
        orders=tuple(item for item in named("order", "resource") if isinstance(item, dict)),
        questionnaires=tuple(map(as_text, named("questionnaire", "valueCanonical"))),
        contexts=tuple(map(as_text, named("context", "valueString"))),
        changed_since=next(map(as_text, named("changedsince", "valueInstant")), ""),
    )


def check_package_request(body: Json, asked: Asked, guide: Guide) -> Iterator[Issue]:
    """Everything wrong with the request's shape."""
    if type_of(body) != "Parameters":
        yield Issue(text="The body must be Parameters.", code="structure", at="Parameters")
        return
    most = 1 if guide is Guide.STU2_2 else len(asked.coverages)
    if not 1 <= len(asked.coverages) <= most or any(type_of(item) != "Coverage" for item in asked.coverages):
        yield Issue(text="One coverage, inline (2.0.1: at least one).", at="Parameters.parameter", source="dtr.md §4.1")
    if not asked.orders and not asked.questionnaires and not asked.contexts:
        yield Issue(text="At least one of order, questionnaire, context.", at="Parameters.parameter", source="dtr-1")
    if len(asked.contexts) > 1:
        yield Issue(text="At most one context.", at="Parameters.parameter")
    if any(type_of(order) not in ORDER_KINDS for order in asked.orders):
        yield Issue(text="An order is a request, an appointment or an encounter.", at="Parameters.parameter")
    for item in as_objects(body.get("parameter")):
        if item.get("name") == "changedsince" and "valueInstant" not in item:
            yield Issue(text="changedsince is an instant.", at="Parameters.parameter")


class Packages:
    """The form desk of every payer."""

    def __init__(
        self, config: HarnessConfig, scenarios: ScenarioBook, book: Book, ledger: Ledger, shelf: FormShelf
    ) -> None:
        self._config, self._scenarios, self._book, self._ledger, self._shelf = config, scenarios, book, ledger, shelf

    def package(
        self, payer: Payer, guide: Guide, body: Json, message: int, base: str = ""
    ) -> tuple[dict[str, Any] | None, list[Issue]]:
        """(Parameters or Bundle, []) or (None, what is wrong). `base` is where an adaptive form is continued."""
        asked = read_request(body)
        issues = list(check_package_request(body, asked, guide))
        assertion = None
        if not errors_of(issues):
            assertion = self._book.assertion(payer.slug, asked.contexts[0]) if asked.contexts else None
            issues += self._check_context(asked, assertion)
        self._ledger.find(payer.slug, "questionnaire-package", message, *issues)
        if errors_of(issues):
            return None, errors_of(issues)
        self._ledger.count(payer.slug, "packages")
        bundles, warnings = self._answer(payer, guide, asked, assertion, base)
        plan = self._scenario(payer, asked, assertion).package
        damaged = [damage(bundle, plan.damage) for bundle in bundles]
        return _shaped(plan.shape, damaged, warnings, guide), []

    def _check_context(self, asked: Asked, assertion: Assertion | None) -> Iterator[Issue]:
        """spec-129, spec-130."""
        if not asked.contexts:
            return
        if assertion is None or assertion.member != member_id(asked.coverages[0]):
            yield Issue(text="This context is not known for this member.", code="not-found", source="spec-130")
            return
        ordered = {f"{type_of(order)}/{as_text(order.get('id'))}" for order in asked.orders}
        if assertion.order and ordered and assertion.order not in ordered:
            text = "The order is not the one the context was given for."
            yield Issue(text=text, severity="warning", code="business-rule", source="spec-129")
        elif assertion.order and not any(assertion.id in assertion_ids(order) for order in asked.orders):
            text = "The order came without the coverage information it was given."
            yield Issue(text=text, severity="warning", code="business-rule", source="resp-46")

    def _answer(
        self, payer: Payer, guide: Guide, asked: Asked, assertion: Assertion | None, base: str
    ) -> tuple[list[dict[str, Any]], list[Issue]]:
        """(package Bundles, warnings)."""
        scenario = self._scenario(payer, asked, assertion)
        forms, unknown = self._forms(asked, scenario)
        text = "A requested questionnaire is not known here."
        warnings = [Issue(text=text, severity="warning", code="not-found", source="oper-9") for _ in unknown]
        if not forms and not unknown:
            text = "No form is needed for this order."
            warnings.append(Issue(text=text, severity="information", code="informational", source="oper-8"))
        kept = [form for form in forms if not _is_unchanged(form, asked.changed_since)]
        return [self._bundle(form, guide, asked, scenario, base) for form in kept], warnings

    def _scenario(self, payer: Payer, asked: Asked, assertion: Assertion | None) -> Scenario:
        if assertion is not None:
            return self._scenarios.by_id[assertion.scenario]
        return self._scenarios.choose(payer.slug, member_id(asked.coverages[0]))

    def _forms(self, asked: Asked, scenario: Scenario) -> tuple[list[FormParts], list[str]]:
        """(forms, canonicals nobody knows): the named ones, else the scenario's."""
        if asked.questionnaires:
            named = [(canonical, self._shelf.by_canonical(canonical)) for canonical in asked.questionnaires]
            return [form for _, form in named if form], [canonical for canonical, form in named if form is None]
        return [form for form in map(self._shelf.form, scenario.forms) if form], []

    def _bundle(self, form: FormParts, guide: Guide, asked: Asked, scenario: Scenario, base: str) -> dict[str, Any]:
        """One package: Questionnaire first, one draft response, libraries, value sets."""
        draft = build_draft(form, guide, asked, scenario, instant(self._config.now()))
        questionnaire = form.questionnaire
        if is_adaptive(questionnaire):
            draft = adaptive_draft(draft, form, guide, base)
            questionnaire = packaged_shell(questionnaire, guide, base)
        listed: list[Json] = [questionnaire, draft, *form.libraries, *form.value_sets]
        return {
            "resourceType": "Bundle",
            "meta": {"profile": [names.DTR + "DTR-QPackageBundle"]},
            "type": "collection",
            "timestamp": instant(self._config.now()),
            "entry": [{"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource} for resource in listed],
        }


def build_draft(form: FormParts, guide: Guide, asked: Asked, scenario: Scenario, at_instant: str) -> dict[str, Any]:
    """The draft response: whose, for which order and coverage, what for (oper-18); no answers."""
    draft: dict[str, Any] = {
        "resourceType": "QuestionnaireResponse",
        "meta": {"profile": [names.DTR + "dtr-questionnaireresponse"]},
        "extension": _links(guide, asked, scenario),
        "questionnaire": form.canonical,
        "status": "in-progress",
        "subject": _subject(asked),
        "authored": at_instant,
    }
    if guide is Guide.STU2:
        draft["item"] = _blank_items(as_objects(form.questionnaire.get("item")))
    return draft


def adaptive_draft(draft: dict[str, Any], form: FormParts, guide: Guide, base: str) -> dict[str, Any]:
    """The draft of an adaptive form: nothing is asked yet; 2.2 carries the form inside, 2.0.1 leaves that to the
    client."""
    plain = {key: value for key, value in draft.items() if key != "item"}
    if guide is Guide.STU2:
        return plain
    shell = contained_shell(form, guide, base)
    profile = {"profile": [names.DTR + "dtr-questionnaireresponse-adapt"]}
    return plain | {"meta": profile, "contained": [shell], "questionnaire": f"#{shell['id']}"}


def _links(guide: Guide, asked: Asked, scenario: Scenario) -> list[dict[str, Any]]:
    """qr-context, qr-coverage (2.0.1: the coverage is one more qr-context) and intendedUse."""
    orders = [f"{type_of(order)}/{order['id']}" for order in asked.orders if as_text(order.get("id"))]
    coverages = [f"Coverage/{item['id']}" for item in asked.coverages if as_text(item.get("id"))]
    named = [("qr-context", text) for text in orders]
    named += [("qr-coverage" if guide is Guide.STU2_2 else "qr-context", text) for text in coverages]
    system = names.CRD_CODES if guide is Guide.STU2_2 else names.CRD_REASONS
    uses = scenario.crd.doc_purpose or ("withpa",)
    return [{"url": names.DTR + name, "valueReference": {"reference": text}} for name, text in named] + [
        {"url": names.DTR + "intendedUse", "valueCodeableConcept": {"coding": [{"system": system, "code": use}]}}
        for use in uses
    ]


def _blank_items(items: list[Json]) -> list[dict[str, Any]]:
    """The form's items without answers (2.0.1 wants at least one)."""
    found = []
    for item in items:
        blank: dict[str, Any] = {"linkId": item.get("linkId")} | ({"text": item["text"]} if "text" in item else {})
        inner = _blank_items(as_objects(item.get("item"))) if item.get("type") == "group" else []
        found.append(blank | ({"item": inner} if inner else {}))
    return found


def _shaped(shape: str, bundles: list[dict[str, Any]], warnings: list[Issue], guide: Guide) -> dict[str, Any]:
    """The answer in the shape a scenario wants; `nothing` is an empty object here and no body on the wire."""
    if shape == "bare" and bundles:
        return bundles[0]
    if shape == "return":
        return _parameters([{"name": "return", "resource": bundle} for bundle in bundles])
    if shape == "outcome-only":
        text = "The forms for this order are not ready; call the plan."
        said = operation_outcome([Issue(text=text, severity="warning", code="incomplete", source="oper-8")])
        name = "outcome" if guide is Guide.STU2_2 else "operationOutcome"
        return _parameters([{"name": name, "resource": said}])
    if shape in ("empty", "nothing"):
        return {} if shape == "nothing" else _parameters([])
    return (_wrap if guide is Guide.STU2_2 else _wrap_old)(bundles, warnings)


def _wrap(bundles: list[dict[str, Any]], warnings: list[Issue]) -> dict[str, Any]:
    """2.2: always Parameters."""
    parameters = [{"name": "packagebundle", "resource": bundle} for bundle in bundles]
    if warnings:
        parameters.append({"name": "outcome", "resource": operation_outcome(warnings)})
    return _parameters(parameters)


def _wrap_old(bundles: list[dict[str, Any]], warnings: list[Issue]) -> dict[str, Any]:
    """2.0.1: the bare Bundle where there is one form and nothing to warn of, else Parameters by the profile's names."""
    if len(bundles) == 1 and not warnings:
        return bundles[0]
    parameters = [{"name": "PackageBundle", "resource": bundle} for bundle in bundles]
    if warnings:
        parameters.append({"name": "operationOutcome", "resource": operation_outcome(warnings)})
    return _parameters(parameters)


def _parameters(listed: list[dict[str, Any]]) -> dict[str, Any]:
    """2.0.1's profile wants a package, so an answer without one does not claim it."""
    found: dict[str, Any] = {"resourceType": "Parameters"}
    if listed and "Bundle" in (item["resource"]["resourceType"] for item in listed):
        found["meta"] = {"profile": [names.DTR + "dtr-qpackage-output-parameters"]}
    return found | ({"parameter": listed} if listed else {})


def _subject(asked: Asked) -> dict[str, Any]:
    subjects = [as_text(at(order, "subject", "reference")) for order in asked.orders]
    subjects.append(as_text(at(asked.coverages[0], "beneficiary", "reference")))
    return {"reference": next((text for text in subjects if text.startswith("Patient/")), subjects[-1])}


def _is_unchanged(form: FormParts, since: str) -> bool:
    """Whether the form's date says it is older than `since`; without a date it counts as changed."""
    changed = as_text(at(form.questionnaire, "meta", "lastUpdated")) or as_text(form.questionnaire.get("date"))
    return bool(since and changed) and changed[:10] < since[:10]
