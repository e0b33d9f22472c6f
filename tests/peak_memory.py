"""Run a command and tell its largest memory, all its processes together: `python -S tests/peak_memory.py COMMAND...`.

The kernel's own maximum (`ru_maxrss`) will not do: it is inherited from the process that starts the command, it is
one process and not their sum, and a child that nobody waits for is not in it. So the shares of all processes
are added up while they run. Prints JSON on the last line of standard error; standard output is the command's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PAUSE = 0.01
"""Seconds between two looks."""


def _tree(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = _parent(entry)
            children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process, ())


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


def _share(process: int) -> int:
    """Kilobytes of a process, those it shares divided by the number of sharers; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main(command: list[str]) -> int:
    """Exit code of the command."""
    started, peak = time.monotonic(), 0
    with subprocess.Popen(command) as running:
        while running.poll() is None:
            peak = max(peak, sum(_share(process) for process in _tree(running.pid)))
            time.sleep(PAUSE)
    seconds = time.monotonic() - started
    print("\n" + json.dumps({"kilobytes": peak, "seconds": round(seconds, 3)}), file=sys.stderr)
    return running.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
