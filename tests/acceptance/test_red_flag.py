"""The week-three order, held: a clinician documents a red flag, attests it, and the order goes on at once.

Over HTTP from page to EHR. What the pages write is read by the rule from the chart, and by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.flows import care_start
from gateway.store.rows import CaseRow
from gateway.web import lost
from tests.flows_house import STAFF, Rule
from tests.instrument_house import PASSWORD, Ward, copies, moving, open_ward
from tests.web_house import Browser

ORDER_ON = "2026-01-26"
YES, NO = "true", "false"
PRESENT, ABSENT, ASKED = "52101004", "2667000", "17621005"
RIGHT = "24028007"
SLUG = "red-flags-myelopathy"


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One house for the module; each test has a patient of its own."""
    with open_ward(tmp_path_factory.mktemp("ward"), (), more=copies(28)) as opened:
        yield opened


@pytest.fixture(name="ward")
def _ward(house: Ward) -> Iterator[Ward]:
    yield house
    house.tidy()


def screens(positive: str) -> dict[str, str]:
    """Six explicit answers, one of them yes."""
    return {f"answer:rf{number}": YES if f"rf{number}" == positive else NO for number in range(1, 7)}


MYELOPATHY = {
    "answer:exam-on": ORDER_ON,
    **screens("rf2"),
    "answer:hoffmann.value": PRESENT,
    "answer:hoffmann.side": RIGHT,
    "answer:gait-ataxia.value": PRESENT,
    "answer:clonus.value": ABSENT,
    "answer:bladder-bowel": ASKED,
}
BY_CATEGORY: dict[str, tuple[str, dict[str, str]]] = {
    "RF1": (
        "red-flags-neuro-deficit",
        {
            "answer:strength-triceps.value": "mrc-4",
            "answer:strength-triceps.side": RIGHT,
            "answer:progression": YES,
            "answer:first-noted": "2026-01-20",
            "answer:root-level": "root-c7",
        },
    ),
    "RF2": (SLUG, {key: value for key, value in MYELOPATHY.items() if "rf" not in key and "exam-on" not in key}),
    "RF3": (
        "red-flags-infection",
        {
            "answer:temperature.value": "38.7",
            "unit:temperature.value": "Cel",
            "answer:temperature.on": "2026-01-25",
            "answer:crp.value": "88",
            "unit:crp.value": "mg/L",
            "answer:crp.on": "2026-01-24",
            "answer:bacteremia": YES,
            "answer:spine-pain": YES,
        },
    ),
    "RF4": (
        "red-flags-malignancy",
        {
            "answer:cancer-history": "breast, stage II, 2019",
            "answer:bone-risk": "bone-risk-high",
            "answer:night-pain": YES,
        },
    ),
    "RF5": (
        "red-flags-trauma",
        {
            "answer:injury-mechanism.value": "fall down stairs",
            "answer:injury-mechanism.at": "2026-01-25T18:00",
            "answer:midline-tenderness": YES,
            "answer:neuro-finding": NO,
            "answer:nexus-result": "imaging-indicated",
        },
    ),
    "RF6": (
        "red-flags-cord-syndrome",
        {
            "answer:retention.value": PRESENT,
            "answer:retention.at": "2026-01-26T06:00",
            "answer:perineal-sensation": "sensation-reduced",
            "answer:hyperreflexia.value": PRESENT,
            "answer:hyperreflexia.side": RIGHT,
        },
    ),
}


def fill(
    browser: Browser, case: CaseRow, fields: dict[str, str], slug: str = SLUG, then: str = "review"
) -> httpx.Response:
    """Answer a template as a browser posts it."""
    address = f"/cases/{case.case_id}/red-flag/{slug}"
    shown = [name.partition(":")[2] for name in fields if name.startswith("answer:")]
    return browser.submit(address, address, {**fields, "shown": shown, "then": then})


def attest(browser: Browser, case: CaseRow, slug: str = SLUG, **fields: Any) -> httpx.Response:
    """Attest a template; fields that are None are left out."""
    address = f"/cases/{case.case_id}/red-flag/{slug}/attest"
    posted = {"attest": "yes", "password": PASSWORD, **fields}
    return browser.submit(address, address, {key: value for key, value in posted.items() if value is not None})


