"""The rarer parts of a form page: rows of groups, files, suggestions of the chart, marked-up text, remarks."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from lxml import html

from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.services import Services
from gateway.forms.documents import MAX_BYTES, build_attachment
from gateway.store.rows import CaseRow
from tests.form_samples import NOW, expression, form, item, variable
from tests.web_house import CORE, DOCUMENT, Browser, add_case, application, open_house, with_chart, with_form

DRUGS = [
    {
        "resourceType": "MedicationRequest",
        "id": f"m{n}",
        "subject": {"reference": "Patient/p1"},
        "medicationCodeableConcept": {"text": f"Drug {n}", "coding": [{"system": "urn:drugs", "code": f"d{n}"}]},
    }
    for n in (1, 2)
]
ALL = variable("all", "MedicationRequest?patient={{%patient.id}}", "application/x-fhir-query")
ROWS = {
    "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-itemPopulationContext",
    "valueExpression": {"name": "drug", "language": "text/fhirpath", "expression": "%all.entry.resource"},
}
GROUP = item(
    "drugs",
    "group",
    ROWS,
    repeats=True,
    item=[item("name", "string", expression("initialExpression", "%drug.medication.text")), item("dose", "string")],
)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return open_house(tmp_path_factory.mktemp("kinds") / "house")


@pytest.fixture(scope="module")
def browser(services: Services) -> Browser:
    made = Browser(application(services))
    made.sign_in()
    return made


def opened(services: Services, *items: Any, chart: Any = (), **more: Any) -> CaseRow:
    case = add_case(services, CaseState.DOCUMENTING.value, move="us")
    return with_form(services, with_chart(services, case, *chart), form(*items, **more))


def address(case: CaseRow) -> str:
    return f"/cases/{case.case_id}/forms/1"


def show(browser: Browser, case: CaseRow) -> Any:
    return html.fromstring(browser.get(f"{address(case)}?all=1").text)


def save(browser: Browser, case: CaseRow, **fields: Any) -> httpx.Response:
    """Post the form as it stands on the page, with these fields changed."""
    page = show(browser, case)
    standing: dict[str, Any] = {}
    for one in page.xpath("//main//form[contains(@class, 'form')]//*[self::input or self::textarea or self::select]"):
        kind = one.get("type", "")
        if one.get("name") and kind != "file" and (kind not in ("radio", "checkbox") or one.get("checked") is not None):
            standing.setdefault(one.get("name"), []).append(one.get("value") or "")
    return browser.post(f"{address(case)}?all=1", {**standing, **fields})


def stored(services: Services, case: CaseRow) -> dict[str, Any]:
    now = ledger.load(services, case.tenant_id, case.case_id)
    return dict(parse_json(ledger.load_object(services, now, read_facts(now.facts).forms[0].response)))


def first_answers(services: Services, case: CaseRow) -> list[Any]:
    return list(stored(services, case)["item"][0].get("answer", ()))


def names(page: Any) -> list[str]:
    return [one.get("value") for one in page.xpath("//input[starts-with(@name, 'answer:name')]")]


def test_a_person_adds_fills_and_takes_out_rows(services: Services, browser: Browser) -> None:
    case = opened(services, GROUP, chart=DRUGS, extension=[ALL])
    page = show(browser, case)
    assert names(page) == ["Drug 1", "Drug 2"]
    buttons = [one.get("value") for one in page.xpath("//button[@name='then']")]
    assert buttons[:3] == ["remove:drugs", "remove:drugs@1", "add:drugs@1"]
    added = save(browser, case, then="add:drugs@1")
    assert added.headers["location"] == f"{address(case)}?all=1"
    assert names(show(browser, case)) == ["Drug 1", "Drug 2", ""]
    save(browser, case, **{"answer:name@2": "Drug of the person", "then": "remove:drugs"})
    assert names(show(browser, case)) == ["Drug 2", "Drug of the person"]
    assert [one["item"][0]["answer"][0]["valueString"] for one in stored(services, case)["item"] if "item" in one] == [
        "Drug 2",
        "Drug of the person",
    ]


def test_a_page_of_old_takes_no_row_out(services: Services, browser: Browser) -> None:
    case = opened(services, GROUP, chart=DRUGS, extension=[ALL])
    old = show(browser, case)
    hidden = {one.get("name"): one.get("value") for one in old.xpath("//main//form//input[@type='hidden']")}
    save(browser, case, **{"answer:name": "Drug of somebody else"})
    answer = browser.post(f"{address(case)}?all=1", {**_rest(hidden), "then": "remove:drugs"})
    assert answer.status_code == 409
    assert names(show(browser, case)) == ["Drug of somebody else", "Drug 2"]


def _rest(hidden: dict[str, str]) -> dict[str, str]:
    """Hidden fields that say nothing about questions, as the token."""
    return {name: value for name, value in hidden.items() if name != "shown"}


def test_enter_saves_and_takes_nothing_out(services: Services, browser: Browser) -> None:
    case = opened(services, GROUP, chart=DRUGS, extension=[ALL])
    first = show(browser, case).xpath("//form[contains(@class, 'form')]//button")[0]
    assert first.get("name") is None


def test_a_row_that_is_not_there_is_an_error_of_ours(services: Services, browser: Browser) -> None:
    case = opened(services, GROUP, chart=DRUGS, extension=[ALL])
    assert save(browser, case, then="remove:nothing").status_code == 404
    assert save(browser, case, then="add:name").status_code in (400, 422)


PDF = b"%PDF-1.7 a letter"
LETTER = item("letter", "attachment", {"url": f"{CORE}mimeType", "valueCode": "application/pdf"})


def upload(browser: Browser, case: CaseRow, name: str, body: bytes, media_type: str = "application/pdf") -> Any:
    page = show(browser, case)
    assert page.xpath("//form[@enctype='multipart/form-data']")
    hidden = {one.get("name"): one.get("value") for one in page.xpath("//main//form//input[@type='hidden']")}
    return browser.post(f"{address(case)}?all=1", hidden, files={"file:letter": (name, body, media_type)})


@pytest.mark.requirement("dtr:spec-52")
def test_a_file_becomes_an_answer_and_is_taken_out_again(services: Services, browser: Browser) -> None:
    case = opened(services, LETTER)
    assert show(browser, case).xpath("//input[@type='file']/@accept") == ["application/pdf"]
    assert upload(browser, case, "C:\\letters\\a letter.pdf", PDF).status_code == 303
    (answer,) = first_answers(services, case)
    kept = answer["valueAttachment"]
    assert (kept["contentType"], kept["title"], kept["size"]) == ("application/pdf", "a letter.pdf", len(PDF))
    assert base64.b64decode(kept["data"]) == PDF
    assert "a letter.pdf" in show(browser, case).text_content()
    save(browser, case, **{"clear:letter": "1"})
    assert first_answers(services, case) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"<html><script>alert(1)</script></html>", 422, "The file cannot be taken"),
        (b"MZ\x90\x00\x03", 422, "The file cannot be taken"),
        (b"", 422, "The file cannot be taken"),
        (b"plain words", 303, ""),
    ],
)
@pytest.mark.threat("T7")
def test_bytes_decide_what_a_file_is(
    services: Services, browser: Browser, body: bytes, status: int, words: str
) -> None:
    case = opened(services, LETTER)
    answer = upload(browser, case, "letter.pdf", body)
    assert answer.status_code == status
    assert words in answer.text
    if status == 303:  # taken, and shown as not of the kind that the form wants
        assert "A file of another kind is wanted" in show(browser, case).text_content()


def test_a_file_that_is_too_large_is_refused() -> None:
    with pytest.raises(Exception, match="larger than the 8 MB"):
        build_attachment("big.pdf", b"%PDF-" + bytes(MAX_BYTES), NOW)


@pytest.mark.parametrize(
    "body",
    [b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n", b"\xff\xfe" * 100],
)
def test_broken_multipart_is_refused_and_never_a_fault(services: Services, browser: Browser, body: bytes) -> None:
    case = opened(services, LETTER)
    answer = browser.send(
        "POST",
        address(case),
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=x", "Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code in (400, 403, 415, 422)


def test_a_post_with_files_needs_the_token_of_the_session(services: Services, browser: Browser) -> None:
    case = opened(services, LETTER)
    answer = browser.post(address(case), {"token": "made up"}, files={"file:letter": ("a.pdf", PDF)})
    assert answer.status_code == 403


def test_documents_of_the_chart_are_offered_and_picked(services: Services, browser: Browser) -> None:
    case = opened(services, item("note", "attachment"), chart=[DOCUMENT])
    page = show(browser, case)
    (label,) = [one for one in page.xpath("//fieldset[@class='suggestions']//label") if "None" not in one.text]
    assert label.text_content() == "Progress note, 2026-03-10"
    save(browser, case, **{"pick:note": "document-1"})
    (answer,) = first_answers(services, case)
    assert answer["valueAttachment"]["data"] == "aGVsbG8="


def test_a_suggestion_of_the_chart_is_picked_by_a_person_only(services: Services, browser: Browser) -> None:
    asked = item(
        "drug",
        "open-choice",
        expression("candidateExpression", "%all.entry.resource.medication"),
    )
    case = opened(services, asked, chart=DRUGS, extension=[ALL])
    page = show(browser, case)
    labels = [one.text for one in page.xpath("//fieldset[@class='suggestions']//label")]
    assert labels == ["Drug 1", "Drug 2", "None of these"]
    assert first_answers_or_none(services, case) == []
    save(browser, case, **{"pick:drug": "d2"})
    (answer,) = first_answers(services, case)
    assert answer["valueCoding"] == {"system": "urn:drugs", "code": "d2"}
    origin = answer["extension"][0]["extension"][0]["valueCode"]
    assert origin == "manual"


def first_answers_or_none(services: Services, case: CaseRow) -> list[Any]:
    return first_answers(services, case) if stored(services, case).get("item") else []


def test_a_pick_that_was_not_offered_is_nothing(services: Services, browser: Browser) -> None:
    case = opened(services, item("note", "attachment"), chart=[DOCUMENT])
    save(browser, case, **{"pick:note": "document-9"})
    assert first_answers_or_none(services, case) == []


def test_several_suggestions_go_beside_what_stands_there(services: Services, browser: Browser) -> None:
    asked = item(
        "drug", "open-choice", expression("candidateExpression", "%all.entry.resource.medication"), repeats=True
    )
    case = opened(services, asked, chart=DRUGS, extension=[ALL])
    save(browser, case, **{"pick:drug": ["d1", "d2"], "other:drug": "Own words"})
    values = [
        next(value for key, value in one.items() if key.startswith("value")) for one in first_answers(services, case)
    ]
    assert values[0] == "Own words"
    assert [one["code"] for one in values[1:]] == ["d1", "d2"]


@pytest.mark.threat("T7")
def test_marked_up_text_is_shown_without_what_runs(services: Services, browser: Browser) -> None:
    markup = (
        '<div xmlns="http://www.w3.org/1999/xhtml"><b>Bold</b><script>alert(1)</script>'
        '<a href="javascript:alert(1)" onclick="x()">link</a><img src="http://evil.example/x.png"/></div>'
    )
    asked = item("q", "string")
    asked["_text"] = {"extension": [{"url": f"{CORE}rendering-xhtml", "valueString": markup}]}
    shown = item("d", "display")
    shown["_text"] = asked["_text"]
    case = opened(services, asked, shown)
    page = browser.get(f"{address(case)}?all=1").text
    assert page.count("<b>Bold</b>") == 2
    main = page.partition("<main")[2]
    for bad in ("alert(1)", "onclick", "javascript:", "<img", "evil.example"):
        assert bad not in main


def test_remarks_and_audience_are_told(services: Services, browser: Browser) -> None:
    rule = {
        "url": f"{CORE}targetConstraint",
        "extension": [
            {"url": "key", "valueId": "k"},
            {"url": "severity", "valueCode": "warning"},
            {"url": "expression", "valueExpression": {"language": "text/fhirpath", "expression": "answer.value > 3"}},
            {"url": "human", "valueString": "Fewer than is usual."},
        ],
    }
    audience = {
        "url": "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/questionnaireAudience",
        "valueCodeableConcept": {"coding": [{"code": "clinical"}]},
    }
    case = opened(services, item("n", "integer", rule), extension=[audience])
    save(browser, case, **{"answer:n": "2"})
    text = show(browser, case).text_content()
    assert "Fewer than is usual." in text
    assert "The payer asks: clinical." in text
