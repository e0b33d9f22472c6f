"""DTR: `$next-question` of the simulated payers, as 2.2.0 and as 2.0.1 have it.

The service remembers nothing: which sets were asked is read from the form that the response carries, and that form
must be exactly what was handed out. A set is an outermost group of the form; its enableWhen says when it is asked.
Source: spec/dtr.md §8.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.book import Book
from payer_endpoints.harness.config import HarnessConfig, Payer
from payer_endpoints.harness.coverage_information import build_coverage_information
from payer_endpoints.harness.form_checks import answer_issues, form_canonical, header_issues
from payer_endpoints.harness.form_shelf import FormParts, FormShelf
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.outcomes import Issue, errors_of
from payer_endpoints.harness.reading import as_objects, as_text, at, extension, type_of
from payer_endpoints.harness.scenarios import ScenarioBook

ADAPTIVE = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-questionnaireAdaptive"
_LEFT_OUT = ("url", "version", "item", "text")


def is_adaptive(questionnaire: Json) -> bool:
    """Whether a form of the shelf is handed out set by set."""
    return extension(questionnaire, ADAPTIVE) is not None


def packaged_shell(questionnaire: Json, guide: Guide, base: str) -> dict[str, Any]:
    """What the package holds: the form without questions, and where its service is (2.0.1: only that there is one)."""
    shell = {key: copy.deepcopy(value) for key, value in questionnaire.items() if key != "item"}
    where = {"valueUrl": base} if guide is Guide.STU2_2 else {"valueBoolean": True}
    shell["extension"] = [
        {"url": ADAPTIVE, **where} if item.get("url") == ADAPTIVE else item for item in as_objects(shell["extension"])
    ]
    return shell


def contained_shell(form: FormParts, guide: Guide, base: str) -> dict[str, Any]:
    """The form as the draft response carries it before the first set."""
    shell = packaged_shell(form.questionnaire, guide, base)
    kept = {key: value for key, value in shell.items() if key not in _LEFT_OUT}
    return {
        **kept,
        "meta": {"profile": [names.DTR + "dtr-questionnaire-adapt"]},
        "derivedFrom": [form.canonical],
    }


class NextQuestions:
    """The desk that asks the next questions, for every payer."""

    def __init__(
        self, config: HarnessConfig, scenarios: ScenarioBook, book: Book, ledger: Ledger, shelf: FormShelf
    ) -> None:
        self._config, self._scenarios, self._book, self._ledger, self._shelf = config, scenarios, book, ledger, shelf

    def answer(
        self, payer: Payer, guide: Guide, body: Json, message: int, base: str
    ) -> tuple[dict[str, Any] | None, list[Issue]]:
        """(the answer, []) or (None, what is wrong)."""
        response, issues = _read(body, guide)
        form = self._shelf.by_canonical(form_canonical(response)) if response else None
        if response and (form is None or not is_adaptive(form.questionnaire)):
            issues.append(Issue(text="The carried form is derived from no adaptive form known here.", code="not-found"))
        elif response and form:
            issues += _check(response, form, guide, base)
        self._ledger.find(payer.slug, "next-question", message, *issues)
        if errors_of(issues) or form is None:
            return None, errors_of(issues)
        self._ledger.count(payer.slug, "next_questions")
        found = next_set(response, form)
        if found.get("status") == "completed":
            found["extension"] = [*as_objects(found.get("extension")), *self._coverage_answer(payer, guide, found)]
        return _wrap(found, guide), []

    def _coverage_answer(self, payer: Payer, guide: Guide, response: Json) -> list[dict[str, Any]]:
        """What the plan says about coverage with the completed form, where its scenario has it say something."""
        linked = [as_text(at(one, "valueReference", "reference")) for one in as_objects(response.get("extension"))]
        coverage = next((text for text in linked if text.startswith("Coverage/")), "")
        issued = (self._book.assertion_for(payer.slug, text) for text in linked if text != coverage)
        assertion = next((one for one in issued if one is not None), None)
        plan = self._scenarios.by_id[assertion.scenario].form_answer if assertion is not None else None
        if plan is None or assertion is None:
            return []
        on = self._config.now().date()
        return [
            build_coverage_information(
                plan, guide, coverage=coverage, assertion_id=assertion.id, on=on, questionnaires=()
            )
        ]


def next_set(response: Json, form: FormParts) -> dict[str, Any]:
    """The response with the next set that applies in its form, without sets that no longer do; completed after the
    last one."""
    found: dict[str, Any] = copy.deepcopy(dict(response))
    carried = found["contained"][0]
    given, asked = dict(_answers(as_objects(found.get("item")))), _links(carried)
    applicable = [one for one in as_objects(form.questionnaire.get("item")) if _applies(one, given)]
    kept = [one for one in applicable if one["linkId"] in asked]
    fresh = next((one for one in applicable if one["linkId"] not in asked), None)
    sets = [_handed_out(one) for one in (*kept, *([fresh] if fresh else []))]
    carried["item"] = sorted(sets, key=lambda one: asked.index(one["linkId"]) if one["linkId"] in asked else len(asked))
    names_kept = {one["linkId"] for one in kept}
    items = [item for item in as_objects(found.pop("item", None)) if item.get("linkId") in names_kept]
    if items:
        found["item"] = items
    if fresh is None:
        found["status"] = "completed"
    return found


def _read(body: Json, guide: Guide) -> tuple[Json, list[Issue]]:
    """(response, []) or ({}, what is wrong): 2.2 wants Parameters with one name, 2.0.1 takes the response bare too."""
    if type_of(body) == "QuestionnaireResponse" and guide is Guide.STU2:
        return body, []
    listed = as_objects(body.get("parameter")) if type_of(body) == "Parameters" else []
    found = [item.get("resource") for item in listed if item.get("name") == "questionnaire-response"]
    if len(listed) == 1 and len(found) == 1 and type_of(found[0]) == "QuestionnaireResponse":
        return dict(found[0] or {}), []
    text = "Parameters with exactly one questionnaire-response."
    return {}, [Issue(text=text, code="structure", at="Parameters.parameter", source="dtr.md §8")]


def _check(response: Json, form: FormParts, guide: Guide, base: str) -> Iterator[Issue]:
    """Everything wrong with a response (dtr:spec-146, spec-147)."""
    carried = as_objects(response.get("contained"))
    if len(carried) != 1 or type_of(carried[0]) != "Questionnaire":
        yield Issue(text="Exactly one contained Questionnaire.", at="QuestionnaireResponse.contained")
        return
    for text, place in header_issues(response, guide, statuses=("in-progress",)):
        yield Issue(text=text, at=f"QuestionnaireResponse.{place}")
    if not _is_as_handed_out(carried[0], form, guide, base):
        text = "The contained Questionnaire comes back exactly as it was sent."
        yield Issue(text=text, at="QuestionnaireResponse.contained", source="dtr.md §8")
        return
    items = as_objects(response.get("item"))
    yield from _missing(as_objects(carried[0].get("item")), dict(_answers(items)))
    if not {link for link, _ in _answers(items)} <= set(_links(carried[0])):
        yield Issue(text="Every answer is to a question that was asked.", at="QuestionnaireResponse.item")
    for text, place in answer_issues(items, guide, "item"):
        yield Issue(text=text, at=f"QuestionnaireResponse.{place}")


def _is_as_handed_out(carried: Json, form: FormParts, guide: Guide, base: str) -> bool:
    pool = {one["linkId"]: _handed_out(one) for one in as_objects(form.questionnaire.get("item"))}
    sets = as_objects(carried.get("item"))
    if any(one != pool.get(as_text(one.get("linkId"))) for one in sets):
        return False
    if guide is Guide.STU2 and not sets:
        return extension(carried, ADAPTIVE) is not None  # the client made this shell itself
    rest = {key: value for key, value in carried.items() if key != "item"}
    return guide is Guide.STU2 or rest == contained_shell(form, guide, base)


def _handed_out(group: Json) -> dict[str, Any]:
    """A set as it is asked: whether it applies is decided here, not by whoever fills it."""
    return {key: copy.deepcopy(value) for key, value in group.items() if key not in ("enableWhen", "enableBehavior")}


def _missing(items: list[Json], given: dict[str, list[Any]]) -> Iterator[Issue]:
    for item in items:
        if item.get("type") == "group":
            yield from _missing(as_objects(item.get("item")), given)
        elif item.get("required") is True and not given.get(as_text(item.get("linkId"))):
            yield Issue(text="A required question is not answered.", at="QuestionnaireResponse.item", code="required")


def _links(questionnaire: Json) -> list[str]:
    """linkIds in document order."""
    found: list[str] = []
    for item in as_objects(questionnaire.get("item")):
        found += [as_text(item.get("linkId")), *_links(item)]
    return found


def _answers(items: list[Json]) -> Iterator[tuple[str, list[Any]]]:
    """(linkId, values) of every question that has answers."""
    for item in items:
        listed = as_objects(item.get("answer"))
        values = [value for one in listed for key, value in one.items() if key.startswith("value")]
        if values:
            yield as_text(item.get("linkId")), values
        for answer in listed:
            yield from _answers(as_objects(answer.get("item")))
        yield from _answers(as_objects(item.get("item")))


def _applies(group: Json, given: dict[str, list[Any]]) -> bool:
    """Whether all of a set's conditions hold."""
    return all(_holds(one, given.get(as_text(one.get("question")), [])) for one in as_objects(group.get("enableWhen")))


def _holds(condition: Json, values: list[Any]) -> bool:
    wanted = next((value for key, value in condition.items() if key.startswith("answer")), None)
    operator = condition.get("operator")
    if operator == "exists":
        return bool(values) is bool(wanted)
    code = at(wanted, "code")
    for value in values:
        one, two = (at(value, "code"), code) if code is not None else (value, wanted)
        if (operator == "=" and one == two) or (operator == "!=" and one != two):
            return True
        if isinstance(one, int) and isinstance(two, int) and _compares(as_text(operator), one, two):
            return True
    return False


def _compares(operator: str, one: int, two: int) -> bool:
    return {"<": one < two, "<=": one <= two, ">": one > two, ">=": one >= two}.get(operator, False)


def _wrap(response: dict[str, Any], guide: Guide) -> dict[str, Any]:
    """2.2: Parameters with `return`; 2.0.1: the response bare."""
    if guide is Guide.STU2:
        return response
    return {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": response}]}
