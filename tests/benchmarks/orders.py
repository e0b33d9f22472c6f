"""What one order costs: how long accepting takes, and the gateway's CPU until a case without forms is decided.

Posts the same Bundle many times with new order ids to a running gateway with the synthetic EHR and a payer
that wants nothing, so that intake, chart, coverage question, rule, write-back and signing are measured.
"""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.charts import demo_charts
from gateway.demo.processes import House, open_house
from gateway.fhir.json import dump_json
from gateway.settings import Settings

ORDERS = 40
_CLIENT = httpx.Client()
SCENARIO = "no-authorization"


def main() -> None:
    """Print accept times and CPU per order."""
    chart = next(item for item in demo_charts() if item.scenario == SCENARIO)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate({"demo": {"directory": Path(folder)}, "log_level": "error"})
        with open_house(settings, [chart], lambda line: None) as house:
            before = _cpu_seconds(house)
            accepts = [_post(house, chart.bundle, chart.order_reference) for _ in range(ORDERS)]
            _wait(house)
            used = _cpu_seconds(house) - before
            rested = [_post_at_rest(house, chart.bundle, chart.order_reference) for _ in range(ORDERS // 2)]
    _tell("accept, one after another while others are worked on", accepts)
    _tell("accept, the gateway at rest", rested)
    print(
        f"gateway CPU per order until decided: {used / ORDERS * 1000:.0f} ms ({ORDERS / used:.1f} orders a CPU second)"
    )


def _tell(what: str, seconds: list[float]) -> None:
    print(f"{what}: p50 {statistics.median(seconds) * 1000:.1f} ms, p95 {sorted(seconds)[-2] * 1000:.1f} ms")


def _post_at_rest(house: House, bundle: Any, order_reference: str) -> float:
    found = _post(house, bundle, order_reference)
    _wait(house)
    return found


def _post(house: House, bundle: Any, order_reference: str) -> float:
    """Post a new order of the same patient and say how long the answer took."""
    body = copy.deepcopy(bundle)
    kind, _, order_id = order_reference.partition("/")
    new_id = str(uuid.uuid4())
    kept = []
    for entry in body["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == kind and resource["id"] == order_id:
            resource |= {"id": new_id, "identifier": [{"system": "urn:example:bench", "value": new_id}]}
            _put(house, resource)
        if resource["resourceType"] in (kind, "Coverage", "Patient", "Organization"):
            kept.append(entry)
    headers = {"Authorization": f"Bearer {house.ehr_secret}", "Content-Type": "application/fhir+json"}
    started = time.perf_counter()
    answer = _CLIENT.post(
        f"{house.gateway_urls[0]}/orders", content=dump_json({**body, "entry": kept}), headers=headers, timeout=30
    )
    answer.raise_for_status()
    return time.perf_counter() - started


def _put(house: House, resource: Any) -> None:
    token = (house.folder / "ehr-token").read_text("utf-8")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
    url = f"{house.ehr_url}/{resource['resourceType']}/{resource['id']}"
    _CLIENT.put(url, content=dump_json(resource), headers=headers, timeout=10).raise_for_status()


def _wait(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.person_secret}"}
    for _ in range(600):
        query: dict[str, Any] = {"state": ["received", "checking"], "limit": 1}
        found = _CLIENT.get(f"{house.gateway_urls[0]}/cases", params=query, headers=headers, timeout=10).json()
        if not found["cases"]:
            return
        time.sleep(0.1)


def _cpu_seconds(house: House) -> float:
    fields = Path(f"/proc/{house.gateways[0].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
