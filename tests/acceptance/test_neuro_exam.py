"""The week-three order, held: an examination is recorded, supports a diagnosis or not, and a clinician asserts it.

Over HTTP from page to EHR. The code changes only where the findings reach the rule's threshold and a person says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from gateway.store.rows import CaseRow
from tests.instrument_house import PASSWORD, Ward, copies, moving, open_ward
from tests.web_house import Browser

ON = "2026-01-26"
RIGHT, LEFT, PRESENT, ABSENT = "24028007", "7771000", "52101004", "2667000"
SYMPTOM = {
    "answer:exam-on": ON,
    "answer:arm-symptom.value": PRESENT,
    "answer:arm-symptom.side": RIGHT,
    "answer:arm-symptom.type": "symptom-pain",
    "answer:arm-symptom.radiation": "digit-3",
}
WEAK_TRICEPS = {"answer:right.strength-triceps": "mrc-4", "answer:left.strength-triceps": "mrc-5"}
STRONG = {**SYMPTOM, **WEAK_TRICEPS}


@pytest.fixture(scope="module", name="house")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One house for the module; each test has a patient of its own."""
    with open_ward(tmp_path_factory.mktemp("ward"), (), more=copies(15)) as opened:
        yield opened


@pytest.fixture(name="ward")
def _ward(house: Ward) -> Iterator[Ward]:
    yield house
    house.tidy()


def examine(browser: Browser, case: CaseRow, fields: Mapping[str, Any], then: str = "record") -> httpx.Response:
    """Record an examination as a browser posts it."""
    address = f"/cases/{case.case_id}/neuro-exam"
    shown = [name.partition(":")[2] for name in fields if name.startswith("answer:")]
    return browser.submit(address, address, {**fields, "shown": shown, "then": then})


def assert_it(browser: Browser, case: CaseRow, **fields: Any) -> httpx.Response:
    """Assert the diagnosis; fields that are None are left out."""
    address = f"/cases/{case.case_id}/neuro-exam/support"
    posted = {"assert": "yes", "onset": "2026-01-10", "password": PASSWORD, **fields}
    return browser.submit(address, address, {key: value for key, value in posted.items() if value is not None})


def alert(answer: httpx.Response) -> str:
    return " ".join(re.findall(r'role="alert"[^>]*>([^<]*)', answer.text))


def codes(order: Mapping[str, Any], ward: Ward) -> list[str]:
    """Diagnoses that an order names, in their order."""
    ehr = ward.house.services.ehr("ehr")
    named = [ehr.read(*item["reference"].split("/", 1)).resource for item in order.get("reasonReference", ())]
    return [item["code"]["coding"][0]["code"] for item in named]


