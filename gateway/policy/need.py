"""What a payer's coverage-information asks of us: the decision table of spec/crd.md §8.1.

The repetitions of one coverage are read as ordered rules; the first one whose scope fits wins, and
none fitting means that nothing was said. `pa-needed` missing is never read as *no authorization*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.cases.decisions import NeedAction
from gateway.fhir import Json
from gateway.fhir.codes import normalise_coding
from gateway.fhir.references import same_target
from gateway.profiles.crd_2_2_1 import CoverageInformation

__all__ = ["NeedAction", "NeedDecision", "decide_need"]

_IDENTITY = frozenset({"no-member-found", "coverage-not-found", "no-active-coverage"})
_FORMS = frozenset({"clinical", "admin", "patient"})
_FACTS = frozenset({"performer", "location", "timeframe", "detail-code"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedDecision:
    """What to do about an order, and the assertion it rests on."""

    action: NeedAction
    """What to do."""
    reason: str
    """Why, in one sentence for staff."""
    info: CoverageInformation | None
    """The assertion in force; None when there is none."""
    next_action: str = ""
    """What a person should do; empty when the gateway goes on by itself."""
    findings: tuple[str, ...] = ()
    """Oddities of the answer, for staff."""

    @property
    def forms_are_administrative(self) -> bool:
        """Only administrative forms are wanted, so staff answer them (crd:resp-41)."""
        wanted = frozenset(self.info.doc_needed) & _FORMS if self.info else frozenset()
        return wanted == {"admin"}


_Test = Callable[[CoverageInformation], bool]
_TABLE: tuple[tuple[NeedAction, str, str, _Test], ...] = (
    (
        NeedAction.CHECK_ELIGIBILITY,
        "The payer could not identify the member or an active coverage.",
        "Check eligibility and the member id, then ask the payer again.",
        lambda info: info.covered in ("not-covered", "indeterminate") and bool(_reason_codes(info) & _IDENTITY),
    ),
    (
        NeedAction.CLOSE_NOT_COVERED,
        "The payer says that the service is not covered.",
        "",
        lambda info: info.covered == "not-covered",
    ),
    (
        NeedAction.DOCUMENT_ONLY,
        "An authorization exists already; the payer still wants documentation.",
        "",
        lambda info: info.pa_needed == "satisfied" and _wants_forms(info),
    ),
    (
        NeedAction.CLOSE_SATISFIED,
        "An authorization exists already.",
        "",
        lambda info: info.pa_needed == "satisfied",
    ),
    (
        NeedAction.ROUTE_TO_PERFORMER,
        "The payer wants the performer to ask for the authorization.",
        "Pass the order and the payer's forms to the performer, who must ask.",
        lambda info: info.pa_needed == "performpa",
    ),
    (
        NeedAction.SUPPLY_FACTS,
        "Authorization is needed; which documents depends on facts that are still missing.",
        "Complete the missing facts on the order, then ask the payer again.",
        lambda info: _auth(info) and _open_forms(info) and not _wants_forms(info) and _lacks_facts(info),
    ),
    (
        NeedAction.DOCUMENT_THEN_SUBMIT,
        "Authorization and documentation are needed.",
        "",
        lambda info: _auth(info) and (_wants_forms(info) or _open_forms(info)),
    ),
    (NeedAction.SUBMIT, "Authorization is needed.", "", lambda info: _auth(info)),
    (
        NeedAction.DOCUMENT_ONLY,
        "No authorization is needed; the payer wants documentation.",
        "",
        lambda info: info.pa_needed == "no-auth" and _wants_forms(info),
    ),
    (
        NeedAction.CLOSE_NOT_REQUIRED,
        "The service is covered and needs no authorization.",
        "",
        lambda info: info.covered == "covered" and info.pa_needed == "no-auth" and not info.doc_needed,
    ),
    (
        NeedAction.DOCUMENT_THEN_ASK,
        "Whether authorization is needed depends on documentation.",
        "",
        lambda info: _is_conditional(info) and _wants_forms(info),
    ),
    (
        NeedAction.SUPPLY_FACTS,
        "Whether authorization is needed depends on facts that are still missing.",
        "Complete the missing facts on the order, then ask the payer again.",
        lambda info: _is_conditional(info) and _lacks_facts(info),
    ),
    (
        NeedAction.WAIT_FOR_CONTRACT,
        "Whether authorization is needed depends on a contract that is not in force yet.",
        "Ask the payer again when the new contract period has begun.",
        lambda info: _is_conditional(info) and "contract-window" in info.info_needed,
    ),
    (
        NeedAction.DOCUMENT_THEN_ASK,
        "Whether authorization is needed depends on something the payer describes in its reason.",
        "Read the payer's reason; its forms may ask for what is missing.",
        lambda info: _is_conditional(info) and "OTH" in info.info_needed,
    ),
    (
        NeedAction.RETRY_LATER,
        "The payer could not tell for a technical reason.",
        "",
        lambda info: _is_indeterminate(info) and "technical" in _reason_codes(info),
    ),
    (
        NeedAction.ASK_PERSON,
        "The payer could not tell.",
        "Read the payer's reason and ask by phone.",
        lambda info: _is_indeterminate(info),
    ),
    (
        NeedAction.SUPPLY_FACTS,
        "The payer made no statement on authorization and names missing facts.",
        "Complete the missing facts on the order, then ask the payer again.",
        lambda info: not info.pa_needed and _lacks_facts(info),
    ),
    (
        NeedAction.ASK_PERSON,
        "The service is covered, but the payer made no statement on authorization.",
        "Ask the payer whether an authorization is needed.",
        lambda info: info.covered == "covered" and not info.pa_needed,
    ),
)
"""First matching row wins. Rows 6 and 9 of this list (documents of unknown kind) are ours [derived]."""


def decide_need(
    infos: Sequence[CoverageInformation],
    on: date,
    coverage_reference: str | None,
    billed_as: Collection[Json] = (),
) -> NeedDecision:
    """What to do about an order of day `on` under one coverage.

    `infos` are the repetitions on the order, in their order; those of other coverages are left out
    (`coverage_reference` None: all count). `billed_as` holds the Codings the order is billed by; empty
    means unknown, then a billing scope is assumed to fit and noted. Nothing is raised: what cannot be
    told is `ASK_PERSON`. Source: spec/crd.md §8.1, crd:resp-44, resp-45.
    """
    own = [info for info in infos if _is_of(info, coverage_reference)]
    if not own:
        return _no_statement("The payer said nothing about this order under this coverage.")
    valid = [info for info in own if info.expiry_date is None or on <= info.expiry_date]
    if not valid:
        return NeedDecision(
            action=NeedAction.ASK_AGAIN, reason="What the payer said has expired.", info=_newest(own)[0]
        )
    fitting = [info for info in _newest(valid) if _in_scope(info, billed_as)]
    if not fitting:
        return _no_statement("The payer's answer is about other billing codes than those of this order.")
    return _decide(fitting[0], billed_as)


def _decide(info: CoverageInformation, billed_as: Collection[Json]) -> NeedDecision:
    findings = tuple(info.warnings) + tuple(_findings(info, billed_as))
    for action, reason, next_action, holds in _TABLE:
        if holds(info):
            return NeedDecision(action=action, reason=reason, next_action=next_action, info=info, findings=findings)
    return NeedDecision(
        action=NeedAction.ASK_PERSON,
        reason="The payer's answer does not tell what is needed.",
        next_action="Ask the payer whether an authorization is needed.",
        info=info,
        findings=findings,
    )


def _no_statement(reason: str) -> NeedDecision:
    return NeedDecision(
        action=NeedAction.ASK_PERSON,
        reason=reason,
        next_action="Ask the payer whether an authorization is needed.",
        info=None,
    )


def _is_of(info: CoverageInformation, coverage_reference: str | None) -> bool:
    if coverage_reference is None or info.coverage == coverage_reference:
        return True
    return same_target(info.coverage, coverage_reference)


def _newest(infos: Sequence[CoverageInformation]) -> list[CoverageInformation]:
    """The repetitions of the latest assertion date; older ones are history (spec/crd.md §9)."""
    latest = max((info.date or date.min for info in infos), default=date.min)
    return [info for info in infos if (info.date or date.min) == latest]


def _in_scope(info: CoverageInformation, billed_as: Collection[Json]) -> bool:
    if not info.billing_codes or not billed_as:
        return True
    wanted = {_pair(coding) for coding in info.billing_codes}
    return any(_pair(coding) in wanted for coding in billed_as)


def _pair(coding: Json) -> tuple[str, str]:
    normal = normalise_coding(coding)
    return str(normal.get("system", "")), str(normal.get("code", ""))


def _findings(info: CoverageInformation, billed_as: Collection[Json]) -> list[str]:
    found = []
    if info.billing_codes and not billed_as:
        found.append("holds only for certain billing codes; those of the order are not known")
    if info.dependency:
        found.append("hinges on another order")
    if info.details and any(detail.category == "cat-limitation" for detail in info.details):
        found.append("limited in quantity or period")
    return found


def _reason_codes(info: CoverageInformation) -> frozenset[str]:
    return frozenset(reason.code for reason in info.reasons if reason.code)


def _auth(info: CoverageInformation) -> bool:
    return info.pa_needed == "auth-needed"


def _wants_forms(info: CoverageInformation) -> bool:
    return bool(_FORMS & frozenset(info.doc_needed)) or (bool(info.questionnaires) and not info.doc_needed)


def _open_forms(info: CoverageInformation) -> bool:
    return bool({"conditional", "indeterminate"} & frozenset(info.doc_needed))


def _lacks_facts(info: CoverageInformation) -> bool:
    return bool(_FACTS & frozenset(info.info_needed))


def _is_conditional(info: CoverageInformation) -> bool:
    return "conditional" in (info.covered, info.pa_needed, *info.doc_needed)


def _is_indeterminate(info: CoverageInformation) -> bool:
    return "indeterminate" in (info.covered, info.pa_needed, *info.doc_needed)
