"""The diagnosis of an order, changed in the EHR: the problem, the symptom it continues, the order, and who says so.

What the code is, and which documented causes are coded in its place, stands in the data.
Source: spec/clinical.md §1.3, §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from gateway.clients.ehr import Fetched
from gateway.clinical.attestation import build_problem
from gateway.clinical.chart import order_day
from gateway.clinical.concepts import Region, diagnoses, matches, read_order_code
from gateway.clinical.evaluate import Evaluation
from gateway.clinical.impression import Signing, build_author_record
from gateway.clinical.instruments import Exam
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.fhir.codes import ICD10_CM, SNOMED
from gateway.fhir.reading import codings, objects, one, text
from gateway.fhir.references import reference_text, same_target
from gateway.flows import instruments
from gateway.flows.attest_records import by_digest, instant_text, signing_of
from gateway.flows.instruments import Bench
from gateway.flows.instruments_write import EhrShelf, change_order
from gateway.flows.services import Services
from gateway.reasoning.record import reference_of
from gateway.store.rows import CaseRow

_ENDED: Final = frozenset({"inactive", "remission", "resolved"})
_UNREAL: Final = frozenset({"entered-in-error", "refuted"})
_STATUSES: Final = ("clinicalStatus", "verificationStatus")


def write(services: Services, case: CaseRow, bench: Bench, kept: Json, shelf: EhrShelf) -> None:
    """Write what was asserted.

    Steps: (1) the diagnosis as a problem; (2) the symptom's problem ends, where asked; (3) the order; (4) who.
    """
    template, region = instruments.exam_template(bench).template, region_of(services, bench)
    if not isinstance(template, Exam):
        raise NotFound("There is no such examination.", code="instrument.exam")
    signing = replace(signing_of(services, kept["clinician"], bench.zone), at=datetime.fromisoformat(kept["at"]))
    problem = _problem(template, region, bench, signing, kept["onset_on"], kept["evidence"])
    reference = shelf.put("diagnosis", problem)  # (1)
    symptoms = _symptoms(bench, region)
    if kept["refines"]:
        on = order_day(bench.order, bench.zone, signing.at)[0]
        for condition in filter(_is_active, symptoms):
            shelf.written.append(_end(services, case, condition, on))  # (2)
    shelf.written.append(
        change_order(services, case, lambda order: _with_diagnosis(order, reference, symptoms, region, signing, kept))
    )  # (3)
    shelf.put(
        "author", build_author_record([reference, case.order_reference], signing, by_digest(kept["statement"]))
    )  # (4)


def _with_diagnosis(
    order: Json, reference: str, symptoms: Sequence[Json], region: Region, signing: Signing, kept: Json
) -> dict[str, Any]:
    """The order with the diagnosis first, in place of the symptom; other reasons and everything else stay."""
    replaced = [reference_of(item) for item in symptoms]
    named = [
        item
        for item in objects(order.get("reasonReference"))
        if not any(same_target(reference_text(item), other) for other in (*replaced, reference))
    ]
    coded = [item for item in objects(order.get("reasonCode")) if region.symptom_code not in diagnoses(item)]
    changed = {**order, "reasonReference": [{"reference": reference}, *named]}
    changed.pop("reasonCode", None)
    if coded:
        changed["reasonCode"] = list(coded)
    if kept["renews_order"]:
        changed["authoredOn"] = instant_text(signing.at)
    return changed


def _end(services: Services, case: CaseRow, condition: Json, on: date) -> Fetched:
    """The symptom's problem, ended on a day: it continues as the diagnosis, so that its onset is kept."""
    ehr = services.ehr(case.ehr_id)
    current = ehr.read("Condition", str(condition["id"]))
    system = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    ended = {
        **current.resource,
        "clinicalStatus": {"coding": [{"system": system, "code": "resolved"}]},
        "abatementDateTime": on.isoformat(),
    }
    return ehr.update(ended, current.etag or current.version).fetched


def _problem(
    template: Exam, region: Region, bench: Bench, signing: Signing, onset_on: str, evidence: Iterable[str]
) -> dict[str, Any]:
    coding = [{"system": ICD10_CM, "code": region.diagnosis_code}]
    coding += [{"system": SNOMED, "code": template.diagnosis_snomed}] if template.diagnosis_snomed else []
    own = {
        "subject": one(bench.order.get("subject")),
        "encounter": one(bench.order.get("encounter")),
        "onsetDateTime": onset_on,
    }
    return build_problem(coding, template.diagnosis_label, own, evidence, signing.clinician, signing.at)


def trial(services: Services, bench: Bench, template: Exam, region: Region, *, renews: bool) -> Evaluation:
    """What the rule would say if the order had the diagnosis now."""
    signing = signing_of(services, "Practitioner/trial", bench.zone)
    onset = order_day(bench.order, bench.zone, signing.at)[0].isoformat()
    problem = {**_problem(template, region, bench, signing, onset, ()), "id": "trial-diagnosis"}
    kept = {"renews_order": renews}
    order = _with_diagnosis(bench.order, "Condition/trial-diagnosis", _symptoms(bench, region), region, signing, kept)
    return instruments.judge(services, bench, order, [problem])


def region_of(services: Services, bench: Bench) -> Region:
    region = services.concepts.region_of(read_order_code(bench.order, services.concepts) or "")
    if region is None:
        raise NotFound("The order is about no part of the body that is known here.", code="instrument.exam")
    return region


def _symptoms(bench: Bench, region: Region) -> list[Json]:
    """Problems with the symptom's code, ended ones too: after a fault the repeat finds those that it ended itself."""
    conditions = bench.snapshot.record.of_type("Condition")
    return [item for item in conditions if region.symptom_code in diagnoses(item.get("code"))]


def redirects(template: Exam, bench: Bench) -> Iterable[str]:
    active = [item for item in bench.snapshot.record.of_type("Condition") if _is_active(item)]
    codes = [code for item in active for code in diagnoses(item.get("code"))]
    return (row.say for row in template.redirect if any(matches(code, row.when) for code in codes))


def _is_active(condition: Json) -> bool:
    words = {text(coding.get("code")) for name in _STATUSES for coding in codings(condition.get(name))}
    ended = any(name.startswith("abatement") for name in condition)
    return not words & (_ENDED | _UNREAL) and not ended


def order_codes(bench: Bench) -> set[str]:
    record = bench.snapshot.record
    named = [one(record.find(reference_text(item))).get("code") for item in objects(bench.order.get("reasonReference"))]
    return {code for concept in (*named, *objects(bench.order.get("reasonCode"))) for code in diagnoses(concept)}
