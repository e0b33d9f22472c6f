"""How fast payer logic runs: the defines of elm/conservative_care.cql over a chart of 300 resources.

    python -m tests.benchmarks.elm_engine [--oracle COMMAND] [--javascript NODE_MODULES --helpers FHIRHelpers.json]

With `--oracle` the Java reference engine (`cql-oracle bench`), with `--javascript` the npm packages cql-execution and
cql-exec-fhir run over the same files in the same run. Prints one JSON object; numbers are milliseconds and MB. On a
machine that does other things at the same time, processor time (`cpu`) and the best run say more than wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.fhir.json import dump_json, parse_json
from gateway.reasoning.elm import Engine, LibrarySet, load_library
from gateway.reasoning.record import RecordSnapshot

HERE = Path(__file__).resolve().parent / "elm"
NOW = "2026-03-15T10:00:00-07:00"
MEMBERS = {
    "neck-pain": ("M54.2", "M54.12"),
    "physical-therapy": ("97110", "97140"),
    "nsaid": ("ibuprofen", "naproxen"),
    "red-flags": ("C79.5",),
}


def chart() -> dict[str, Any]:
    """A synthetic patient with 300 resources, the same every time."""
    makers: list[tuple[int, Callable[[int], dict[str, Any]]]] = [
        (40, _condition),
        (60, _procedure),
        (20, lambda n: _resource("Encounter", n, status="finished", period={"start": _day(n)})),
        (40, _order),
        (139, _observation),
    ]
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1980-06-15", "gender": "female"}
    resources = [patient, *(make(number) for count, make in makers for number in range(count))]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def _resource(kind: str, number: int, **elements: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": f"{kind.lower()}-{number}", "subject": {"reference": "Patient/p1"}, **elements}


def _coded(*codes: str, number: int) -> dict[str, Any]:
    code = codes[number % len(codes)]
    return {"coding": [{"system": "urn:codes", "code": code, "display": code}], "text": code}


def _day(number: int) -> str:
    return f"{2025 + number % 2}-{1 + number % 3:02d}-{1 + number * 7 % 28:02d}"


def _status(kind: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/condition-{kind}", "code": code}]}


def _condition(number: int) -> dict[str, Any]:
    return _resource(
        "Condition",
        number,
        clinicalStatus=_status("clinical", "active" if number % 3 else "resolved"),
        verificationStatus=_status("ver-status", "confirmed"),
        code=_coded("M54.2", "M54.12", "I10", "E11.9", "C79.5", number=number),
        onsetDateTime=_day(number),
    )


def _procedure(number: int) -> dict[str, Any]:
    day = f"2026-0{1 + number % 2}-{1 + number * 5 % 28:02d}"
    return _resource(
        "Procedure",
        number,
        status="completed" if number % 4 else "in-progress",
        code=_coded("97110", "97140", "99999", number=number),
        performedPeriod={"start": f"{day}T09:00:00-07:00", "end": f"{day}T10:00:00-07:00"},
        encounter={"reference": f"Encounter/encounter-{number % 20}"},
    )


def _order(number: int) -> dict[str, Any]:
    return _resource(
        "MedicationRequest",
        number,
        status=("active", "stopped", "cancelled")[number % 3],
        intent="order",
        medicationCodeableConcept=_coded("ibuprofen", "naproxen", "metformin", number=number // 3),
        authoredOn=f"{_day(number)}T08:00:00-07:00",
    )


def _observation(number: int) -> dict[str, Any]:
    kind = ("NDI", "PAIN", "HGB", "BMI", "SBP")[number % 5]
    value = 9 + number % 6 if kind == "HGB" else 1 + number * 13 % 60
    unit = "g/dL" if kind == "HGB" else "1"
    return _resource(
        "Observation",
        number,
        status="final" if number % 7 else "entered-in-error",
        code=_coded(kind, number=0),
        effectiveDateTime=f"{_day(number)}T10:30:00-07:00",
        valueQuantity={"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    )


def value_sets() -> list[dict[str, Any]]:
    """The value sets of the library, expanded."""
    return [
        {
            "resourceType": "ValueSet",
            "url": f"urn:vs:{name}",
            "status": "active",
            "expansion": {
                "timestamp": "2026-01-01",
                "contains": [{"system": "urn:codes", "code": code} for code in codes],
            },
        }
        for name, codes in MEMBERS.items()
    ]


def measure(body: bytes, runs: int) -> dict[str, Any]:
    """Our engine: first evaluation with everything cold, then warm ones, each with a new engine."""
    data = dump_json(chart())
    started, started_cpu = time.perf_counter(), time.process_time()
    libraries = LibrarySet([load_library(body)])
    record = RecordSnapshot.from_bundle(parse_json(data))
    names = [one.name for one in libraries.libraries[0].defines.values() if not one.is_context]
    failed = _run(libraries, record, names)
    first, first_cpu = (time.perf_counter() - started) * 1000, (time.process_time() - started_cpu) * 1000
    warm, warm_cpu, cold_record = [], [], []
    for _ in range(runs):
        begun = time.process_time()
        warm.append(_timed(lambda: _run(libraries, record, names)))
        warm_cpu.append((time.process_time() - begun) * 1000)
        fresh = RecordSnapshot.from_bundle(parse_json(data))
        cold_record.append(_timed(lambda fresh=fresh: _run(libraries, fresh, names)))  # type: ignore[misc]
    return {
        "defines": len(names),
        "resources": len(record.all()),
        "failed": failed,
        "first_ms": round(first, 2),
        "first_cpu_ms": round(first_cpu, 2),
        "warm_median_ms": round(statistics.median(warm), 3),
        "warm_best_ms": round(min(warm), 3),
        "warm_cpu_median_ms": round(statistics.median(warm_cpu), 3),
        "new_record_median_ms": round(statistics.median(cold_record), 3),
        "rss_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def _run(libraries: LibrarySet, record: RecordSnapshot, names: list[str]) -> int:
    engine = Engine(libraries, value_sets(), record, now=datetime.fromisoformat(NOW))
    return sum(engine.outcome(name).error is not None for name in names)


def _timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def measure_oracle(command: str, folder: Path, runs: int) -> dict[str, Any]:
    """`cql-oracle bench` over the same files."""
    sets = folder / "valuesets"
    sets.mkdir()
    for number, one in enumerate(value_sets()):
        (sets / f"{number}.json").write_bytes(dump_json(one))
    arguments = ["--data", str(folder / "chart.json"), "--valuesets", str(sets), "--now", NOW, "--runs", str(runs)]
    done = subprocess.run(
        [command, "bench", str(HERE / "conservative_care.json"), *arguments], capture_output=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


JAVASCRIPT = """
const cql = require('cql-execution'), fhir = require('cql-exec-fhir'), fs = require('fs');
const read = name => JSON.parse(fs.readFileSync(name, 'utf8'));
const [library, helpers, chart, sets, now, runs] = process.argv.slice(2);
const codes = {};
for (const one of read(sets)) codes[one.url] = {'': one.expansion.contains};
const main = new cql.Library(read(library), new cql.Repository({helpers: read(helpers)}));
const executor = new cql.Executor(main, new cql.CodeService(codes));
const times = [];
const once = async () => {
  const source = fhir.PatientSource.FHIRv401();
  source.loadBundles([read(chart)]);
  const start = process.hrtime.bigint();
  await executor.exec(source, cql.DateTime.parse(now));
  times.push(Number(process.hrtime.bigint() - start) / 1e6);
};
(async () => {
  for (let i = 0; i < Number(runs); i++) await once();
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({warm_median_ms: times[times.length >> 1], best_ms: times[0]}));
})();
"""


def measure_javascript(modules: str, helpers: Path, folder: Path, runs: int) -> dict[str, Any]:
    """cql-execution over the same files; FHIRHelpers is given because it needs them as ELM."""
    elm = json.loads(helpers.read_text())
    elm["library"]["identifier"]["version"] = "4.0.1"
    (folder / "helpers.json").write_text(json.dumps(elm))
    (folder / "sets.json").write_bytes(dump_json(value_sets()))
    script = folder / "run.js"
    script.write_text(JAVASCRIPT)
    files = [HERE / "conservative_care.json", folder / "helpers.json", folder / "chart.json", folder / "sets.json"]
    done = subprocess.run(
        ["node", str(script), *map(str, files), NOW, str(runs)],
        capture_output=True,
        check=True,
        env={**os.environ, "NODE_PATH": modules},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--oracle", default="")
    parser.add_argument("--javascript", default="")
    parser.add_argument("--helpers", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"engine": measure((HERE / "conservative_care.json").read_bytes(), options.runs)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "chart.json").write_bytes(dump_json(chart()))
        if options.oracle:
            found["java"] = measure_oracle(options.oracle, folder, options.runs)
            found["java_ratio"] = round(found["java"]["warm_eval_ms"] / found["engine"]["warm_median_ms"], 1)
        if options.javascript and options.helpers:
            runs = max(3, options.runs // 10)
            found["javascript"] = measure_javascript(options.javascript, options.helpers, folder, runs)
            ratio = found["javascript"]["warm_median_ms"] / found["engine"]["warm_median_ms"]
            found["javascript_ratio"] = round(ratio, 1)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
