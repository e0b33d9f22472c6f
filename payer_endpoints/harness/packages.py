"""DTR: `$questionnaire-package` of the simulated payers, 2.2.0 shape. Source: spec/dtr.md §4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.answers import instant
from payer_endpoints.harness.book import Assertion, Book
from payer_endpoints.harness.config import HarnessConfig, Payer
from payer_endpoints.harness.form_shelf import FormParts, FormShelf
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.outcomes import Issue, errors_of, operation_outcome
from payer_endpoints.harness.reading import as_objects, as_text, at, member_id, type_of
from payer_endpoints.harness.scenarios import Scenario, ScenarioBook

ORDER_KINDS = frozenset({*names.ORDER_TYPES, "Appointment", "Encounter", "SupplyRequest"})


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


def check_package_request(body: Json, asked: Asked) -> Iterator[Issue]:
    """Everything wrong with the request's shape."""
    if type_of(body) != "Parameters":
        yield Issue(text="The body must be Parameters.", code="structure", at="Parameters")
        return
    if len(asked.coverages) != 1 or type_of(asked.coverages[0]) != "Coverage":
        yield Issue(text="Exactly one coverage, inline.", at="Parameters.parameter", source="dtr.md §4.1")
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

    def package(self, payer: Payer, body: Json, message: int) -> tuple[dict[str, Any] | None, list[Issue]]:
        """(Parameters, []) or (None, what is wrong)."""
        asked = read_request(body)
        issues = list(check_package_request(body, asked))
        assertion = None
        if not errors_of(issues):
            assertion = self._book.assertion(payer.slug, asked.contexts[0]) if asked.contexts else None
            issues += self._check_context(asked, assertion)
        self._ledger.find(payer.slug, "questionnaire-package", message, *issues)
        if errors_of(issues):
            return None, errors_of(issues)
        self._ledger.count(payer.slug, "packages")
        return self._answer(payer, asked, assertion), []

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

    def _answer(self, payer: Payer, asked: Asked, assertion: Assertion | None) -> dict[str, Any]:
        scenario = self._scenario(payer, asked, assertion)
        forms, unknown = self._forms(asked, scenario)
        warnings = [
            Issue(
                text="A requested questionnaire is not known here.",
                severity="warning",
                code="not-found",
                source="oper-9",
            )
            for _ in unknown
        ]
        kept = [form for form in forms if not _is_unchanged(form, asked.changed_since)]
        if not forms and not unknown:
            text = "No form is needed for this order."
            warnings.append(Issue(text=text, severity="information", code="informational", source="oper-8"))
        parameters = [{"name": "packagebundle", "resource": self._bundle(form, asked, scenario)} for form in kept]
        if warnings:
            parameters.append({"name": "outcome", "resource": operation_outcome(warnings)})
        profile = {"profile": [names.DTR + "dtr-qpackage-output-parameters"]}
        found: dict[str, Any] = {"resourceType": "Parameters", "meta": profile}
        return found | ({"parameter": parameters} if parameters else {})

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

    def _bundle(self, form: FormParts, asked: Asked, scenario: Scenario) -> dict[str, Any]:
        """One package: Questionnaire first, one draft response, libraries, value sets."""
        draft = self._draft(form, asked, scenario)
        listed: list[Json] = [form.questionnaire, draft, *form.libraries, *form.value_sets]
        return {
            "resourceType": "Bundle",
            "meta": {"profile": [names.DTR + "DTR-QPackageBundle"]},
            "type": "collection",
            "timestamp": instant(self._config.now()),
            "entry": [{"fullUrl": f"urn:uuid:{uuid4()}", "resource": resource} for resource in listed],
        }

    def _draft(self, form: FormParts, asked: Asked, scenario: Scenario) -> dict[str, Any]:
        """The draft response: whose, for which order and coverage, what for (oper-18)."""
        coverage = asked.coverages[0]
        links = [
            {"url": names.DTR + "qr-context", "valueReference": {"reference": f"{type_of(order)}/{order.get('id')}"}}
            for order in asked.orders
            if as_text(order.get("id"))
        ]
        if as_text(coverage.get("id")):
            reference = {"reference": f"Coverage/{coverage.get('id')}"}
            links.append({"url": names.DTR + "qr-coverage", "valueReference": reference})
        links += [
            {
                "url": names.DTR + "intendedUse",
                "valueCodeableConcept": {"coding": [{"system": names.CRD_CODES, "code": use}]},
            }
            for use in scenario.crd.doc_purpose or ("withpa",)
        ]
        return {
            "resourceType": "QuestionnaireResponse",
            "meta": {"profile": [names.DTR + "dtr-questionnaireresponse"]},
            "extension": links,
            "questionnaire": form.canonical,
            "status": "in-progress",
            "subject": _subject(asked),
            "authored": instant(self._config.now()),
        }


def _subject(asked: Asked) -> dict[str, Any]:
    subjects = [as_text(at(order, "subject", "reference")) for order in asked.orders]
    subjects.append(as_text(at(asked.coverages[0], "beneficiary", "reference")))
    return {"reference": next((text for text in subjects if text.startswith("Patient/")), subjects[-1])}


def _is_unchanged(form: FormParts, since: str) -> bool:
    """Whether the form's date says it is older than `since`; without a date it counts as changed."""
    changed = as_text(at(form.questionnaire, "meta", "lastUpdated")) or as_text(form.questionnaire.get("date"))
    return bool(since and changed) and changed[:10] < since[:10]
