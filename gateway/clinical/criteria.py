"""The criteria: CQL of our own, run in this process over a prepared chart.

The libraries are ours, so no process is made for them; work is bounded all the same. Compiled once per process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from gateway.clinical.concepts import Concepts, Region
from gateway.clinical.criteria_parameters import (
    concept_parameters,
    diagnoses_in,
    measure_parameters,
    observation_codes,
    rule_parameters,
    value_sets,
)
from gateway.clinical.criteria_record import PreparedChart, copy_of, prepare_chart
from gateway.clinical.plans import plan_ids
from gateway.clinical.rule_row import Rule
from gateway.errors import ReasoningError, SettingsError
from gateway.fhir import Json
from gateway.reasoning.elm import Budget, Engine, LibrarySet, load_library
from gateway.reasoning.elm.results import result_json
from gateway.reasoning.record import RecordSnapshot

MAIN = "ConservativeCare"
FUEL = 20_000_000
"""Work that one chart and row may take; a chart of 70 resources takes some ten thousand."""


@cache
def criteria_libraries(slug: str = "conservative-care") -> LibrarySet:
    """The packaged libraries; `SettingsError` when there are none."""
    try:
        folder = files("questionnaires") / slug / "library"
        bodies = [item.read_bytes() for item in sorted(folder.iterdir(), key=str) if item.name.endswith(".json")]
    except (OSError, ModuleNotFoundError):
        raise SettingsError(f"The package holds no criteria for {slug}.", code="criteria") from None
    return LibrarySet([load_library(body) for body in bodies])


def label_of(libraries: LibrarySet) -> str:
    """`name|version sha256:…` of the criteria: other libraries, other label."""
    digests = sorted(library.digest for library in libraries.libraries)
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()
    main = libraries.named(MAIN)
    return f"{main.label if main else MAIN} sha256:{whole}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """The criteria over one chart for one rule row. Not for several threads."""

    engine: Engine
    """Engine with the parameters of row and order."""
    chart: PreparedChart
    """The chart that it reads."""

    def value(self, define: str, library: str = MAIN) -> Any:
        """JSON of a define. Raises ReasoningError: there is no other reading to fall back on."""
        outcome = self.engine.outcome(define, library)
        if outcome.error is not None:
            where = outcome.error.frame.get("define", define)
            raise ReasoningError(
                f"The criteria of conservative care cannot be evaluated for this chart ({where}). "
                "Decide by hand and report it with the case's number.",
                code=f"criteria.{outcome.error.reason}",
                frame=outcome.error.frame,
            )
        return result_json(outcome.value)

    @property
    def label(self) -> str:
        """Which criteria these are."""
        return label_of(self.engine.libraries)

    def original(self, key: str) -> str:
        """`Type/id` in the chart of a resource of the copy."""
        return self.chart.originals.get(key, key)

    def element(self, define: str) -> Any:
        """One element, with its evidence as in the chart and its day as a date; None when the row asks none."""
        found = self.value(define)
        if found is None:
            return None
        evidence = tuple(map(self.original, found["evidence"] or ()))
        resumes = date.fromisoformat(found["resumes"]) if found["resumes"] else None
        return {**found, "evidence": evidence, "resumes": resumes}


def open_criteria(
    record: RecordSnapshot,
    order: Json,
    rule: Rule,
    concepts: Concepts,
    region: Region,
    zone: str,
    order_on: date,
    now: datetime,
    *,
    audit: bool = False,
    libraries: LibrarySet | None = None,
) -> Criteria:
    """The criteria for one order; row, concepts and region as `focus` gives them.

    `libraries` replaces the packaged ones. The copy of the chart is kept with the record, for further rows.
    """
    wanted = observation_codes(concepts)
    key = ("criteria", zone, str(order.get("subject")), wanted, concepts.answers)
    chart = record.derived(key, lambda: prepare_chart(record, order, zone, wanted, concepts.answers))
    own = copy_of(order, chart.reader, None) if order.get("resourceType") == "ServiceRequest" else None
    codes = diagnoses_in(chart.record, RecordSnapshot([own] if own else []))
    sessions = rule.required_sessions(plan_ids(record, order_on))
    parameters: Mapping[str, Any] = {
        "Order": own,
        "Order date": order_on.isoformat(),
        "Rule": rule_parameters(rule, sessions),
        "Measures": measure_parameters(rule, concepts),
        **concept_parameters(concepts, region, codes, audit=audit),
    }
    engine = Engine(
        libraries or criteria_libraries(),
        value_sets(rule, concepts, region, codes),
        chart.record,
        now=now,
        parameters=parameters,
        patient=chart.patient,
        budget=Budget(fuel=FUEL),
    )
    return Criteria(engine=engine, chart=chart)
