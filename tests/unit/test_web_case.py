"""A case on its pages: what it shows, what people may do to it, and what happens when two act at once."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cases.facts import Facts, FormFact, RequestedDocument, read_facts
from gateway.errors import Conflict
from gateway.fhir.json import dump_json
from gateway.flows import actions, ledger
from gateway.flows.actors import Actor
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.store.rows import CaseRow, SubmissionRow
from gateway.web import audit
from tests import pas_answers
from tests.web_house import DOCUMENT, NOW, Browser, add_case, application, documenting, open_house, with_chart


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_house(tmp_path / "house")


def _browser(services: Services, user: str = "sam") -> Browser:
    made = Browser(application(services))
    made.sign_in(user)
    return made


def _plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("<main")[2]).split())


def _object(services: Services, case: CaseRow, value: object) -> str:
    with services.store.begin() as tx:
        return tx.objects.put(case.tenant_id, case.case_id, dump_json(value), "application/json")


def _set(services: Services, case: CaseRow, facts: Facts, **fields: object) -> CaseRow:
    with services.store.begin() as tx:
        return tx.cases.update(case.tenant_id, case.case_id, case.version, facts=facts.to_text(), **fields)


def _held(services: Services) -> CaseRow:
    case = with_chart(services, add_case(services, "held", move="clinician"))
    evaluation = {
        "rule": "default-strict",
        "version": "1",
        "status": "illustrative",
        "verdict": "GAP",
        "resume_on": "2026-04-06",
        "elements": [
            {"element": "INDICATION", "status": "met", "line": "M54.12 is named.", "evidence": ["ServiceRequest/o1"]},
            {"element": "PT_VISITS", "status": "unmet", "line": "4 of 6 therapy visits are on file.", "evidence": []},
            {"element": "NDI", "status": "indeterminate", "line": "No NDI score.", "evidence": ["Observation/gone"]},
        ],
    }
    facts = replace(
        read_facts(case.facts),
        evaluation=_object(services, case, evaluation),
        verdict="GAP",
        lines=("4 of 6 therapy visits are on file.", "No NDI score."),
        need_action="document_then_submit",
        need_reason="An authorization is needed.",
    )
    return _set(services, case, facts)


def _decided(services: Services, state: str, *items: dict[str, object]) -> CaseRow:
    case = add_case(services, state)
    service = {"coding": [{"code": "72141", "display": "MRI"}]}
    claim = {"resourceType": "Claim", "item": [{"sequence": 1, "productOrService": service}]}
    request = {"resourceType": "Bundle", "entry": [{"resource": claim}]}
    bundle = pas_answers.answer(pas_answers.claim_response(*items))
    row = SubmissionRow(
        tenant_id="main",
        submission_id="s1",
        case_id=case.case_id,
        kind="submit",
        endpoint="example-open/pas",
        request_digest=_object(services, case, request),
        response_digest=_object(services, case, bundle),
        created_at=NOW,
        state="answered",
        attempts=2,
        first_sent_at=NOW,
        answered_at=NOW,
        http_status=200,
        claim_identifier="urn:x|PA-1",
    )
    with services.store.begin() as tx:
        tx.submissions.insert(row)
    facts = Facts(submission_id="s1", answer=row.response_digest, need_action="submit", need_reason="Needed.")
    return _set(services, case, facts)


def test_the_overview_names_one_line_for_each_missing_element_with_its_records(services: Services) -> None:
    case = _held(services)
    page = _browser(services).get(f"/cases/{case.case_id}").text
    said = _plain(page)
    assert "4 of 6 therapy visits are on file." in said
    assert "No NDI score." in said
    assert said.index("Pt visits") < said.index("Indication")
    assert "Observation/gone" in said
    assert "2026-04-06" in said
    digest = next(ref for ref in re.findall(r'objects/([0-9a-f]{64})" title="ServiceRequest/o1"', page))
    assert _browser(services).get(f"/cases/{case.case_id}/objects/{digest}").status_code == 200


def test_the_strip_says_where_each_stage_stands(services: Services) -> None:
    page = _browser(services).get(f"/cases/{_held(services).case_id}").text
    said = _plain(page)
    for option in ("timer", "red-flag", "neuro-exam"):
        assert f'/{option}">' in page, "each way out of the hold is offered"
    assert "Coverage done An authorization is needed." in said
    assert "Documentation in progress On hold" in said
    assert "Authorization not started" in said


def test_a_denial_shows_its_reasons_and_each_item(services: Services) -> None:
    case = _decided(services, "denied", pas_answers.item(1, "A3", number="R-9", reason="0V"))
    facts = replace(read_facts(case.facts), denial_reasons=("0V: Requires <medical> review",))
    case = _set(services, case, facts, decision="denied")
    said = _plain(_browser(services).get(f"/cases/{case.case_id}").text)
    assert "0V: Requires &lt;medical&gt; review" in said
    assert "72141 MRI" in said
    assert "code A3" in said
    assert "2 times (answered)" in said


def test_an_approval_shows_its_number(services: Services) -> None:
    case = _decided(services, "approved", pas_answers.item(1, "A1", number="AUTH-77"))
    facts = replace(read_facts(case.facts), authorization_numbers=("AUTH-77",))
    case = _set(services, case, facts, decision="approved", authorization_number="AUTH-77")
    said = _plain(_browser(services).get(f"/cases/{case.case_id}").text)
    assert "Authorization number: AUTH-77" in said
    assert "Authorization done Approved, number AUTH-77" in said


def test_an_unknown_review_code_is_neither_approved_nor_denied(services: Services) -> None:
    case = _decided(services, "needs_attention", pas_answers.item(1, "Q7"))
    case = _set(services, case, read_facts(case.facts), decision="unknown")
    said = _plain(_browser(services).get(f"/cases/{case.case_id}").text)
    assert "Needs review" in said
    assert "code Q7" in said
    assert "Approved" not in said


@pytest.mark.parametrize(("user", "has_override"), [("sam", False), ("cleo", True), ("ada", False)])
def test_only_clinicians_may_override(user: str, has_override: bool, services: Services) -> None:
    case = _held(services)
    browser = _browser(services, user)
    assert (f"/cases/{case.case_id}/actions/override" in browser.get(f"/cases/{case.case_id}").text) is has_override


@pytest.mark.parametrize(
    ("state", "verdict", "is_overridden", "is_offered"),
    [
        ("held", "GAP", False, True),
        ("needs_attention", "RED_FLAG_INCOMPLETE", False, True),
        ("needs_attention", "GAP", True, False),
        ("documenting", "PASS", False, False),
        ("documenting", "GAP", True, False),
        ("checking", "", False, False),
    ],
)
def test_only_a_verdict_that_stops_can_be_overridden(
    state: str, verdict: str, is_overridden: bool, is_offered: bool, services: Services
) -> None:
    case = with_chart(services, add_case(services, state))
    case = _set(services, case, replace(read_facts(case.facts), verdict=verdict, is_overridden=is_overridden))
    browser = _browser(services, "cleo")
    assert (f"/cases/{case.case_id}/actions/override" in browser.get(f"/cases/{case.case_id}").text) is is_offered
    actor = Actor(id="cleo", kind="user", tenant="main", roles=("clinician",))
    if is_offered:
        assert actions.override(services, actor, case.case_id, "Seen by a specialist").state == "checking"
        return
    with pytest.raises(Conflict, match="No verdict stops this case now") as refused:
        actions.override(services, actor, case.case_id, "Seen by a specialist")
    assert refused.value.reason == "case.no-gap"
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).version == case.version


def test_an_override_needs_a_reason_and_keeps_it(services: Services) -> None:
    case = _held(services)
    browser, path = _browser(services, "cleo"), f"/cases/{case.case_id}/actions/override"
    refused = browser.submit(path, path, {"reason": " x "})
    assert refused.status_code == 422
    assert "Say in a few words" in refused.text
    assert 'aria-invalid="true"' in refused.text
    done = browser.submit(path, path, {"reason": "Progressive weakness since Monday"})
    assert done.headers["location"] == f"/cases/{case.case_id}?done=override"
    assert "The gap is accepted" in browser.get(done.headers["location"]).text
    timeline = _plain(browser.get(f"/cases/{case.case_id}/timeline").text)
    assert "Progressive weakness since Monday" in timeline
    assert "Cleo Clinician (cleo)" in timeline
    assert "set to be checked again held → checking" in timeline


def test_a_reason_that_is_too_long_comes_back_to_be_cut(services: Services) -> None:
    case = _held(services)
    path = f"/cases/{case.case_id}/actions/cancel"
    refused = _browser(services).submit(path, path, {"reason": "x" * 401})
    assert refused.status_code == 422
    assert "x" * 401 in refused.text


def test_an_action_says_what_happens_and_asks_first(services: Services) -> None:
    case = _held(services)
    browser = _browser(services)
    page = browser.get(f"/cases/{case.case_id}/actions/cancel").text
    assert "cannot be opened again" in page
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).state == "held"
    path = f"/cases/{case.case_id}/actions/cancel"
    browser.submit(path, path, {"reason": ""})
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).state == "cancelled"


def test_an_action_on_a_case_that_moved_on_does_nothing_and_says_what_changed(services: Services) -> None:
    case = _held(services)
    first, second = _browser(services), _browser(services, "cleo")
    path = f"/cases/{case.case_id}/actions/cancel"
    page = first.get(path).text
    token, seq = (re.search(rf'name="{name}" value="(\w+)"', page).group(1) for name in ("token", "seq"))  # type: ignore[union-attr]
    second.submit(f"/cases/{case.case_id}/actions/recheck", f"/cases/{case.case_id}/actions/recheck", {"reason": "new"})
    answer = first.post(path, {"token": token, "seq": seq, "state": "held", "reason": ""})
    assert answer.status_code == 409
    said = _plain(answer.text)
    assert "Nothing was done." in said
    assert "held → checking" in said
    assert f'href="/cases/{case.case_id}"' in answer.text
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).state == "checking"


def test_an_action_that_is_not_known_is_not_found(services: Services) -> None:
    case = _held(services)
    assert _browser(services).get(f"/cases/{case.case_id}/actions/delete").status_code == 404


def test_what_the_role_does_not_include_has_no_button_and_no_form(services: Services) -> None:
    case = _held(services)
    browser = _browser(services, "ada")
    assert "/actions/" not in browser.get(f"/cases/{case.case_id}").text
    page = browser.get(f"/cases/{case.case_id}/actions/cancel").text
    assert "your role does not include it" in page
    assert 'name="state"' not in page


def test_a_payers_request_is_answered_with_documents_of_the_chart(services: Services) -> None:
    case = with_chart(services, add_case(services, "pended", move="payer"), DOCUMENT)
    request = RequestedDocument(code="11506-3", text="Progress note", control_number="ACN/1 ?")
    case = _set(services, case, replace(read_facts(case.facts), requests=(request,)))
    browser, path = _browser(services), f"/cases/{case.case_id}/requests/1"
    assert "Choose documents" in browser.get(f"/cases/{case.case_id}").text
    page = browser.get(path).text
    assert "Progress note, 2026-03-10" in page
    assert "fits what was asked" in page
    assert browser.submit(path, path, {}).status_code == 422
    assert browser.submit(path, path, {"document": "DocumentReference/other"}).status_code == 422
    done = browser.submit(path, path, {"document": "DocumentReference/d1"})
    assert done.headers["location"] == f"/cases/{case.case_id}?done=documents"
    assert "Chosen; being sent" in browser.get(done.headers["location"]).text
    again = browser.post(path, {"token": "x"})
    assert again.status_code == 403
    assert "This request was answered." in browser.get(path).text


@pytest.mark.parametrize("number", ["0", "2", "x", "99999", "-1"])
def test_a_request_that_was_not_made_is_not_found(number: str, services: Services) -> None:
    case = _held(services)
    assert _browser(services).get(f"/cases/{case.case_id}/requests/{number}").status_code == 404


@pytest.mark.threat("T7")
def test_a_record_is_shown_without_anything_that_runs(services: Services) -> None:
    case = with_chart(services, add_case(services))
    browser = _browser(services)
    with services.store.read() as tx:
        manifest = json.loads(tx.objects.get("main", case.case_id, read_facts(case.facts).snapshot))
    digest = next(line["digest"] for line in manifest["resources"] if line["reference"] == "Patient/p1")
    page = browser.get(f"/cases/{case.case_id}/objects/{digest}").text
    assert "<h2>Patient/p1</h2>" in page
    assert "alert(1)" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert page.count("<script") == page.count('<script src="/static/')
    assert "&#34;birthDate&#34;: &#34;2012-02-19&#34;" in page


@pytest.mark.threat("T21")
def test_bytes_are_handed_out_exactly_and_never_as_a_page(services: Services) -> None:
    case = add_case(services)
    body = b"<html><script>alert(1)</script>\xff"
    with services.store.begin() as tx:
        digest = tx.objects.put("main", case.case_id, body, "text/html")
    browser = _browser(services)
    raw = browser.get(f"/cases/{case.case_id}/objects/{digest}/raw")
    assert raw.content == body
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["content-disposition"].startswith("attachment;")
    shown = browser.get(f"/cases/{case.case_id}/objects/{digest}")
    assert shown.status_code == 200
    assert shown.text.count("<script") == 1


@pytest.mark.parametrize("digest", ["x", "0" * 64, "A" * 64, "..%2f.."])
def test_an_object_that_is_not_kept_is_not_found(digest: str, services: Services) -> None:
    case = add_case(services)
    for ending in ("", "/raw"):
        assert _browser(services).get(f"/cases/{case.case_id}/objects/{digest}{ending}").status_code == 404


@pytest.mark.threat("T14")
def test_an_object_of_another_case_is_not_found(services: Services) -> None:
    one, other = add_case(services), add_case(services)
    digest = _object(services, one, {"secret": 1})
    assert _browser(services).get(f"/cases/{other.case_id}/objects/{digest}").status_code == 404


def test_the_timeline_lists_every_event_and_filters_by_who_acted(services: Services) -> None:
    case = with_chart(services, add_case(services))
    browser, path = _browser(services), f"/cases/{case.case_id}/timeline"
    assert browser.get(path).text.count('id="event-') == 3
    assert browser.get(f"{path}?who=people").text.count('id="event-') == 0
    assert browser.get(f"{path}?who=system").text.count('id="event-') == 3
    assert browser.get(f"{path}?who=nonsense").text.count('id="event-') == 3


def test_the_exchange_shows_what_was_sent_and_what_came_back(services: Services) -> None:
    case = _decided(services, "denied", pas_answers.item(1, "A3"))
    browser = _browser(services)
    page = browser.get(f"/cases/{case.case_id}/exchange").text
    assert "2 times" in page
    sent = re.search(r'objects/([0-9a-f]{64})">What was sent', page)
    back = re.search(r'objects/([0-9a-f]{64})">What came back', page)
    assert sent
    assert back
    assert "ClaimResponse" in browser.get(f"/cases/{case.case_id}/objects/{back.group(1)}").text


def test_times_are_those_of_the_practice_and_the_page_names_the_zone_once(services: Services) -> None:
    case = add_case(services)
    page = _browser(services).get(f"/cases/{case.case_id}/timeline").text
    assert page.count("Times are in America/Los_Angeles.") == 1
    assert '<time datetime="2026-03-16T17:00:00Z" title="2026-03-16T17:00:00Z">2026-03-16 10:00</time>' in page


def test_verify_says_what_the_auditors_tool_says(services: Services) -> None:
    case = documenting(services)
    browser = _browser(services, "ada")
    answer = browser.get(f"/cases/{case.case_id}/verify")
    said = _plain(answer.text)
    assert answer.status_code == 200
    assert "Signatures are valid Holds" in said
    assert "Each event follows the one before it Holds" in said
    assert "Cannot tell" in said
    assert "Verified Every step" not in said
    assert f"pa-verify {case.case_id}.zip --anchors anchors.json" in said
    package = browser.get(f"/cases/{case.case_id}/evidence")
    assert package.content.startswith(b"PK")
    assert package.headers["content-disposition"] == f'attachment; filename="{case.case_id}.zip"'


def test_verify_and_evidence_need_the_auditors_role(services: Services) -> None:
    case = documenting(services)
    browser = _browser(services)
    for page in ("verify", "evidence"):
        assert browser.get(f"/cases/{case.case_id}/{page}").status_code == 403
    assert "/verify" not in browser.get(f"/cases/{case.case_id}").text


def test_a_finding_fails_its_own_step_and_an_unknown_one_gets_a_step(services: Services) -> None:
    class Found:
        def __init__(self, code: str) -> None:
            self.code, self.seq, self.detail = code, None, ""

    steps = audit.steps_of([Found("SIG_INVALID"), Found("HEAD_MISSING"), Found("SOMETHING_NEW")])
    words = {step.text: step.word for step in steps}
    assert words["Signatures are valid"] == "Failed"
    assert words["The log's head is published, so that no tail was cut off"] == "Cannot tell"
    assert words["Bytes match their digests"] == "Holds"
    assert words["Other checks"] == "Failed"


def test_every_code_of_a_report_belongs_to_a_step() -> None:
    from provenance.codes import OPEN_QUESTIONS, Code

    named = {code for _, codes in audit.STEPS for code in codes}
    assert named == {code.value for code in Code}
    assert {code.value for code in OPEN_QUESTIONS} == audit.OPEN_QUESTIONS


def test_a_packet_that_waits_says_why_and_can_be_looked_at_before_it_is_released(services: Services) -> None:
    case = add_case(services, "ready", signed_at=NOW)
    document = {"resourceType": "Bundle", "type": "document", "entry": [{"resource": DOCUMENT}]}
    sealed = _object(services, case, document)
    case = _set(services, case, Facts(document=sealed, verdict="GAP"))
    browser = _browser(services)
    said = _plain(browser.get(f"/cases/{case.case_id}").text)
    assert "The clinical rule is not satisfied and nobody has accepted the gap." in said
    page = browser.get(f"/cases/{case.case_id}/actions/release").text
    assert f"/objects/{sealed}" in page
    assert "DocumentReference: Progress note" in page
    case = _set(services, case, Facts(document=sealed), signed_at=None)
    assert "/actions/release" not in browser.get(f"/cases/{case.case_id}").text


def test_a_form_that_is_still_being_filled_says_so(services: Services) -> None:
    form = FormFact(form_id="1", canonical="q|1", title="Q", package="x", position=0)
    case = add_case(services, "documenting", Facts(forms=(form,)))
    page = _browser(services).get(f"/cases/{case.case_id}/forms/1")
    assert "being filled from the chart" in page.text


def test_damaged_bytes_of_the_chart_do_not_hide_the_case(services: Services) -> None:
    case = add_case(services, "held", Facts(snapshot="0" * 64))
    answer = _browser(services).get(f"/cases/{case.case_id}")
    assert answer.status_code == 200
    assert "cannot be opened any more" in answer.text


def test_an_event_note_is_shown_in_words(services: Services) -> None:
    case = add_case(services)
    act = Act(verb="payer-response", about=(Item.body(b"{}"),), note={"http_status": 200, "reason": "<b>x</b>"})
    ledger.append(services, case, act)
    page = _browser(services).get(f"/cases/{case.case_id}/timeline").text
    assert "http status: 200" in page
    assert "reason: &lt;b&gt;x&lt;/b&gt;" in page


def test_the_timeline_tells_whose_events_are_whose(services: Services) -> None:
    case = documenting(services)
    browser, path = _browser(services), f"/cases/{case.case_id}/timeline"
    assert "form received" in _plain(browser.get(f"{path}?who=payer").text)
    assert "chart read" not in _plain(browser.get(f"{path}?who=payer").text)
    browser.submit(f"/cases/{case.case_id}/forms/1", f"/cases/{case.case_id}/forms/1", {"answer:weeks": "7"})
    said = _plain(browser.get(f"{path}?who=people").text)
    assert "answer typed" in said
    assert "form received" not in said


def test_the_exchange_names_both_sides_of_a_message(services: Services) -> None:
    case = add_case(services)
    asked, answered = Item.body(b'{"asked":1}'), Item.body(b'{"answered":1}')
    ledger.append(services, case, Act(verb="payer-need", about=(answered,), sources=(asked,), payer="Example"))
    page = _browser(services).get(f"/cases/{case.case_id}/exchange").text
    assert f"/objects/{asked.digest}" in page
    assert f"/objects/{answered.digest}" in page