def test_the_exception_is_followed_to_its_end(ward: Ward) -> None:
    case = ward.held()
    assert case.state == "held"
    browser = ward.browser()
    overview = browser.get(f"/cases/{case.case_id}")
    assert f'href="/cases/{case.case_id}/red-flag"' in overview.text
    page = browser.get(f"/cases/{case.case_id}/red-flag")
    assert page.text.count("Open<span") == 6
    assert "neck artery" in page.text, "what is no question for this imaging is always shown"
    assert "Send to emergency now" in page.text

    saved = fill(browser, case, MYELOPATHY)
    assert saved.headers["location"].endswith("/attest"), saved.text
    review = browser.get(saved.headers["location"])
    assert "Hoffmann sign: present (right), 2026-01-26" in review.text
    assert " checked" not in review.text, "nothing is ticked beforehand"

    choice = f"/cases/{case.case_id}/red-flag"
    assert "<strong>attested</strong>" not in browser.get(choice).text
    done = attest(browser, case, code=["R29.2", "R26.0"], expedited="yes")
    assert done.status_code == 303, done.text
    ward.house.work()
    assert browser.get(choice).text.count("<strong>attested</strong>") == 1, "this category and no other"

    facts, moved = ward.house.facts(case.case_id), ward.house.case(case.case_id)
    assert facts.verdict == "RED_FLAG_BYPASS"
    assert moved.state == "documenting"
    assert moved.is_expedited
    ward.house.complete_forms(case.case_id)
    ward.house.work_on(case.case_id, lambda row: row.state in ("approved", "pended", "denied", "ready"))
    assert ward.house.case(case.case_id).state in ("approved", "pended", "denied", "ready")


def test_what_is_written_is_what_a_reader_needs(ward: Ward) -> None:
    case = ward.held()
    browser = ward.browser()
    fill(browser, case, MYELOPATHY)
    assert attest(browser, case, code=["R29.2"]).status_code == 303
    impression = ward.in_ehr("ClinicalImpression")[0]
    assert impression["status"] == "completed"
    assert "prognosisCodeableConcept" not in impression
    assert impression["finding"][0]["itemCodeableConcept"]["coding"][0]["code"] == "rf2"
    own = [item for item in ward.in_ehr("Observation") if item.get("identifier")]
    codes = {item["code"]["coding"][0]["code"]: item for item in own}
    screens_written = [codes[f"rf{number}"]["valueBoolean"] for number in range(1, 7)]
    assert screens_written == [False, True, False, False, False, False], "six explicit answers"
    order = ward.order()
    found = ward.house.services.ehr("ehr").search("Provenance", {"target": f"ServiceRequest/{order['id']}"}).resources
    assert len(found) == 1
    roles = [agent["type"]["coding"][0]["code"] for agent in found[0]["agent"]]
    assert roles == ["attester", "assembler"]
    assert (
        found[0]["agent"][0]["who"]["reference"]
        == impression["assessor"]["reference"]
        == order["requester"]["reference"]
    )
    assert found[0]["entity"][0]["what"]["identifier"]["value"].startswith("ni:///sha-256;")
    assert order["priority"] == "routine", "the shorter time is asked for only where it is ticked"
    chosen = [item for item in ward.in_ehr("Condition") if item["code"]["coding"][0]["code"] == "R29.2"]
    assert len(chosen) == 1
    assert chosen[0]["evidence"]
    event = next(item for item in ward.house.events(case.case_id) if item.verb == "red-flag-attest")
    assert event.actor == "user:cleo"
    assert event.note["code"] == "RF2"


