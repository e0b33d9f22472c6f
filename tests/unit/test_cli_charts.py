"""`pa-gateway chart audit`: options, outputs and exit codes."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.cli import main
from gateway.demo.charts import all_charts
from gateway.demo.ehr_server import create_ehr_app
from gateway.fhir.json import dump_json
from tests.clinical_charts import base
from tests.integration.flows_house import serving

CHARTS = all_charts()[:4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `chart audit` in this process, in a folder with two charts, as the entry point does."""
    monkeypatch.chdir(tmp_path)
    for chart in CHARTS[:2]:
        (tmp_path / f"{chart.chart_id}.json").write_bytes(dump_json(chart.bundle))

    def once(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["pa-gateway", "chart", "audit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Ended(code=int(ended.value.code or 0), out=said.out, err=said.err)

    return once


def _spoil(name: str, **changes: Any) -> None:
    held = base()
    held["order"].update(changes)
    bundle = {"resourceType": "Bundle", "entry": [{"resource": item} for item in held.values()]}
    Path(name).write_bytes(dump_json(bundle))


def test_the_table_says_what_fails_and_the_summary_counts(run: Run) -> None:
    ended = run("P01.json", "P02.json", "--rule", "ill-cgs")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[1].split()[:7] == ["P01", "2026-02-16", "ill-cgs", "PASS", "42", "of", "42"]
    assert "PT_REFERRAL: No therapy referral is on file" in lines[2]
    assert "2 audited, 0 not audited, 0 with something not read" in ended.out
    assert "ill-cgs: 1 PASS, 1 GAP; unmet: 1 " in ended.out


def test_json_has_the_promised_shape(run: Run) -> None:
    found = run(".", "--all", "--json").json
    assert set(found) == {"charts", "summary"}
    for chart in found["charts"]:
        assert {"chart", "path", "order_date", "rules"} <= set(chart)
        for rule in chart["rules"]:
            assert {"rule", "version", "verdict", "unmet", "indeterminate", "elements"} <= set(rule)
            for element in rule["elements"]:
                assert {"element", "status", "value", "threshold", "reason", "evidence"} <= set(element)
                assert element["evidence"] or element["reason"] in ("not_documented", "") or rule["verdict"] != "PASS"
    assert found["summary"]["rules"]["ill-cgs"]["verdicts"]["GAP"] == 1


def test_files_are_written_for_their_owner_alone(run: Run) -> None:
    ended = run(".", "--csv", "out.csv", "--html", "out.html")
    assert ended.code == 0
    assert "2 audited" in ended.out
    assert "P01" not in ended.out, "no table where the rows go to files"
    for name in ("out.csv", "out.html"):
        assert "P02" in Path(name).read_text("utf-8")
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "give files or folders"),
        (("P01.json", "--ehr", "ehr"), 2, "give files or folders"),
        (("P01.json", "--all", "--rule", "ill-cgs"), 2, "not both"),
        (("P01.json", "--code", "72141"), 2, "go with --ehr"),
        (("--ehr", "none"), 2, "not in the settings"),
        (("nowhere",), 2, "nowhere is not there"),
        (("P01.json", "--rule", "ill-nobody"), 2, "pa-gateway rule list"),
        (("P01.json", "--html", "no/where.html"), 2, "cannot be written"),
        (("P01.json", "--overlay", "none.json"), 10, "none.json"),
        (("P01.json", "--settings", "none.toml"), 10, "none.toml"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_sentence(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    ended = run(*words)
    assert (ended.code, ended.out) == (code, "")
    assert said in " ".join(ended.err.replace("│", " ").split())


def test_exit_codes_tell_what_to_do_next(run: Run) -> None:
    assert run(".", "--all", "--json").code == 0, "a gap is a result, not a failure"
    _spoil("later.json", authoredOn="2031-01-01T10:00:00-08:00")
    ended = run(".", "--rule", "ill-cgs", "--json")
    assert ended.code == 3
    table = run(".", "--rule", "ill-cgs").out
    (row,) = [line for line in table.splitlines() if line.startswith("later") and "ill-cgs" not in line]
    assert " not read " in row, "a warning row is no verdict and says what it is"
    assert [chart["findings"][0]["code"] for chart in ended.json["charts"] if chart["chart"] == "later"] == [
        "chart.data-error"
    ]
    _spoil("undated.json", authoredOn="soon")
    ended = run(".", "--rule", "ill-cgs")
    assert ended.code == 1
    assert "NOT_AUDITED" in ended.out


def test_a_what_if_is_marked(run: Run) -> None:
    Path("overlay.json").write_text('{"ill-cgs": {"duration": {"days": {"default": 43}}}}')
    found = run("P01.json", "--rule", "ill-cgs", "--overlay", "overlay.json", "--json").json
    (rule,) = found["charts"][0]["rules"]
    assert (rule["verdict"], rule["unmet"], rule["overlaid"]) == ("GAP", ["DURATION"], True)
    assert found["summary"]["rules"]["ill-cgs"]["overlaid"] is True


def test_a_later_version_of_a_row_does_not_change_the_verdict_of_an_earlier_order(run: Run, tmp_path: Path) -> None:
    (tmp_path / "P04.json").write_bytes(dump_json(CHARTS[3].bundle))
    asked = ("P01.json", "P04.json", "--rule", "ill-cgs", "--json")
    before = run(*asked).json["charts"]
    text = (files("payer_endpoints") / "rules" / "ill-cgs.yaml").read_text("utf-8")
    later = text.replace("version: 0.1.0", "version: 0.2.0").replace("{default: 8}", "{default: 6}")
    for start, versions in (("2026-03-01", {"0.1.0"}), ("2026-02-16", {"0.2.0"})):
        rules = tmp_path / start
        rules.mkdir()
        (rules / "ill-cgs@0.2.0.yaml").write_text(later.replace("from: 2026-01-01", f"from: {start}"))
        Path("gateway.toml").write_text(f'[rules]\ndirectories = ["{rules}"]\n')
        after = run(*asked, "--settings", "gateway.toml").json["charts"]
        assert {chart["rules"][0]["version"] for chart in after} == versions
        assert (after == before) == (start == "2026-03-01")


@pytest.fixture
def ehr(tmp_path: Path) -> Iterator[Path]:
    """Settings of a gateway beside the synthetic EHR with all worked cases."""
    (tmp_path / "house").mkdir(mode=0o700)
    with serving(create_ehr_app([chart.bundle for chart in CHARTS], None)) as address:
        path = tmp_path / "gateway.toml"
        path.write_text(
            f'[store]\nurl = "sqlite:///{tmp_path}/house/gateway.db"\n[keys]\ndirectory = "{tmp_path}/house/keys"\n'
            f'[ehr.ehr]\nbase_url = "{address}/fhir"\nnetworks = ["127.0.0.0/8"]\nplain_http = true\n'
            f'[ehr.gone]\nbase_url = "http://127.0.0.1:9/fhir"\nnetworks = ["127.0.0.0/8"]\nplain_http = true\n'
        )
        yield path
    structlog.reset_defaults()  # the command logs errors only, for as long as its process lives


def test_orders_of_an_ehr_give_the_verdicts_of_their_charts(run: Run, ehr: Path, tmp_path: Path) -> None:
    for chart in CHARTS:
        (tmp_path / f"{chart.chart_id}.json").write_bytes(dump_json(chart.bundle))
    of_files = run(*(f"{chart.chart_id}.json" for chart in CHARTS), "--rule", "ill-cgs", "--json")
    of_ehr = run("--ehr", "ehr", "--code", "72141", "--rule", "ill-cgs", "--json", "--settings", str(ehr))
    assert (of_ehr.code, of_files.code) == (0, 0)
    assert _verdicts(of_ehr.json) == _verdicts(of_files.json)
    since = run("--ehr", "ehr", "--since", "2026-02-15", "--json", "--settings", str(ehr)).json["charts"]
    assert {chart["order_date"] for chart in since} == {"2026-02-15", "2026-02-16"}
    assert [chart["order_date"] for chart in since] == sorted((chart["order_date"] for chart in since), reverse=True)
    assert run("--ehr", "gone", "--settings", str(ehr)).code == 20


def _verdicts(found: Any) -> Any:
    """Verdicts by order; the order of evidence is that of the source and says nothing."""
    return {chart["order"]: [_rule(rule) for rule in chart["rules"]] for chart in found["charts"]}


def _rule(rule: Any) -> Any:
    elements = [{**item, "evidence": sorted(item["evidence"])} for item in rule["elements"]]
    return {**rule, "elements": elements, "red_flag_evidence": sorted(rule["red_flag_evidence"])}
