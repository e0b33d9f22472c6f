"""cql-execution, the public JavaScript engine, as another opinion: opt-in, its packages outside the project.

`npm install cql-execution cql-exec-fhir` anywhere, then PA_GATEWAY_CQL_EXECUTION=<that folder>/node_modules. It runs
the ELM that packages ship, each define on its own; its decimals are binary floats.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json

SCRIPT = """
const cql = require('cql-execution'), fhir = require('cql-exec-fhir'), fs = require('fs');
const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const codes = {};
for (const one of job.value_sets) codes[one.url] = {[one.version || '']: (one.expansion || {}).contains || []};
const plain = value => {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.map(plain);
  if (value._json !== undefined) return value._json;
  if (value.isDateTime || value.isDate || value.isTime) return value.toString();
  if (value.isQuantity) return {value: value.value, unit: value.unit};
  if (value.isCode) return {code: value.code, system: value.system || null, display: value.display || null};
  if (value.isConcept) return {codes: value.codes.map(plain), display: value.display || null};
  if (value.isInterval)
    return {low: plain(value.low), high: plain(value.high), lowClosed: value.lowClosed, highClosed: value.highClosed};
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
};
const outcome = async (elm, name) => {
  const library = new cql.Library(elm, new cql.Repository(job.libraries));
  const declared = ((elm.library.parameters || {}).def || []).map(one => one.name);
  const given = Object.entries(job.parameters).filter(([key]) => declared.includes(key));
  const wrapped = given.map(([key, one]) => [key, fhir.FHIRWrapper.FHIRv401().wrap(one)]);
  const executor = new cql.Executor(library, new cql.CodeService(codes), Object.fromEntries(wrapped));
  const source = fhir.PatientSource.FHIRv401();
  source.loadBundles([job.data]);
  const results = await executor.exec_expression(name, source, cql.DateTime.parse(job.now));
  return plain(Object.values(results.patientResults)[0][name]);
};
(async () => {
  const found = {};
  for (const [library, elm] of Object.entries(job.libraries)) {
    found[library] = {defines: {}, errors: {}};
    for (const one of elm.library.statements.def) {
      if (one.type === 'FunctionDef' || one.name === 'Patient') continue;
      try { found[library].defines[one.name] = await outcome(elm, one.name); }
      catch (error) { found[library].errors[one.name] = {message: String(error.message || error)}; }
    }
  }
  console.log(JSON.stringify(found));
})();
"""


def require_javascript() -> str:
    """The folder of node modules; skips unless it is named and Node is there."""
    modules = os.environ.get("PA_GATEWAY_CQL_EXECUTION", "")
    if not modules:
        pytest.skip("set PA_GATEWAY_CQL_EXECUTION to node modules with cql-execution and cql-exec-fhir")
    if shutil.which("node") is None or not (Path(modules) / "cql-execution").is_dir():
        pytest.skip("cql-execution needs Node and its packages")
    return modules


def ask_javascript(modules: str, folder: Path, package: Any, data: Any, now: str, parameters: Any) -> dict[str, Any]:
    """Results by library, as `elm evaluate` gives them for several."""
    libraries, value_sets = _content(package)
    job = {"libraries": libraries, "value_sets": value_sets, "data": data, "now": now, "parameters": parameters}
    (folder / "job.json").write_bytes(dump_json(job))
    (folder / "run.js").write_text(SCRIPT, "utf-8")
    command = ["node", str(folder / "run.js"), str(folder / "job.json")]
    environment = {**os.environ, "NODE_PATH": modules}
    done = subprocess.run(command, capture_output=True, timeout=110, check=False, env=environment)
    if done.returncode:
        pytest.fail(f"cql-execution ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    found: dict[str, Any] = parse_json(done.stdout, max_depth=500)
    return {name: one for name, one in found.items() if one["defines"] or one["errors"]}


def _content(package: Any) -> tuple[dict[str, Any], list[Any]]:
    """ELM by library name, and value sets."""
    bundle = package["parameter"][0]["resource"] if package["resourceType"] == "Parameters" else package
    libraries: dict[str, Any] = {}
    resources = [entry["resource"] for entry in bundle["entry"]]
    for resource in resources:
        for content in resource.get("content") or () if resource["resourceType"] == "Library" else ():
            if content["contentType"] == "application/elm+json":
                elm = parse_json(base64.b64decode(content["data"]), max_depth=500)
                libraries[elm["library"]["identifier"]["id"]] = elm
    return libraries, [one for one in resources if one["resourceType"] == "ValueSet"]