@pytest.mark.parametrize("category", list(BY_CATEGORY))
def test_every_category_is_read_as_complete_from_the_chart(ward: Ward, category: str) -> None:
    slug, answers = BY_CATEGORY[category]
    case, browser = ward.held(), ward.browser()
    own = {"RF1": "rf1", "RF2": "rf2", "RF3": "rf3", "RF4": "rf4", "RF5": "rf5", "RF6": "rf6"}[category]
    saved = fill(browser, case, {"answer:exam-on": ORDER_ON, **screens(own), **answers}, slug)
    assert saved.status_code == 303, re.findall(r'class="error"[^>]*>([^<]*)', saved.text)
    done = attest(browser, case, slug)
    assert done.status_code == 303, re.findall(r'role="alert"[^>]*>([^<]*)', done.text)
    ward.house.work()
    assert ward.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"
    page = browser.get(f"/cases/{case.case_id}/red-flag/{slug}")
    assert ("Send to emergency now" in page.text) is (category == "RF6")


def alert(answer: httpx.Response) -> str:
    return " ".join(re.findall(r'role="alert"[^>]*>([^<]*)', answer.text))


def nothing_happened(ward: Ward, case: CaseRow) -> bool:
    """Neither the history nor the EHR knows of an attestation."""
    verbs = [event.verb for event in ward.house.events(case.case_id)]
    return "red-flag-attest" not in verbs and ward.in_ehr("ClinicalImpression") == []


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"attest": None}, 422, "Tick the attestation"),
    ({"attest": "on"}, 422, "Tick the attestation"),
    ({"password": "wrong"}, 403, "not the password"),
    ({"code": ["M47.12"]}, 422, "a suspected disease is not coded"),
    ({"code": ["G95.20"], "confirmed": ["G95.20"]}, 422, "needs the second confirmation"),
    ({"code": ["G95.20"], "weighed": ["G95.20"]}, 422, "a suspected disease is not coded"),
    ({"code": ["G99.2"], "confirmed": ["G99.2"], "weighed": ["G99.2"]}, 422, "stands second only"),
    ({"code": ["Z99.9"]}, 422, "not offered"),
]


