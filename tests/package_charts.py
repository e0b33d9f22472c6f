"""Synthetic charts for the questionnaire packages of the conformance kit, and the files that go with them.

The charts under tests/vectors/dtr are ours; people, numbers and places in them are made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.fhir.json import dump_json, parse_json
from tests.conftest import ROOT

CHARTS = ROOT / "tests" / "vectors" / "dtr"
NOW = "2026-02-15T17:00:00+00:00"
"""Instant of every evaluation; in UTC, because the independent engine keeps its clock there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A package of the kit and a chart that it is filled from."""

    package: str
    """File in corpora/dtr."""
    chart: str
    """File in tests/vectors/dtr, without ending."""
    parameter: str = ""
    """Parameter of the package's logic that takes the order; empty when it takes none."""
    order: str = ""
    """The order."""

    @property
    def path(self) -> Path:
        """The chart's file."""
        return CHARTS / f"{self.chart}.json"

    def order_json(self) -> str:
        """The order as JSON text."""
        bundle = parse_json(self.path.read_bytes())
        found = (entry["resource"] for entry in bundle["entry"])
        return dump_json(next(one for one in found if f"{one['resourceType']}/{one['id']}" == self.order)).decode()


OXYGEN = "home_oxygen_package_parameters.json"
DINNER = "questionnaire_dinner_order_static.json"
ADAPTIVE_DINNER = "questionnaire_dinner_order_adaptive.json"
FILLINGS = (
    Filling(package=OXYGEN, chart="home-oxygen-chart", parameter="device_request", order="DeviceRequest/ox-order"),
    Filling(
        package=OXYGEN, chart="home-oxygen-sparse-chart", parameter="device_request", order="DeviceRequest/ox-order"
    ),
    Filling(package=DINNER, chart="dinner-chart"),
)
COMPARED = (*FILLINGS, Filling(package=ADAPTIVE_DINNER, chart="dinner-chart"))
"""Those and the package whose questions come one by one: its logic runs over the same chart."""
