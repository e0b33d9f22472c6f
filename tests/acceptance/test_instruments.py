"""Outcome measures of the week-three order: entered by staff and by the patient, read by the rule from the chart."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.clinical.instruments import require_instrument
from gateway.clinical.wording import read_wording
from gateway.flows import actions
from gateway.store.rows import CaseRow
from tests.flows_house import STAFF
from tests.instrument_house import Ward, copies, open_ward
from tests.unit.test_clinical_wording import wording_file
from tests.web_house import Browser

ORDINAL = "ordinal-{}"


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One house for the module; each test has a patient of its own."""
    with open_ward(tmp_path_factory.mktemp("ward"), (), more=copies(19)) as opened:
        yield opened


@pytest.fixture(name="ward")
def _ward(house: Ward) -> Iterator[Ward]:
    yield house
    house.tidy()


def ndi(*values: int | None) -> dict[str, str]:
    """Answers of the neck disability questions; None leaves one open."""
    return {
        f"answer:ndi-{number}": ORDINAL.format(value) for number, value in enumerate(values, 1) if value is not None
    }


def enter(browser: Browser, case: CaseRow, slug: str, fields: dict[str, str], **more: str) -> httpx.Response:
    """Enter a questionnaire as staff."""
    address = f"/cases/{case.case_id}/instruments/{slug}"
    shown = [name.partition(":")[2] for name in fields]
    return browser.submit(address, address, {**fields, **more, "shown": shown})


def link_for(browser: Browser, case: CaseRow, slug: str = "ndi") -> str:
    """Path of a new link for the patient."""
    page = browser.submit(f"/cases/{case.case_id}/instruments", f"/cases/{case.case_id}/instruments/{slug}/link", {})
    found = re.search(r"https://gateway\.test(/answer/[\w-]+)", page.text)
    assert found, page.status_code
    return found.group(1)


def send(ward: Ward, path: str, fields: dict[str, str], **more: str) -> httpx.Response:
    """Answer a link as a patient's browser does, with no session at all."""
    browser = Browser(ward.house.app, "https://gateway.test")
    shown = [name.partition(":")[2] for name in fields]
    return browser.post(path, {**fields, **more, "shown": shown})


def own(ward: Ward, kind: str) -> list[dict[str, Any]]:
    return [item for item in ward.in_ehr(kind) if item.get("identifier")]


