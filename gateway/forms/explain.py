"""Where an answer came from, in the words that people read beside it (spec/ux.md §2)."""

from __future__ import annotations

from typing import Final

from gateway.forms import marks
from gateway.forms.populate import CLEARED, AnswerTrace
from gateway.forms.slots import Slot
from gateway.profiles.dtr_guide import DtrGuide, Origin

FROM_CHART: Final = "From chart"
FROM_PAYER: Final = "From payer"
CHANGED: Final = "Changed by user"
TYPED: Final = "Typed"
NOT_FOUND: Final = "Not found in chart"


def label_of(guide: DtrGuide, slot: Slot, origin: Origin | None, trace: AnswerTrace | None) -> str:
    """Short label of an answer's origin; empty for lines that have none."""
    if not slot.definition.is_question:
        return ""
    if origin is None and marks.is_cleared(slot.node):
        return CHANGED
    if origin is None:
        return NOT_FOUND if trace is not None and trace.expression else ""
    if not guide.is_machine(origin.source):
        return CHANGED if origin.source == guide.OVERRIDE else TYPED
    is_ours = trace is not None and bool(trace.expression or trace.sources)
    return FROM_CHART if origin.source == guide.AUTO and (is_ours or guide.AUTO != guide.AUTO_SERVER) else FROM_PAYER


def explanation_of(label: str, origin: Origin | None, trace: AnswerTrace | None, response_id: str) -> str:
    """One sentence behind the label: the element and its version, who set it, or what was looked for."""
    if label == CHANGED and origin is None:
        return CLEARED
    if label == NOT_FOUND and trace is not None:
        sought = f" Looked for: {'; '.join(_short(query) for query in trace.looked_for)}." if trace.looked_for else ""
        return " ".join((f"{trace.reason_if_empty}{sought}", *trace.lines))
    if label in (CHANGED, TYPED) and origin is not None:
        who = origin.author.practitioner if origin.author else ""
        return (
            f"Set by {who or 'a user'}." if label == TYPED else f"Changed by {who or 'a user'} from the chart's value."
        )
    if label == FROM_CHART and trace is not None:
        return _machine_explanation(trace, response_id)
    if label == FROM_PAYER:
        return "Filled in by the payer."
    return trace.reason_if_empty if trace is not None and origin is None else ""


def _short(query: str) -> str:
    return query if len(query) <= 160 else f"{query[:157]}…"


def _machine_explanation(trace: AnswerTrace, response_id: str) -> str:
    named = f"{trace.library}: {trace.define}" if trace.define else ""
    own = ("QuestionnaireResponse", f"QuestionnaireResponse/{response_id}")
    records = [source for source in trace.sources if source.reference and source.reference not in own]
    if not records:
        return named or ("Computed from other answers." if trace.expression else "Preset by the form.")
    first = records[0]
    version = f" version {first.version}" if first.version else ""
    more = f" and {len(records) - 1} more" if len(records) > 1 else ""
    return f"{first.element or first.reference} of {first.reference}{version}{more}" + (f" ({named})" if named else "")
