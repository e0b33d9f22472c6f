"""Run the benchmarks: `make bench`. Each prints what it measured; none asserts a time.

python -m tests.benchmarks [NAME…]
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import tests.benchmarks


def names() -> list[str]:
    """Every benchmark module, by its name below this package."""
    found = pkgutil.walk_packages(tests.benchmarks.__path__, prefix="tests.benchmarks.")
    return sorted(module.name for module in found if not module.name.endswith("__main__") and not module.ispkg)


def main(chosen: list[str]) -> int:
    """Run the benchmarks chosen by a part of their name, or all; each in a process of its own."""
    wanted = [name for name in names() if not chosen or any(part in name for part in chosen)]
    failed = 0
    for name in wanted:
        print(f"== {name.removeprefix('tests.benchmarks.')}", flush=True)
        failed += subprocess.run([sys.executable, "-m", name], check=False).returncode != 0
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
