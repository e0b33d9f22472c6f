"""The worklist: what a line says, filters, words searched for, pages, CSV."""

from __future__ import annotations

import csv
import io
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cases.facts import Facts, FormFact, RequestedDocument
from gateway.flows.services import Services
from gateway.web import worklist
from tests.web_house import NOW, Browser, add_case, application, open_house


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_house(tmp_path / "house")


@pytest.fixture
def browser(services: Services) -> Browser:
    made = Browser(application(services))
    made.sign_in()
    return made


def _rows(text: str) -> list[str]:
    body = re.search(r"<tbody>(.*?)</tbody>", text, re.DOTALL)
    return re.findall(r"<tr[ >].*?</tr>", body.group(1), re.DOTALL) if body else []


def _plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_a_line_says_whose_move_how_long_and_what_next(browser: Browser, services: Services) -> None:
    form = FormFact(form_id="1", canonical="q|1", title="Q", package="x", position=0, answered=14, open_required=("a",))
    case = add_case(
        services,
        "documenting",
        Facts(forms=(form,)),
        move="us",
        deadline_at=NOW + timedelta(hours=5, minutes=12),
        deadline_rule="expedited, 72 hours",
        next_action="Answer 1 open question of the payer's form.",
        service_on=date(2026, 3, 20),
        is_expedited=True,
    )
    (row,) = _rows(browser.get("/").text)
    said = _plain(row)
    for part in (
        *("Us", "5 h 12 min left", "expedited, 72 hours", "Expedited", "Zzyxqa, Canary", "MRN MRN-4711"),
        *("born 2012-02-19", "72141 MRI cervical spine", "2026-03-20", "Example Open Access"),
        *("14 answered, 1 required open", "Answer 1 open question"),
    ):
        assert part in said, part
    assert f'href="/cases/{case.case_id}"' in row


def test_an_unsigned_order_and_a_service_date_that_is_past_are_told(browser: Browser, services: Services) -> None:
    add_case(services, "documenting", Facts(is_unsaved=True), service_on=NOW.date() - timedelta(days=270))
    add_case(services, "documenting", service_on=NOW.date() + timedelta(days=1))
    add_case(services, "cancelled", service_on=NOW.date() - timedelta(days=270), is_open=False)
    rows = [_plain(row) for row in _rows(browser.get("/").text)]
    said = [("Order not signed yet" in row, "Service date passed 270 days ago" in row) for row in rows]
    assert said.count((True, True)) == 1
    assert sum("not signed" in row or "passed" in row for row in rows) == 1
    listed = list(csv.DictReader(io.StringIO(browser.get("/worklist.csv").text)))
    assert sorted(row["service date passed"] for row in listed) == ["", "", "270 days ago"]
    assert sum("order not signed yet" in row["status"] for row in listed) == 1


def test_the_table_is_a_real_one(browser: Browser, services: Services) -> None:
    add_case(services)
    page = browser.get("/").text
    assert page.count('scope="col"') == 9
    assert 'scope="row"' in page
    assert 'aria-sort="ascending"' in page
    assert "<caption" in page


def test_our_own_moves_come_first(browser: Browser, services: Services) -> None:
    for move, name in (("payer", "B"), ("nobody", "D"), ("us", "A"), ("clinician", "C")):
        add_case(services, "pended", move=move, patient_label=name)
    found = [re.search(r"<th scope=\"row\"[^>]*>(\w)", row) for row in _rows(browser.get("/").text)]
    assert [match.group(1) for match in found if match] == ["A", "C", "B", "D"]


def test_only_the_tenants_own_cases_are_shown(browser: Browser, services: Services) -> None:
    add_case(services, tenant_id="other", patient_label="Foreign")
    assert "Foreign" not in browser.get("/").text


def test_an_empty_list_says_so(browser: Browser) -> None:
    assert "There is no case yet." in browser.get("/").text


STATES = (
    ("approved", {}, "Approved"),
    ("denied", {}, "Denied"),
    ("held", {}, "On hold"),
    ("needs_attention", {}, "Needs attention"),
    ("needs_attention", {"decision": "contact_payer"}, "Contact payer"),
    ("needs_attention", {"decision": "errored"}, "Payer error"),
    ("needs_attention", {"decision": "unknown"}, "Needs review"),
    ("pended", {}, "Pended"),
    ("cancelled", {}, "Cancelled"),
)


@pytest.mark.parametrize(("state", "fields", "word"), STATES)
def test_a_chip_has_word_shape_and_colour(
    state: str, fields: dict[str, Any], word: str, browser: Browser, services: Services
) -> None:
    add_case(services, state, **fields)
    (row,) = _rows(browser.get("/").text)
    chip = re.search(r'<span class="chip (\w+)"><svg.*?</svg>(.*?)</span>', row, re.DOTALL)
    assert chip
    assert chip.group(2).strip() == word


