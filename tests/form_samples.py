"""Small forms and what they are filled for, shared by the tests of the forms room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway.forms.answers import Author, set_answer
from gateway.forms.launch import LaunchContext
from gateway.forms.marks import values_of
from gateway.forms.populate import AnswerTrace, Draft, populate
from gateway.profiles.dtr_2_2_0 import FormPackageParts
from gateway.reasoning.record import RecordSnapshot

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
CORE = "http://hl7.org/fhir/StructureDefinition/"
NOW = datetime(2026, 3, 15, 10, tzinfo=ZoneInfo("America/Los_Angeles"))
AUTHOR = Author(practitioner="Practitioner/1", roles=({"text": "nurse"},))
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"versionId": "7"},
    "name": [{"family": "Example", "given": ["Ann"]}],
    "birthDate": "1950-01-01",
}
ORDER: dict[str, Any] = {"resourceType": "ServiceRequest", "id": "o", "authoredOn": "2026-03-14T10:00:00-07:00"}
COVERAGE: dict[str, Any] = {"resourceType": "Coverage", "id": "c"}
LAUNCH = LaunchContext(patient=PATIENT, order=ORDER, coverage=COVERAGE, practice_zone="America/Los_Angeles")


def expression(kind: str, text: str, language: str = "text/fhirpath", **more: Any) -> dict[str, Any]:
    """An SDC expression extension."""
    return {"url": SDC + kind, "valueExpression": {"language": language, "expression": text, **more}}


def variable(name: str, text: str, language: str = "text/fhirpath") -> dict[str, Any]:
    """A variable extension."""
    return {"url": CORE + "variable", "valueExpression": {"name": name, "language": language, "expression": text}}


def item(link_id: str, kind: str, *extensions: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An item; its text is its linkId."""
    return {"extension": list(extensions), "linkId": link_id, "text": link_id, "type": kind, **more}


def form(*items: Mapping[str, Any], extension: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """A Questionnaire of these items."""
    return {
        "resourceType": "Questionnaire",
        "url": "http://example.org/q",
        "version": "1.0.0",
        "title": "A form",
        "status": "active",
        "extension": list(extension),
        "item": list(items),
        **more,
    }


def package(questionnaire: Mapping[str, Any], **more: Any) -> FormPackageParts:
    """A package of one form."""
    return FormPackageParts(questionnaire=questionnaire, **more)


def filled(parts: FormPackageParts, previous: Any = None, record: Sequence[Any] = (), **more: Any) -> Draft:
    """The populated form."""
    launch = more.pop("launch", LAUNCH)
    return populate(parts, launch, RecordSnapshot(record), previous, NOW, lambda: "qr-1", **more)


def answered(parts: FormPackageParts, draft: Draft, **answers: Any) -> Draft:
    """The draft after a person's answers and another population."""
    response = draft.response
    for link_id, value in answers.items():
        values = value if isinstance(value, list) else [value]
        response = set_answer(parts, response, link_id, values, AUTHOR, NOW)
    return filled(parts, response)


def response_of(*items: Mapping[str, Any], status: str = "in-progress") -> dict[str, Any]:
    """A response of these items."""
    return {"resourceType": "QuestionnaireResponse", "status": status, "item": list(items)}


def answer(link_id: str, *values: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An answered item of a response."""
    return {"linkId": link_id, "answer": [dict(value) for value in values], **more}


def values(draft: Draft) -> dict[str, Any]:
    """Bare values by linkId, nested items too; one value stands alone."""
    found: dict[str, Any] = {}

    def walk(items: Sequence[Mapping[str, Any]]) -> None:
        for one in items:
            plain = [next(iter(value.values())) for value in values_of(one.get("answer", ()))]
            if plain:
                found[one["linkId"]] = plain[0] if len(plain) == 1 else plain
            walk(one.get("item", ()))
            for given in one.get("answer", ()):
                walk(given.get("item", ()))

    walk(draft.response.get("item", ()))
    return found


def trace(draft: Draft, link_id: str) -> AnswerTrace:
    """The trace of one place."""
    return next(one for one in draft.answers if one.link_id == link_id)
