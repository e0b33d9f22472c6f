"""The synthetic charts: closed, repeatable, synthetic, and telling the facts of spec/clinical.md §7.

A second set of charts was made from the same text by other hands (public corpora, `clinical/`). Reading
both with one small fact extractor shows whether the two readings agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.demo.charts import DemoChart, all_charts, demo_charts, main, save_charts
from gateway.fhir.json import dump_json, parse_object

CASES = {chart.scenario: chart for chart in all_charts()}
SCENARIOS = {chart.scenario: chart for chart in demo_charts()}
EVERY = [*CASES.values(), *SCENARIOS.values()]
PAYERS = {
    "approved": ("P01", "SYN-MCR-01", "SYN-APPROVE-01"),
    "pended-approved": ("P06", "SYN-MCR-01", "SYN-PEND-06"),
    "pended-information": ("P01", "SYN-MCR-01", "SYN-INFO-01"),
    "denied": ("P01", "SYN-MCR-01", "SYN-DENY-01"),
    "modified": ("P01", "SYN-MCR-01", "SYN-MODIFY-01"),
    "no-authorization": ("P01", "SYN-OPEN-02", "SYN-NOAUTH-01"),
    "week-three-held": ("P02", "SYN-MCR-01", "SYN-HELD-02"),
    "red-flag": ("P09", "SYN-MCR-01", "SYN-FLAG-09"),
    "payer-down": ("P01", "SYN-DOWN-03", "SYN-DOWN-01"),
    "payer-slow": ("P01", "SYN-SLOW-04", "SYN-SLOW-01"),
}


def _resources(bundle: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def _find(chart: DemoChart, reference: str) -> dict[str, Any]:
    kind, _, id = reference.partition("/")
    return next(item for item in _resources(chart.bundle, kind) if item["id"] == id)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "reference" and isinstance(item, str):
                yield item
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


# --- the fact extractor -------------------------------------------------------------------------


def _practice_day(bundle: Mapping[str, Any], text: str) -> date:
    """Local date of a FHIR time in the practice's zone."""
    if len(text) == 10:
        return date.fromisoformat(text)
    zone = next(
        extension["valueCode"] for place in _resources(bundle, "Location") for extension in place.get("extension", ())
    )
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(ZoneInfo(zone)).date()


def _codes(concept: Mapping[str, Any]) -> list[str]:
    return sorted(f"{coding['system']}|{coding['code']}" for coding in concept.get("coding", ()))


def _local(concept: Mapping[str, Any]) -> str:
    """Our local code of a concept, or empty."""
    codes = [item["code"] for item in concept.get("coding", ()) if item["system"].startswith("urn:oid:2.25.")]
    return codes[0] if codes else ""


