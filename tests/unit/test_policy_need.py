"""What coverage-information asks of us: every row of the decision table."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.policy.need import NeedAction, decide_need
from gateway.profiles.crd_2_2_1 import CoverageDetail, CoverageInformation, CoverageReason

ON = date(2026, 2, 16)
A = NeedAction


def _info(**fields: Any) -> CoverageInformation:
    basic: dict[str, Any] = {
        "coverage": "Coverage/1",
        "covered": "covered",
        "date": ON,
        "assertion_id": "a1",
        "raw": {},
    }
    return CoverageInformation(**{**basic, **fields})


def _reasons(*codes: str) -> tuple[CoverageReason, ...]:
    return tuple(CoverageReason(code=code) for code in codes)


@pytest.mark.requirement("crd:resp-44")
@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"covered": "not-covered", "reasons": _reasons("no-member-found")}, A.CHECK_ELIGIBILITY),
        ({"covered": "not-covered", "reasons": _reasons("coverage-not-found")}, A.CHECK_ELIGIBILITY),
        ({"covered": "not-covered", "reasons": _reasons("no-active-coverage")}, A.CHECK_ELIGIBILITY),
        ({"covered": "indeterminate", "reasons": _reasons("no-member-found")}, A.CHECK_ELIGIBILITY),
        ({"covered": "not-covered"}, A.CLOSE_NOT_COVERED),
        ({"covered": "not-covered", "pa_needed": "auth-needed"}, A.CLOSE_NOT_COVERED),
        ({"pa_needed": "satisfied", "satisfied_pa_id": "P1"}, A.CLOSE_SATISFIED),
        ({"pa_needed": "satisfied", "doc_needed": ("clinical",)}, A.DOCUMENT_ONLY),
        ({"pa_needed": "performpa", "doc_needed": ("clinical",)}, A.ROUTE_TO_PERFORMER),
        ({"pa_needed": "auth-needed", "doc_needed": ("clinical",)}, A.DOCUMENT_THEN_SUBMIT),
        ({"pa_needed": "auth-needed", "doc_needed": ("admin",)}, A.DOCUMENT_THEN_SUBMIT),
        ({"pa_needed": "auth-needed", "doc_needed": ("patient",)}, A.DOCUMENT_THEN_SUBMIT),
        ({"pa_needed": "auth-needed", "questionnaires": ("q|1",)}, A.DOCUMENT_THEN_SUBMIT),
        ({"pa_needed": "auth-needed", "doc_needed": ("indeterminate",)}, A.DOCUMENT_THEN_SUBMIT),
        ({"pa_needed": "auth-needed", "doc_needed": ("conditional",), "info_needed": ("location",)}, A.SUPPLY_FACTS),
        ({"pa_needed": "auth-needed"}, A.SUBMIT),
        ({"pa_needed": "auth-needed", "covered": "conditional", "info_needed": ("location",)}, A.SUBMIT),
        ({"pa_needed": "no-auth", "doc_needed": ("clinical",)}, A.DOCUMENT_ONLY),
        ({"pa_needed": "no-auth"}, A.CLOSE_NOT_REQUIRED),
        ({"pa_needed": "no-auth", "doc_needed": ("conditional",), "info_needed": ("performer",)}, A.SUPPLY_FACTS),
        ({"pa_needed": "conditional", "doc_needed": ("clinical",)}, A.DOCUMENT_THEN_ASK),
        ({"covered": "conditional", "doc_needed": ("admin",), "info_needed": ("location",)}, A.DOCUMENT_THEN_ASK),
        ({"pa_needed": "conditional", "info_needed": ("performer",)}, A.SUPPLY_FACTS),
        ({"pa_needed": "conditional", "info_needed": ("detail-code", "OTH")}, A.SUPPLY_FACTS),
        ({"pa_needed": "conditional", "info_needed": ("contract-window",)}, A.WAIT_FOR_CONTRACT),
        ({"pa_needed": "conditional", "info_needed": ("OTH",)}, A.DOCUMENT_THEN_ASK),
        ({"pa_needed": "conditional"}, A.ASK_PERSON),
        ({"covered": "indeterminate", "reasons": _reasons("technical")}, A.RETRY_LATER),
        ({"pa_needed": "indeterminate", "reasons": _reasons("technical")}, A.RETRY_LATER),
        ({"covered": "indeterminate"}, A.ASK_PERSON),
        ({}, A.ASK_PERSON),
        ({"info_needed": ("location",)}, A.SUPPLY_FACTS),
        ({"pa_needed": "something-new"}, A.ASK_PERSON),
        ({"covered": ""}, A.ASK_PERSON),
    ],
)
def test_decision_table(fields: dict[str, Any], action: NeedAction) -> None:
    decision = decide_need([_info(**fields)], ON, "Coverage/1")
    assert decision.action is action
    assert decision.reason


def test_a_missing_statement_is_never_no_authorization() -> None:
    for covered in ("covered", "conditional", "indeterminate", ""):
        assert decide_need([_info(covered=covered)], ON, None).action is not A.CLOSE_NOT_REQUIRED


def test_nothing_said_is_for_a_person() -> None:
    assert decide_need([], ON, "Coverage/1").action is A.ASK_PERSON


def test_only_the_coverage_asked_counts() -> None:
    infos = [_info(coverage="Coverage/2", pa_needed="no-auth"), _info(pa_needed="auth-needed")]
    assert decide_need(infos, ON, "Coverage/1").action is A.SUBMIT
    assert decide_need(infos, ON, "https://ehr.example.org/fhir/Coverage/1").action is A.SUBMIT
    assert decide_need(infos, ON, "Coverage/3").action is A.ASK_PERSON


@pytest.mark.parametrize(
    ("expiry", "action"),
    [
        (date(2026, 2, 16), A.CLOSE_NOT_REQUIRED),
        (date(2026, 2, 15), A.ASK_AGAIN),
        (None, A.CLOSE_NOT_REQUIRED),
    ],
)
def test_an_assertion_holds_until_the_end_of_its_last_day(expiry: date | None, action: NeedAction) -> None:
    assert decide_need([_info(pa_needed="no-auth", expiry_date=expiry)], ON, None).action is action


def test_the_newest_answer_is_in_force() -> None:
    infos = [
        _info(pa_needed="no-auth", date=date(2026, 2, 1), assertion_id="old"),
        _info(pa_needed="auth-needed", date=ON, assertion_id="new"),
    ]
    decision = decide_need(infos, ON, None)
    assert decision.action is A.SUBMIT
    assert decision.info is not None
    assert decision.info.assertion_id == "new"


def test_the_first_rule_whose_scope_fits_wins() -> None:
    cpt = "http://www.ama-assn.org/go/cpt"
    infos = [
        _info(pa_needed="no-auth", billing_codes=({"system": cpt, "code": "70001"},)),
        _info(pa_needed="auth-needed", billing_codes=({"system": cpt, "code": "70002"},)),
    ]
    billed = [{"system": "urn:oid:2.16.840.1.113883.6.12", "code": "70002"}]
    assert decide_need(infos, ON, None, billed).action is A.SUBMIT
    assert decide_need(infos, ON, None, [{"system": cpt, "code": "70003"}]).action is A.ASK_PERSON
    unknown = decide_need(infos, ON, None)
    assert unknown.action is A.CLOSE_NOT_REQUIRED
    assert unknown.findings


def test_limits_and_dependencies_are_pointed_out() -> None:
    info = _info(
        pa_needed="no-auth",
        dependency=("ServiceRequest/2",),
        details=(CoverageDetail(category="cat-limitation", code="allowed-quantity"),),
    )
    assert len(decide_need([info], ON, None).findings) == 2


@pytest.mark.requirement("crd:resp-41")
@pytest.mark.parametrize(("needed", "expected"), [(("admin",), True), (("admin", "clinical"), False), ((), False)])
def test_administrative_forms_are_told_apart(needed: tuple[str, ...], expected: bool) -> None:
    info = _info(pa_needed="auth-needed", doc_needed=needed)
    assert decide_need([info], ON, None).forms_are_administrative is expected