@pytest.mark.threat("T16")
def test_nothing_is_attested_but_by_word_password_and_fair_choice(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    for fields, status, words in REFUSED:
        answer = attest(browser, case, **fields)
        assert answer.status_code == status, fields
        assert words in answer.text, fields
        assert 'name="attest" value="yes" checked' not in answer.text, "the attestation is given anew"
        assert 'name="expedited" value="yes" checked' not in answer.text
    assert nothing_happened(ward, case)


def test_evidence_stands_beside_each_code_and_a_code_without_is_no_sign(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    fields = {key: value for key, value in MYELOPATHY.items() if "gait" not in key}
    fill(browser, case, fields)
    page = browser.get(f"/cases/{case.case_id}/red-flag/{SLUG}/attest").text
    rows = re.findall(r"<tr>\s*<th scope=\"row\" data-label=\"Code\">.*?</tr>", page, re.DOTALL)
    by_code = {found.group(1): row for row in rows if (found := re.search(r'name="code" value="([^"]+)"', row))}
    assert "Hoffmann sign: present (right), 2026-01-26" in by_code["R29.2"]
    assert "Nothing that is recorded" in by_code["R26.0"]
    answer = attest(browser, case, code=["R26.0"])
    assert answer.status_code == 422
    assert "no finding is recorded" in answer.text
    assert nothing_happened(ward, case)


def test_free_text_stands_above_the_codes_and_beside_none(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    slug = "red-flags-malignancy"
    answers = {"rf1": NO, "rf2": NO, "rf3": NO, "rf4": YES, "rf5": NO, "rf6": NO}
    fields = {f"answer:{name}": value for name, value in {**answers, "exam-on": ORDER_ON}.items()}
    fields |= {"answer:cancer-history": "Breast, 2019", "answer:bone-risk": "bone-risk-high", "answer:night-pain": YES}
    fill(browser, case, fields, slug)
    page = browser.get(f"/cases/{case.case_id}/red-flag/{slug}/attest").text
    table = page[page.index("<table") : page.index("</table>")]
    assert "Breast, 2019" in page
    assert "Breast, 2019" not in table
    assert table.count("Nothing coded; see the free text above") == 5
    done = attest(browser, case, slug, code=["Z85.3"], confirmed=["Z85.3"], weighed=["Z85.3"])
    assert done.status_code == 303, alert(done)
    (made,) = [item for item in ward.in_ehr("Condition") if item["code"]["coding"][0]["code"] == "Z85.3"]
    assert len(made["evidence"][0]["detail"]) == 1, "the clinician chose it because of the text"


def test_a_second_tab_shows_what_was_typed_when_the_first_renewed_the_session(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    exam = f"/cases/{case.case_id}/neuro-exam"
    found = re.search(r'name="token" value="([^"]+)"', browser.get(exam).text)
    assert found
    fill(browser, case, MYELOPATHY)
    assert attest(browser, case).status_code == 303
    late = {"token": found.group(1), "shown": "exam-on", "answer:exam-on": "<b>2026", "password": "hunter2"}
    refused = browser.post(exam, late)
    assert refused.status_code == 403
    assert f'href="{exam}">Open this page again' in refused.text
    assert "<dt>exam on</dt><dd>&lt;b&gt;2026</dd>" in refused.text
    assert "hunter2" not in refused.text
    assert found.group(1) not in refused.text


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/cases/1/timer/sign", "/cases/1/timer"),
        ("/cases/1/red-flag/x/write", "/cases/1/red-flag/x"),
        ("/cases/1/red-flag/x/attest", "/cases/1/red-flag/x/attest"),
        ("/search", "/"),
    ],
)
def test_a_form_that_came_too_late_leads_to_its_page(path: str, page: str) -> None:
    assert lost.page_of(path) == page


@pytest.mark.threat("T10")
def test_the_session_gets_a_new_id_with_the_proof(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    before = dict(browser.cookies)
    assert attest(browser, case).status_code == 303
    assert dict(browser.cookies) != before
    assert browser.get(f"/cases/{case.case_id}").status_code == 200
    browser.cookies = httpx.Cookies(before)
    assert browser.get(f"/cases/{case.case_id}").headers["location"].startswith("/sign-in")


def test_a_code_with_weight_is_logged(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    done = attest(browser, case, code=["G95.20"], confirmed=["G95.20"], weighed=["G95.20"])
    assert done.status_code == 303, alert(done)
    event = next(item for item in ward.house.events(case.case_id) if item.verb == "red-flag-attest")
    assert "G95.20" in str(event.note["why"])
    chosen = [item for item in ward.in_ehr("Condition") if item["code"]["coding"][0]["code"] == "G95.20"]
    assert chosen[0]["verificationStatus"]["coding"][0]["code"] == "confirmed"


@pytest.mark.threat("T16")
@pytest.mark.parametrize(
    ("user", "status", "words"),
    [
        ("stella", 422, "cannot be attested|A clinician of the order"),
        ("max", 422, "attestation of a clinician on the order"),
        ("noah", 403, "names no Practitioner"),
    ],
)
def test_only_a_clinician_of_the_order_attests(ward: Ward, user: str, status: int, words: str) -> None:
    case = ward.held()
    fill(ward.browser(), case, MYELOPATHY)
    browser = ward.browser(user)
    page = browser.get(f"/cases/{case.case_id}/red-flag/{SLUG}/attest")
    draft = re.search(r'name="draft" value="([0-9a-f]+)"', browser.get(f"/cases/{case.case_id}/red-flag/{SLUG}").text)
    token = re.search(r'name="token" value="([0-9a-f]+)"', page.text)
    assert draft
    assert token
    fields = {"token": token.group(1), "draft": draft.group(1), "attest": "yes", "password": PASSWORD}
    answer = browser.post(f"/cases/{case.case_id}/red-flag/{SLUG}/attest", fields)
    assert answer.status_code in (status, 403)
    assert re.search(words, page.text + answer.text)
    assert nothing_happened(ward, case)


def test_what_somebody_else_changed_meanwhile_is_not_attested(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    page = browser.get(f"/cases/{case.case_id}/red-flag/{SLUG}/attest").text
    fill(ward.browser("stella"), case, {"answer:hoffmann.value": ABSENT})
    fields = dict(re.findall(r'<input type="hidden" name="(token|draft)" value="([^"]*)"', page))
    answer = browser.post(
        f"/cases/{case.case_id}/red-flag/{SLUG}/attest", {**fields, "attest": "yes", "password": PASSWORD}
    )
    assert answer.status_code == 409
    assert nothing_happened(ward, case)


def test_a_case_that_jobs_move_meanwhile_is_attested_all_the_same(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    with moving(ward, case):
        assert fill(browser, case, MYELOPATHY).status_code == 303
    with moving(ward, case, times=2):
        assert attest(browser, case).status_code == 303
    assert ward.settle(case.case_id).state != "held"


INCOMPLETE: list[tuple[dict[str, str], str]] = [
    ({"answer:bladder-bowel": ""}, "bladder and bowel asked is missing"),
    ({"answer:hoffmann.side": ""}, "at least one sign of the long tracts, present is missing"),
    ({"answer:hoffmann.value": ABSENT, "answer:gait-ataxia.value": ABSENT}, "at least one sign"),
    ({"answer:clonus.value": PRESENT}, "at least one sign"),
    ({"answer:rf4": ""}, "Open: Is a cancer known"),
    ({"answer:exam-on": ""}, "Open: Date of the examination"),
    ({"answer:exam-on": "2026-01-11"}, "recent assessment is missing"),
]


def test_what_is_missing_is_named_and_cannot_be_attested(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    for change, words in INCOMPLETE:
        fill(browser, case, {**MYELOPATHY, **change})
        page = browser.get(f"/cases/{case.case_id}/red-flag/{SLUG}/attest").text
        assert words in page, change
        assert 'name="attest"' not in page, change
        fill(browser, case, MYELOPATHY)
    assert nothing_happened(ward, case)


def test_a_later_examination_counts_once_the_order_is_renewed(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    before = ward.order()
    fill(browser, case, {**MYELOPATHY, "answer:exam-on": "2026-03-02"})
    page = browser.get(f"/cases/{case.case_id}/red-flag/{SLUG}/attest").text
    assert "Renew the order as of today" in page
    refused = attest(browser, case)
    assert refused.status_code == 422
    assert "later than the order" in refused.text
    mistyped = attest(browser, case, renew="yes", password="wrong")
    assert mistyped.status_code == 403
    assert 'name="renew" value="yes" checked' in mistyped.text
    assert attest(browser, case, renew="yes").status_code == 303
    after = ward.order()
    assert after["authoredOn"].startswith("2026-03-02T09:00:00-08:00")
    assert {key: after[key] for key in before if key not in ("authoredOn", "meta", "extension")} == {
        key: before[key] for key in before if key not in ("authoredOn", "meta", "extension")
    }
    ward.house.work()
    assert ward.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"


def failing(kind: str) -> Rule:
    """An EHR that takes no resource of a type."""

    def down(request: httpx.Request) -> httpx.Response | None:
        wanted = request.method in ("POST", "PUT") and f"/{kind}" in request.url.path
        return httpx.Response(500) if wanted else None

    return down


@pytest.mark.parametrize("broken", ["Observation", "ClinicalImpression", "Provenance"])
def test_a_fault_of_the_ehr_is_repaired_without_a_second_attestation(ward: Ward, broken: str) -> None:
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)

    ward.house.ehr.rules.append(failing(broken))
    failed = attest(browser, case, code=["R29.2"], expedited="yes")
    assert failed.status_code == 502
    assert "did not take all of it" in failed.text
    ward.settle(case.case_id)
    assert ward.house.facts(case.case_id).verdict != "RED_FLAG_BYPASS", "nothing passes that is not in the chart"
    ward.house.ehr.rules.clear()
    address = f"/cases/{case.case_id}/red-flag/{SLUG}"
    done = browser.submit(address, f"{address}/write", {})
    assert done.status_code == 303, alert(done)
    ward.house.work()
    assert ward.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"
    assert len(ward.in_ehr("ClinicalImpression")) == 1
    own = [item for item in ward.in_ehr("Observation") if item.get("identifier")]
    assert len(own) == 10, "each finding once"
    order = ward.order()
    found = ward.house.services.ehr("ehr").search("Provenance", {"target": f"ServiceRequest/{order['id']}"}).resources
    assert len(found) == 1
    assert [event.verb for event in ward.house.events(case.case_id)].count("red-flag-attest") == 1
    again = browser.submit(address, address, {})
    assert again.status_code == 303
    assert browser.get(address).text.count("not yet in the EHR") == 0


@pytest.mark.threat("T16")
def test_who_only_reads_writes_no_attestation_to_the_ehr(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    ward.house.ehr.rules.append(failing("Observation"))
    assert attest(browser, case).status_code == 502
    ward.house.ehr.rules.clear()
    address = f"/cases/{case.case_id}/red-flag/{SLUG}"
    auditor = ward.browser("ada")
    page = auditor.get(address)
    assert f"{address}/write" not in page.text
    token = re.search(r'name="token" value="([0-9a-f]+)"', page.text)
    assert token
    assert auditor.post(f"{address}/write", {"token": token.group(1)}).status_code == 403
    assert ward.in_ehr("ClinicalImpression") == []
    assert browser.submit(address, f"{address}/write", {}).status_code == 303


def test_a_record_that_the_ehr_keeps_of_its_own_is_no_attestation(ward: Ward) -> None:
    """Many EHRs write a Provenance for whatever is created; ours is written all the same, and once."""
    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    ward.house.ehr.rules.append(failing("Provenance"))
    assert attest(browser, case).status_code == 502
    ward.house.ehr.rules.clear()
    target = f"ClinicalImpression/{ward.in_ehr('ClinicalImpression')[0]['id']}"
    theirs = {
        "resourceType": "Provenance",
        "target": [{"reference": target}],
        "recorded": "2026-03-02T17:00:00Z",
        "agent": [{"who": {"display": "EHR"}}],
    }
    ehr = ward.house.services.ehr("ehr")
    ehr.create(theirs)
    address = f"/cases/{case.case_id}/red-flag/{SLUG}"
    assert browser.submit(address, f"{address}/write", {}).status_code == 303
    ward.house.work()
    assert ward.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"
    assert len(ehr.search("Provenance", {"target": target}).resources) == 2


def test_words_of_an_attestation_can_be_proved(ward: Ward) -> None:
    """The statement is kept with the case; its digest stands in the EHR's Provenance."""
    import hashlib
    from base64 import urlsafe_b64encode

    case, browser = ward.held(), ward.browser()
    fill(browser, case, MYELOPATHY)
    attest(browser, case)
    order = ward.order()
    record = (
        ward.house.services.ehr("ehr").search("Provenance", {"target": f"ServiceRequest/{order['id']}"}).resources[0]
    )
    named = record["entity"][0]["what"]["identifier"]["value"].rpartition(";")[2]
    with ward.house.services.store.read() as tx:
        texts = [row for row in tx.objects.list("main", case.case_id) if row.media_type == "text/plain"]
        words = tx.objects.get("main", case.case_id, texts[0].digest)
    assert urlsafe_b64encode(hashlib.sha256(words).digest()).decode().rstrip("=") == named
    assert b"I, Cleo Clinician, examined this patient" in words


def test_a_red_flag_ends_the_conservative_care_that_runs(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    services = ward.house.services
    said = care_start.Confirmation(negative=frozenset(services.concepts.red_flags.screens), choice="none")
    timer = care_start.start(services, STAFF, case.case_id, said)
    ward.settle(case.case_id)
    assert ward.house.facts(case.case_id).timer == timer.timer_id
    later = {**MYELOPATHY, "answer:exam-on": "2026-03-02"}
    fill(browser, ward.house.case(case.case_id), later)
    assert attest(browser, case, renew="yes").status_code == 303
    ward.settle(case.case_id)
    with services.store.read() as tx:
        ended = tx.timers.get("main", timer.timer_id)
    assert (ended.state, ended.reason) == ("cancelled", "red-flag")
    assert ward.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"
    assert ward.house.case(case.case_id).state == "documenting"
