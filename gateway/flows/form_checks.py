"""The worked examples of a shipped form: charts in, answers and origins out (`questionnaires/<slug>/cases/*.toml`)."""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from gateway.errors import InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows.form_files import Choice, launch_of, read_chart
from gateway.flows.logic import IsolatedDefines
from gateway.forms.worked import WorkedCase, check_worked_case, read_worked_case
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.record import reference_of

Chart = tuple[Json, Choice]
"""A Bundle, and what in it the form is about."""
FindChart = Callable[[str], Chart | None]


def shipped_forms() -> tuple[str, ...]:
    """Slugs of the payer forms that come with the gateway; templates of our own have no worked examples."""
    root = files("questionnaires")
    forms = (one for one in root.iterdir() if (one / "questionnaire.json").is_file())
    return tuple(sorted(one.name for one in forms if not (one / "template.toml").is_file()))


def check_questionnaire(slug: str, find_chart: FindChart) -> dict[str, Any]:
    """`{"questionnaire", "passed", "cases": [{"case", "title", "passed", "differences"}]}` of a shipped form.

    `find_chart` gives a chart by the name that an example writes, where the form's own folder has none of it.
    A form without examples has not passed.
    Raises NotFound for an unknown slug, InputError for an example that cannot be read.
    """
    if slug not in shipped_forms():
        raise NotFound(f"No form of this name is shipped; there are: {', '.join(shipped_forms())}.")
    folder = files("questionnaires") / slug
    parts = read_folder(folder)
    cases = []
    for path in sorted(_files(folder / "cases", ".toml"), key=lambda one: one.name):
        case = read_worked_case(tomllib.loads(path.read_text(encoding="utf-8")))
        found = _differences(case, parts, _own_chart(folder, case) or find_chart(case.chart))
        name = path.name.removesuffix(".toml")
        cases.append({"case": name, "title": case.title, "passed": not found, "differences": found})
    return {"questionnaire": slug, "passed": bool(cases) and all(one["passed"] for one in cases), "cases": cases}


def read_folder(folder: Traversable) -> FormPackageParts:
    """A form's folder as the package that a payer would send."""
    return FormPackageParts(
        questionnaire=parse_json((folder / "questionnaire.json").read_bytes()),
        libraries=tuple(_library(path.read_bytes()) for path in _files(folder / "library", ".json")),
        value_sets=tuple(parse_json(path.read_bytes()) for path in _files(folder / "valuesets", ".json")),
    )


def _files(folder: Traversable, ending: str) -> Iterator[Traversable]:
    if folder.is_dir():
        yield from (one for one in folder.iterdir() if one.name.endswith(ending))


def _library(elm: bytes) -> Json:
    identifier = parse_json(elm, max_depth=500)["library"]["identifier"]
    content = {"contentType": "application/elm+json", "data": base64.b64encode(elm).decode()}
    return {
        "resourceType": "Library",
        "name": identifier["id"],
        "version": identifier.get("version", ""),
        "content": [content],
    }


def _own_chart(folder: Traversable, case: WorkedCase) -> Chart | None:
    """The chart of that name in the form's own folder; None where there is none."""
    path = folder / "charts" / f"{case.chart}.json"
    return (parse_json(path.read_bytes()), Choice(order=case.order)) if path.is_file() else None


def _differences(case: WorkedCase, parts: FormPackageParts, chart: Chart | None) -> list[str]:
    if chart is None:
        raise InputError(f"There is no chart {case.chart!r}.", code="case.chart")
    record = read_chart(chart[0])
    launch, _ = launch_of(record, chart[1])
    with closing(
        IsolatedDefines(
            parts.libraries,
            parts.value_sets,
            record,
            now=case.now,
            order=launch.order,
            contexts=launch.environment(),
            patient=reference_of(launch.patient),
        )
    ) as evaluator:
        return check_worked_case(case, parts, launch, record, evaluator)
