"""Whether an order in the EHR is the draft that a hook announced.

The id of a draft may be the screen's own (crd:found-36), so that another order, even another patient's, can have
it already: the id alone proves nothing. Pure. Source: spec/crd.md §14; security T15.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from gateway.cases.facts import Facts
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.fhir.reading import codings, objects, text
from gateway.fhir.references import read_reference, reference_text
from gateway.flows.orders import order_identity, patient_reference, service_of
from gateway.store.rows import CaseRow

_CONTENT = ("code", "codeCodeableConcept", "medicationCodeableConcept", "orderDetail", "bodySite", "reasonCode")
"""Elements that say what is asked for, as concepts."""
_TARGETS = ("subject", "patient", "reasonReference", "medicationReference", "codeReference", "encounter")
"""The same as references."""


def content_of(order: Json) -> str:
    """Digest of what an order asks for, for whom and why: what stays the same when it is saved and signed."""
    concepts = {name: _codes(order.get(name)) for name in _CONTENT}
    targets = {name: sorted(relative(item) for item in objects(order.get(name))) for name in _TARGETS}
    asked = {"type": text(order.get("resourceType")), "concepts": concepts, "targets": targets}
    return hashlib.sha256(dump_json(asked)).hexdigest()


def is_alike(case: CaseRow, facts: Facts, order: Json) -> bool:
    """Whether an order under any id is the draft of the case: by identifier, else by what is asked for."""
    identity = order_identity(order, case.ehr_id)
    is_named = not case.order_identity.startswith(f"{case.ehr_id}|{text(order.get('resourceType'))}/")
    return (is_named and identity == case.order_identity) or facts.content == content_of(order)


def is_saved_draft(case: CaseRow, facts: Facts, order: Json) -> bool:
    """Whether an order under the very id of the draft is it: the patient's, and alike or for the same service."""
    if read_reference(patient_reference(order)).relative != case.patient_reference:
        return False
    code = service_of(order)[0]
    return is_alike(case, facts, order) or (bool(code) and code == case.service_code)


def relative(element: Any) -> str:
    """`Type/id` of a Reference; empty for none."""
    return read_reference(reference_text(element)).relative


def _codes(concepts: Any) -> list[str]:
    found: Iterable[Json] = (coding for concept in objects(concepts) for coding in codings(concept))
    return sorted({f"{text(coding.get('system'))}|{text(coding.get('code'))}" for coding in found})