def test_staff_enter_a_paper_form_and_the_rule_reads_it(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser("stella")
    answers = ndi(3, 2, 2, 2, 2, 2, 2, None, 2, 2)
    done = enter(browser, case, "ndi", answers, **{"filled-on": "2026-01-20"})
    assert done.status_code == 303, re.findall(r'role="alert"[^>]*>([^<]*)', done.text)
    response = own(ward, "QuestionnaireResponse")[0]
    assert response["questionnaire"] == "urn:oid:2.25.94492686211768030265051248232142081200.4|1.0.0"
    assert (response["status"], response["authored"]) == ("completed", "2026-01-20")
    assert response["source"]["reference"] == response["subject"]["reference"]
    assert response["author"]["type"] == "Organization", "who entered it has no Practitioner"
    assert len(response["item"]) == 9
    assert response["item"][0]["answer"][0]["valueCoding"]["extension"][0]["valueDecimal"] == 3
    assert "text" not in json.dumps(response["item"], default=str)
    assert response["extension"][0]["extension"][0]["valueCode"] == "neutral-demo"
    score = own(ward, "Observation")[0]
    assert str(score["valueQuantity"]["value"]) == "21.111"
    assert score["derivedFrom"][0]["reference"] == f"QuestionnaireResponse/{response['id']}"

    ward.settle(case.case_id)
    lines = ward.house.facts(case.case_id).lines
    assert any("One NDI score is on file" in line for line in lines), lines
    page = browser.get(f"/cases/{case.case_id}")
    assert "NDI over time" in page.text
    assert "42.2 %" in page.text
    assert "moderate" in page.text
    assert 'role="img"' in page.text


def test_scores_asked_for_while_the_chart_is_read_can_be_asked_for_again(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    actions.check_again(ward.house.services, STAFF, case.case_id)
    address = f"/cases/{case.case_id}/instruments"
    early = browser.get(address)
    assert early.status_code == 409
    assert "<h1>Not yet</h1>" in early.text
    assert f'href="{address}">Open this page again' in early.text
    ward.house.work()
    assert browser.get(address).status_code == 200


def test_a_patient_answers_by_a_link_without_an_account_once(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    path = link_for(staff, case)
    page = Browser(ward.house.app, "https://gateway.test").get(path)
    assert page.status_code == 200
    assert "Not the validated Neck Disability Index" in page.text
    assert " checked" not in re.sub(r'id="q\d+-none"[^>]*checked', "", page.text)
    label = ward.house.case(case.case_id).patient_label.split(",")[0]
    assert label
    assert label not in page.text, "the page names nobody"
    done = send(ward, path, ndi(*[2] * 10))
    assert done.status_code == 200, done.text
    assert "Thank you" in done.text
    response = own(ward, "QuestionnaireResponse")[0]
    assert response["author"] == response["source"] == response["subject"]
    again = send(ward, path, ndi(*[5] * 10))
    assert again.status_code == 404
    assert len(own(ward, "QuestionnaireResponse")) == 1
    event = ward.house.events(case.case_id)[-1]
    assert (event.actor, event.note["kind"]) == ("patient:answer-link", "measure-scored")


@pytest.mark.threat("T17")
def test_no_log_and_no_row_holds_a_link(ward: Ward, capfd: pytest.CaptureFixture[str]) -> None:
    case, staff = ward.held(), ward.browser("stella")
    token = link_for(staff, case).rpartition("/")[2]
    send(ward, f"/answer/{token}", ndi(*[2] * 10))
    send(ward, f"/answer/{token}", ndi(*[2] * 10))
    assert token not in "".join(capfd.readouterr())
    with ward.house.services.store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM answer_links").fetchall()
    assert rows
    assert not any(token in str(value) for row in rows for value in row)


def test_a_link_that_does_not_work_says_the_same_whatever_the_reason(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    first = link_for(staff, case)
    second = link_for(staff, case)
    replaced = send(ward, first, ndi(*[2] * 10))
    unknown = send(ward, "/answer/" + "x" * 43, ndi(*[2] * 10))
    ward.house.clock.instant += timedelta(hours=25)
    late = send(ward, second, ndi(*[2] * 10))
    texts = {re.sub(r"<footer.*", "", answer.text, flags=re.DOTALL) for answer in (replaced, unknown, late)}
    assert {answer.status_code for answer in (replaced, unknown, late)} == {404}
    assert len(texts) == 1
    assert own(ward, "QuestionnaireResponse") == []


def test_a_link_ends_with_its_case(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    path = link_for(staff, case)
    assert ward.house.call("POST", f"/cases/{case.case_id}/cancel").status_code == 200
    assert Browser(ward.house.app, "https://gateway.test").get(path).status_code == 404
    assert send(ward, path, ndi(*[2] * 10)).status_code == 404
    assert own(ward, "QuestionnaireResponse") == []


def test_a_fault_of_the_ehr_uses_no_link_up_and_writes_nothing_twice(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    path = link_for(staff, case)

    def down(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503) if request.method == "POST" and request.url.path.endswith("/Observation") else None

    ward.house.ehr.rules.append(down)
    failed = send(ward, path, ndi(*[2] * 10))
    assert failed.status_code == 502
    assert "nothing is kept twice" in failed.text
    ward.house.ehr.rules.clear()
    assert send(ward, path, ndi(*[2] * 10)).status_code == 200
    assert len(own(ward, "QuestionnaireResponse")) == 1
    assert len(own(ward, "Observation")) == 1


def test_what_staff_send_twice_is_kept_once(ward: Ward) -> None:
    """A second click, and a repeat after a fault of the EHR."""
    case, staff = ward.held(), ward.browser("stella")
    address, answers = f"/cases/{case.case_id}/instruments/ndi", ndi(*[2] * 10)
    page = staff.get(address)
    hidden = {name: re.search(rf'name="{name}" value="([0-9a-f-]+)"', page.text) for name in ("token", "entry")}
    shown = [name.partition(":")[2] for name in answers]
    fields = {**answers, "shown": shown, **{name: found.group(1) for name, found in hidden.items() if found}}
    ward.house.ehr.rules.append(lambda request: httpx.Response(503) if "/Observation" in request.url.path else None)
    failed = staff.post(address, fields)
    assert failed.status_code == 502
    assert f'name="entry" value="{fields["entry"]}"' in failed.text
    ward.house.ehr.rules.clear()
    assert [staff.post(address, fields).status_code for _ in range(2)] == [303, 303]
    assert len(own(ward, "QuestionnaireResponse")) == len(own(ward, "Observation")) == 1


def test_answers_changed_after_a_fault_have_a_score_of_their_own(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    path = link_for(staff, case)
    ward.house.ehr.rules.append(lambda request: httpx.Response(503) if "/Observation" in request.url.path else None)
    assert send(ward, path, ndi(*[2] * 10)).status_code == 502
    ward.house.ehr.rules.clear()
    assert send(ward, path, ndi(*[4] * 10)).status_code == 200
    score = own(ward, "Observation")[0]
    assert score["valueQuantity"]["value"] == 40
    named = score["derivedFrom"][0]["reference"].partition("/")[2]
    response = next(item for item in own(ward, "QuestionnaireResponse") if item["id"] == named)
    answers = [item["answer"][0]["valueCoding"]["extension"][0]["valueDecimal"] for item in response["item"]]
    assert answers == [4] * 10


def test_too_few_answers_make_no_score_and_are_kept_only_when_asked(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    few = ndi(2, 2, 2)
    refused = enter(staff, case, "ndi", few)
    assert refused.status_code == 422
    assert "fewer than 8" in refused.text
    assert enter(staff, case, "ndi", few, anyway="yes").status_code == 303
    assert len(own(ward, "QuestionnaireResponse")) == 1
    assert own(ward, "Observation") == []
    ward.settle(case.case_id)
    assert any("No NDI score is on file" in line for line in ward.house.facts(case.case_id).lines)


@pytest.mark.parametrize(
    ("slug", "fields", "code", "value", "unit"),
    [
        ("pain-nrs", {"answer:pain": "score-7"}, "72514-3", 7, "{score}"),
        ("pain-vas", {"answer:pain": "64"}, "38214-3", 64, "mm"),
        (
            "psfs",
            {
                "answer:activity-1.name": "lift a bag",
                "answer:activity-1.score": "score-2",
                "answer:activity-2.name": "drive",
                "answer:activity-2.score": "score-3",
                "answer:activity-3.name": "sleep",
                "answer:activity-3.score": "score-4",
            },
            "psfs-mean",
            3,
            "{score}",
        ),
    ],
)
def test_other_measures_become_observations_that_the_rule_knows(
    ward: Ward, slug: str, fields: dict[str, str], code: str, value: int, unit: str
) -> None:
    case, staff = ward.held(), ward.browser("stella")
    done = enter(staff, case, slug, fields)
    assert done.status_code == 303, re.findall(r'role="alert"[^>]*>([^<]*)', done.text)
    found = own(ward, "Observation")[0]
    assert found["code"]["coding"][0]["code"] == code
    assert (found["valueQuantity"]["value"], found["valueQuantity"]["code"]) == (value, unit)
    assert "extension" not in own(ward, "QuestionnaireResponse")[0], "these words are our own"


UNFIT: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("pain-vas", {"answer:pain": "101"}, {}, "Distance in millimetres"),
    ("pain-vas", {"answer:pain": "a lot"}, {}, "to put right"),
    ("pain-nrs", {}, {}, "Still open"),
    ("psfs", {"answer:activity-1.name": "lift", "answer:activity-1.score": "score-2"}, {}, "at least 3"),
    ("ndi", ndi(*[2] * 10), {"filled-on": "tomorrow"}, "YYYY-MM-DD"),
    ("ndi", ndi(*[2] * 10), {"filled-on": "2027-01-01"}, "not in the future"),
]


def test_what_does_not_fit_is_said_and_nothing_written(ward: Ward) -> None:
    case, staff = ward.held(), ward.browser("stella")
    for slug, fields, more, words in UNFIT:
        answer = enter(staff, case, slug, fields, **more)
        assert answer.status_code == 422, (slug, fields)
        assert words in answer.text
    assert own(ward, "QuestionnaireResponse") == []


def test_licensed_words_are_shown_and_not_stored(ward: Ward) -> None:
    form = require_instrument("ndi").questionnaire
    ward.house.services.wording = read_wording(json.dumps(wording_file()).encode(), form)
    case, staff = ward.held(), ward.browser("stella")
    page = staff.get(f"/cases/{case.case_id}/instruments/ndi")
    assert "Topic 4" in page.text
    assert "words 5" in page.text
    assert "SYN-LICENCE-1" in page.text
    assert enter(staff, case, "ndi", ndi(*[2] * 10)).status_code == 303
    response = own(ward, "QuestionnaireResponse")[0]
    parts = {part["url"]: part for part in response["extension"][0]["extension"]}
    assert parts["source"]["valueCode"] == "licensed"
    assert parts["licence"]["valueString"] == "SYN-LICENCE-1"
    assert "words" not in json.dumps(response["item"], default=str)


def test_production_shows_no_generic_words(ward: Ward) -> None:
    settings = ward.house.services.settings
    case, staff = ward.held(), ward.browser("stella")
    server = settings.server.model_copy(update={"mode": "production"})
    ward.house.services.settings = settings.model_copy(update={"server": server})
    page = staff.get(f"/cases/{case.case_id}/instruments/ndi")
    assert "filled in on paper" in page.text
    assert "moderately" not in page.text
    assert enter(staff, case, "ndi", ndi(*[2] * 10)).status_code == 303
    response = own(ward, "QuestionnaireResponse")[0]
    assert response["extension"][0]["extension"][0]["valueCode"] == "transcribed"


def test_production_counts_no_answer_to_generic_words(ward: Ward) -> None:
    """A response of a demonstration that stands in the EHR is left out of everything that is read."""
    case, staff = ward.held(), ward.browser("stella")
    enter(staff, case, "ndi", ndi(*[2] * 10), **{"filled-on": "2026-01-20"})
    ward.settle(case.case_id)
    assert any("One NDI score" in line for line in ward.house.facts(case.case_id).lines)
    settings = ward.house.services.settings
    server = settings.server.model_copy(update={"mode": "production"})
    rules = settings.rules.model_copy(update={"accepted": ("default-strict",)})
    ward.house.services.settings = settings.model_copy(update={"server": server, "rules": rules})
    action = f"/cases/{case.case_id}/actions/recheck"
    assert staff.submit(action, action, {}).status_code == 303
    ward.settle(case.case_id)
    lines = ward.house.facts(case.case_id).lines
    assert any("No NDI score is on file" in line for line in lines), lines
    assert "NDI over time" not in staff.get(f"/cases/{case.case_id}").text


def test_an_auditor_looks_and_enters_nothing(ward: Ward) -> None:
    case, auditor = ward.held(), ward.browser("ada")
    page = auditor.get(f"/cases/{case.case_id}/instruments/pain-nrs")
    assert "your role does not include it" in page.text
    token = re.search(r'name="token" value="([0-9a-f]+)"', auditor.get("/about").text)
    assert token
    fields = {"token": token.group(1), "answer:pain": "score-7", "shown": "pain"}
    assert auditor.post(f"/cases/{case.case_id}/instruments/pain-nrs", fields).status_code == 403
    assert auditor.post(f"/cases/{case.case_id}/instruments/pain-nrs/link", fields).status_code == 403


HOSTILE: list[dict[str, str | list[str]]] = [
    {},
    {"answer:pain": "\x00\x1b", "shown": "pain"},
    {"answer:pain": "9" * 400, "shown": "pain"},
    {"answer:pain": ["1", "2", "3"], "shown": ["pain", "pain", "nothing"]},
    {"answer:nothing": "1", "shown": "nothing"},
    {"answer:pain": "<script>alert(1)</script>", "shown": "pain", "filled-on": "0000-00-00"},
    {"answer:pain": "x" * 60_000, "shown": "pain"},
    {"code": ["<b>", "R29.2"], "attest": "yes", "password": "x" * 5_000, "draft": "../../etc", "then": "review"},
]
ADDRESSES = (
    "instruments/pain-vas",
    "instruments/nothing",
    "instruments/red-flags-trauma",
    "red-flag/pain-vas",
    "red-flag/neuro-exam-cervical/attest",
    "red-flag/red-flags-trauma",
    "red-flag/red-flags-trauma/attest",
    "red-flag/red-flags-trauma/write",
    "neuro-exam",
    "neuro-exam/support",
    "neuro-exam/write",
)


def test_hostile_posts_are_refused_and_change_nothing_in_the_ehr(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    token = re.search(r'name="token" value="([0-9a-f]+)"', browser.get("/about").text)
    assert token
    for address in ADDRESSES:
        for fields in HOSTILE:
            answer = browser.post(f"/cases/{case.case_id}/{address}", {**fields, "token": token.group(1)})
            assert answer.status_code < 500, (address, list(fields))
            assert "<script>alert" not in answer.text
    kinds = ("QuestionnaireResponse", "ClinicalImpression", "Observation")
    assert [item for kind in kinds for item in own(ward, kind)] == []


@pytest.mark.parametrize("token", ["x", "x" * 5_000, "..%2f..", "%00", "é"])
def test_a_made_up_link_is_gone(ward: Ward, token: str) -> None:
    browser = Browser(ward.house.app, "https://gateway.test")
    assert browser.get(f"/answer/{token}").status_code in (400, 404)
    for fields in HOSTILE:
        assert browser.post(f"/answer/{token}", fields).status_code in (400, 404)
