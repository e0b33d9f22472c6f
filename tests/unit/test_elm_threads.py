"""The first evaluation of a process may happen in several threads at once: jobs and hooks wait for nobody."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from tests.clinical_charts import judge
sys.setswitchinterval(1e-6)
barrier = Barrier(6)

def run(_):
    barrier.wait()
    return judge().verdict

with ThreadPoolExecutor(6) as pool:
    print(sorted(set(pool.map(run, range(6)))))
"""


def test_threads_that_evaluate_first_at_the_same_time_agree() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "['PASS']", done.stderr[-600:]
