"""Packages that are broken or hostile, by the way a case takes: reader, process for payer logic, population.

What the engine does with each kind of logic is tested beside the engine; here counts what a person is left with:
the answers that were there stay, the question says why it is empty, it ends in two seconds, and nothing that is
reported holds patient data.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import TooLarge
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.form_files import populate_files
from tests.conftest import ROOT
from tests.elm_samples import alias, as_resource, elements, function, library, lit, op, query, ref, retrieve
from tests.form_samples import COVERAGE, ORDER, PATIENT, expression, form, item

pytestmark = [pytest.mark.threat("T6")]
NOW = datetime.fromisoformat("2026-03-15T10:00:00-07:00")
CHART = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [{"resource": one} for one in (PATIENT, {**ORDER, "status": "active"}, COVERAGE)],
}
SECONDS = 2.0
"""Longest time that a bad package may take."""
KILOBYTES = 200 * 1024
"""Memory that a bad package may take."""

FIRST = item("first", "integer", expression("initialExpression", '"Good".one', "text/cql"))
PATH = item("path", "date", expression("initialExpression", "%patient.birthDate"))
BAD = item("bad", "integer", expression("initialExpression", '"Bad".t', "text/cql"))
GOOD = as_resource(library("Good", defines={"one": lit(1)}))
MANY = op("Flatten", elements(*(elements(*range(start, start + 50)) for start in range(0, 300, 50))))


def logic(expression: Any, **more: Any) -> list[dict[str, Any]]:
    return [as_resource(library("Bad", defines={"t": expression}, **more))]


def cross_join() -> dict[str, Any]:
    sources = [{"alias": name, "expression": MANY} for name in "ABCD"]
    return {"type": "Query", "source": sources, "where": op("Less", alias("A"), lit(0))}


def century() -> dict[str, Any]:
    def year(number: int) -> dict[str, Any]:
        parts = ("year", "month", "day", "hour", "minute", "second", "millisecond")
        return {"type": "DateTime", **{name: lit(number if name == "year" else 1) for name in parts}}

    span = {"type": "Interval", "low": year(1900), "high": year(2000), "lowClosed": True, "highClosed": True}
    return op("Expand", span, {"type": "Quantity", "value": 1, "unit": "millisecond"})


def including(name: str, other: str) -> dict[str, Any]:
    links = [{"localIdentifier": "O", "path": other, "version": "1"}]
    return as_resource(library(name, includes=links, defines={"t": ref("t", "O")}))


def another_fhir() -> dict[str, Any]:
    elm = library("Bad", defines={"t": lit(1)})
    elm["library"]["usings"] = {"def": [{"uri": "http://hl7.org/fhir", "version": "3.0.0"}]}
    return as_resource(elm)


def deep() -> bytes:
    return b'{"library":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001


def memory() -> dict[str, Any]:
    long = op("Concatenate", lit("x" * 100_000), op("ToString", alias("X")))
    rows = op("Flatten", elements(*(elements(*range(n, n + 50)) for n in range(0, 3000, 50))))
    return query(rows, **{"return": {"distinct": False, "expression": long}})


RECURSION = function(
    "f", {"x": "{urn:hl7-org:elm-types:r1}Integer"}, {"type": "FunctionRef", "name": "f", "operand": [lit(1)]}
)
CALL = {"type": "FunctionRef", "name": "f", "operand": [lit(1)]}
NONE = {"name": "v", "id": "http://example.org/vs/none"}
UNEXPANDED = {
    "resourceType": "ValueSet",
    "url": NONE["id"],
    "compose": {"include": [{"system": "http://example.org/codes"}]},
}
VALUE_SET = {"type": "InValueSet", "code": lit("x"), "valueset": {"name": "v"}}
LOGIC: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "missing library": ("elm.library", []),
    "library without compiled logic": ("elm.library", [{"resourceType": "Library", "name": "Bad", "content": []}]),
    "not ELM": ("elm.library", [as_resource(b"library Bad version '1'", "Bad")]),
    "truncated": ("elm.library", [as_resource(dump_json(library("Bad", defines={"t": lit(1)}))[:-40], "Bad")]),
    "unknown operator": ("elm.operator", logic({"type": "Teleport", "operand": lit(1)})),
    "include not found": ("elm.include", [including("Bad", "Nowhere")]),
    "include in a circle": ("elm.include", [including("Bad", "Worse"), including("Worse", "Bad")]),
    "include of another version": (
        "elm.include",
        [including("Bad", "Older"), as_resource(library("Older", "9", defines={"t": lit(1)}))],
    ),
    "another version of FHIR": ("elm.type", [another_fhir()]),
    "value set without codes": ("elm.valueset", logic(VALUE_SET, valueSets=[NONE])),
    "value set that is not expanded": ("elm.valueset", [*logic(VALUE_SET, valueSets=[NONE]), UNEXPANDED]),
    "two libraries of one name": (
        "elm.library",
        [*logic(lit(1)), as_resource(library("Bad", "2", defines={"t": lit(2)}))],
    ),
    "a large library": ("elm.limit", [as_resource(b" " * (9 * 1024 * 1024) + b"{}", "Bad")]),
    "nested 10,000 deep": ("elm.depth", [as_resource(deep(), "Bad")]),
    "self-recursion": ("elm.depth", logic(CALL, functions=[RECURSION])),
    "a define that is itself": ("elm.reference", logic(ref("t"))),
    "cross join of 300 to the fourth": ("elm.limit", logic(cross_join())),
    "a century by the millisecond": ("elm.limit", logic(century())),
    "memory": ("elm.limit", logic(memory())),
    "unknown type": ("elm.type", logic(retrieve("Spaceship"))),
}
"""The code that each ends with, and the libraries of the package."""


def bundle(*resources: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}


def filled(tmp_path: Path, package: dict[str, Any]) -> tuple[dict[str, Any], float]:
    (tmp_path / "package.json").write_bytes(dump_json(package))
    (tmp_path / "chart.json").write_bytes(dump_json(CHART))
    seconds = SECONDS
    for _ in range(3):  # A busy machine is slow once; a package that is slow is slow each time.
        started = time.monotonic()
        found = populate_files(tmp_path / "package.json", tmp_path / "chart.json", "2.2.0", now=NOW)
        seconds = time.monotonic() - started
        if seconds < SECONDS:
            break
    return found["forms"][0], seconds


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The process for payer logic is started once; a gateway does so before the first form."""
    filled(tmp_path_factory.mktemp("warm"), bundle(form(FIRST), GOOD))


