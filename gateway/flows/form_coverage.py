"""What a payer says about coverage together with its form: taken into the case as its coverage answer is.

It may only refine what the payer said at order time: an order without coverage-information takes none over
(dtr:spec-43). Documentation that was wanted stays wanted; forms named anew are fetched (spec-48, spec-49).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.cases.facts import Facts, WriteBack
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.flows import request
from gateway.flows.extract import load_snapshot
from gateway.flows.form_cases import guide_of
from gateway.flows.services import Services
from gateway.policy.need import decide_need
from gateway.profiles import crd_2_2_1 as crd
from gateway.profiles.dtr_coverage import merge_response_information
from gateway.store.rows import CaseRow


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageAnswer:
    """A case after the payer said something about its coverage."""

    facts: Facts
    kept: tuple[tuple[bytes, str], ...] = ()
    """Bytes to keep beside the event."""
    changes: Mapping[str, Any] | None = None
    """Columns of the case that change with it."""


def take_over(services: Services, case: CaseRow, facts: Facts, response: Json, source: str) -> CoverageAnswer:
    """The facts with what a completed response says about coverage; unchanged where it says nothing of use.

    `source` is the digest of the payer's answer that carried it.
    """
    if not facts.coverage_information:
        return CoverageAnswer(facts=facts)
    snapshot, guide = load_snapshot(services, case, facts), guide_of(services, case)
    order = request.with_coverage_information(services, case, facts, snapshot)
    merged = merge_response_information(
        order, response, case.coverage_reference, by_coverage_alone=guide.MERGES_BY_COVERAGE_ALONE
    )
    if merged is None:
        return CoverageAnswer(facts=facts)
    body = dump_json(merged)
    digest = hashlib.sha256(body).hexdigest()
    need = decide_need(crd.read_coverage_informations(merged), services.today(), case.coverage_reference)
    info = need.info
    here = {form.canonical.partition("|")[0] for form in facts.forms}
    named = info.questionnaires if info else ()
    changed = replace(
        facts,
        need=source,
        need_action=need.action.value,
        need_reason=need.reason,
        assertion_id=(info.assertion_id if info else "") or facts.assertion_id,
        satisfied_number=info.satisfied_pa_id if info else "",
        coverage_information=digest,
        forms_named=tuple(one for one in named if one.partition("|")[0] not in here),
    ).telling(WriteBack(kind="coverage-information", digest=digest))
    numbers = {"authorization_number": changed.satisfied_number} if changed.satisfied_number else None
    return CoverageAnswer(facts=changed, kept=((body, "application/fhir+json"),), changes=numbers)
