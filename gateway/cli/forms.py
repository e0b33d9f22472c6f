"""`pa-gateway form …`: the payer's forms of a case from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.shared import CaseArgument, JsonOption, SettingsOption, find_case, opened, print_fields, show
from gateway.errors import InputError, NotFound, TooLarge
from gateway.fhir.json import dump_json
from gateway.flows import form_export, form_rows, next_questions, views
from gateway.flows import forms as flows
from gateway.flows.desk import MAX_BYTES, build_attachment

forms = typer.Typer(help="Payer forms of a case.", no_args_is_help=True)
WANTED = {
    "boolean": "yes or no",
    "integer": "a whole number",
    "decimal": "a number",
    "date": "YYYY-MM-DD",
    "dateTime": "YYYY-MM-DD or YYYY-MM-DDThh:mm",
    "time": "hh:mm",
    "string": "one line of text",
    "text": "text",
}
"""What an answer looks like, by item type."""
FormOption = Annotated[str, typer.Option("--form", help="Number of the form, as `form show` says.")]


@forms.command("show")
def show_forms(
    case: CaseArgument,
    settings: SettingsOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Answered questions too, not only open ones.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Questions, answers, where each answer came from, and why a question is empty."""
    with opened(settings) as (services, actor):
        found = {"forms": flows.show_forms(services, actor, find_case(services, actor, case))}
    show(found, as_json, lambda value: _print(value, everything))


@forms.command("fill")
def fill(
    case: CaseArgument,
    answers: Annotated[
        list[str] | None, typer.Argument(help="LINKID=VALUE, once per answer; LINKID= clears it.", show_default=False)
    ] = None,
    settings: SettingsOption = None,
    form: FormOption = "1",
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="LINKID=PATH", help="A file as answer: PDF, PNG, JPEG, TIFF or plain text."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer questions as a person; the form's own logic runs again around the answers."""
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        with _naming_the_question():
            given = {**_answers(answers or []), **_files(files or [], services.clock.now())}
            if not given:
                raise InputError("Name an answer as LINKID=VALUE or a file with --file.", code="usage.answer")
            flows.fill(services, actor, case_id, form, given)
        found = {"forms": flows.show_forms(services, actor, case_id)}
    show(found, as_json, lambda value: _print(value, False))


@forms.command("row")
def turn_row(
    case: CaseArgument,
    address: Annotated[str, typer.Argument(help="Row as `form show` names it: LINKID, LINKID@1.", show_default=False)],
    settings: SettingsOption = None,
    form: FormOption = "1",
    remove: Annotated[bool, typer.Option("--remove", help="Take this row out instead of adding one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add a row to a group that repeats, or take one out with its answers."""
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        with _naming_the_question():
            if remove:
                form_rows.remove_row(services, actor, case_id, form, address)
            else:
                form_rows.add_row(services, actor, case_id, form, address)
        found = {"forms": flows.show_forms(services, actor, case_id)}
    show(found, as_json, lambda value: _print(value, False))


@forms.command("next")
def ask_next(
    case: CaseArgument, settings: SettingsOption = None, form: FormOption = "1", as_json: JsonOption = False
) -> None:
    """Send the answers to the payer and get the next questions of a form that is asked step by step."""
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        with _naming_the_question():
            next_questions.ask_next(services, actor, case_id, form)
        found = {"forms": flows.show_forms(services, actor, case_id)}
    show(found, as_json, lambda value: _print(value, False))


@forms.command("complete")
def complete(
    case: CaseArgument,
    settings: SettingsOption = None,
    form: FormOption = "1",
    sign: Annotated[bool, typer.Option("--sign", help="Sign the answers, where the form demands it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Complete a form as a person; refused while a required question is open."""
    with opened(settings) as (services, actor):
        found = views.summary(flows.complete(services, actor, find_case(services, actor, case), form, signed=sign))
    show(
        found,
        as_json,
        lambda value: print_fields((("state", value["state"]), ("next action", value["next_action"]))),
    )


@forms.command("export")
def export(
    case: CaseArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT.json", help="File to write.", show_default=False)],
    settings: SettingsOption = None,
    form: FormOption = "1",
    as_json: JsonOption = False,
) -> None:
    """Write a completed form, with the records its answers point to, as a Bundle (DTR-QRBundle)."""
    with opened(settings) as (services, actor):
        bundle = form_export.export(services, actor, find_case(services, actor, case), form)
    body = dump_json(bundle)
    try:
        out.write_bytes(body)
    except OSError:
        raise InputError("The file cannot be written.", code="file.write") from None
    found = {"bundle": str(out), "entries": len(bundle["entry"]), "bytes": len(body)}
    show(found, as_json, lambda value: print_fields(tuple((key, str(part)) for key, part in value.items())))


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


def _files(pairs: list[str], now: datetime) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        link_id, _, name = pair.partition("=")
        path = Path(name)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise TooLarge("The file is larger than is taken.", code="answer.size")
            body = path.read_bytes()
        except OSError:
            raise InputError("The file cannot be read.", code="file.read", expression=link_id) from None
        found.setdefault(link_id, []).append(build_attachment(path.name, body, now))
    return found


@contextmanager
def _naming_the_question() -> Iterator[None]:
    """A refused answer is told with the linkId it was for."""
    try:
        yield
    except (InputError, NotFound) as error:
        if not error.expression:
            raise
        raise type(error)(f"{error.expression}: {error.message}", code=error.reason) from None


def _print(found: dict[str, Any], everything: bool) -> None:
    if not found["forms"]:
        typer.echo("The case has no forms, or not yet.")
    for form in found["forms"]:
        typer.echo(f"Form {form['form_id']}: {form['title']} ({form['status']}; {form['progress']})")
        for row in form["rows"]:
            if row["enabled"] and row["type"] not in ("group", "display") and (everything or not row["values"]):
                _print_question(row)


def _print_question(row: dict[str, Any]) -> None:
    """One question as a few lines: what is asked, what may be answered, what is there, and why."""
    typer.echo(f"\n{row['link_id']}{' (required)' if row['required'] else ''}: {row['text']}")
    print_fields(
        (
            ("  answer", ", ".join(row["values"])),
            ("  from", ": ".join(filter(None, (row["origin_label"], row["origin_explanation"])))),
            ("  wanted", _wanted(row) if not row["values"] else ""),
            ("  error", row["error"]),
        )
    )


def _wanted(row: dict[str, Any]) -> str:
    """What `form fill` takes for this question."""
    if row["options"]:
        kinds = ", ".join(f"{option['key']} ({option['text']})" for option in row["options"])
        return f"one{' or more' if row['repeats'] else ''} of {kinds}"
    return WANTED.get(row["type"], str(row["type"]))
