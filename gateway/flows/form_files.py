"""Forms from files: a payer's package and a chart in, filled forms out. No case, no payer, no database.

The way is the one that a case takes: package reader, payer logic in a process of its own, population. Nothing
is sent and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from gateway.errors import InputError, TooLarge
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows.logic import MAX_FILE, IsolatedDefines
from gateway.forms.complete import in_order
from gateway.forms.launch import LaunchContext
from gateway.forms.parts import forms_of
from gateway.forms.populate import AnswerTrace, Draft, populate
from gateway.forms.session import FormSession, response_as_sent
from gateway.profiles.dtr_guide import dtr_guide
from gateway.profiles.dtr_package import FormPackageParts, PackageAnswer, read_package_answer
from gateway.reasoning.record import RecordSnapshot, reference_of

ORDER_TYPES: Final = ("DeviceRequest", "ServiceRequest", "MedicationRequest", "NutritionOrder", "VisionPrescription")
"""Resources a form can be about, the likelier first (dtr:spec-126)."""
OPEN: Final = ("active", "draft")
_NO_ORDER: Final = "Which order the form is about cannot be told from the chart; name it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is filled for whom, where the chart leaves it open. Empty: found in the chart."""

    patient: str = ""
    order: str = ""
    coverage: str = ""


def read_resource(path: Path) -> Json:
    """The JSON object of a file, numbers exact. Raises InputError `file.read`, TooLarge, or the fault of the JSON."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise TooLarge(f"{path.name} is larger than is accepted.", code="file.size")
        body = path.read_bytes()
    except OSError:
        raise InputError(f"{path.name} cannot be read.", code="file.read") from None
    found = parse_json(body)
    if not isinstance(found, Mapping):
        raise InputError(f"{path.name} is not a JSON object.", code="file.object")
    return found


def populate_files(
    package: Path, data: Path, version: str, *, now: datetime, choice: Choice | None = None
) -> dict[str, Any]:
    """`{"forms": [...], "outcomes": [...], "findings": [...]}` of a package filled from a chart.

    `version` is the guide the responses are written in. A form is `{"questionnaire", "part", "response", "answers",
    "open_required", "problems", "blockers", "findings"}`; logic that fails leaves its question empty with a reason.
    Raises InputError for files that hold no package or no chart, SettingsError for an unknown guide version.
    """
    dtr_guide(version)
    answer = read_package(read_resource(package))
    record = read_chart(read_resource(data))
    launch, findings = launch_of(record, choice or Choice())
    forms = []
    for position, (part, parts) in enumerate(_forms(answer)):
        new_id = _ids(f"{launch.patient.get('id', '')}/{parts.canonical}/{position}")
        filled = _filled(parts, launch, record, now, new_id, version)
        forms.append({"questionnaire": parts.canonical, "part": part, **filled})
    return {
        "guide": version,
        "forms": forms,
        "outcomes": list(answer.outcomes),
        "findings": [*answer.findings, *findings],
    }


def read_package(body: Json) -> PackageAnswer:
    """The packages of a payer's answer, of a bare package, or of a Questionnaire alone. Raises InputError."""
    if body.get("resourceType") == "Questionnaire":
        body = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": body}]}
    answer = read_package_answer(body)
    if not answer.packages:
        raise InputError("The file holds no Questionnaire.", code="dtr.answer")
    return answer


def read_chart(body: Json) -> RecordSnapshot:
    """The record of a Bundle. Raises InputError for another resource."""
    if body.get("resourceType") != "Bundle":
        raise InputError("A chart is a Bundle with the record of one patient.", code="chart.bundle")
    return RecordSnapshot.from_bundle(body)


def _forms(answer: PackageAnswer) -> Iterator[tuple[str, FormPackageParts]]:
    """Every form of a package: the main one, then those that come with it and ask something."""
    for package in answer.packages:
        for number, parts in enumerate(forms_of(package)):
            yield ("further" if number else "main"), parts


def _ids(name: str) -> Callable[[], str]:
    """Ids that are the same for the same form and patient, so that two runs can be compared."""
    return lambda: str(uuid5(NAMESPACE_URL, name))