def _order(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return next(
        item
        for item in _resources(bundle, "ServiceRequest")
        for identifier in item.get("identifier", ())
        if identifier["type"]["coding"][0]["code"] == "PLAC"
    )


def _neck(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """The problem that the order, or else its visit, names first."""
    order = _order(bundle)
    visit = next(item for item in _resources(bundle, "Encounter") if item["id"] == order["encounter"]["reference"][10:])
    references = [item["reference"] for item in order.get("reasonReference", ())]
    references += [item["condition"]["reference"] for item in visit.get("diagnosis", ())]
    return next(item for item in _resources(bundle, "Condition") if references[0].endswith(item["id"]))


def _about_neck(bundle: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    neck = f"Condition/{_neck(bundle)['id']}"
    return [
        item
        for item in _resources(bundle, kind)
        if neck in [reason["reference"] for reason in item.get("reasonReference", ())]
    ]


def _covered_days(bundle: Mapping[str, Any], request: Mapping[str, Any]) -> int:
    """Days of supply before the order day, end excluded."""
    bounds = request["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"]
    start, end = date.fromisoformat(bounds["start"]), date.fromisoformat(bounds["end"])
    return (min(end, _practice_day(bundle, _order(bundle)["authoredOn"])) - start).days


def _drugs(bundle: Mapping[str, Any]) -> list[Any]:
    return sorted(
        (
            _codes(item["medicationCodeableConcept"]),
            item["status"],
            _practice_day(bundle, item["authoredOn"]).isoformat(),
            _covered_days(bundle, item),
            item["dosageInstruction"][0]["timing"]["repeat"]["frequency"],
            int(item["dosageInstruction"][0]["doseAndRate"][0]["doseQuantity"]["value"]),
        )
        for item in _about_neck(bundle, "MedicationRequest")
    )


def _sessions(bundle: Mapping[str, Any]) -> list[str]:
    timed = [item for item in _about_neck(bundle, "Procedure") if "performedPeriod" in item]
    return sorted(_practice_day(bundle, item["performedPeriod"]["start"]).isoformat() for item in timed)


def _scores(bundle: Mapping[str, Any]) -> dict[str, int]:
    found = {}
    for item in _resources(bundle, "QuestionnaireResponse"):
        if not item["questionnaire"].startswith("urn:oid:2.25."):
            continue
        values = [int(row["answer"][0]["valueCoding"]["extension"][0]["valueDecimal"]) for row in item["item"]]
        found[_practice_day(bundle, item["authored"]).isoformat()] = sum(values)
    return found


def _advice(bundle: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Day and local code of each piece of activity advice about the neck, whatever form it has."""
    neck = f"Condition/{_neck(bundle)['id']}"
    found = []
    for plan in _resources(bundle, "CarePlan"):
        for activity in plan.get("activity", ()):
            if neck in list(_references(activity["detail"].get("reasonReference"))):
                detail = activity["detail"]
                found.append((detail["scheduledPeriod"]["start"], _local(detail["code"])))
    found += [
        (_practice_day(bundle, item["performedDateTime"]).isoformat(), _local(item["code"]))
        for item in _about_neck(bundle, "Procedure")
        if "performedDateTime" in item
    ]
    found += [
        (_practice_day(bundle, item["sent"]).isoformat(), _local(item["topic"]))
        for item in _about_neck(bundle, "Communication")
    ]
    return sorted(found)


def _findings(bundle: Mapping[str, Any]) -> dict[Any, list[str]]:
    """Course of every locally coded observation by sign and side; a value that stays is told once."""
    found: list[tuple[str, str, str, str]] = []
    for item in _resources(bundle, "Observation"):
        if not _local(item["code"]):
            continue
        sides = [part for part in item.get("component", ()) if _local(part["code"]) == "side"]
        value = item.get("valueBoolean", _codes(item.get("valueCodeableConcept", {})))
        side = [_codes(part["valueCodeableConcept"]) for part in sides]
        day = _practice_day(bundle, item["effectiveDateTime"]).isoformat()
        found.append((day, _local(item["code"]), str(side), str(value)))
    course: dict[Any, list[str]] = {}
    for _, sign, side_text, value_text in sorted(found):
        values = course.setdefault((sign, side_text), [])
        if values[-1:] != [value_text]:
            values.append(value_text)
    return course


def _onset(bundle: Mapping[str, Any], problem: Mapping[str, Any]) -> str:
    """Local day on which the problem began, or the words that stand in its place."""
    text = problem.get("onsetDateTime") or problem.get("onsetPeriod", {}).get("start")
    return _practice_day(bundle, text).isoformat() if text else str(problem["onsetString"])


def read_facts(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """What a verdict depends on, in comparable form."""
    order, neck = _order(bundle), _neck(bundle)
    return {
        "order": (_practice_day(bundle, order["authoredOn"]).isoformat(), _codes(order["code"]), order["priority"]),
        "order state": (order["status"], order["intent"]),
        "order reason": [_codes(concept) for concept in order.get("reasonCode", ())],
        "problem": _codes(neck["code"]),
        "onset": _onset(bundle, neck),
        "recorded": neck["recordedDate"][:10],
        "drugs": _drugs(bundle),
        "statements": [
            (_codes(item["medicationCodeableConcept"]), item["status"], item["effectivePeriod"]["start"])
            for item in _about_neck(bundle, "MedicationStatement")
        ],
        "referrals": [
            (_practice_day(bundle, item["authoredOn"]).isoformat(), _codes(item["code"]))
            for item in _about_neck(bundle, "ServiceRequest")
            if item["id"] != order["id"]
        ],
        "sessions": _sessions(bundle),
        "scores": _scores(bundle),
        "advice": _advice(bundle),
        "findings": _findings(bundle),
        "attestations": [_codes(item["code"]) for item in _resources(bundle, "ClinicalImpression")],
    }


# --- the charts by themselves -------------------------------------------------------------------


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_every_reference_leads_to_a_resource_of_the_chart(chart: DemoChart) -> None:
    held = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in chart.bundle["entry"]}
    assert set(_references(chart.bundle)) <= held
    assert len(held) == len(chart.bundle["entry"])


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_everything_is_tagged_as_test_data(chart: DemoChart) -> None:
    tags = [entry["resource"]["meta"]["tag"][0]["code"] for entry in chart.bundle["entry"]]
    assert set(tags) == {"HTEST"}
    assert chart.bundle["meta"]["tag"][0]["code"] == "HTEST"


def test_the_same_recipe_gives_the_same_bytes() -> None:
    again = {chart.scenario: dump_json(chart.bundle) for chart in (*all_charts(), *demo_charts())}
    assert again == {chart.scenario: dump_json(chart.bundle) for chart in EVERY}


def test_charts_are_of_different_patients() -> None:
    patients = [_find(chart, chart.patient_reference) for chart in EVERY]
    assert len({patient["identifier"][0]["value"] for patient in patients}) == len(EVERY)
    assert len({patient["name"][0]["family"] for patient in patients}) == len(EVERY)
    assert all(patient["name"][0]["given"][-1] == "Synthetic" for patient in patients)


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_national_provider_identifiers_pass_their_check_digit(chart: DemoChart) -> None:
    holders = _resources(chart.bundle, "Practitioner") + _resources(chart.bundle, "Organization")
    numbers = [item["value"] for holder in holders for item in holder["identifier"] if "us-npi" in item["system"]]
    assert len(numbers) == 3
    for number in numbers:
        digits = [int(digit) for digit in f"80840{number}"][::-1]
        doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits)]
        assert sum(doubled) % 10 == 0


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_chart_holds_what_an_authorization_request_needs(chart: DemoChart) -> None:
    patient = _find(chart, chart.patient_reference)
    assert patient["identifier"][0]["type"]["coding"][0]["code"] == "MR"
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", patient["birthDate"])
    assert patient["address"][0]["line"]
    order = _find(chart, chart.order_reference)
    assert order["insurance"] == [{"reference": chart.coverage_reference}]
    assert order["subject"] == {"reference": chart.patient_reference}
    requester = order["requester"]["reference"]
    role = next(
        item for item in _resources(chart.bundle, "PractitionerRole") if item["practitioner"]["reference"] == requester
    )
    assert role["telecom"]
    assert role["specialty"]
    clinic = _find(chart, role["organization"]["reference"])
    assert clinic["active"] is True
    assert clinic["telecom"]
    assert clinic["address"]
    place = _find(chart, role["location"][0]["reference"])
    assert place["extension"][0]["valueCode"] == "America/Los_Angeles"


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_exactly_one_coverage_is_active_and_names_its_payer(chart: DemoChart) -> None:
    coverages = _resources(chart.bundle, "Coverage")
    assert sorted(item["status"] for item in coverages) == ["active", "cancelled"]
    coverage = _find(chart, chart.coverage_reference)
    member = coverage["identifier"][0]
    assert member["type"]["coding"][0]["code"] == "MB"
    assert member["value"] == coverage["subscriberId"]
    assert coverage["class"][0]["type"]["coding"][0]["code"] == "plan"
    payer = _find(chart, coverage["payor"][0]["reference"])
    assert payer["identifier"][0]["system"] == "https://payer.example.org/payer-id"


@pytest.mark.parametrize("scenario", PAYERS)
def test_scenario_has_its_case_payer_and_member(scenario: str) -> None:
    chart = SCENARIOS[scenario]
    coverage = _find(chart, chart.coverage_reference)
    payer = _find(chart, coverage["payor"][0]["reference"])
    assert (chart.chart_id, payer["identifier"][0]["value"], coverage["subscriberId"]) == PAYERS[scenario]


def test_there_is_one_chart_for_each_scenario_and_case() -> None:
    assert list(SCENARIOS) == list(PAYERS)
    assert list(CASES) == [f"P{number:02d}" for number in range(1, 13)]


@pytest.mark.parametrize("scenario", PAYERS)
def test_scenario_tells_the_facts_of_its_case(scenario: str) -> None:
    chart = SCENARIOS[scenario]
    assert read_facts(chart.bundle) == read_facts(CASES[chart.chart_id].bundle)


def test_a_neck_note_can_answer_a_request_for_progress_notes() -> None:
    bundle = SCENARIOS["pended-information"].bundle
    visit = _order(bundle)["encounter"]
    notes = [item for item in _resources(bundle, "DocumentReference") if item["context"]["encounter"] == [visit]]
    assert len(notes) == 1
    assert notes[0]["type"]["coding"][0]["code"] == "11506-3"
    assert notes[0]["content"][0]["attachment"]["contentType"] == "text/plain"


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_nothing_is_dated_after_the_order(chart: DemoChart) -> None:
    ordered_on = _practice_day(chart.bundle, _order(chart.bundle)["authoredOn"])
    names = ("authored", "authoredOn", "effectiveDateTime", "performedDateTime", "sent", "recorded", "date")
    for entry in chart.bundle["entry"]:
        resource = entry["resource"]
        found = [resource[name] for name in names if name in resource]
        found += [
            resource[name]["start"] for name in ("performedPeriod", "period") if "start" in resource.get(name, {})
        ]
        assert all(_practice_day(chart.bundle, text) <= ordered_on for text in found), resource["resourceType"]


def test_charts_keep_distractors_under_the_very_codes_of_the_neck() -> None:
    bundle = CASES["P01"].bundle
    codes = [_codes(item["code"]) for item in _resources(bundle, "Procedure") if "performedPeriod" in item]
    assert len(set(map(str, codes))) == 1
    assert len(codes) > len(_sessions(bundle))


@pytest.mark.parametrize("chart", EVERY, ids=lambda chart: chart.scenario)
def test_chart_is_structurally_fhir(chart: DemoChart) -> None:
    from fhir.resources.R4B import get_fhir_model_class

    for entry in chart.bundle["entry"]:
        resource = entry["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate_json(dump_json(resource))


# --- two readings of the same text --------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_our_reading_agrees_with_the_public_charts(case: str, corpora: Path) -> None:
    other = parse_object((corpora / "clinical" / f"{case}.json").read_bytes())
    assert read_facts(CASES[case].bundle) == read_facts(other)


@pytest.mark.parametrize("case", CASES)
def test_order_date_is_the_expected_one(case: str, corpora: Path) -> None:
    expected = parse_object((corpora / "clinical" / "expected.json").read_bytes())[case]
    assert read_facts(CASES[case].bundle)["order"][0] == expected["order_date_local"]


def test_covered_days_stand_at_the_boundaries_the_cases_are_about() -> None:
    days = {case: [row[3] for row in _drugs(chart.bundle)] for case, chart in CASES.items()}
    assert days["P01"] == [42]
    assert days["P07"] == [27]
    assert days["P08"] == [28]
    assert days["P11"] == [35]
    assert days["P02"] == days["P09"] == days["P10"] == days["P12"] == []
    start = date.fromisoformat(read_facts(CASES["P03"].bundle)["onset"])
    assert start + timedelta(days=41) == date.fromisoformat(read_facts(CASES["P03"].bundle)["order"][0])


# --- the command ----------------------------------------------------------------------------------


def test_command_writes_one_file_for_each_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out")]) == 0
    names = sorted(path.stem for path in (tmp_path / "out").glob("*.json"))
    assert names == sorted([*CASES, *SCENARIOS])
    assert parse_object((tmp_path / "out" / "P05.json").read_bytes()) == CASES["P05"].bundle
    assert len(capsys.readouterr().out.splitlines()) == len(names)


def test_command_without_a_folder_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_decimals_are_written_with_their_digits(tmp_path: Path) -> None:
    save_charts(tmp_path)
    assert b'"value":70.40,' in (tmp_path / "P01.json").read_bytes()
