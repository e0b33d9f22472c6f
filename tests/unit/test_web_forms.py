"""The form page: open questions first, whose each answer is, saving, mistakes, two people at once, completing."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from gateway.cases.facts import read_facts
from gateway.fhir.json import parse_json
from gateway.flows import forms, ledger
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.store.rows import CaseRow
from tests.web_house import (
    QUESTIONNAIRE,
    Browser,
    add_case,
    application,
    documenting,
    open_house,
    with_chart,
    with_form,
)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_house(tmp_path / "house")


@pytest.fixture
def case(services: Services) -> CaseRow:
    return documenting(services)


@pytest.fixture
def browser(services: Services) -> Browser:
    made = Browser(application(services))
    made.sign_in()
    return made


def _form(case: CaseRow) -> str:
    return f"/cases/{case.case_id}/forms/1"


def _plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("<main")[2]).split())


def _answers(services: Services, case: CaseRow) -> dict[str, list[dict[str, Any]]]:
    """Link id → answers as stored, without their marks."""
    with services.store.read() as tx:
        now = tx.cases.get(case.tenant_id, case.case_id)
    response = parse_json(ledger.load_object(services, now, read_facts(now.facts).forms[0].response))
    found: dict[str, list[dict[str, Any]]] = {}

    def walk(items: list[dict[str, Any]]) -> None:
        for item in items:
            if item.get("answer"):
                found[item["linkId"]] = item["answer"]
            walk(item.get("item", []))

    walk(response.get("item", []))
    return found


def test_open_questions_come_first_and_the_rest_on_demand(browser: Browser, case: CaseRow) -> None:
    short, full = browser.get(_form(case)).text, browser.get(f"{_form(case)}?all=1").text
    assert "Weeks of symptoms" in short
    assert "Date of birth" not in short
    assert "Date of birth" in full
    assert "1 of 7 answered · 1 from chart · 2 required open" in _plain(short)


def test_an_answer_from_the_chart_names_its_record(browser: Browser, case: CaseRow) -> None:
    page = browser.get(f"{_form(case)}?all=1").text
    box = re.search(r'id="q2-box">.*?</details>', page, re.DOTALL)
    assert box
    assert 'value="2012-02-19"' in box.group()
    assert "From chart" in box.group()
    assert re.search(r'objects/[0-9a-f]{64}">Patient/p1</a>', box.group())
    assert "%patient.birthDate" in box.group()


@pytest.mark.threat("T7")
def test_words_of_the_payers_form_are_text(browser: Browser, case: CaseRow) -> None:
    page = browser.get(_form(case)).text
    assert "Spine imaging &lt;b&gt;request&lt;/b&gt;" in page
    assert "<b>request" not in page


def test_answers_are_saved_and_marked_as_typed(browser: Browser, case: CaseRow, services: Services) -> None:
    fields = {"answer:weeks": "7", "answer:hurts": "true", "answer:side": "l", "answer:ratio": "87.50"}
    done = browser.submit(_form(case), _form(case), {**fields, "answer:dose": "400", "unit:dose": "mg"})
    assert done.headers["location"] == f"{_form(case)}?done=saved"
    kept = _answers(services, case)
    assert kept["weeks"][0]["valueInteger"] == 7
    assert kept["hurts"][0]["valueBoolean"] is True
    assert kept["side"][0]["valueCoding"]["code"] == "l"
    assert kept["ratio"][0]["valueDecimal"] == Decimal("87.50")
    assert str(kept["ratio"][0]["valueDecimal"]) == "87.50"
    assert kept["dose"][0]["valueQuantity"]["value"] == 400
    page = browser.get(f"{_form(case)}?all=1").text
    assert "Saved." in browser.get(done.headers["location"]).text
    assert page.count('<span class="badge typed">Typed</span>') == 5
    assert 'value="87.50"' in page


def test_a_save_that_changes_nothing_leaves_no_trace(browser: Browser, case: CaseRow, services: Services) -> None:
    page = browser.get(f"{_form(case)}?all=1").text
    born = re.search(r'name="answer:born" value="([^"]+)"', page)
    assert born
    browser.submit(f"{_form(case)}?all=1", _form(case), {"answer:born": born.group(1)})
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).version == case.version


def test_only_what_was_changed_is_saved_as_the_persons(browser: Browser, case: CaseRow, services: Services) -> None:
    browser.submit(f"{_form(case)}?all=1", _form(case), {"answer:born": "2012-02-19", "answer:weeks": "6"})
    page = browser.get(f"{_form(case)}?all=1").text
    assert page.count("badge from-chart") == 1
    assert page.count("badge typed") == 1


def test_changing_what_the_chart_says_is_an_override(browser: Browser, case: CaseRow, services: Services) -> None:
    browser.submit(f"{_form(case)}?all=1", _form(case), {"answer:born": "2012-02-20"})
    assert "Changed by user" in browser.get(f"{_form(case)}?all=1").text
    timeline = _plain(browser.get(f"/cases/{case.case_id}/timeline").text)
    assert "prefilled answer changed" in timeline
    assert "Sam Staff (sam)" in timeline


def test_a_question_that_was_not_on_the_page_is_not_cleared(
    browser: Browser, case: CaseRow, services: Services
) -> None:
    browser.submit(_form(case), _form(case), {"answer:weeks": "6"})
    assert "born" in _answers(services, case)


def test_a_question_that_was_emptied_is_cleared(browser: Browser, case: CaseRow, services: Services) -> None:
    browser.submit(_form(case), _form(case), {"answer:weeks": "6"})
    browser.submit(f"{_form(case)}?all=1", _form(case), {"answer:weeks": "", "answer:born": "2012-02-19"})
    assert "weeks" not in _answers(services, case)
    assert "born" in _answers(services, case)


def test_what_does_not_fit_is_said_beside_it_and_on_top_and_the_rest_is_kept(
    browser: Browser, case: CaseRow, services: Services
) -> None:
    fields = {"answer:weeks": "six", "answer:ratio": "1,5", "answer:note": "hello"}
    answer = browser.submit(_form(case), _form(case), fields)
    assert answer.status_code == 422
    page = answer.text
    assert "2 answers to put right" in page
    assert "The other answers were saved." in page
    assert 'href="#q3"' in page
    assert 'value="six"' in page
    field = re.search(r'<input class="integer" id="q3"[^>]*>', page)
    assert field
    assert 'aria-invalid="true"' in field.group()
    assert 'aria-describedby="q3-hint q3-error"' in field.group()
    assert 'id="q3-error">A whole number is wanted.' in page
    kept = _answers(services, case)
    assert kept["note"][0]["valueString"] == "hello"
    assert "weeks" not in kept


def test_two_people_at_once_overwrite_nothing(browser: Browser, case: CaseRow, services: Services) -> None:
    page = browser.get(_form(case)).text
    hidden = {name: re.search(rf'name="{name}" value="(\w+)"', page).group(1) for name in ("token", "draft")}  # type: ignore[union-attr]
    other = Browser(application(services))
    other.sign_in("cleo")
    other.submit(_form(case), _form(case), {"answer:weeks": "9"})
    answer = browser.post(_form(case), {**hidden, "shown": ["weeks", "note"], "answer:weeks": "4", "answer:note": "x"})
    assert answer.status_code == 409
    said = _plain(answer.text)
    assert "Somebody else saved this form while you were writing" in said
    assert "Weeks of symptoms : you typed “4”; now “9”" in said
    assert _answers(services, case)["weeks"][0]["valueInteger"] == 9
    assert "note" not in _answers(services, case)


def test_a_form_with_open_required_questions_cannot_be_completed(browser: Browser, case: CaseRow) -> None:
    page = browser.get(f"{_form(case)}/complete").text
    assert "Answer the open required questions first." in page
    assert ">Complete the form<" not in page
    browser.post(f"{_form(case)}/complete", {})
    draft = re.search(r'name="draft" value="(\w+)"', browser.get(_form(case)).text)
    token = re.search(r'name="token" value="(\w+)"', page)
    assert draft
    assert token
    refused = browser.post(f"{_form(case)}/complete", {"token": token.group(1), "draft": draft.group(1)})
    assert refused.status_code == 422


def test_a_person_reviews_and_completes(browser: Browser, case: CaseRow, services: Services) -> None:
    fields = {"answer:weeks": "7", "answer:hurts": "false", "then": "complete"}
    onward = browser.submit(_form(case), _form(case), fields)
    assert onward.headers["location"] == f"{_form(case)}/complete"
    review = _plain(browser.get(f"{_form(case)}/complete").text)
    assert "Pain at night required No Typed" in review
    done = browser.submit(f"{_form(case)}/complete", f"{_form(case)}/complete", {})
    assert done.headers["location"] == f"/cases/{case.case_id}?done=complete"
    with services.store.read() as tx:
        now = tx.cases.get("main", case.case_id)
    assert now.state == "ready"
    page = browser.get(_form(case)).text
    assert "<button>Save" not in page
    assert 'name="answer:weeks"' not in page


def test_answers_that_changed_since_the_review_are_reviewed_again(
    browser: Browser, case: CaseRow, services: Services
) -> None:
    browser.submit(_form(case), _form(case), {"answer:weeks": "7", "answer:hurts": "false"})
    page = browser.get(f"{_form(case)}/complete").text
    hidden = {name: re.search(rf'name="{name}" value="(\w+)"', page).group(1) for name in ("token", "draft", "seq")}  # type: ignore[union-attr]
    browser.submit(f"{_form(case)}?all=1", _form(case), {"answer:weeks": "8", "answer:born": "2012-02-19"})
    answer = browser.post(f"{_form(case)}/complete", hidden)
    assert answer.status_code == 409
    assert "Look at them again." in answer.text
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).state == "documenting"


def test_saving_a_form_that_somebody_completed_says_so(browser: Browser, case: CaseRow, services: Services) -> None:
    browser.submit(_form(case), _form(case), {"answer:weeks": "7", "answer:hurts": "false"})
    page = browser.get(f"{_form(case)}?all=1").text
    token = re.search(r'name="token" value="(\w+)"', page)
    assert token
    browser.submit(f"{_form(case)}/complete", f"{_form(case)}/complete", {})
    answer = browser.post(_form(case), {"token": token.group(1), "shown": "weeks", "answer:weeks": "9"})
    assert answer.status_code == 409
    assert "Nothing was saved." in answer.text
    assert _answers(services, case)["weeks"][0]["valueInteger"] == 7


def test_an_auditor_reads_and_cannot_write(case: CaseRow, services: Services) -> None:
    browser = Browser(application(services))
    browser.sign_in("ada")
    page = browser.get(_form(case)).text
    assert "Date of birth" in page
    assert "<button>Save" not in page
    assert 'name="answer:' not in page
    token = re.search(r'name="token" value="(\w+)"', page)
    assert token
    answer = browser.post(_form(case), {"token": token.group(1), "shown": "weeks", "answer:weeks": "7"})
    assert answer.status_code == 409
    assert "weeks" not in _answers(services, case)


def test_a_form_that_is_not_there_is_not_found(browser: Browser, case: CaseRow) -> None:
    for number in ("2", "x", "../1"):
        assert browser.get(f"/cases/{case.case_id}/forms/{number}").status_code == 404


def _one(services: Services, browser: Browser, item: dict[str, Any], query: str = "?all=1") -> tuple[CaseRow, str]:
    """A form of one question, and its page."""
    form = {**QUESTIONNAIRE, "item": [{"text": "A question", "linkId": "x", **item}]}
    case = with_form(services, with_chart(services, add_case(services, "documenting", move="us")), form)
    return case, browser.get(_form(case) + query).text


OPTIONS = [{"valueCoding": {"code": f"c{number}", "display": f"Word {number}"}} for number in range(9)]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ({"type": "string"}, '<input class="line" id="q1"'),
        ({"type": "text"}, '<textarea id="q1"'),
        ({"type": "date"}, "YYYY-MM or YYYY when the rest is not known"),
        ({"type": "dateTime"}, "YYYY-MM-DDThh:mm"),
        ({"type": "time"}, "hh:mm"),
        ({"type": "url"}, '<input class="line"'),
        ({"type": "boolean"}, 'type="radio"'),
        ({"type": "choice", "answerOption": OPTIONS[:3]}, 'type="radio"'),
        ({"type": "choice", "answerOption": OPTIONS}, '<select id="q1"'),
        ({"type": "choice", "repeats": True, "answerOption": OPTIONS}, 'type="checkbox"'),
        ({"type": "open-choice", "answerOption": OPTIONS[:3]}, "Or in own words"),
        ({"type": "open-choice"}, '<input class="line"'),
        ({"type": "choice"}, 'class="empty"'),
        ({"type": "attachment"}, 'type="file"'),
        ({"type": "string", "readOnly": True}, '<p class="value">Not answered'),
        ({"type": "string", "maxLength": 12}, 'maxlength="12"'),
        ({"type": "string", "required": True}, '<span class="required">required'),
    ],
)
def test_every_type_has_its_control(item: dict[str, Any], part: str, services: Services, browser: Browser) -> None:
    assert part in _one(services, browser, item)[1]


def test_several_answers_are_kept_together(services: Services, browser: Browser) -> None:
    case, _ = _one(services, browser, {"type": "choice", "repeats": True, "answerOption": OPTIONS})
    browser.submit(_form(case), _form(case), {"answer:x": ["c1", "c3"]})
    assert [answer["valueCoding"]["code"] for answer in _answers(services, case)["x"]] == ["c1", "c3"]
    page = browser.get(f"{_form(case)}?all=1").text
    assert page.count(" checked>") == 2


def test_own_words_beside_the_options_are_kept(services: Services, browser: Browser) -> None:
    case, _ = _one(services, browser, {"type": "open-choice", "answerOption": OPTIONS[:3]})
    browser.submit(_form(case), _form(case), {"answer:x": "", "other:x": "something else"})
    assert _answers(services, case)["x"][0]["valueString"] == "something else"
    page = browser.get(f"{_form(case)}?all=1").text
    assert 'name="other:x" value="something else"' in page


@pytest.mark.threat("T7")
def test_links_of_the_form_are_shown_and_only_real_ones_can_be_followed(services: Services, browser: Browser) -> None:
    link = "http://hl7.org/fhir/StructureDefinition/questionnaire-supportLink"
    urls = ("https://guide.example.org/a", "java\tscript:alert(1)", "data:text/html,x")
    extension = [{"url": link, "valueUri": url} for url in urls]
    _, page = _one(services, browser, {"type": "string", "extension": extension})
    assert '<a href="https://guide.example.org/a" rel="noopener noreferrer nofollow">' in page
    assert len(re.findall(r'href="(?!/|#)', page)) == 1


def test_switched_off_questions_are_not_on_the_page(services: Services, browser: Browser) -> None:
    gate = [{"question": "x", "operator": "=", "answerBoolean": True}]
    form = {
        **QUESTIONNAIRE,
        "item": [
            {"linkId": "x", "type": "boolean", "text": "Gate"},
            {"linkId": "y", "type": "string", "text": "Behind", "enableWhen": gate},
        ],
    }
    case = with_form(services, with_chart(services, add_case(services, "documenting", move="us")), form)
    assert "Behind" not in browser.get(f"{_form(case)}?all=1").text
    browser.submit(_form(case), _form(case), {"answer:x": "true"})
    assert "Behind" in browser.get(_form(case)).text


def test_a_long_answer_is_refused_before_it_is_kept(services: Services, browser: Browser, case: CaseRow) -> None:
    answer = browser.submit(_form(case), _form(case), {"answer:note": "x" * 250_000})
    assert answer.status_code == 422


STANDING: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"type": "string"}, ["one"]),
    ({"type": "string"}, ['a "quoted" <b> & more']),
    ({"type": "string", "repeats": True}, ["one", "two"]),
    ({"type": "text"}, ["\n\nfirst\nsecond\n"]),
    ({"type": "text", "repeats": True}, ["one\nline", "two"]),
    ({"type": "integer"}, ["0"]),
    ({"type": "integer", "repeats": True}, ["1", "2"]),
    ({"type": "decimal"}, ["87.50"]),
    ({"type": "date"}, ["2026-03"]),
    ({"type": "dateTime"}, ["2026-03-01T10:00:00-08:00"]),
    ({"type": "time"}, ["10:00"]),
    ({"type": "boolean"}, ["false"]),
    ({"type": "url"}, ["https://example.org/a?b=c&d"]),
    ({"type": "quantity"}, ["400 mg"]),
    ({"type": "choice", "answerOption": OPTIONS[:3]}, ["c1"]),
    ({"type": "choice", "answerOption": OPTIONS}, ["c8"]),
    ({"type": "choice", "repeats": True, "answerOption": OPTIONS}, ["c1", "c3"]),
    ({"type": "open-choice", "answerOption": OPTIONS[:3]}, ["own words, and more"]),
    ({"type": "open-choice", "repeats": True, "answerOption": OPTIONS[:3]}, ["c1", "own", "words"]),
    ({"type": "open-choice"}, ["free"]),
)


@pytest.mark.parametrize(("item", "values"), STANDING)
def test_a_page_posted_back_as_it_came_changes_nothing(
    item: dict[str, Any], values: list[str], services: Services, browser: Browser
) -> None:
    case, _ = _one(services, browser, item)
    cleo = Actor(id="cleo", kind="user", tenant="main", roles=("clinician",))
    before = forms.fill(services, cleo, case.case_id, "1", {"x": values})
    page = html.fromstring(browser.get(f"{_form(case)}?all=1").text)
    form = next(one for one in page.forms if "form" in one.get("class", "").split())
    fields: dict[str, list[str]] = {}
    for name, value in form.form_values():
        fields.setdefault(name, []).append(value)
    assert fields["shown"] == ["x"]
    browser.post(f"{_form(case)}?all=1", fields)
    with services.store.read() as tx:
        now = tx.cases.get("main", case.case_id)
    assert now.version == before.version
    assert len(_answers(services, now)["x"]) == len(values)


def test_an_answer_that_is_not_among_those_offered_is_said_and_kept(services: Services, browser: Browser) -> None:
    initial = [{"valueCoding": {"code": "z", "display": "Something else"}}]
    case, page = _one(services, browser, {"type": "choice", "answerOption": OPTIONS[:3], "initial": initial})
    if "Something else" not in page:
        pytest.skip("forms take no initial answer that is not among those offered")
    assert "not among the answers offered" in page
    browser.submit(f"{_form(case)}?all=1", _form(case), {"answer:x": ""})
    assert "x" in _answers(services, case)