def _filled(
    parts: FormPackageParts,
    launch: LaunchContext,
    record: RecordSnapshot,
    now: datetime,
    new_id: Callable[[], str],
    version: str,
) -> dict[str, Any]:
    guide = dtr_guide(version)
    with closing(
        IsolatedDefines(
            parts.libraries,
            parts.value_sets,
            record,
            now=now,
            order=launch.order,
            contexts=launch.environment(),
            patient=reference_of(launch.patient),
        )
    ) as evaluator:
        draft = populate(parts, launch, record, None, now, new_id, evaluator, guide)
        session = FormSession(package=parts, launch=launch, record=record, now=now, evaluator=evaluator, guide=guide)
        response = _response(session, draft)
    return {"response": response, **explained(draft)}


def _response(session: FormSession, draft: Draft) -> dict[str, Any]:
    """The response as it stands; where the form's switches do not settle, with everything that was filled."""
    sheet = session.sheet(draft.response)
    try:
        return in_order(response_as_sent(session, sheet))
    except InputError:
        return in_order(response_as_sent(session, sheet, {slot.address for slot in sheet.walk()}))


def explained(draft: Draft) -> dict[str, Any]:
    """Why every enabled question holds what it holds, and what did not work."""
    return {
        "answers": [_answer(trace) for trace in draft.answers],
        "open_required": list(draft.open_required),
        "problems": [
            {
                "code": one.code,
                "error_code": one.error_code,
                "message": one.sentence,
                "link_id": one.link_id,
                "library": one.library,
                "define": one.define,
            }
            for one in draft.problems
        ],
        "blockers": list(draft.blockers),
        "findings": list(draft.findings),
    }


def _answer(trace: AnswerTrace) -> dict[str, Any]:
    return {
        "link_id": trace.link_id,
        "value": list(trace.value),
        "origin": trace.origin,
        "library": trace.library,
        "define": trace.define,
        "expression": "" if trace.define else trace.expression,
        "sources": [
            {"reference": one.reference, "version": one.version, "element": one.element} for one in trace.sources
        ],
        "explanation": list(trace.lines),
        "reason_if_empty": trace.reason_if_empty,
    }


def launch_of(record: RecordSnapshot, choice: Choice) -> tuple[LaunchContext, tuple[str, ...]]:
    """What a form is filled for, and what could not be told. Raises InputError without one certain patient."""
    patient = _patient(record, choice.patient)
    order = _named(record, choice.order) or _only_order(record)
    coverage = _named(record, choice.coverage) or _coverage(record, order)
    launch = LaunchContext(
        patient=patient,
        order=order,
        coverage=coverage,
        user=_pointed(record, order, "requester"),
        encounter=_pointed(record, order, "encounter"),
    )
    return launch, () if order is not None else (_NO_ORDER,)


def _patient(record: RecordSnapshot, reference: str) -> Json:
    named = _named(record, reference)
    patients = [named] if named is not None else list(record.of_type("Patient"))
    if len(patients) != 1 or patients[0].get("resourceType") != "Patient":
        word = "no patient" if not patients else "several patients; name one"
        raise InputError(f"The chart has {word}.", code="chart.patient")
    return patients[0]


def _named(record: RecordSnapshot, reference: str) -> Json | None:
    if not reference:
        return None
    found = record.find(reference)
    if found is None:
        raise InputError("The chart has no resource of the reference that was named.", code="chart.reference")
    return found


def _only_order(record: RecordSnapshot) -> Json | None:
    """The one open order of the likeliest type; None when several could be meant."""
    for kind in ORDER_TYPES:
        found = [one for one in record.of_type(kind) if one.get("status") in OPEN and one.get("intent") != "plan"]
        if len(found) > 1:
            found = [one for one in found if one.get("insurance")]
        if len(found) == 1:
            return found[0]
    return None


def _coverage(record: RecordSnapshot, order: Json | None) -> Json | None:
    for reference in (order or {}).get("insurance") or ():
        found = record.find(str(reference.get("reference", "")))
        if found is not None and found.get("resourceType") == "Coverage":
            return found
    coverages = record.of_type("Coverage")
    active = [one for one in coverages if one.get("status") == "active"] if len(coverages) > 1 else coverages
    return active[0] if len(active) == 1 else None


def _pointed(record: RecordSnapshot, order: Json | None, element: str) -> Json | None:
    return record.find(str(((order or {}).get(element) or {}).get("reference", "")))
