"""What the measures are computed from: one frozen row per order, timer, claim. No names, no dates of birth.

Source: spec/clinical.md §8. The unit is one in-scope request line; a case is one order with one line of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

FINAL_ACTIONS = frozenset({"A1", "A2", "A3", "A6"})
"""Review actions that decide a line; A4 pends it, others are for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days at the practice that are reported, both ends in."""

    start: date
    """First day."""
    end: date
    """Last day."""
    zone: str
    """IANA zone of the practice."""

    def day(self, at: datetime) -> date:
        """The day of an instant at the practice."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def has(self, moment: datetime | date | None) -> bool:
        """Whether a day, or the local day of an instant, lies in the period; False for None."""
        if moment is None:
            return False
        on = self.day(moment) if isinstance(moment, datetime) else moment
        return self.start <= on <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the payer on the order's own line."""

    at: datetime
    """When it was recorded."""
    action: str
    """Review action code of the line; `?` where it had none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One evaluation by a clinical rule."""

    at: datetime
    """When it was made."""
    verdict: str
    """Verdict of spec/clinical.md §1.7."""
    indication: str
    """Diagnosis it was made for; empty where the order named none."""
    is_symptom: bool
    """That diagnosis is the symptom code of its part of the body."""
    needs_support: bool
    """That diagnosis needs findings that support it."""
    elements: Mapping[str, str]
    """Element → status."""
    order_on: date | None = None
    """Local day of the order."""

    @property
    def is_bypass(self) -> bool:
        """A red flag was complete and attested."""
        return self.verdict == "RED_FLAG_BYPASS"

    @property
    def is_supported(self) -> bool:
        """The findings support the diagnosis as much as the rule asks, or a red flag took precedence."""
        return self.elements.get("CODE_SUPPORT") in ("met", "waived")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredForm:
    """One completed form of a payer."""

    title: str
    """Title that people see."""
    completed_at: datetime | None
    """When a person completed it."""
    kept: int
    """Answers of the machine that nobody changed."""
    overridden: tuple[str, ...]
    """Link ids of prefilled answers that a person changed."""
    manual: int
    """Answers that a person gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCase:
    """One order and what became of it."""

    case_id: str
    """Only to count it once."""
    payer: str
    """Slug of the payer; empty while not routed."""
    line_of_business: str = "other"
    """Kind of plan of that payer."""
    clinician: str = ""
    """Who ordered, as staff know them; empty where the order names nobody."""
    is_expedited: bool = False
    """Asked for as expedited."""
    state: str
    """Where it stands now."""
    opened_at: datetime
    """When the order came in."""
    judgements: tuple[Judgement, ...] = ()
    """Evaluations, oldest first; empty for an order that no clinical rule is about."""
    sent_at: datetime | None = None
    """When the first request left for the payer."""
    received_at: datetime | None = None
    """When the payer confirmed receipt."""
    requests_sent: int = 0
    """Requests that left, updates included; more than one before a decision is a resubmission."""
    was_asked: bool = False
    """The payer asked for documents."""
    answers: tuple[Answer, ...] = ()
    """Payer's answers, oldest first."""
    denial_codes: tuple[str, ...] = ()
    """Codes of the payer's reasons, without their words."""
    is_overridden: bool = False
    """A clinician let it go on in spite of a gap."""
    opened_exam: bool = False
    """The examination template was opened and saved."""
    forms: tuple[MeasuredForm, ...] = ()
    """Forms that people completed."""
    sendings: tuple[str, ...] = ()
    """State of everything sent or to be sent."""

    @property
    def first(self) -> Judgement | None:
        """The evaluation at order time; None for an order out of scope."""
        return next(iter(self.judgements), None)

    @property
    def authored_on(self) -> date | None:
        """Day of the order as it was judged; None for an order out of scope."""
        return self.first.order_on if self.first else None

    @property
    def determination(self) -> Answer | None:
        """The first final answer; None while there is none."""
        return next((answer for answer in self.answers if answer.action in FINAL_ACTIONS), None)

    @property
    def approval(self) -> Answer | None:
        """The first answer that certifies the line as asked; None after a denial, which only an appeal undoes."""
        found = next((answer for answer in self.answers if answer.action in ("A1", "A3")), None)
        return found if found is not None and found.action == "A1" else None

    @property
    def is_withdrawn(self) -> bool:
        """Cancelled, or not needed after all: no request line in the sense of the measures."""
        return self.state in ("cancelled", "not_required", "not_covered")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTimer:
    """One conservative-care timer."""

    case_id: str
    """Its case."""
    started_on: date
    """Day 0."""
    ends_on: date
    """Day on which the decision is due."""
    state: str
    """running, completed, cancelled or failed."""
    ended_on: date | None = None
    """Day on which it ended; None while it runs."""
    left_on: date | None = None
    """Day on which the case went on from waiting; None while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFact:
    """One paid or denied claim, from the operator's billing system; amounts in the operator's currency."""

    claim_id: str
    """Id there; a claim counts once."""
    on: date
    """Day of payment or denial."""
    expected: Decimal = Decimal(0)
    """Expected allowed amount."""
    paid: Decimal = Decimal(0)
    """Paid amount; 0 for a denied claim."""
    is_denied: bool = False
    """Denied."""
    is_overturned: bool = False
    """The denial was overturned."""
    recouped: Decimal = Decimal(0)
    """Amount taken back."""
    recouped_on: date | None = None
    """Day on which it was taken back."""
    audit_on: date | None = None
    """Day of a record request or audit notice."""
    audit_verdict: str = ""
    """Verdict of a chart audit on it, e.g. GAP; empty where none was made."""
    appeals: int = 0
    """Appeals filed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorFacts:
    """What the gateway does not record and an operator may add; None means not recorded."""

    claims: tuple[ClaimFact, ...] | None = None
    """Claims of in-scope services."""
    appeal_cost: Decimal | None = None
    """Cost of one appeal."""
    staff_minutes: tuple[tuple[date, Decimal], ...] | None = None
    """Day of submission and active minutes, one entry per request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRowFact:
    """One rule row that is in use."""

    name: str
    """Id and version."""
    is_overdue: bool
    """Its review is past due."""
    is_illustrative: bool
    """Nobody compared it with the payer's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A panel shown at order time through a hook."""

    on: date
    """Day on which it was shown."""
    outcome: str
    """accepted, overridden, or empty while nothing was heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureInput:
    """Everything that the measures are computed from."""

    period: Period
    """Days reported."""
    as_of: datetime
    """When it was read."""
    cases: tuple[MeasuredCase, ...] = ()
    """Orders with anything in the period."""
    timers: tuple[MeasuredTimer, ...] = ()
    """Timers of those and of others that end or start in the period."""
    panels: tuple[Advice, ...] = ()
    """Panels shown in the period."""
    rules: tuple[RuleRowFact, ...] = ()
    """Rule rows in use."""
    operator: OperatorFacts = field(default_factory=OperatorFacts)
    """What an operator added."""


RUN_OUT = timedelta(days=365)
"""Claims need so much time before a recovery rate means anything."""
