"""Every define that an answer can rest on, against two engines that share nothing with ours.

What the engines disagree on is ruled on in docs/differences-cql.md, with the clause of the specification.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.flows.form_files import populate_files
from gateway.flows.logic import evaluate_files
from tests.conftest import ROOT
from tests.cql_javascript import ask_javascript, require_javascript
from tests.cql_oracle import Difference, ask_oracle, by_library, outcome, require_oracle, same
from tests.package_charts import COMPARED, FILLINGS, NOW, Filling

RULED = ROOT / "docs" / "differences-cql.md"
IDS = [f"{one.chart} {one.package.removesuffix('.json')}" for one in COMPARED]
JAVA, JAVASCRIPT = "Java", "cql-execution"


def ruled(engine: str = "") -> set[str]:
    """`library.define` of every row of the page, or of those about one engine."""
    rows = re.findall(r"^\| `([^`]+\.[^`]+)` \| ([^|]+) \|", RULED.read_text("utf-8"), re.M)
    return {name for name, of in rows if engine in of}


def used(filling: Filling, corpora: Path) -> set[tuple[str, str]]:
    """Library and define of every question of the package that asks for one, answered or not."""
    found = populate_files(corpora / "dtr" / filling.package, filling.path, "2.2.0", now=datetime.fromisoformat(NOW))
    answers = [answer for form in found["forms"] for answer in form["answers"] if answer["define"]]
    return {(answer["library"].partition("|")[0], answer["define"]) for answer in answers}


def ours(filling: Filling, corpora: Path) -> dict[str, Any]:
    parameters = {filling.parameter: filling.order_json()} if filling.parameter else {}
    package = corpora / "dtr" / filling.package
    found = evaluate_files([package], filling.path, now=datetime.fromisoformat(NOW), parameters=parameters)
    return by_library(found, "DTRTest")


def theirs(command: Path, filling: Filling, corpora: Path) -> dict[str, Any]:
    given = ["--parameter", f"{filling.parameter}={filling.order_json()}"] if filling.parameter else []
    package = str(corpora / "dtr" / filling.package)
    arguments = ("eval", package, "--data", str(filling.path), "--now", NOW, "--prefer-cql", "--lax", *given)
    return by_library(ask_oracle(command, *arguments), "DTRTest")


def differences(wanted: set[tuple[str, str]], mine: dict[str, Any], other: dict[str, Any]) -> Iterator[Difference]:
    for library, define in sorted(wanted):
        one, two = outcome(mine, library, define), outcome(other, library, define)
        if one[0] == "absent" or one[0] != two[0] or not same(one[1], two[1]):
            yield Difference(library=library, define=define, ours=one, theirs=two)


@pytest.mark.slow
@pytest.mark.parametrize("filling", COMPARED, ids=IDS)
def test_the_reference_engine_agrees_or_the_difference_is_ruled_on(filling: Filling, corpora: Path) -> None:
    command = require_oracle()
    other = theirs(command, filling, corpora)
    wanted = {(library, name) for library, found in other.items() for name in (*found["defines"], *found["errors"])}
    assert used(filling, corpora) <= wanted
    found = list(differences(wanted, ours(filling, corpora), other))
    assert [one for one in found if one.name not in ruled(JAVA)] == []


@pytest.mark.slow
@pytest.mark.parametrize("filling", COMPARED, ids=IDS)
def test_cql_execution_agrees_or_the_difference_is_ruled_on(filling: Filling, corpora: Path, tmp_path: Path) -> None:
    modules = require_javascript()
    package = parse_json((corpora / "dtr" / filling.package).read_bytes())
    parameters = {filling.parameter: parse_json(filling.order_json().encode())} if filling.parameter else {}
    other = ask_javascript(modules, tmp_path, package, parse_json(filling.path.read_bytes()), NOW, parameters)
    wanted = {(library, name) for library, found in other.items() for name in (*found["defines"], *found["errors"])}
    assert used(filling, corpora) <= wanted
    found = list(differences(wanted, ours(filling, corpora), other))
    assert [one for one in found if one.name not in ruled(JAVASCRIPT)] == []


@pytest.mark.slow
def test_the_reference_engine_agrees_on_inline_logic(corpora: Path, tmp_path: Path) -> None:
    command = require_oracle()
    filling = FILLINGS[0]
    elm = tmp_path / "Inline.json"
    named = {"id": "Inline", "version": "1"}  # the reference engine refuses a library without a name
    body = parse_json(_inline(corpora / "dtr" / filling.package).encode())
    elm.write_bytes(dump_json({"library": {**body["library"], "identifier": named}}))
    mine = evaluate_files([elm], filling.path, now=datetime.fromisoformat(NOW))
    other = ask_oracle(command, "eval", str(elm), "--data", str(filling.path), "--now", NOW)
    assert mine["defines"] == other["defines"] == {"LinkId.7": "2026-03-01"}


def _inline(package: Path) -> str:
    body = parse_json(package.read_bytes())
    form = body["parameter"][0]["resource"]["entry"][0]["resource"]
    (expression,) = (one["valueExpression"] for one in form["item"][-1]["extension"] if "valueExpression" in one)
    return str(expression["expression"])


def test_what_the_ruled_table_names_exists(corpora: Path) -> None:
    names: set[str] = set()
    for filling in FILLINGS:
        for entry in _entries(parse_json((corpora / "dtr" / filling.package).read_bytes())):
            for content in entry.get("content") or ():
                if content["contentType"] == "application/elm+json":
                    library = parse_json(base64.b64decode(content["data"]), max_depth=500)["library"]
                    names |= {f"{library['identifier']['id']}.{one['name']}" for one in library["statements"]["def"]}
    assert ruled() <= names


def _entries(body: Any) -> Iterator[Any]:
    bundle = body["parameter"][0]["resource"] if body["resourceType"] == "Parameters" else body
    return (entry["resource"] for entry in bundle["entry"])
