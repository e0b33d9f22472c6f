"""`pa-gateway questionnaire …`: forms from files, and the worked examples of the forms that are shipped."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.elm import instant
from gateway.demo.charts import all_charts
from gateway.fhir.json import dump_json, pretty_json
from gateway.flows.form_checks import Chart, check_questionnaire
from gateway.flows.form_files import Choice, populate_files

questionnaires = typer.Typer(help="Payer forms from files; forms that are shipped.", no_args_is_help=True)
NowOption = Annotated[str, typer.Option("--now", metavar="T", help="Instant of the session, with its offset.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print stable JSON instead of a table.")]


class Guide(StrEnum):
    """Versions of DTR that responses are written in."""

    V2_0_1 = "2.0.1"
    V2_1_0 = "2.1.0"
    V2_2_0 = "2.2.0"


@questionnaires.command("populate")
def populate(
    package: Annotated[
        Path,
        typer.Argument(
            metavar="PACKAGE",
            help="Answer of $questionnaire-package, a package Bundle, or a Questionnaire.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path, typer.Option("--data", metavar="BUNDLE", help="Bundle with the record of one patient and the order.")
    ],
    guide: Annotated[Guide, typer.Option("--guide", help="Version of DTR to write.")] = Guide.V2_2_0,
    now: NowOption = "",
    order: Annotated[str, typer.Option("--order", metavar="REFERENCE", help="Order, when the chart has several.")] = "",
    patient: Annotated[
        str, typer.Option("--patient", metavar="REFERENCE", help="Patient, when the chart has several.")
    ] = "",
    coverage: Annotated[
        str, typer.Option("--coverage", metavar="REFERENCE", help="Coverage, when the chart has several.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Fill the forms of a package from a chart; each answer says where it is from, each gap why.

    Logic that fails leaves its questions empty. Exit code 1 when a file cannot be used.
    """
    choice = Choice(patient=patient, order=order, coverage=coverage)
    found = populate_files(package, data, guide.value, now=instant(now), choice=choice)
    typer.echo(pretty_json(found) if as_json else _forms(found))


@questionnaires.command("check")
def check(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="Folder under questionnaires/.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Run the worked examples of a shipped form over the synthetic charts. Exit code 1 when one differs."""
    charts = {chart.chart_id: chart for chart in all_charts()}

    def find(name: str) -> Chart | None:
        chart = charts.get(name)
        if chart is None:
            return None
        named = Choice(patient=chart.patient_reference, order=chart.order_reference, coverage=chart.coverage_reference)
        return chart.bundle, named

    found = check_questionnaire(slug, find)
    typer.echo(pretty_json(found) if as_json else _checks(found))
    if not found["passed"]:
        raise typer.Exit(1)


def _forms(found: dict[str, Any]) -> str:
    lines = list(found["findings"])
    for form in found["forms"]:
        lines += [f"{form['questionnaire'] or 'form without url'} ({form['part']})"]
        lines += [f"  {_answer(answer)}" for answer in form["answers"]]
        lines += [f"  ! {problem['message']}" for problem in form["problems"] if not problem["link_id"]]
        lines += [f"  ! {sentence}" for sentence in (*form["blockers"], *form["findings"])]
        lines += [f"  still open: {', '.join(form['open_required']) or 'nothing'}"]
    return "\n".join(lines)


def _answer(answer: dict[str, Any]) -> str:
    if not answer["value"]:
        return f"{answer['link_id']}: - ({answer['reason_if_empty']})"
    values = ", ".join(dump_json(part).decode() for value in answer["value"] for part in value.values())
    sources = ", ".join(f"{one['reference']} {one['element']}".strip() for one in answer["sources"])
    return f"{answer['link_id']}: {values} ({answer['origin']}{'; ' if sources else ''}{sources})"


def _checks(found: dict[str, Any]) -> str:
    lines = []
    for case in found["cases"]:
        lines += [f"{'ok  ' if case['passed'] else 'DIFF'}  {case['case']}: {case['title']}"]
        lines += [f"      {sentence}" for sentence in case["differences"]]
    return "\n".join(lines or ["The form has no worked examples."])
