"""`pa-gateway form …`: the payer's forms of a case from the command line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.shared import JsonOption, SettingsOption, opened, print_fields, print_table, show
from gateway.errors import InputError
from gateway.flows import forms as flows
from gateway.flows import views

forms = typer.Typer(help="Payer forms of a case.", no_args_is_help=True)
CaseArgument = Annotated[str, typer.Argument(help="Case id.", show_default=False)]
FormOption = Annotated[str, typer.Option("--form", help="Form of the case.")]


@forms.command("show")
def show_forms(
    case: CaseArgument,
    settings: SettingsOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Answered questions too, not only open ones.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Questions, answers, where each answer came from, and why a question is empty."""
    with opened(settings) as (services, actor):
        found = {"forms": flows.show_forms(services, actor, case)}
    show(found, as_json, lambda value: _print(value, everything))


@forms.command("fill")
def fill(
    case: CaseArgument,
    answers: Annotated[list[str], typer.Argument(help="LINKID=VALUE, once per answer; LINKID= clears it.")],
    settings: SettingsOption = None,
    form: FormOption = "1",
    as_json: JsonOption = False,
) -> None:
    """Answer questions as a person; the form's own logic runs again around the answers."""
    with opened(settings) as (services, actor):
        flows.fill(services, actor, case, form, _answers(answers))
        found = {"forms": flows.show_forms(services, actor, case)}
    show(found, as_json, lambda value: _print(value, False))


@forms.command("complete")
def complete(
    case: CaseArgument, settings: SettingsOption = None, form: FormOption = "1", as_json: JsonOption = False
) -> None:
    """Complete a form as a person; refused while a required question is open."""
    with opened(settings) as (services, actor):
        found = views.summary(flows.complete(services, actor, case, form))
    show(
        found,
        as_json,
        lambda value: print_fields((("state", value["state"]), ("next action", value["next_action"]))),
    )


def _answers(pairs: list[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        link_id, equals, value = pair.partition("=")
        if not equals:
            raise InputError("Write answers as LINKID=VALUE.", code="usage.answer")
        found.setdefault(link_id, [])
        if value:
            found[link_id].append(value)
    return found


def _print(found: dict[str, Any], everything: bool) -> None:
    for form in found["forms"]:
        typer.echo(f"Form {form['form_id']}: {form['title']} ({form['status']})")
        rows = [
            (
                row["link_id"],
                row["text"],
                ", ".join(row["values"]) or "-",
                row["origin_label"],
                row["origin_explanation"],
            )
            for row in form["rows"]
            if row["enabled"] and row["type"] not in ("group", "display") and (everything or not row["values"])
        ]
        print_table(("question", "text", "answer", "origin", "why"), rows)
