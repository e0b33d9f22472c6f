"""The demonstration on PostgreSQL with two gateway processes: a settings change and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.script import run_once
from gateway.settings import Settings
from tests.postgres import shared_cluster


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_share_the_work_on_postgresql(tmp_path: Path) -> None:
    url = shared_cluster().new_database()
    settings = Settings.model_validate({"store": {"url": url}, "demo": {"directory": tmp_path, "gateway_processes": 2}})
    report, wrong = run_once(settings, lambda line: None)
    assert wrong == []
    assert len(report["cases"]) == 10
    assert report["payer_ledger"]["duplicates"] == 0
