"""Commands that work on files: forms filled from a package and a chart, worked examples, FHIRPath."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.commands import build_cli
from gateway.errors import InputError, NotFound, SettingsError, TooLarge
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.form_checks import check_questionnaire, shipped_forms
from gateway.flows.form_files import Choice, launch_of, populate_files
from gateway.reasoning.record import RecordSnapshot
from tests.conftest import ROOT
from tests.form_samples import COVERAGE, ORDER, PATIENT, expression, form, item

NOW = datetime.fromisoformat("2026-03-15T10:00:00-07:00")
BORN = item("born", "date", expression("initialExpression", "%patient.birthDate"))
SINCE = item("since", "date", expression("initialExpression", "%order.authoredOn"), required=True)
NOTE = item("note", "string", required=True)
OPEN_ORDER = {**ORDER, "status": "active", "intent": "order", "insurance": [{"reference": "Coverage/c"}]}

Save = Callable[[str, Any], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, value: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(value if isinstance(value, bytes) else dump_json(value))
        return path

    return write


def bundle(*resources: Any) -> dict[str, Any]:
    entries = [{"resource": one} for one in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(build_cli(), list(arguments))


def test_a_form_is_filled_and_explained(save: Save) -> None:
    package = save("package.json", form(BORN, SINCE, NOTE))
    chart = save("chart.json", bundle(PATIENT, OPEN_ORDER, COVERAGE))
    arguments = ("questionnaire", "populate", str(package), "--data", str(chart), "--now", NOW.isoformat())
    done = call(*arguments, "--guide", "2.2.0", "--json")
    assert done.exit_code == 0, done.output
    found = parse_json(done.output.encode())
    (filled,) = found["forms"]
    assert found["guide"] == "2.2.0"
    assert filled["response"]["resourceType"] == "QuestionnaireResponse"
    assert filled["response"]["status"] == "in-progress"
    assert [one["linkId"] for one in filled["response"]["item"]] == ["born", "since"]
    assert filled["open_required"] == ["note"]
    born, _, note = filled["answers"]
    assert born["value"] == [{"valueDate": "1950-01-01"}]
    assert born["origin"] == "auto-client"
    assert born["sources"] == [{"reference": "Patient/p", "version": "7", "element": "Patient.birthDate"}]
    assert note["reason_if_empty"]
    table = call(*arguments)
    assert 'born: "1950-01-01" (auto-client; Patient/p Patient.birthDate)' in table.output
    assert "still open: note" in table.output


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_package_may_be_bare_or_in_parameters(save: Save, wrapped: bool) -> None:
    package: dict[str, Any] = bundle(form(BORN), {**form(NOTE), "url": "http://example.org/further"})
    if wrapped:
        package = {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": package}]}
    found = populate_files(
        save("p.json", package), save("c.json", bundle(PATIENT, OPEN_ORDER, COVERAGE)), "2.0.1", now=NOW
    )
    assert [(one["part"], one["questionnaire"].split("/")[-1]) for one in found["forms"]] == [
        ("main", "q|1.0.0"),
        ("further", "further|1.0.0"),
    ]
    assert len({one["response"]["id"] for one in found["forms"]}) == 2


def test_the_same_files_give_the_same_bytes(save: Save) -> None:
    package, chart = save("p.json", form(BORN)), save("c.json", bundle(PATIENT, OPEN_ORDER, COVERAGE))
    first, second = (populate_files(package, chart, "2.0.1", now=NOW) for _ in range(2))
    assert dump_json(first) == dump_json(second)


@pytest.mark.parametrize(
    ("package", "chart", "version", "error", "reason"),
    [
        (b"{", bundle(PATIENT), "2.0.1", InputError, "json.syntax"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, bundle(PATIENT), "2.0.1", InputError, "json.depth"),
        ([], bundle(PATIENT), "2.0.1", InputError, "file.object"),
        (bundle(PATIENT), bundle(PATIENT), "2.0.1", InputError, "dtr.answer"),
        (PATIENT, bundle(PATIENT), "2.0.1", InputError, "dtr.answer"),
        (form(BORN), PATIENT, "2.0.1", InputError, "chart.bundle"),
        (form(BORN), bundle(ORDER), "2.0.1", InputError, "chart.patient"),
        (form(BORN), bundle(PATIENT, {**PATIENT, "id": "two"}), "2.0.1", InputError, "chart.patient"),
        (form(BORN), bundle(PATIENT), "9.0", SettingsError, "dtr.version"),
    ],
)
def test_files_that_cannot_be_used(
    save: Save, package: Any, chart: Any, version: str, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error) as caught:
        populate_files(save("p.json", package), save("c.json", chart), version, now=NOW)
    assert getattr(caught.value, "reason", "") == reason


def test_a_file_over_the_size_is_not_read(tmp_path: Path, save: Save) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as handle:
        handle.truncate(50 * 1024 * 1024)
    with pytest.raises(TooLarge):
        populate_files(large, save("c.json", bundle(PATIENT)), "2.0.1", now=NOW)


@pytest.mark.parametrize(
    ("resources", "choice", "order"),
    [
        ([OPEN_ORDER], Choice(), "ServiceRequest/o"),
        ([OPEN_ORDER, {**OPEN_ORDER, "id": "two"}], Choice(), None),
        ([OPEN_ORDER, {**OPEN_ORDER, "id": "two"}], Choice(order="ServiceRequest/two"), "ServiceRequest/two"),
        ([OPEN_ORDER, {**OPEN_ORDER, "id": "two", "status": "completed"}], Choice(), "ServiceRequest/o"),
        ([OPEN_ORDER, {**ORDER, "id": "two", "status": "active"}], Choice(), "ServiceRequest/o"),
        (
            [OPEN_ORDER, {"resourceType": "MedicationRequest", "id": "m", "status": "active"}],
            Choice(),
            "ServiceRequest/o",
        ),
        ([OPEN_ORDER, {"resourceType": "DeviceRequest", "id": "d", "status": "active"}], Choice(), "DeviceRequest/d"),
        ([], Choice(), None),
    ],
)
def test_the_order_is_found_or_left_open(resources: list[Any], choice: Choice, order: str | None) -> None:
    launch, findings = launch_of(RecordSnapshot([PATIENT, COVERAGE, *resources]), choice)
    found = None if launch.order is None else f"{launch.order['resourceType']}/{launch.order['id']}"
    assert found == order
    assert bool(findings) == (order is None)
    assert launch.coverage == COVERAGE


def test_a_reference_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError):
        launch_of(RecordSnapshot([PATIENT]), Choice(order="ServiceRequest/none"))


@pytest.mark.parametrize("slug", shipped_forms())
def test_the_worked_examples_of_a_shipped_form_hold(slug: str) -> None:
    done = call("questionnaire", "check", slug, "--json")
    found = parse_json(done.output.encode())
    assert [one for one in found["cases"] if not one["passed"]] == []
    assert found["passed"] is True
    assert done.exit_code == 0
    assert f"ok    {found['cases'][0]['case']}" in call("questionnaire", "check", slug).output


def test_a_form_that_is_not_shipped_is_not_found() -> None:
    with pytest.raises(NotFound):
        check_questionnaire("../nowhere", lambda name: None)


def test_expressions_give_exact_values(save: Save) -> None:
    chart = save(
        "c.json",
        b'{"resourceType":"Observation","valueQuantity":{"value":42.50,"unit":"mg"},"effectiveDateTime":"2026-03"}',
    )
    expressions = ("value.value", "effective", "3 'mg' / 2", "1.0 / 3", "today()", "{}", "(1", "value.value > 42.5")
    done = call("fhirpath", "evaluate", *expressions, "--resource", str(chart), "--now", NOW.isoformat(), "--json")
    assert done.exit_code == 0, done.output
    assert "42.50" in done.output
    found = parse_json(done.output.encode())
    results = [dump_json(found["results"][one]).decode() for one in expressions if one != "(1"]
    assert results == [
        "[42.50]",
        '["2026-03"]',
        '[{"value":1.5,"unit":"mg"}]',
        "[0.33333333]",
        '["2026-03-15"]',
        "[]",
        "[false]",
    ]
    assert found["errors"]["(1"]["code"] == "fhirpath.syntax"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fhirpath", "evaluate", "id", "--resource", "no-such-file.json"], 1),
        (["questionnaire", "check", "no-such-form"], 1),
        (["questionnaire", "populate", "no-such-file.json", "--data", "x", "--guide", "9.9"], 2),
        (["questionnaire", "populate", "no-such-file.json", "--data", "x", "--now", "yesterday"], 2),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == code
    assert done.stderr.strip()
    assert b"Traceback" not in done.stderr