def test_a_held_case_says_which_day_it_is(browser: Browser, services: Services) -> None:
    add_case(services, "held", Facts(lines=("No NDI score is on file.", "Day 21 of 42; 21 more are asked.")))
    assert "On hold: day 21 of 42" in _plain(_rows(browser.get("/").text)[0])


def test_a_payer_that_asks_for_more_makes_it_our_move(browser: Browser, services: Services) -> None:
    request = RequestedDocument(code="11506-3", text="Progress note", control_number="ACN-1")
    add_case(services, "pended", Facts(requests=(request,)), move="payer")
    said = _plain(_rows(browser.get("/").text)[0])
    assert "Payer asks for more" in said
    assert said.startswith("Us")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", "abc"),
        ("?state=denied", "b"),
        ("?state=denied&state=held", "ab"),
        ("?view=clinician", "a"),
        ("?view=waiting", "c"),
        ("?payer=example-slow", "c"),
        ("?move=us", "b"),
        ("?urgency=expedited", "a"),
        ("?show=open", "ac"),
        ("?show=closed", "b"),
        ("?state=nonsense&move=nonsense&view=nonsense&urgency=nonsense", "abc"),
    ],
)
def test_filters_live_in_the_address(query: str, shown: str, browser: Browser, services: Services) -> None:
    add_case(services, "held", move="clinician", patient_label="a", is_expedited=True)
    add_case(services, "denied", move="us", patient_label="b", is_open=False)
    add_case(services, "pended", move="payer", patient_label="c", payer="example-slow")
    page = browser.get(f"/{query}")
    assert page.status_code == 200
    names = sorted(re.findall(r'<th scope="row" data-label="Patient">(\w)<', page.text))
    assert "".join(names) == shown


def test_words_searched_for_are_posted_and_kept_in_the_session(browser: Browser, services: Services) -> None:
    add_case(services, "held")
    add_case(services, "held", patient_label="Other, Person", patient_mrn="M-2")
    answer = browser.submit("/?state=held", "/search", {"text": "zzyx"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?state=held"
    page = browser.get("/?state=held").text
    assert len(_rows(page)) == 1
    assert 'value="zzyx"' in page
    assert "for “zzyx”" in page
    browser.submit("/", "/search", {"text": "zzyx", "clear": "1"})
    assert len(_rows(browser.get("/").text)) == 2


def test_words_of_one_session_are_not_those_of_another(browser: Browser, services: Services) -> None:
    add_case(services, "held")
    browser.submit("/", "/search", {"text": "nobody"})
    other = Browser(application(services))
    other.sign_in("cleo")
    assert len(_rows(other.get("/").text)) == 1


def test_long_lists_come_in_pages(browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "PAGE_ROWS", 3)
    for number in range(7):
        add_case(services, "held", patient_label=f"P{number}", deadline_at=NOW + timedelta(hours=number))
    seen, path, pages = [], "/?state=held", 0
    while path:
        page = browser.get(path).text
        seen += re.findall(r'data-label="Patient">(P\d)<', page)
        following = re.search(r'<a href="([^"]+)">Next page</a>', page)
        path = following.group(1).replace("&amp;", "&") if following else ""
        pages += 1
    assert seen == [f"P{number}" for number in range(7)]
    assert pages == 3
    assert "state=held" in browser.get("/?state=held").text


def test_a_made_up_page_mark_is_refused_in_words(browser: Browser) -> None:
    answer = browser.get("/?after=nonsense")
    assert answer.status_code == 400
    assert "Start from the first page." in answer.text


def test_counters_are_links_to_filters(browser: Browser, services: Services) -> None:
    add_case(services, "pended", move="payer")
    page = browser.get("/").text
    assert re.search(r'<a href="/\?view=waiting"><strong>1</strong> Waiting for the payer</a>', page)
    assert re.search(r'<a href="/\?view=denied"><strong>0</strong> Denied</a>', page)


@pytest.mark.threat("T32")
def test_the_csv_file_runs_nothing(browser: Browser, services: Services) -> None:
    add_case(services, "held", patient_label="=cmd|' /C calc'!A1", service_display='a,"b"', next_action="@x")
    answer = browser.get("/worklist.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="worklist.csv"'
    head, row = csv.reader(io.StringIO(answer.text))
    cells = dict(zip(head, row, strict=True))
    assert cells["patient"] == "'=cmd|' /C calc'!A1"
    assert cells["next action"] == "'@x"
    assert cells["service"] == '72141 a,"b"'


def test_the_csv_file_has_the_rows_that_the_page_shows(browser: Browser, services: Services) -> None:
    add_case(services, "held")
    add_case(services, "denied")
    browser.submit("/", "/search", {"text": "zzyxqa"})
    rows = list(csv.reader(io.StringIO(browser.get("/worklist.csv?state=denied").text)))
    assert [row[2] for row in rows[1:]] == ["Denied"]
