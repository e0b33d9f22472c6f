"""Running a payer's logic for a form: the engine over the package's libraries, within a budget of work and time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.errors import ReasoningError
from gateway.flows.services import Services
from gateway.forms.launch import LaunchContext
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.defines import DefineEvaluator, DefineResult
from gateway.reasoning.elm import ElmDefines
from gateway.reasoning.record import RecordSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusableLogic:
    """Stands for libraries that cannot be read: every define says so, and nothing is guessed."""

    reason: str
    """Why, without patient data."""

    def evaluate(self, define: str, library: str | None = None) -> DefineResult:
        """No value, with the reason."""
        return DefineResult(error=self.reason, library=library or "")


def evaluator_of(
    services: Services, parts: FormPackageParts, launch: LaunchContext, record: RecordSnapshot
) -> DefineEvaluator | None:
    """What runs the CQL of a form; None for a form without libraries."""
    if not parts.libraries:
        return None
    try:
        return ElmDefines(
            parts.libraries,
            parts.value_sets,
            record,
            now=launch.local(services.clock.now()),
            order=launch.order,
            contexts=launch.environment(),
            patient=str(launch.patient.get("id", "")) or None,
            clock=time.monotonic,
        )
    except ReasoningError as error:
        return UnusableLogic(reason=error.diagnostics())