def test_the_examination_is_followed_to_a_new_diagnosis(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    before = ward.order()
    assert codes(before, ward) == ["M54.2"]
    recorded = examine(browser, case, STRONG)
    assert recorded.headers["location"].endswith("/support"), alert(recorded)
    ward.house.work()
    page = browser.get(recorded.headers["location"])
    assert "Support: strong" in page.text
    assert "strong in C7" in page.text, "the root in which symptom and signs agree is named"
    assert " checked" not in page.text
    assert codes(ward.order(), ward) == ["M54.2"], "findings alone change nothing"

    done = assert_it(browser, case, refines="yes")
    assert done.status_code == 303, alert(done)
    after = ward.order()
    assert codes(after, ward) == ["M54.12"]
    assert after["meta"]["versionId"] > before["meta"]["versionId"]
    assert {key: after[key] for key in ("code", "requester", "authoredOn", "insurance", "identifier")} == {
        key: before[key] for key in ("code", "requester", "authoredOn", "insurance", "identifier")
    }
    ward.house.work()
    facts = ward.house.facts(case.case_id)
    assert facts.verdict == "GAP", "a diagnosis never shortens the care that is asked for"
    assert not any("diagnosis" in line.casefold() for line in facts.lines)
    elements = {item["element"]: item for item in _evaluation(ward, case)}
    assert (elements["CODE_SUPPORT"]["status"], elements["CODE_SUPPORT"]["value"]) == ("met", "strong")
    asserted = next(item for item in ward.house.events(case.case_id) if item.note.get("kind") == "diagnosis-asserted")
    assert (asserted.actor, asserted.note["code"], asserted.note["decision"]) == ("user:cleo", "M54.12", "strong")


def _evaluation(ward: Ward, case: CaseRow) -> list[dict[str, Any]]:
    from gateway.flows import views

    found = views.evaluation(ward.house.services, ward.house.case(case.case_id))
    return list(found["elements"])


def test_what_is_written_names_side_performer_and_author(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, STRONG)
    ward.house.work()
    own = [item for item in ward.in_ehr("Observation") if item.get("identifier")]
    assert len(own) == 3
    who = ward.order()["requester"]["reference"]
    assert all(item["performer"] == [{"reference": who}] for item in own)
    sides = [part["valueCodeableConcept"]["coding"][0]["code"] for item in own for part in item["component"]]
    assert {RIGHT, LEFT} <= set(sides)
    assert_it(browser, case)
    problem = next(item for item in ward.in_ehr("Condition") if item["code"]["coding"][0]["code"] == "M54.12")
    assert problem["onsetDateTime"] == "2026-01-10"
    assert {detail["reference"] for detail in problem["evidence"][0]["detail"]} <= {
        f"Observation/{i['id']}" for i in own
    }
    symptom = next(item for item in ward.in_ehr("Condition") if item["code"]["coding"][0]["code"] == "M54.2")
    assert symptom["clinicalStatus"]["coding"][0]["code"] == "active", "the symptom stays open unless its end is asked"
    ehr = ward.house.services.ehr("ehr")
    record = ehr.search("Provenance", {"target": f"Condition/{problem['id']}"}).resources[0]
    assert [agent["type"]["coding"][0]["code"] for agent in record["agent"]] == ["author", "assembler"]


@pytest.mark.parametrize(
    ("findings", "level"),
    [
        (SYMPTOM, "weak"),
        ({**SYMPTOM, "answer:spurling.value": PRESENT, "answer:spurling.side": RIGHT}, "moderate"),
        (
            {**SYMPTOM, "answer:right.strength-deltoid": "mrc-4", "answer:right.strength-interossei": "mrc-4"},
            "discordant",
        ),
    ],
)
def test_less_than_the_threshold_changes_nothing(ward: Ward, findings: dict[str, str], level: str) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, findings)
    ward.house.work()
    page = browser.get(f"/cases/{case.case_id}/neuro-exam/support")
    assert f"Support: {level}" in page.text
    assert 'name="assert"' not in page.text
    forced = _force(browser, case)
    assert forced.status_code == 409
    assert codes(ward.order(), ward) == ["M54.2"]


def _force(browser: Browser, case: CaseRow) -> httpx.Response:
    """The assertion posted although the page does not offer it."""
    token = re.search(r'name="token" value="([0-9a-f]+)"', browser.get("/about").text)
    assert token
    fields = {"token": token.group(1), "assert": "yes", "onset": "2026-01-10", "password": PASSWORD}
    return browser.post(f"/cases/{case.case_id}/neuro-exam/support", fields)


def test_a_sign_of_the_long_tracts_is_a_red_flag_question_first(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, {**STRONG, "answer:hoffmann.value": PRESENT, "answer:hoffmann.side": RIGHT})
    ward.house.work()
    page = browser.get(f"/cases/{case.case_id}/neuro-exam/support")
    assert "A red-flag question comes first" in page.text
    assert _force(browser, case).status_code == 409
    assert ward.house.facts(case.case_id).verdict == "RED_FLAG_INCOMPLETE"


def test_a_documented_cause_is_coded_in_its_place(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, STRONG)
    ward.house.work()
    symptom = next(item for item in ward.in_ehr("Condition") if item["code"]["coding"][0]["code"] == "M54.2")
    disc = {key: value for key, value in symptom.items() if key not in ("id", "meta")}
    disc["code"] = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M50.122"}]}
    ward.house.services.ehr("ehr").create(disc)
    page = browser.get(f"/cases/{case.case_id}/neuro-exam/support")
    assert "excluded beside it" in page.text
    assert _force(browser, case).status_code == 409
    assert codes(ward.order(), ward) == ["M54.2"]


UNSAID: list[tuple[dict[str, Any], int, str]] = [
    ({"assert": None}, 422, "Tick the statement"),
    ({"password": "wrong"}, 403, "not the password"),
    ({"onset": ""}, 422, "since when"),
    ({"onset": "last year"}, 422, "since when"),
    ({"onset": "2026-02-20"}, 422, "since when"),
]


def test_the_order_is_changed_by_the_clinicians_word_alone(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, STRONG)
    ward.house.work()
    for fields, status, words in UNSAID:
        answer = assert_it(browser, case, **fields)
        assert answer.status_code == status, fields
        assert words in answer.text
    assert codes(ward.order(), ward) == ["M54.2"]
    assert not any(item.note.get("kind") == "diagnosis-asserted" for item in ward.house.events(case.case_id))


