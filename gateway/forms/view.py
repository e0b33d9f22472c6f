"""A form as flat rows, for the form page, `form show` and the JSON API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from gateway.forms.coverage_words import sentences_of
from gateway.forms.explain import CHANGED, FROM_CHART, FROM_PAYER, NOT_FOUND, TYPED
from gateway.forms.form_row import Choice, FormRow, answer_text, build_row
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import AnswerTrace, Draft
from gateway.forms.required import is_open
from gateway.forms.session import DEFAULT_GUIDE, FormSession
from gateway.forms.signatures import is_demanded
from gateway.forms.validate import check_sheet
from gateway.profiles import dtr_sdc
from gateway.profiles.dtr_guide import DtrGuide
from gateway.profiles.dtr_next_question import contained_form
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.record import RecordSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class FormView:
    """A form to show."""

    title: str
    canonical: str
    status: str
    rows: tuple[FormRow, ...]
    """Every item, switched-off ones too; show the enabled ones."""
    answered: int
    questions: int
    """Enabled questions that are shown."""
    from_chart: int
    open_required: tuple[str, ...]
    blockers: tuple[str, ...]
    """Sentences after "cannot be completed here: "."""
    faults: tuple[str, ...] = ()
    """What to put right about the answers as a whole."""
    audience: tuple[str, ...] = ()
    """Who is to answer, as the form says: clinical, admin, patient."""
    payer_says: tuple[str, ...] = ()
    """What the payer says about coverage together with the form, one sentence each."""
    is_signature_wanted: bool = False
    """Whether a person has to sign the answers to complete the form."""
    is_adaptive: bool = False
    """Whether the payer's service asks the questions set by set and completes the form."""

    def __iter__(self) -> Iterator[FormRow]:
        return iter(self.rows)

    @property
    def can_be_completed(self) -> bool:
        """Whether a person may complete it now."""
        return not self.is_adaptive and self._is_fit

    @property
    def can_continue(self) -> bool:
        """Whether a person may ask the payer's service for the next questions now."""
        return self.is_adaptive and self._is_fit and self.status == "in-progress"

    @property
    def _is_fit(self) -> bool:
        is_wrong = bool(self.faults) or any(row.error for row in self.rows if row.enabled)
        return not self.blockers and not self.open_required and not is_wrong

    @property
    def progress(self) -> str:
        """`14 of 18 answered · 11 from chart · 3 required open`."""
        return (
            f"{self.answered} of {self.questions} answered · {self.from_chart} from chart · "
            f"{len(self.open_required)} required open"
        )

    def as_json(self) -> dict[str, Any]:
        """Stable JSON of the form (`form show --json`)."""
        return {
            "title": self.title,
            "questionnaire": self.canonical,
            "status": self.status,
            "progress": self.progress,
            "open_required": list(self.open_required),
            "blockers": list(self.blockers),
            "faults": list(self.faults),
            "can_be_completed": self.can_be_completed,
            "is_adaptive": self.is_adaptive,
            "is_signature_wanted": self.is_signature_wanted,
            "payer_says": list(self.payer_says),
            "can_continue": self.can_continue,
            "rows": [row.as_json() for row in self.rows],
        }


def form_view(
    package: FormPackageParts,
    response: Json | Draft,
    traces: Sequence[AnswerTrace] | Draft = (),
    session: FormSession | None = None,
    *,
    launch: LaunchContext | None = None,
    record: RecordSnapshot | None = None,
    guide: DtrGuide = DEFAULT_GUIDE,
) -> FormView:
    """Rows of a form in document order; iterating the view gives them.

    `response` is a response, or a `Draft` with its traces; `traces` may be a Draft too. Without traces origins
    have no explanation.
    Switches and pick lists that need the record get it from `session`, or from `launch` and `record`.
    """
    if isinstance(response, Draft):
        return form_view(
            package, response.response, traces or response, session, launch=launch, record=record, guide=guide
        )
    if isinstance(traces, Draft):
        traces = traces.answers
    if session is None:
        record = record or RecordSnapshot(())
        session = FormSession(package=package, launch=launch, record=record, guide=guide)
    known = {trace.link_id: trace for trace in traces}
    sheet = session.sheet(response)
    enabled = session.enabled(sheet)
    findings = [finding for finding in check_sheet(session, sheet) if finding.code not in ("required", "blocked")]
    errors = {one.link_id: one.sentence for one in reversed(findings) if one.severity == "error"}
    notices = {one.link_id: one.sentence for one in reversed(findings) if one.severity == "warning"}
    scope = session.scope(sheet, enabled.addresses)
    rows = tuple(
        build_row(
            session,
            scope,
            slot,
            is_enabled=slot.address in enabled.addresses,
            trace=known.get(slot.address),
            error=errors.get(slot.address, ""),
            notice=notices.get(slot.address, ""),
            sheet_id=str(response.get("id", "")),
            sheet=sheet,
        )
        for slot in sheet.walk()
    )
    shown = [row for row in rows if row.enabled and row.is_question and not row.hidden]
    return FormView(
        title=session.form.title,
        canonical=session.form.canonical,
        status=str(response.get("status", "")),
        rows=rows,
        answered=sum(1 for row in shown if row.values),
        questions=len(shown),
        from_chart=sum(1 for row in shown if row.origin_label == FROM_CHART),
        open_required=tuple(
            slot.address
            for slot in sheet.walk()
            if slot.address in enabled.addresses and is_open(slot, enabled.addresses)
        ),
        blockers=(*session.blockers, *enabled.undecided),
        faults=tuple(one.sentence for one in findings if not one.link_id and one.severity == "error"),
        payer_says=sentences_of(response),
        is_signature_wanted=is_demanded(session.form),
        audience=dtr_sdc.read_audience(session.package.questionnaire),
        is_adaptive=dtr_sdc.is_adaptive(session.package.questionnaire) or contained_form(response) is not None,
    )


__all__ = [
    "CHANGED",
    "FROM_CHART",
    "FROM_PAYER",
    "NOT_FOUND",
    "TYPED",
    "Choice",
    "FormRow",
    "FormView",
    "answer_text",
    "form_view",
]
