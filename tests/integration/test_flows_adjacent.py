"""Orders of two more parts of the body go the whole way, from data folders alone."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.demo.charts import DemoChart
from gateway.fhir.json import parse_json
from gateway.flows import views
from gateway.flows.measures import read_measures
from tests.conftest import ROOT
from tests.flows_house import STAFF
from tests.instrument_house import PASSWORD, open_ward
from tests.integration.flows_house import open_house

MEMBERS = {"lumbar-mri": "SYN-BACK-01", "shoulder-mri": "SYN-SHOULDER-01"}
RULES = {"lumbar-mri": "default-lumbar", "shoulder-mri": "default-shoulder"}


def _chart(slug: str, name: str = "full-course") -> DemoChart:
    """A worked chart of a form as a member of the simulated payer; every id is its own."""
    text = (ROOT / "questionnaires" / slug / "charts" / f"{name}.json").read_text("utf-8")
    for entry in json.loads(text)["entry"]:
        kind, own = entry["resource"]["resourceType"], entry["resource"]["id"]
        text = text.replace(f'{kind}/{own}"', f'{kind}/{slug}-{own}"').replace(f'"id":"{own}"', f'"id":"{slug}-{own}"')
    bundle = parse_json(text.replace('"SYN-MEMBER"', f'"{MEMBERS[slug]}"').encode())
    patient = next(item["resource"]["id"] for item in bundle["entry"] if item["resource"]["resourceType"] == "Patient")
    return DemoChart(
        scenario=slug,
        chart_id=slug,
        bundle=bundle,
        order_reference=f"ServiceRequest/{slug}-order",
        patient_reference=f"Patient/{patient}",
        coverage_reference=f"Coverage/{slug}-coverage",
    )


def test_orders_of_other_parts_of_the_body_are_judged_filled_and_approved(tmp_path: Path) -> None:
    with open_house(tmp_path, more=[_chart(slug) for slug in MEMBERS]) as house:
        for slug, rule in RULES.items():
            case_id = house.post(slug)
            house.run()
            found = views.evaluation(house.services, house.case(case_id))
            assert (found["rule"], found["verdict"]) == (rule, "PASS")
            house.answer_forms(case_id)
            house.run()
            assert house.case(case_id).state == "approved", house.case(case_id).next_action


CAUDA_EQUINA = {
    "answer:exam-on": "2026-02-16",
    **{f"answer:lumbar-rf{number}": "true" if number == 6 else "false" for number in range(1, 7)},
    "answer:retention.value": "52101004",
    "answer:retention.at": "2026-02-16T06:00",
    "answer:saddle-anesthesia.value": "52101004",
    "answer:strength-ankle-plantarflexion.value": "mrc-4",
    "answer:strength-ankle-plantarflexion.side": "7771000",
}


def test_an_exception_of_the_low_back_is_documented_attested_and_sent(tmp_path: Path) -> None:
    chart = _chart("lumbar-mri", "week-three")
    with open_ward(tmp_path, (), more=[chart]) as ward:
        case = ward.held("lumbar-mri")
        assert case.state == "held"
        browser = ward.browser()
        page = browser.get(f"/cases/{case.case_id}/red-flag").text
        assert page.count("Open<span") == 6
        assert "ruptured aorta" in page
        slug = "red-flags-lumbar-cauda-equina"
        address = f"/cases/{case.case_id}/red-flag/{slug}"
        shown = [name.partition(":")[2] for name in CAUDA_EQUINA if name.startswith("answer:")]
        saved = browser.submit(address, address, {**CAUDA_EQUINA, "shown": shown, "then": "review"})
        assert saved.headers["location"].endswith("/attest"), saved.text
        posted = {"attest": "yes", "password": PASSWORD, "code": ["R33.9"]}
        assert browser.submit(f"{address}/attest", f"{address}/attest", posted).status_code == 303
        ward.house.work()
        assert ward.house.facts(case.case_id).verdict == "RED_FLAG_BYPASS"
        assert ward.house.case(case.case_id).state == "documenting"


LEG_EXAM = {
    "answer:exam-on": "2026-02-16",
    "answer:leg-symptom.value": "52101004",
    "answer:leg-symptom.side": "7771000",
    "answer:leg-symptom.type": "symptom-pain",
    "answer:leg-symptom.radiation": "lateral-foot",
    "answer:left.strength-ankle-plantarflexion": "mrc-4",
    "answer:right.strength-ankle-plantarflexion": "mrc-5",
}


def test_a_diagnosis_of_the_low_back_is_supported_asserted_and_counted(tmp_path: Path) -> None:
    chart = _chart("lumbar-mri", "week-three")
    with open_ward(tmp_path, (), more=[chart]) as ward:
        case, browser = ward.held("lumbar-mri"), ward.browser()
        address = f"/cases/{case.case_id}/neuro-exam"
        shown = [name.partition(":")[2] for name in LEG_EXAM if name.startswith("answer:")]
        browser.submit(address, address, {**LEG_EXAM, "shown": shown, "then": "record"})
        ward.house.work()
        assert "strong in S1" in browser.get(f"{address}/support").text
        posted = {"assert": "yes", "onset": "2026-01-10", "password": PASSWORD, "refines": "yes"}
        assert browser.submit(f"{address}/support", f"{address}/support", posted).status_code == 303
        ward.house.work()
        found = views.evaluation(ward.house.services, ward.house.case(case.case_id))
        support = next(item for item in found["elements"] if item["element"] == "CODE_SUPPORT")
        assert (found["indication"], support["status"]) == ("M54.16", "met")
        measures = {item.id: item for item in read_measures(ward.house.services, STAFF).measures}
        assert measures["unsupported_upgrades"].cells[0].numerator == 0
        assert measures["supported_upgrade_rate"].cells[0].is_hidden, "one case is not shown"
