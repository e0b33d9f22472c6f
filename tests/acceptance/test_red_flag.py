"""The week-three order, held: a clinician documents a red flag, attests it, and the order goes on at once.

Over HTTP from page to EHR. What the pages write is read by the rule from the chart, and by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.store.rows import CaseRow
from tests.instrument_house import PASSWORD, Ward, open_ward
from tests.web_house import Browser

ORDER_ON = "2026-01-26"
YES, NO = "true", "false"
PRESENT, ABSENT, ASKED = "52101004", "2667000", "17621005"
RIGHT = "24028007"
SLUG = "red-flags-myelopathy"


@pytest.fixture(name="ward")
def _ward(tmp_path: Path) -> Iterator[Ward]:
    with open_ward(tmp_path) as opened:
        yield opened


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

    done = attest(browser, case, code=["R29.2", "R26.0"], expedited="yes")
    assert done.status_code == 303, done.text
    ward.house.work()

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
