"""What a case must remember between its stages: digests of stored bytes and small words, no content.

Everything large or personal lies in the content-addressed objects; a fact names it by digest. Facts
travel as JSON text in the case row and change only together with an event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFact:
    """One payer form of the case."""

    form_id: str
    """Short id of the form within its case: `1`, `2`, …"""
    canonical: str
    """`url|version` of the Questionnaire."""
    title: str
    """Title that people see."""
    package: str
    """Digest of the package response body the form came in."""
    position: int
    """Which package of that response, from 0."""
    response: str = ""
    """Digest of the newest QuestionnaireResponse; empty before it is populated."""
    trace: str = ""
    """Digest of the population trace; empty before it is populated."""
    status: str = "new"
    """new, in-progress or completed."""
    open_required: tuple[str, ...] = ()
    """Link ids of enabled required items without an answer."""
    answered: int = 0
    """Answers in the newest response."""
    is_adaptive: bool = False
    """Whether the payer's service asks the questions set by set."""
    sets: int = 0
    """Times that an adaptive form's service was asked."""
    earlier: str = ""
    """Digest of the answers of an earlier round, around which this one is filled; empty for none."""
    working: str = ""
    """Digest of the answers as they stood before a person completed them, with what people took out; empty before."""
    value_sets: tuple[str, ...] = ()
    """Digests of value sets that the payer expanded for this form, beside those of its package."""
    wanted_types: tuple[str, ...] = ()
    """Resource types that its logic asks for and that are not read with every chart."""
    part: int = 0
    """Which form of that package: 0 is the main one, others came beside it."""
    received_at: str = ""
    """When the package came, by the payer's clock, ISO instant; what is asked for as changed since."""
    looked_at: str = ""
    """When the payer was last asked for it, by our clock, ISO instant."""
    effective_until: str = ""
    """Last day the form is in force, as far as the payer wrote it; empty when it is open."""
    content: str = ""
    """Digest of questions and logic; the same digest means that nothing changed."""
    is_ended: bool = False
    """Out of force, and the payer has no other: a person has to ask it."""
    replaced: str = ""
    """The form of which `earlier` holds the answers, where it is another: package digest, position and part."""
    asked_by: str = ""
    """Control number of the request after a pend that this form answers; empty for forms of the order itself."""
    faults: str = ""
    """Fingerprint of the faults of the form that the payer is told about; empty while it has none."""
    report: str = ""
    """Digest of the error report that the payer has to be sent; empty when none waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedDocument:
    """Something the payer asked for after a pend."""

    code: str
    """What kind of document: LOINC attachment code or X12 report type."""
    text: str
    """The same in words, as far as the payer gave any."""
    control_number: str
    """Attachment control number that the answer must carry."""
    line: int = 0
    """Item sequence it is about; 0 for the whole request."""
    attachment: str = ""
    """Digest of the Parameters that answer it; empty while open."""
    sent: bool = False
    """Whether the payer took the answer."""
    context: str = ""
    """Trace number under which the payer hands out the form that it asks for; empty where it asks for documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBack:
    """Something the EHR has to be told."""

    kind: str
    """coverage-information, task, claim-response, document, or `form-` and the form's id."""
    digest: str
    """Digest of the object to be written or merged."""
    done: bool = False
    """Whether the EHR has it."""
    attempts: int = 0
    """Tries so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a stage may need to know of the stages before it. Empty text means not yet."""

    body: str = ""
    """Digest of the posted body."""
    body_type: str = ""
    """Media type of the posted body."""
    order_digest: str = ""
    """Digest of the order as JSON when it was accepted."""
    hook: str = ""
    """Digest of what a hook brought along about the patient; empty where no hook opened the case."""
    is_unsaved: bool = False
    """The order came with a hook and has not been seen in the EHR yet; its id may still change."""
    content: str = ""
    """Digest of what an unsaved order asks for, by which it is found again under another id."""
    look_at: str = ""
    """When a provisional case next looks for its order in the EHR, ISO instant; empty when it need not."""
    snapshot: str = ""
    """Digest of the extract manifest: which resource versions were read."""
    further_types: tuple[str, ...] = ()
    """Resource types that the chart is read with besides, because a form's logic asks for them."""
    need: str = ""
    """Digest of the payer's coverage answer."""
    need_action: str = ""
    """What the coverage answer calls for (action of gateway/policy/need.py)."""
    need_reason: str = ""
    """Why, in a sentence for staff."""
    assertion_id: str = ""
    """Coverage assertion id; kept for ever."""
    satisfied_number: str = ""
    """Authorization number of an authorization already on file."""
    coverage_information: str = ""
    """Digest of the answered order that carries coverage-information."""
    questionnaires: tuple[str, ...] = ()
    """Canonicals that the coverage answer named."""
    evaluation: str = ""
    """Digest of the clinical evaluation."""
    verdict: str = ""
    """Verdict of the clinical evaluation."""
    lines: tuple[str, ...] = ()
    """One sentence per missing or undecided element."""
    held_until: str = ""
    """When a held case is looked at again, ISO instant; apart from the row's due instant, which retries use too."""
    is_overridden: bool = False
    """A person decided to go on in spite of the gaps."""
    timer: str = ""
    """Id of the newest conservative-care timer; empty where none was started."""
    forms_fetched: bool = False
    """Whether the payer was asked for its forms."""
    forms: tuple[FormFact, ...] = ()
    """The payer's forms."""
    forms_look: bool = False
    """Whether the payer has to be asked what changed of its forms."""
    forms_named: tuple[str, ...] = ()
    """Canonicals of forms that the payer named since the others were fetched, still to be fetched."""
    superseded: tuple[str, ...] = ()
    """Drafts that were replaced or ran out and have to be marked as stopped: form id and digest."""
    document: str = ""
    """Digest of the sealed document Bundle."""
    submission_id: str = ""
    """Id of the submission row in force."""
    sent: str = ""
    """Id of the submission whose sending is recorded in the history."""
    answered: str = ""
    """Id of the newest submission whose answer was taken."""
    answer: str = ""
    """Digest of the newest payer answer (PAS response Bundle)."""
    authorization_numbers: tuple[str, ...] = ()
    """Numbers the payer gave with an approval."""
    denial_reasons: tuple[str, ...] = ()
    """Reasons of a denial, as the payer worded them."""
    requests: tuple[RequestedDocument, ...] = ()
    """Documents the payer asked for."""
    write_backs: tuple[WriteBack, ...] = ()
    """What the EHR has been or has to be told."""
    task_id: str = ""
    """Id of our Task in the EHR."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Failed tries in a row, by step."""
    wait: str = ""
    """Step that waits for its next try; empty when nothing waits."""

    def to_text(self) -> str:
        """JSON text of the facts that are not empty."""
        return json.dumps({key: value for key, value in asdict(self).items() if value not in ("", (), {}, False)})

    def failed(self, step: str) -> Facts:
        """The facts with one more failed try of `step`."""
        return replace(self, attempts={**self.attempts, step: self.attempts.get(step, 0) + 1}, wait=step)

    def succeeded(self, step: str) -> Facts:
        """The facts with the failed tries of `step` forgotten."""
        others = {name: count for name, count in self.attempts.items() if name != step}
        return replace(self, attempts=others, wait="" if self.wait == step else self.wait)

    def form(self, form_id: str) -> FormFact | None:
        """The form of that id, or None."""
        return next((form for form in self.forms if form.form_id == form_id), None)

    def with_form(self, changed: FormFact) -> Facts:
        """The facts with one form replaced."""
        return replace(self, forms=tuple(changed if f.form_id == changed.form_id else f for f in self.forms))

    def telling(self, *items: WriteBack) -> Facts:
        """The facts with these to be told to the EHR, each in place of what of its kind was told or waits."""
        kinds = {item.kind for item in items}
        others = tuple(item for item in self.write_backs if item.kind not in kinds)
        return replace(self, write_backs=(*others, *items))

    def pending_write_back(self) -> WriteBack | None:
        """The first thing the EHR does not know yet, or None."""
        return next((item for item in self.write_backs if not item.done), None)


def read_facts(text: str) -> Facts:
    """Facts of the JSON text that `to_text` wrote; missing keys are empty."""
    raw: dict[str, Any] = json.loads(text or "{}")
    raw["forms"] = tuple(FormFact(**_tuples(item)) for item in raw.get("forms", ()))
    raw["requests"] = tuple(RequestedDocument(**item) for item in raw.get("requests", ()))
    raw["write_backs"] = tuple(WriteBack(**item) for item in raw.get("write_backs", ()))
    return Facts(**_tuples(raw))


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
