"""How long the evidence of a case takes.

    python -m tests.benchmarks.provenance_case [--rounds 100]

Prints median CPU milliseconds for building the 26 events of a case (signing, canonical forms and the sealed
document included), packing and verifying them. Design: build in at most 10 ms, verify in at most 20 ms
(design.md §8).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from provenance import verify_package
from tests.provenance_case import anchors, build_case, clean_case, key_ring, pack


def median_ms(action: Callable[[], object], rounds: int) -> float:
    """Median CPU time of an action."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        action()
        taken.append(time.process_time() - started)
    return statistics.median(taken) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    case = clean_case()
    contents, package = case.contents(), case.package()
    print(f"{len(case.events)} events, package of {len(package)} bytes, {rounds} rounds")
    print(f"build   {median_ms(build_case, rounds):6.2f} ms")
    print(f"pack    {median_ms(lambda: pack(contents, key_ring(), case.now), rounds):6.2f} ms")
    print(f"verify  {median_ms(lambda: verify_package(package, anchors()), rounds):6.2f} ms")


if __name__ == "__main__":
    main()
