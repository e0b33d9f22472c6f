"""Orders of two more parts of the body go the whole way, from data folders alone."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.demo.charts import DemoChart
from gateway.fhir.json import parse_json
from gateway.flows import views
from tests.conftest import ROOT
from tests.integration.flows_house import open_house

MEMBERS = {"lumbar-mri": "SYN-BACK-01", "shoulder-mri": "SYN-SHOULDER-01"}
RULES = {"lumbar-mri": "default-lumbar", "shoulder-mri": "default-shoulder"}


def _chart(slug: str) -> DemoChart:
    """The worked chart of a form as a member of the simulated payer; every id is its own."""
    text = (ROOT / "questionnaires" / slug / "charts" / "full-course.json").read_text("utf-8")
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
