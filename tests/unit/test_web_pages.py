"""What holds for every page: headers, sign-in, tenant, token, no patient data where it does not belong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.flows.services import Services
from gateway.logs import configure_logs
from gateway.store.rows import CaseRow
from gateway.web.pages import CLOSED, OPEN
from gateway.web.rendering import STATIC
from tests.web_house import BASE, Browser, add_case, application, documenting, open_house

CANARY = ("Zzyxqa", "Canary", "MRN-4711", "2012-02-19")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return open_house(tmp_path_factory.mktemp("pages") / "house")


@pytest.fixture(scope="module")
def case(services: Services) -> CaseRow:
    return documenting(services)


@pytest.fixture
def browser(services: Services) -> Browser:
    return Browser(application(services))


def _address(path: str, case: CaseRow) -> str:
    parts = {
        "case_id": case.case_id,
        "form_id": "1",
        "action": "cancel",
        "number": "1",
        "upload_id": "1",
        "digest": "0" * 64,
        "slug": "pain-nrs",
    }
    return path.format(**parts)


READ = [path for method, path, _ in CLOSED if method == "GET"]
WRITTEN = [path for method, path, _ in CLOSED if method == "POST"]


@pytest.mark.parametrize("path", READ)
def test_a_page_needs_a_sign_in(path: str, browser: Browser, case: CaseRow) -> None:
    answer = browser.get(_address(path, case))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", WRITTEN)
def test_a_change_needs_a_sign_in(path: str, browser: Browser, case: CaseRow) -> None:
    answer = browser.post(_address(path, case), {"token": "x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


@pytest.mark.threat("T31")
@pytest.mark.parametrize("path", WRITTEN)
@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "", "Origin": "https://evil.example.net"}]
)
def test_a_change_from_elsewhere_is_refused(
    path: str, headers: dict[str, str], browser: Browser, case: CaseRow
) -> None:
    browser.sign_in()
    token = re.search(r'name="token" value="([0-9a-f]+)"', browser.get("/about").text)
    assert token
    answer = browser.post(_address(path, case), {"token": token.group(1)}, headers=headers)
    assert answer.status_code == 403
    assert "did not come from" in answer.text


@pytest.mark.threat("T31")
@pytest.mark.parametrize("path", WRITTEN)
def test_a_change_without_the_sessions_token_is_refused(path: str, browser: Browser, case: CaseRow) -> None:
    browser.sign_in()
    for fields in ({}, {"token": "0" * 64}):
        answer = browser.post(_address(path, case), fields)
        assert answer.status_code == 403
        assert "another sign-in" in answer.text


@pytest.mark.threat("T14")
@pytest.mark.parametrize("path", [path for path in READ if "{case_id}" in path])
def test_another_tenants_case_is_not_found(path: str, browser: Browser, case: CaseRow) -> None:
    browser.sign_in("otto")
    answer = browser.get(_address(path, case))
    assert answer.status_code == 404
    assert not any(word in answer.text for word in CANARY)


@pytest.mark.threat("T14")
@pytest.mark.parametrize("path", [path for path in WRITTEN if "{case_id}" in path])
def test_another_tenants_case_cannot_be_changed(path: str, browser: Browser, case: CaseRow, services: Services) -> None:
    browser.sign_in("otto")
    token = re.search(r'name="token" value="([0-9a-f]+)"', browser.get("/about").text)
    assert token
    fields = {"token": token.group(1), "state": case.state, "document": "DocumentReference/d1"}
    assert browser.post(_address(path, case), fields).status_code == 404
    with services.store.read() as tx:
        assert tx.cases.get("main", case.case_id).version == case.version


@pytest.mark.parametrize("path", READ)
def test_every_page_carries_the_headers_that_protect_it(path: str, browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    headers = browser.get(_address(path, case)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.threat("T7")
@pytest.mark.parametrize("path", READ)
def test_no_page_has_inline_script_or_style_or_anything_from_elsewhere(
    path: str, browser: Browser, case: CaseRow
) -> None:
    browser.sign_in("sam")
    text = browser.get(_address(path, case)).text
    assert not re.search(r"<script(?! src=\"/static/)|<style|\sstyle=|\son[a-z]+=|javascript:", text, re.IGNORECASE)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


@pytest.mark.threat("T17")
@pytest.mark.parametrize("path", READ)
def test_no_address_on_a_page_carries_patient_data(path: str, browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    text = browser.get(_address(path, case)).text
    for address in re.findall(r'(?:href|action)="([^"]*)"', text):
        assert not any(word in address for word in CANARY), address


@pytest.mark.threat("T17")
def test_no_log_line_carries_patient_data(browser: Browser, case: CaseRow, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug")
    browser.sign_in("sam")
    for path in READ:
        browser.get(_address(path, case))
    browser.submit("/", "/search", {"text": "Zzyxqa"})
    browser.get("/")
    browser.get("/cases/Zzyxqa")
    browser.get("/Zzyxqa?name=Canary")
    browser.sign_in("Zzyxqa", "Canary")
    said = "".join(capfd.readouterr())
    assert "request-refused" in said
    assert not any(word in said for word in CANARY)


def test_the_same_address_answers_pages_and_json(browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    page = browser.get(f"/cases/{case.case_id}")
    assert page.headers["content-type"].startswith("text/html")
    client = Browser(application(open_house_of(browser)))
    headers = {"Accept": "application/json", "Authorization": "Bearer machine-secret"}
    answer = client.get(f"/cases/{case.case_id}", headers=headers)
    assert json.loads(answer.text)["case_id"] == case.case_id
    everything = {"Accept": "text/html", "Authorization": "Bearer machine-secret"}
    assert client.get(f"/cases/{case.case_id}", headers=everything).headers["content-type"] == "application/json"
    assert client.get(f"/cases/{case.case_id}", headers={"Accept": "application/json"}).status_code == 401


def open_house_of(browser: Browser) -> Services:
    found: Services = browser._transport.app.state.services  # type: ignore[attr-defined]
    return found


def test_a_session_is_no_credential_for_the_json_routes(browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    answer = browser.get("/cases", headers={"Accept": "application/json"})
    assert answer.status_code == 401


def test_an_unknown_address_is_a_page_for_browsers_alone(browser: Browser) -> None:
    page = browser.get("/nothing-here")
    assert page.status_code == 404
    assert "There is nothing at this address." in page.text
    assert (
        browser.get("/nothing-here", headers={"Accept": "application/json"})
        .headers["content-type"]
        .startswith("application/problem+json")
    )


@pytest.mark.parametrize("name", STATIC)
def test_files_may_be_kept_by_browsers_and_need_no_sign_in(name: str, browser: Browser) -> None:
    answer = browser.get(f"/static/{name}", headers={"Accept": "*/*"})
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["../pages.py", "pages.py", "..%2fpages.py", "style.css/../../pages.py"])
def test_nothing_but_the_listed_files_is_served(name: str, browser: Browser) -> None:
    answer = browser.get(f"/static/{name}")
    assert answer.status_code in (303, 404)
    assert "def install" not in answer.text


@pytest.mark.threat("T22")
def test_nothing_from_data_becomes_a_template(browser: Browser, services: Services) -> None:
    case = add_case(services, "denied", service_display="{{ 7*7 }} <i>x</i>", next_action="{% raw %}<b>")
    browser.sign_in("sam")
    page = browser.get(f"/cases/{case.case_id}").text
    assert "{{ 7*7 }} &lt;i&gt;x&lt;/i&gt;" in page
    assert "{% raw %}&lt;b&gt;" in page


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 6000), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 3_000_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_a_form_that_cannot_be_read_is_refused_in_words(body: bytes, kind: str, status: int, browser: Browser) -> None:
    headers = {"Content-Type": kind, "Sec-Fetch-Site": "same-origin"}
    answer = browser.send("POST", "/sign-in", content=body, headers=headers)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.threat("T38")
def test_a_forged_host_changes_no_link(browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    page = browser.get("/about", headers={"Host": "evil.example.net", "X-Forwarded-Host": "evil.example.net"})
    assert "evil.example.net" not in page.text
    assert BASE not in page.text


def test_every_page_has_its_landmarks_title_and_help(browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    for path in READ:
        page = browser.get(_address(path, case))
        if not page.headers["content-type"].startswith("text/html"):
            continue
        for part in (
            '<html lang="en">',
            '<a class="skip" href="#main">',
            '<main id="main"',
            "<footer",
            'href="/about"',
        ):
            assert part in page.text, (path, part)
        assert len(re.findall(r"<h1[ >]", page.text)) == 1, path
        assert re.search(r"<title>[^<]+ · Prior authorization</title>", page.text), path


def test_ids_on_a_page_are_unique_and_labels_point_at_them(browser: Browser, case: CaseRow) -> None:
    browser.sign_in("sam")
    for path in (*READ, "/cases/{case_id}/forms/{form_id}?all=1"):
        text = browser.get(_address(path, case)).text
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path
        wanted = re.findall(r'\sfor="([^"]+)"', text)
        wanted += [
            one for group in re.findall(r'aria-(?:describedby|labelledby)="([^"]+)"', text) for one in group.split()
        ]
        assert set(wanted) <= set(ids), path


def test_open_pages_are_a_fixed_list() -> None:
    assert [path for _, path, _ in OPEN] == ["/sign-in", "/sign-in", "/about", "/answer/{token}", "/answer/{token}"]


def test_the_readme_names_every_page() -> None:
    readme = (Path(__file__).resolve().parents[2] / "gateway/web/README.md").read_text("utf-8")
    for _, path, _ in (*OPEN, *CLOSED):
        assert f"`{path}`" in readme, path