def answers(found: dict[str, Any]) -> dict[str, Any]:
    return {one["link_id"]: [value for given in one["value"] for value in given.values()] for one in found["answers"]}


def reason(found: dict[str, Any], link_id: str) -> str:
    return str(next(one["reason_if_empty"] for one in found["answers"] if one["link_id"] == link_id))


@pytest.mark.requirement("dtr:spec-79")
@pytest.mark.parametrize(("code", "libraries"), LOGIC.values(), ids=LOGIC.keys())
def test_bad_logic_costs_its_own_question(code: str, libraries: list[dict[str, Any]], tmp_path: Path) -> None:
    found, seconds = filled(tmp_path, bundle(form(FIRST, BAD, PATH), GOOD, *libraries))
    assert answers(found) == {"first": [1], "bad": [], "path": ["1950-01-01"]}
    assert reason(found, "bad").endswith(".")
    (problem,) = found["problems"]
    assert (problem["link_id"], problem["code"], problem["define"]) == ("bad", "logic.failed", "t")
    assert problem["error_code"] == code
    assert problem["message"] == reason(found, "bad")
    _require_silence(found)
    assert seconds < SECONDS


def test_a_library_of_50_megabytes_is_not_even_read(tmp_path: Path) -> None:
    large, chart = tmp_path / "large.json", tmp_path / "chart.json"
    chart.write_bytes(dump_json(CHART))
    with large.open("wb") as handle:
        handle.truncate(50 * 1024 * 1024)
    with pytest.raises(TooLarge) as caught:
        populate_files(large, chart, "2.2.0", now=NOW)
    assert caught.value.reason == "file.size"


@pytest.mark.threat("T33")
def test_an_evil_pattern_is_just_answered(tmp_path: Path) -> None:
    replaced = op("ReplaceMatches", lit("a" * 15_000 + "!"), lit("(a|aa)+c"), lit("-"))
    found, seconds = filled(tmp_path, bundle(form(FIRST, BAD, PATH), GOOD, *logic(op("Length", replaced))))
    assert answers(found) == {"first": [1], "bad": [15_001], "path": ["1950-01-01"]}
    assert seconds < SECONDS


def test_after_an_error_no_further_logic_runs_and_what_was_computed_stays(tmp_path: Path) -> None:
    good = as_resource(library("Good", defines={"one": lit(1), "two": lit(2)}))
    later = item("later", "integer", expression("initialExpression", '"Good".two', "text/cql"))
    found, _ = filled(tmp_path, bundle(form(FIRST, BAD, PATH, later), good, *logic(cross_join())))
    assert answers(found) == {"first": [1], "bad": [], "path": ["1950-01-01"], "later": []}
    assert "stopped" in reason(found, "later")


def when(question: str, held: bool = True) -> list[dict[str, Any]]:
    return [{"question": question, "operator": "exists", "answerBoolean": held}]


