"""A few kills on each database in the normal run; PA_GATEWAY_CRASH_KILLS asks for more."""

from __future__ import annotations

import os

import pytest

from tests.crash.kill_gateway import run
from tests.postgres import shared_cluster

KILLS = int(os.environ.get("PA_GATEWAY_CRASH_KILLS", "3"))
SCENARIOS = ("approved", "pended-approved", "pended-information", "week-three-held", "payer-slow")
"""What the normal run carries through; the script takes all ten."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 60 * KILLS)]


@pytest.mark.threat("T13")
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kills_lose_nothing_and_double_nothing(database: str) -> None:
    url = shared_cluster().new_database() if database == "postgresql" else ""
    assert run(KILLS, url, seed=20261125, tell=lambda line: None, scenarios=SCENARIOS) == []
