"""Audits of files, folders and bulk exports: nothing is lost, whatever a file holds and however many workers work."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.clinical.rules import load_concepts, load_rules
from gateway.demo.many_charts import many_charts, save_bundles, save_export
from gateway.errors import GatewayError, InputError
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import audit_run
from gateway.flows.audit_bulk import read_export
from gateway.flows.audit_html import HtmlSink
from gateway.flows.audit_output import CsvSink, JsonSink, write_audit
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow
from gateway.flows.audit_run import Audit, open_audit
from gateway.flows.audit_sources import MAX_BYTES, FileSource, find_sources
from gateway.flows.audit_summary import Summary
from tests.clinical_charts import NOW, ZONE, Json, base, order

PLAN = AuditPlan(rules=load_rules(), concepts=load_concepts(), zone=ZONE, now=NOW, rule_ids=("ill-cgs",))
COUNT = 14


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes and several batches for a handful of charts."""
    monkeypatch.setattr(audit_run, "FEW", 2)
    monkeypatch.setattr(audit_run, "BATCH", 3)


def bundle(*resources: Any, **more: Any) -> Json:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": item} for item in resources], **more}


def complete() -> Json:
    """The complete chart as a Bundle."""
    return bundle(*base().values())


def audit(*paths: Path, plan: AuditPlan = PLAN, workers: int = 1) -> tuple[list[ChartRow], Summary]:
    made = open_audit(paths, plan, workers=workers)
    rows: list[ChartRow] = []

    class Kept:
        def add(self, row: ChartRow) -> None:
            rows.append(row)

        def close(self, summary: Summary) -> None:
            pass

    return rows, write_audit(made, [Kept()])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated charts."""
    found = tmp_path_factory.mktemp("many") / "charts"
    save_bundles(found, COUNT)
    return found


def test_generated_charts_are_the_same_each_time_and_all_different() -> None:
    first, second = dict(many_charts(5)), dict(many_charts(5))
    assert first == second
    assert dict(many_charts(5, seed=2)) != first
    assert len({dump_json(chart["entry"]) for chart in first.values()}) == 5


def test_an_export_gives_the_verdicts_of_its_charts(folder: Path, tmp_path: Path) -> None:
    count = 12
    save_export(tmp_path / "export", count)
    of_export = {row.order: row.rules for row in audit(tmp_path / "export")[0]}
    of_files = {row.order: row.rules for path in sorted(folder.iterdir())[:count] for row in audit(path)[0]}
    assert of_export == of_files
    assert len(of_export) == count


class Bomb(str):
    """A path that ends the process which takes it out of its envelope."""

    def __reduce__(self) -> Any:
        return os._exit, (1,)


@pytest.mark.usefixtures("small_batches")
def test_workers_find_what_one_by_one_evaluation_finds_whatever_one_chart_does_to_them(folder: Path) -> None:
    alone, summary = audit(folder)
    assert summary.charts == COUNT
    assert len({row.rules[0].found.verdict for row in alone}) >= 3
    sources: list[Any] = list(find_sources([folder]).charts)
    sources.insert(3, FileSource(name="bomb", path=Bomb("bomb.json")))
    rows = list(Audit(plan=PLAN, sources=sources, workers=2).rows())
    bomb = rows.pop(3)
    assert (bomb.chart, bomb.problems[0].code) == ("bomb", "chart.crashed")
    assert rows == alone


@pytest.mark.usefixtures("small_batches")
def test_a_machine_that_starts_no_workers_is_not_blamed_on_the_charts(folder: Path) -> None:
    plan = replace(PLAN, zone=Bomb("zone"))
    made = Audit(plan=plan, sources=list(find_sources([folder]).charts), workers=2)
    with pytest.raises(GatewayError) as raised:
        list(made.rows())
    assert raised.value.reason == "audit.workers"


BAD: dict[str, tuple[bytes, str]] = {
    "empty.json": (b"", "json.syntax"),
    "truncated.json": (b'{"resourceType": "Bundle", "entry": [', "json.syntax"),
    "list.json": (b"[]", "json.object"),
    "twice.json": (b'{"resourceType": "Bundle", "resourceType": "Bundle"}', "json.duplicate-key"),
    "latin.json": ('{"resourceType": "Bündle"}'.encode("latin-1"), "json.encoding"),
    "deep.json": (b'{"resourceType": "Bundle", "entry": ' + b"[" * 500 + b"]" * 500 + b"}", "json.depth"),
    "patient.json": (b'{"resourceType": "Patient", "id": "p"}', "chart.bundle"),
    "no-type.json": (b'{"entry": []}', "chart.bundle"),
    "entries.json": (b'{"resourceType": "Bundle", "entry": {"resource": {}}}', "chart.bundle"),
    "nothing.json": (b'{"resourceType": "Bundle", "entry": []}', "chart.no-order"),
    "scalars.json": (b'{"resourceType": "Bundle", "entry": [1, "x", null, [], {"resource": 5}]}', "chart.no-order"),
    "huge.json": (b"{" + b" " * MAX_BYTES, "chart.size"),
    "entity.xml": (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Bundle/>', "xml.doctype"),
    "broken.xml": (b"<Bundle xmlns='http://hl7.org/fhir'>", "xml.syntax"),
    "other.xml": (b"<html/>", "xml.namespace"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_file_that_is_no_chart_is_a_row_that_says_why(tmp_path: Path, name: str) -> None:
    body, code = BAD[name]
    (tmp_path / name).write_bytes(body)
    (tmp_path / "complete.json").write_bytes(dump_json(complete()))
    rows, summary = audit(tmp_path)
    assert {row.chart: [problem.code for problem in row.problems if problem.severity == "error"] for row in rows} == {
        "complete": [],
        Path(name).stem: [code],
    }
    assert (summary.audited, summary.refused, summary.exit_code) == (1, 1, 1)


XML = """<?xml version="1.0" encoding="UTF-8"?>
<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/>
<entry><resource><Patient><id value="p"/><birthDate value="1950-01-01"/></Patient></resource></entry>
<entry><resource><ServiceRequest><id value="o"/><status value="completed"/><intent value="order"/>
<code><coding><system value="http://www.ama-assn.org/go/cpt"/><code value="72141"/></coding></code>
<subject><reference value="Patient/p"/></subject><authoredOn value="2026-02-16T23:30:00-08:00"/>
</ServiceRequest></resource></entry></Bundle>"""


def test_a_chart_in_xml_is_read_as_one_in_json(tmp_path: Path) -> None:
    (tmp_path / "chart.xml").write_text(XML)
    ((row,), summary) = audit(tmp_path)
    assert (row.chart, row.order, str(row.order_on)) == ("chart", "ServiceRequest/o", "2026-02-16")
    assert [(rule.found.verdict, rule.found.indeterminate) for rule in row.rules] == [
        ("INDETERMINATE", ("INDICATION",))
    ]
    assert summary.exit_code == 0


def test_json_of_a_folder_that_is_no_fhir_is_listed_and_refused_when_named(tmp_path: Path) -> None:
    (tmp_path / "expected.json").write_bytes(b'{"P01": {}}')
    (tmp_path / "chart.json").write_bytes(dump_json(complete()))
    (tmp_path / "README.md").write_text("words")
    rows, summary = audit(tmp_path)
    assert [row.chart for row in rows] == ["chart"]
    assert [Path(path).name for path in summary.skipped] == ["expected.json"]
    assert summary.exit_code == 0
    rows, summary = audit(tmp_path / "expected.json")
    assert [problem.code for problem in rows[0].problems] == ["chart.bundle"]
    assert summary.exit_code == 1


def test_folders_are_read_to_their_ground_and_each_file_once(tmp_path: Path) -> None:
    for name in ("a/one.json", "a/b/two.json", "a/b/c/three.XML", ".hidden/four.json", "a/.five.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    found = find_sources([tmp_path, tmp_path / "a" / "one.json"])
    assert [source.name for source in found.charts] == ["one", "two", "three"]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        open_audit([tmp_path / "none"], PLAN)
    with pytest.raises(InputError):
        open_audit([tmp_path], PLAN)


def export(folder: Path, *lines: Any, name: str = "All.ndjson") -> Path:
    folder.mkdir(exist_ok=True)
    body = b"".join(line if isinstance(line, bytes) else dump_json(line) + b"\n" for line in lines)
    (folder / name).write_bytes(body)
    return folder


def own(patient: str = "p") -> Iterator[Json]:
    """The complete chart as lines of an export, each naming its patient."""
    for resource in base().values():
        is_patient = resource["resourceType"] == "Patient"
        yield (
            {**resource, "id": patient} if is_patient else {**resource, "subject": {"reference": f"Patient/{patient}"}}
        )


def test_patients_of_an_export_are_kept_apart_and_others_counted(tmp_path: Path) -> None:
    idle = [{"resourceType": "Patient", "id": f"idle{number}"} for number in range(3)]
    mixed = [line for pair in zip(own("a"), own("b"), strict=True) for line in pair]
    rows, summary = audit(export(tmp_path / "export", *mixed, *idle, {"resourceType": "Group", "id": "g"}))
    assert [(row.chart, row.rules[0].found.verdict) for row in rows] == [("a", "PASS"), ("b", "PASS")]
    assert (summary.others, summary.exit_code) == (3, 0)


def test_the_zone_of_a_practice_is_that_of_the_chart_not_of_the_export(tmp_path: Path) -> None:
    zone = {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Pacific/Auckland"}
    far = {"resourceType": "Location", "id": "far", "extension": [zone]}
    lines = [{**line} for line in own()]
    rows, _ = audit(export(tmp_path / "one", far, *lines))
    assert str(rows[0].order_on) == "2026-02-16"
    for line in lines:
        if line["id"] == "order":
            line["locationReference"] = [{"reference": "Location/far"}]
    rows, _ = audit(export(tmp_path / "two", far, *lines))
    assert str(rows[0].order_on) == "2026-02-17"


def test_lines_that_cannot_be_read_are_rows_of_their_own(tmp_path: Path) -> None:
    nobody = {"resourceType": "Condition", "id": "c"}
    folder = export(tmp_path / "export", *own(), b"{broken\n", b"\n", b'"x"\n', nobody, b'{"a": 1}\n')
    rows, summary = audit(folder)
    first = len(list(own())) + 1
    again = "Correct the export and audit it again."
    assert {problem.code: problem.message for row in rows for problem in row.problems} == {
        "bulk.line": "Lines of the export that cannot be read as FHIR resources: 3, "
        f"the first is line {first}. {again}",
        "bulk.no-patient": "Lines of the export that name no patient and belong to no chart: 1, "
        f"the first is line {first + 3}. {again}",
    }
    assert (summary.audited, summary.refused, summary.exit_code) == (1, 2, 1)


def test_a_line_that_is_too_long_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.flows.audit_bulk.MAX_BYTES", 2_000)
    long = dump_json({"resourceType": "Patient", "id": "long", "text": "x" * 9_000}) + b"\n"
    found = read_export("x", [str(export(tmp_path / "e", long, *own(), long.strip()) / "All.ndjson")], PLAN)
    assert [row.problems[0].code for row in found.rows] == ["bulk.size"]
    assert ": 2, the first is line 1." in found.rows[0].problems[0].message
    assert len(list(found.sources())) == 1


def test_a_line_with_a_fault_only_the_strict_reader_sees_spoils_its_own_chart(tmp_path: Path) -> None:
    fault = b'{"resourceType": "Condition", "id": "x", "id": "x", "subject": {"reference": "Patient/a"}}\n'
    rows, _ = audit(export(tmp_path / "export", *own("a"), *own("b"), fault))
    assert {row.chart: row.is_audited for row in rows} == {"a": False, "b": True}
    assert rows[0].problems[0].code == "json.duplicate-key"


def test_each_line_may_be_a_chart(tmp_path: Path) -> None:
    folder = export(tmp_path / "lines", {**complete(), "id": "first"}, complete(), bundle())
    rows, _ = audit(folder)
    assert [(row.chart, row.is_audited) for row in rows] == [("first", True), ("All:2", True), ("All:3", False)]


def test_a_formula_in_a_name_is_not_run_by_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "=cmd()|x.json").write_bytes(dump_json(complete()))
    out = io.BytesIO()
    write_audit(open_audit([tmp_path], PLAN), [CsvSink(out)])
    (line,) = csv.DictReader(io.StringIO(out.getvalue().decode()))
    assert line["chart"] == "'=cmd()|x"
    assert (line["verdict"], line["days"], line["days required"]) == ("PASS", "42", "42")


HOSTILE = "<img src=x onerror=alert(1)>&\"'"


def test_the_report_is_one_file_without_scripts_and_escaped(tmp_path: Path) -> None:
    spoiled = complete()
    spoiled["entry"].append({"resource": order(id=HOSTILE)})
    (tmp_path / "a.json").write_bytes(dump_json(spoiled))
    (tmp_path / f"{HOSTILE.replace('/', '')}.json").write_bytes(b"{")
    out = io.BytesIO()
    write_audit(open_audit([tmp_path], PLAN), [HtmlSink(out, PLAN, tenant=HOSTILE)])
    page = out.getvalue().decode()
    assert "<img" not in page
    assert not re.search(r"<script|<link|<iframe|\burl\(|@import|\bsrc=[\"']|href=[\"']", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "not a payer’s policy" in page
    assert page.index("Not audited</h2>") < page.index("Orders</h2>")
    assert page.count("</table>") == page.count("<table") == 4


def _resources(path: Path) -> list[Json]:
    return [entry["resource"] for entry in parse_json(path.read_bytes())["entry"]]


def test_outputs_of_one_audit_agree(folder: Path) -> None:
    plan = replace(PLAN, rule_ids=(), is_all=True)
    json_out, csv_out, html_out = io.BytesIO(), io.BytesIO(), io.BytesIO()
    paths = sorted(folder.iterdir())[:4]
    sinks = [JsonSink(json_out), CsvSink(csv_out), HtmlSink(html_out, plan)]
    summary = write_audit(open_audit(paths, plan), sinks)
    found = parse_json(json_out.getvalue())
    lines = list(csv.DictReader(io.StringIO(csv_out.getvalue().decode())))
    verdicts = [(chart["chart"], rule["rule"], rule["verdict"]) for chart in found["charts"] for rule in chart["rules"]]
    assert verdicts == [(line["chart"], line["rule"], line["verdict"]) for line in lines]
    assert found["summary"] == parse_json(dump_json(summary.as_json()))
    assert sum(found["summary"]["rules"]["ill-cgs"]["verdicts"].values()) == len(paths)
    assert html_out.getvalue().count(b'class="verdict-') == len(verdicts)
    people = [item for path in paths for item in _resources(path) if item["resourceType"] == "Patient"]
    names = {person["name"][0]["family"] for person in people}
    for out in (json_out, csv_out, html_out):
        assert not [name for name in names if name.encode() in out.getvalue()]