def test_staff_may_prepare_an_examination_and_not_record_it(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser("stella")
    assert examine(browser, case, STRONG, then="").status_code == 303
    refused = examine(browser, case, {})
    assert refused.status_code == 403
    assert [item for item in ward.in_ehr("Observation") if item.get("identifier")] == []
    clinician = ward.browser("cleo")
    assert examine(clinician, case, {}).status_code == 303, "what was prepared is there"


UNFIT: list[tuple[dict[str, str], str]] = [
    ({"answer:exam-on": ON}, "Nothing was examined"),
    ({"answer:exam-on": "yesterday"}, "to put right"),
    ({"answer:exam-on": "2027-01-01", **WEAK_TRICEPS}, "in the future"),
    ({"answer:exam-on": ""}, "Date of the examination"),
]


def test_what_does_not_fit_is_said_and_nothing_recorded(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    nothing = examine(browser, case, {})
    assert (nothing.status_code, alert(nothing)) == (422, "Nothing is answered yet; nothing was recorded.")
    for fields, words in UNFIT:
        answer = examine(browser, case, fields)
        assert answer.status_code == 422, fields
        assert words in answer.text
    assert [item for item in ward.in_ehr("Observation") if item.get("identifier")] == []


def test_findings_after_the_order_count_once_it_is_renewed(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, {**STRONG, "answer:exam-on": "2026-03-02"})
    ward.house.work()
    page = browser.get(f"/cases/{case.case_id}/neuro-exam/support")
    assert "Renew the order as of today" in page.text
    assert assert_it(browser, case).status_code == 422
    mistyped = assert_it(browser, case, renew="yes", password="wrong")
    assert mistyped.status_code == 403
    assert 'name="renew" value="yes" checked' in mistyped.text
    assert 'name="refines" value="yes" checked' not in mistyped.text
    tomorrow = assert_it(browser, case, renew="yes", onset="2026-03-03")
    assert tomorrow.status_code == 422
    assert "not after the order" in alert(tomorrow)
    assert assert_it(browser, case, renew="yes").status_code == 303
    assert ward.order()["authoredOn"].startswith("2026-03-02")
    assert codes(ward.order(), ward) == ["M54.12"]


def test_a_fault_of_the_ehr_leaves_no_ended_symptom_on_the_order(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    examine(browser, case, STRONG)
    ward.house.work()

    def down(request: httpx.Request) -> httpx.Response | None:
        wanted = request.method == "PUT" and "/ServiceRequest" in request.url.path
        return httpx.Response(503) if wanted else None

    ward.house.ehr.rules.append(down)
    assert assert_it(browser, case, refines="yes").status_code == 502
    assert codes(ward.order(), ward) == ["M54.2"]
    ward.house.ehr.rules.clear()
    address = f"/cases/{case.case_id}/neuro-exam"
    auditor = ward.browser("ada").get(f"{address}/support")
    assert "/write" not in auditor.text
    assert browser.submit(f"{address}/support", f"{address}/write", {}).status_code == 303
    assert codes(ward.order(), ward) == ["M54.12"]


def test_an_examination_that_somebody_changed_meanwhile_is_not_recorded_unseen(ward: Ward) -> None:
    case, clinician, staff = ward.held(), ward.browser(), ward.browser("stella")
    address = f"/cases/{case.case_id}/neuro-exam"
    examine(staff, case, STRONG, then="")
    page = clinician.get(address)
    hidden = {name: re.search(rf'name="{name}" value="([0-9a-f]+)"', page.text) for name in ("token", "draft")}
    seen = {name: found.group(1) for name, found in hidden.items() if found}
    assert set(seen) == {"token", "draft"}
    examine(staff, case, {"answer:exam-on": "2026-01-20"}, then="")
    assert clinician.post(address, {**seen, "then": "record"}).status_code == 409
    assert [item for item in ward.in_ehr("Observation") if item.get("identifier")] == []


def test_a_case_that_jobs_move_meanwhile_refuses_no_examination(ward: Ward) -> None:
    case, browser = ward.held(), ward.browser()
    with moving(ward, case):
        assert examine(browser, case, SYMPTOM, then="").status_code == 303
    with moving(ward, case, times=2):
        recorded = examine(browser, case, WEAK_TRICEPS)
    assert recorded.headers["location"].endswith("/support"), alert(recorded)
    assert ward.house.case(case.case_id).state == "checking", "the chart is being read for the examination"
    with moving(ward, case, times=2):
        assert assert_it(browser, case).status_code == 303
    assert codes(ward.order(), ward) == ["M54.12"]
    ward.house.work()
    assert ward.house.case(case.case_id).state == "held"
    assert "diagnosis of the order changed" in str([event.note for event in ward.house.events(case.case_id)])
