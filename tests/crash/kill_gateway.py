"""Kill the gateway with SIGKILL at random moments of the demonstration, restart it, and check what is left.

    python -m tests.crash.kill_gateway --kills 50
    python -m tests.crash.kill_gateway --kills 50 --postgres

Rounds of the demonstration are run until the kills are used up. After each round all cases must rest in
their states, the payers' ledger must show each claim once, and every event sequence must be gapless.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from gateway.demo.processes import House, end, open_house, wait_ready
from gateway.demo.script import Demo, chosen_charts, read_person
from gateway.settings import Settings
from tests.postgres import start_cluster

LONGEST_LIFE = 2.0
"""Most seconds between a gateway that is ready and its end."""
ROUND_SECONDS = 400
"""How long one round may take until all cases rest."""


@dataclass(slots=True)
class Killer:
    """Ends gateway processes at random moments until its kills are used up."""

    house: House
    kills: int
    random: random.Random
    tell: Callable[[str], None]
    done: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Kill, restart, wait until ready, live for a random while, and again."""
        while self.done < self.kills and not self.stopping.is_set():
            time.sleep(self.random.uniform(0.0, LONGEST_LIFE))
            if self.stopping.is_set():
                return
            self._once(self.random.randrange(len(self.house.gateways)))

    def _once(self, number: int) -> None:
        process = self.house.gateways[number]
        process.send_signal(signal.SIGKILL)
        end(process)
        self.done += 1
        self.tell(f"kill {self.done} of {self.kills}")
        start = self.house.start_gateway
        assert start is not None
        self.house.gateways[number] = start(number)
        log = self.house.folder / f"gateway-{number + 1}.log"
        wait_ready(self.house.gateway_urls[number], self.house.gateways[number], log)


def run_round(
    settings: Settings, kills: int, chance: random.Random, tell: Callable[[str], None]
) -> tuple[int, list[str]]:
    """One demonstration under fire: how many kills it saw, and what is wrong afterwards."""
    charts = chosen_charts(settings)
    with open_house(settings, charts, tell) as house:
        demo = Demo(house=house, person=read_person(), tell=lambda line: None)
        killer = Killer(house, kills, chance, tell)
        thread = threading.Thread(target=killer.run, daemon=True)
        thread.start()
        try:
            demo.post_orders(charts)
            demo.wait(ROUND_SECONDS)
        finally:
            killer.stopping.set()
            thread.join(90)
        demo.wait(60)
        return killer.done, [*demo.unexpected(demo.report()), *check_history(demo), *check_ledger(house)]


def check_history(demo: Demo) -> list[str]:
    """Cases whose event numbers have a gap or repeat."""
    wrong = []
    for case_id, chart in demo.charts.items():
        headers = {"Authorization": f"Bearer {demo.house.person_secret}"}
        answer = httpx.get(f"{demo.house.gateway_urls[0]}/cases/{case_id}/events", headers=headers, timeout=30)
        numbers = [event["seq"] for event in answer.json()["events"]]
        if numbers != list(range(len(numbers))):
            wrong.append(f"{chart.scenario}: event numbers {numbers}")
    return wrong


def check_ledger(house: House) -> list[str]:
    """What the payers saw twice or found wrong."""
    ledger = httpx.get(f"{house.harness_url}/_ledger", timeout=10).json()
    wrong = [f"ledger finding: {finding}" for finding in ledger["findings"]]
    if ledger["duplicates"]:
        wrong.append(f"{ledger['duplicates']} duplicates at the payers")
    sent = ledger["submissions"] - ledger["resends"]
    if sent != ledger["distinct_claims"]:
        wrong.append(f"{sent} submissions besides resends, {ledger['distinct_claims']} distinct claims")
    return wrong


def run(
    kills: int,
    store_url: str,
    seed: int,
    tell: Callable[[str], None],
    processes: int = 1,
    scenarios: tuple[str, ...] = (),
) -> list[str]:
    """Rounds until `kills` are used up; what went wrong, one line each. `scenarios` are some of the demonstration's."""
    chance, left, wrong, round_number = random.Random(seed), kills, [], 0
    with tempfile.TemporaryDirectory(prefix="pa-crash-") as folder:
        while left > 0 and not wrong:
            round_number += 1
            settings = Settings.model_validate(
                {
                    "store": {"url": store_url} if store_url else {},
                    "demo": {"directory": Path(folder), "gateway_processes": processes, "scenarios": scenarios},
                }
            )
            used, found = run_round(settings, left, chance, tell)
            left -= used
            wrong += [f"round {round_number}: {line}" for line in found]
            tell(f"round {round_number}: {used} kills, {'all well' if not found else 'NOT WELL'}")
            if used == 0:
                break
    return wrong


def main() -> int:
    """Command line of the script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--postgres", action="store_true", help="start a throw-away PostgreSQL and use it")
    parser.add_argument("--store-url", default="", help="use this database")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)

    def tell(line: str) -> None:
        print(line, flush=True)

    if options.postgres:
        with start_cluster() as cluster:
            wrong = run(options.kills, cluster.new_database(), options.seed, tell, options.processes)
    else:
        wrong = run(options.kills, options.store_url, options.seed, tell, options.processes)
    for line in wrong:
        tell(line)
    tell("nothing lost, nothing twice" if not wrong else "FAILED")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
