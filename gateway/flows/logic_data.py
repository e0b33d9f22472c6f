"""Records that a form's logic asks for and no chart is read with: read when the form came, before it is filled.

What is read anyway serves rules and most forms (gateway/clients/ehr_chart.py). A form may ask for more, and only then,
only those types, only of this patient, are they read: the data plan is the union of what the form's expressions
retrieve and what its libraries declare (spec/dtr.md §6.2, §13; dtr:spec-68, spec-69).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

import provenance
from gateway.cases.facts import Facts
from gateway.clients.ehr_chart import CHART_TYPES
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.extract import exchange_line, resource_line, versioned_address
from gateway.flows.ledger import Act, Item
from gateway.flows.logic import IsolatedDefines
from gateway.flows.services import Services
from gateway.forms.logic import read_define_name
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.elm.model import load_model
from gateway.reasoning.record import RecordSnapshot
from gateway.store.rows import CaseRow

MAX_TYPES: Final = 20
"""Types that are read besides for one form."""
_QUERIED: Final = re.compile(r"\s*([A-Z][A-Za-z]+)\?")


def wanted_types(services: Services, parts: FormPackageParts) -> tuple[str, ...]:
    """Resource types that a form asks for and that are not read with every chart, in alphabetical order."""
    expressions = list(_expressions(parts.questionnaire))
    named = {*_declared(parts.libraries), *_queried(expressions), *_retrieved(services, parts, expressions)}
    return tuple(sorted(one for one in named if _is_of_patients(one) and one not in CHART_TYPES))[:MAX_TYPES]


def _is_of_patients(name: str) -> bool:
    kind = load_model("4.0.1").find(name)
    return kind is not None and "Resource" in kind.names and bool(kind.patient_paths) and name != "Patient"


def _declared(libraries: Iterable[Json]) -> Iterator[str]:
    for library in libraries:
        for one in library.get("dataRequirement") or ():
            if isinstance(one, Mapping):
                yield str(one.get("type", ""))


def _queried(expressions: Iterable[Json]) -> Iterator[str]:
    for one in expressions:
        match = _QUERIED.match(one["expression"]) if one.get("language") == dtr_sdc.QUERY else None
        if match:
            yield match.group(1)


def _retrieved(services: Services, parts: FormPackageParts, expressions: Iterable[Json]) -> tuple[str, ...]:
    inline = [one["expression"] for one in expressions if one.get("language") == dtr_sdc.ELM]
    texts = [one["expression"] for one in expressions if one.get("language") in dtr_sdc.CQL_LANGUAGES]
    names = [(one.define, one.library) for one in map(read_define_name, texts) if one is not None]
    if not parts.libraries and not inline:
        return ()
    record = RecordSnapshot(())
    with closing(IsolatedDefines(parts.libraries, parts.value_sets, record, now=services.clock.now())) as defines:
        return defines.needs(names, inline).types


def _expressions(value: Any) -> Iterator[Json]:
    """Every Expression of a form, wherever it stands."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if isinstance(one.get("expression"), str) and isinstance(one.get("language"), str):
                yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def missing_types(facts: Facts) -> tuple[str, ...]:
    """Types that a form which is still to be filled wants and that were not read yet; empty when none are."""
    wanted = {name for form in facts.forms if not form.response for name in form.wanted_types}
    return tuple(sorted(wanted - set(facts.further_types)))


def read_more(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Read these types and add what was found to the case's snapshot. Raises EhrError."""
    types = missing_types(facts)
    found = services.ehr(case.ehr_id).chart(case.patient_reference.partition("/")[2], types)
    before = parse_json(ledger.load_object(services, case, facts.snapshot))
    known = {line["reference"] for line in before["resources"]}
    fresh = [one for one in found.fetched if one.reference not in known]
    manifest = provenance.salted_record(
        "extract",
        {
            "resources": [*before["resources"], *(resource_line(services, case, one) for one in fresh)],
            "exchanges": [*before["exchanges"], *(exchange_line(one) for one in found.exchanges)],
            "findings": [*before["findings"], *(finding.line for finding in found.findings)],
        },
    )
    items = tuple(Item.resource(versioned_address(services, case, one), one.raw) for one in fresh or found.fetched[:1])
    act = Act(
        verb="ehr-extract",
        about=items,
        sources=(Item.body(manifest, "application/json"),),
        note={"count": len(fresh), "kind": "for-a-form"},
    )
    changed = replace(_seen(facts, types).succeeded("read-more"), snapshot=hashlib.sha256(manifest).hexdigest())
    return ledger.append(services, case, act, facts=changed)


def given_up(services: Services, facts: Facts) -> Facts:
    """The facts after these types could not be read: the form is filled with what is there."""
    return _seen(facts, missing_types(facts)).succeeded("read-more")


def _seen(facts: Facts, types: tuple[str, ...]) -> Facts:
    return replace(facts, further_types=tuple(dict.fromkeys((*facts.further_types, *types))))