SWITCHES = "%resource.item.where(linkId = '{}').exists().not()"
HIDDEN = {"url": "http://hl7.org/fhir/StructureDefinition/questionnaire-hidden", "valueBoolean": True}
XHTML = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/rendering-xhtml",
            "valueString": "<div xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></div>",
        }
    ]
}
FORMS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "switches in a circle": (
        [item("a", "string", enableWhen=when("b")), item("b", "string", enableWhen=when("a"))],
        "form.circle",
    ),
    "switches that do not settle": (
        [
            item(
                "a", "string", expression("enableWhenExpression", SWITCHES.format("b")), initial=[{"valueString": "x"}]
            ),
            item("b", "string", expression("enableWhenExpression", SWITCHES.format("a") + ".not()")),
            item(
                "c",
                "string",
                expression("calculatedExpression", "iif(%resource.item.where(linkId='c').exists(), {}, 'x')"),
            ),
        ],
        "form.unsettled",
    ),
    "required but hidden": ([item("a", "string", HIDDEN, required=True)], ""),
    "required but read-only": ([item("a", "string", required=True, readOnly=True)], ""),
    "unknown type": ([item("a", "hologram", required=True)], ""),
    "scripts in its text": ([item("a", "string", _text=XHTML)], ""),
    "no type": ([{"linkId": "a", "text": "a"}], ""),
    "two questions of one linkId": ([item("a", "string"), item("a", "integer")], ""),
}


@pytest.mark.requirement("dtr:spec-67")
@pytest.mark.parametrize(("items", "code"), FORMS.values(), ids=FORMS.keys())
def test_a_bad_form_keeps_what_can_be_filled(items: list[dict[str, Any]], code: str, tmp_path: Path) -> None:
    found, seconds = filled(tmp_path, bundle(form(PATH, *items)))
    assert answers(found)["path"] == ["1950-01-01"]
    assert not code or code in [problem["code"] for problem in found["problems"]]
    _require_silence(found)
    assert seconds < SECONDS


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("switches in a circle", "Questions of the form switch each other in a circle."),
        ("required but hidden", "Question a is required and was not filled, and the form hides it."),
        (
            "required but read-only",
            "Question a is required and was not filled, and the form does not let people answer it.",
        ),
        ("unknown type", "Question a has a type that is not known here."),
        ("no type", "Question a has a type that is not known here."),
        ("two questions of one linkId", "A question has no linkId, or two have the same."),
    ],
)
def test_a_form_that_cannot_be_completed_says_so(name: str, sentence: str, tmp_path: Path) -> None:
    found, _ = filled(tmp_path, bundle(form(PATH, *FORMS[name][0])))
    assert found["blockers"] == [sentence]


def test_a_hidden_question_that_is_filled_blocks_nothing(tmp_path: Path) -> None:
    hidden = item("a", "date", HIDDEN, expression("initialExpression", "%patient.birthDate"), required=True)
    found, _ = filled(tmp_path, bundle(form(PATH, hidden)))
    assert (found["blockers"], found["open_required"]) == ([], [])


def test_scripts_of_a_form_are_not_in_the_response(tmp_path: Path) -> None:
    found, _ = filled(tmp_path, bundle(form(PATH, *FORMS["scripts in its text"][0])))
    assert b"script" not in dump_json(found)


def test_a_draft_of_another_patient_is_left_out_whole(tmp_path: Path) -> None:
    draft = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "http://example.org/q|1.0.0",
        "status": "in-progress",
        "subject": {"reference": "Patient/somebody-else"},
        "item": [{"linkId": "note", "answer": [{"valueString": "Foreign words"}]}],
    }
    found, _ = filled(tmp_path, bundle(form(PATH, item("note", "string")), draft))
    assert answers(found) == {"path": ["1950-01-01"], "note": []}
    assert b"Foreign words" not in dump_json(found)
    assert any("another patient" in sentence for sentence in found["findings"])
    assert [problem["code"] for problem in found["problems"]] == ["draft.not-ours"]


def _require_silence(found: dict[str, Any]) -> None:
    """Nothing that goes to the payer or to a log names the patient."""
    told = dump_json([found["problems"], found["findings"], found["blockers"]]).decode()
    assert [word for word in ("Example", "Ann", "1950", "Patient/p") if word in told] == []


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux to add up shares of memory")
@pytest.mark.parametrize("name", ["cross join of 300 to the fourth", "memory", "a large library"])
def test_the_command_stays_small(name: str, tmp_path: Path) -> None:
    """The whole command, its process for payer logic included."""
    package, chart = tmp_path / "package.json", tmp_path / "chart.json"
    package.write_bytes(dump_json(bundle(form(FIRST, BAD), GOOD, *LOGIC[name][1])))
    chart.write_bytes(dump_json(CHART))
    command = [sys.executable, "-m", "gateway.cli", "questionnaire", "populate", str(package), "--data", str(chart)]
    measured = [sys.executable, "-S", str(ROOT / "tests" / "peak_memory.py"), *command, "--json"]
    done = subprocess.run(measured, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert answers(parse_json(done.stdout)["forms"][0]) == {"first": [1], "bad": []}
    told = parse_json(done.stderr.splitlines()[-1])
    assert 1024 < told["kilobytes"] <= KILOBYTES
