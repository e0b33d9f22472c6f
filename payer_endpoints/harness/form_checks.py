"""Completed forms that come with a request, judged by DTR. Findings only: a form never refuses a request.

Every answer says where it came from, and by whom where a person set it; the header says for which order and coverage,
and what for. Source: spec/dtr.md §10, §16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import as_objects, as_text, at, entries, extension, extensions, profiles, type_of

ORIGIN = names.DTR + "information-origin"
SOURCES = {
    Guide.STU2_2: {"auto-client", "auto-server", "override", "manual"},
    Guide.STU2: {"auto", "override", "manual"},
}
BY_PERSON = {"override", "manual"}


def completed_forms(bundle: Json) -> list[Json]:
    """QuestionnaireResponses of a request: entries, and those packed in a Bundle of their own."""
    found: list[Json] = []
    for _, resource in entries(bundle):
        inner = entries(resource) if type_of(resource) == "Bundle" else [("", resource)]
        found += [item for _, item in inner if type_of(item) == "QuestionnaireResponse"]
    return found


def check_forms(bundle: Json, guide: Guide, wanted: list[str]) -> Iterator[Issue]:
    """Findings about the forms of a request; `wanted` are the canonicals the payer asked for."""
    forms = completed_forms(bundle)
    asked = {canonical.partition("|")[0] for canonical in wanted}
    for form in (form for form in forms if _is_ours(form, asked)):
        for text, place in (*header_issues(form, guide), *answer_issues(as_objects(form.get("item")), guide, "item")):
            at_place = f"QuestionnaireResponse.{place}"
            yield Issue(text=text, at=at_place, severity="warning", code="business-rule", source="dtr.md §10")
    present = {form_canonical(form).partition("|")[0] for form in forms}
    if asked - present:
        text = "A form that was asked for did not come."
        yield Issue(text=text, at="Bundle.entry", severity="warning", code="business-rule", source="dtr:spec-107")


def _is_ours(form: Json, asked: set[str]) -> bool:
    """Whether it is a form of a payer; scores of the chart travel as evidence and are not DTR's."""
    if form_canonical(form).partition("|")[0] in asked:
        return True
    names_dtr = extension(form, names.DTR + "qr-context") is not None
    return names_dtr or names.DTR + "dtr-questionnaireresponse" in profiles(form)


def form_canonical(response: Json) -> str:
    """Canonical of the form a response is of; that of an adaptive one is what the carried form is derived from."""
    named = as_text(response.get("questionnaire"))
    if not named.startswith("#"):
        return named
    carried = next((one for one in as_objects(response.get("contained")) if f"#{one.get('id')}" == named), {})
    derived = carried.get("derivedFrom")
    return as_text(derived[0]) if isinstance(derived, list) and derived else ""


def header_issues(
    form: Json, guide: Guide, statuses: tuple[str, ...] = ("completed", "amended")
) -> Iterator[tuple[str, str]]:
    """(what is wrong, where) with the header of a response."""
    if form.get("status") not in statuses:
        text = "A form that is sent is completed." if "completed" in statuses else "The response is in progress."
        yield text, "status"
    if "|" not in form_canonical(form):
        yield "The questionnaire is named with its version.", "questionnaire"
    if not form.get("authored"):
        yield "The form says when it was authored.", "authored"
    wanted = ("qr-context", "qr-coverage", "intendedUse") if guide is Guide.STU2_2 else ("qr-context", "intendedUse")
    for name in wanted:
        if extension(form, names.DTR + name) is None:
            yield f"The form has {name}.", "extension"


def answer_issues(items: list[Json], guide: Guide, place: str) -> Iterator[tuple[str, str]]:
    """(what is wrong, where) with the origins of answers."""
    for position, item in enumerate(items):
        spot = f"{place}[{position}]"
        for answer in as_objects(item.get("answer")):
            yield from ((text, f"{spot}.answer") for text in _origin(answer, guide))
            yield from answer_issues(as_objects(answer.get("item")), guide, f"{spot}.answer.item")
        yield from answer_issues(as_objects(item.get("item")), guide, f"{spot}.item")


def _origin(answer: Json, guide: Guide) -> Iterator[str]:
    origins = extensions(answer, ORIGIN)
    if len(origins) != 1:
        yield "Every answer says once where it came from."
        return
    source: Any = at(extension(origins[0], "source"), "valueCode")
    if source not in SOURCES[guide]:
        yield "The origin is a code of this version of the guide."
    author = extension(origins[0], "author")
    if (author is not None) != (source in BY_PERSON):
        yield "The author is named exactly where a person set the answer (dtrx-1)."
    if author is not None and not as_objects(author.get("extension")):
        yield "An author has a role or a practitioner."
