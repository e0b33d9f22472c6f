"""`pa-gateway order post`, `case …`, `evidence export`: the cases of the configured tenant from the command line."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.shared import (
    CaseArgument,
    JsonOption,
    SettingsOption,
    err,
    find_case,
    opened,
    print_fields,
    print_table,
    short,
    show,
    write_file,
)
from gateway.errors import InputError
from gateway.fhir.json import parse_object
from gateway.fhir.xml import parse_xml
from gateway.flows import actions, evidence, views
from gateway.flows.intake import Posted, accept_orders
from gateway.store.rows import CaseFilter

orders = typer.Typer(help="Orders.", no_args_is_help=True)
cases = typer.Typer(help="Cases: list, show, and what may be done to them.", no_args_is_help=True)
evidence_commands = typer.Typer(help="Evidence packages.", no_args_is_help=True)
ReasonOption = Annotated[str, typer.Option("--reason", help="A few words; kept in the history.")]


@orders.callback()
def _orders() -> None:
    """Orders."""


@orders.command("post")
def post(
    file: Annotated[
        Path, typer.Argument(help="FHIR JSON or XML: Bundle, order, or {fhirServer, order}; - for standard input.")
    ],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand an order to the gateway. A running `pa-gateway serve` with the same settings carries it on."""
    raw = sys.stdin.buffer.read() if str(file) == "-" else _read(file)
    is_xml = raw.lstrip()[:1] == b"<"
    resource = parse_xml(raw) if is_xml else parse_object(raw)
    posted = Posted(raw=raw, media_type=f"application/fhir+{'xml' if is_xml else 'json'}", resource=resource)
    with opened(settings) as (services, actor):
        accepted = accept_orders(services, actor, posted)
    found = {"cases": [{**views.summary(item.case), "is_new": item.is_new} for item in accepted]}
    show(found, as_json, _print_list)


@cases.command("list")
def list_cases(
    settings: SettingsOption = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only this state; may be repeated.")] = None,
    payer: Annotated[str, typer.Option(help="Only this payer.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many cases to show at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """The worklist: cases that wait for us first."""
    unknown = sorted(set(state or ()) - set(views.STATES))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: states are {', '.join(views.STATES)}.", param_hint="--state")
    with opened(settings) as (services, actor):
        found = views.list_cases(services, actor, CaseFilter(states=tuple(state or ()), payer=payer), limit)
    show({"cases": found}, as_json, _print_list)


@cases.command("show")
def show_case(case: CaseArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Where one case stands: need, gaps, forms, requests of the payer, what was sent."""
    with opened(settings) as (services, actor):
        found = views.show_case(services, actor, find_case(services, actor, case))
    show(found, as_json, _print_case)


@cases.command("events")
def events(case: CaseArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The history of a case, oldest first."""
    with opened(settings) as (services, actor):
        found = views.list_events(services, actor, find_case(services, actor, case))
    show({"events": found}, as_json, _print_events)


@cases.command("release")
def release(case: CaseArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Send the sealed packet to the payer now."""
    with opened(settings) as (services, actor):
        found = views.summary(actions.release(services, actor, find_case(services, actor, case)))
    show(found, as_json, _print_summary)


@cases.command("update")
def update(
    case: CaseArgument, settings: SettingsOption = None, reason: ReasonOption = "", as_json: JsonOption = False
) -> None:
    """Read the chart and ask the payer anew; a request that was given up is sent again as it is."""
    with opened(settings) as (services, actor):
        found = views.summary(actions.check_again(services, actor, find_case(services, actor, case), reason))
    show(found, as_json, _print_summary)


@cases.command("override")
def override(
    case: CaseArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why the case goes on in spite of the gap.")],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on in spite of a clinical gap, with a reason that is kept."""
    with opened(settings) as (services, actor):
        found = views.summary(actions.override(services, actor, find_case(services, actor, case), reason))
    show(found, as_json, _print_summary)


@cases.command("cancel")
def cancel(
    case: CaseArgument,
    settings: SettingsOption = None,
    reason: Annotated[
        str, typer.Option("--reason", help="A few words; kept in the history. Required once a request was sent.")
    ] = "",
    is_sure: Annotated[
        bool, typer.Option("--yes", help="Do not ask. Required where nobody can be asked: not on a terminal.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Close a case for good, after asking; a request that was sent, also an approved one, is withdrawn at the payer.

    On a terminal it asks first, unless --yes is given; elsewhere --yes is required. Withdrawing what was sent
    needs --reason. A closed case cannot be opened again.
    """
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        is_withdrawal = actions.is_withdrawal(services, actor, case_id)
        if is_withdrawal and len(reason.strip()) < actions.MIN_REASON:
            raise typer.BadParameter(
                "a request for this order was sent; say in a few words why it is withdrawn.", param_hint="--reason"
            )
        if not is_sure:
            _ask_to_cancel(views.show_case(services, actor, case_id), is_withdrawal)
        found = views.summary(actions.cancel(services, actor, case_id, reason))
    show(found, as_json, _print_summary)


def _ask_to_cancel(case: dict[str, Any], is_withdrawal: bool) -> None:
    """Ask the person at the terminal. Raises BadParameter where there is none, Abort where the answer is no."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("this is not a terminal, where you could be asked; add --yes.", param_hint="--yes")
    number = f", authorization {case['authorization_number']}" if case["authorization_number"] else ""
    typer.echo(f"Case {case['case_id']}: {case['service']['code']}, {case['state']}{number}.", err=True)
    what = "Withdraw the request at the payer and close the case?" if is_withdrawal else "Close the case for good?"
    typer.confirm(what, abort=True, err=True)


@cases.command("inquire")
def inquire(case: CaseArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Ask the payer once where the request stands."""
    with opened(settings) as (services, actor):
        found = views.summary(actions.inquire(services, actor, find_case(services, actor, case)))
    show(found, as_json, _print_summary)


@evidence_commands.callback()
def _evidence() -> None:
    """Evidence packages."""


@evidence_commands.command("export")
def export(
    case: CaseArgument,
    out: Annotated[Path, typer.Argument(help="Zip file to write.")],
    settings: SettingsOption = None,
    anchors: Annotated[Path | None, typer.Option(help="Also write the trust anchors to this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the evidence package of a case, to be checked with `pa-verify PACKAGE --anchors FILE`."""
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        package = evidence.export_evidence(services, actor, case_id)
        trust = evidence.export_anchors(services) if anchors else b""
    write_file(out, package)
    if anchors:
        write_file(anchors, trust)
    written = {
        "case_id": case_id,
        "package": str(out),
        "bytes": len(package),
        "sha256": sha256(package).hexdigest(),
        "anchors": str(anchors or ""),
    }
    show(written, as_json, _print_export)


def _print_export(written: dict[str, Any]) -> None:
    err.print(f"{written['package']}: {written['bytes']} bytes", highlight=False, markup=False)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise InputError(f"{path} cannot be read.", code="usage.file") from None


def _print_list(found: dict[str, Any]) -> None:
    rows = [
        (
            short(case["case_id"]),
            case["state"],
            case["service"]["code"],
            case["payer"],
            case["authorization_number"] or "-",
            case["next_action"],
        )
        for case in found["cases"]
    ]
    if not rows:
        typer.echo("No cases.")
        return
    print_table(("case", "state", "service", "payer", "number", "next action"), rows)


def _print_summary(case: dict[str, Any]) -> None:
    print_fields((("case", case["case_id"]), ("state", case["state"]), ("next action", case["next_action"])))


def _print_case(case: dict[str, Any]) -> None:
    print_fields(
        (
            ("case", case["case_id"]),
            ("state", case["state"]),
            ("next action", case["next_action"]),
            ("order", case["order"]),
            ("service", f"{case['service']['code']} {case['service']['text']}".strip()),
            ("payer", case["payer"]),
            ("payer's need", case["need"]["reason"]),
            ("clinical verdict", case["clinical"]["verdict"]),
            ("decision", case["decision"]),
            ("authorization", case["authorization_number"]),
            ("denial reasons", "; ".join(case["denial_reasons"])),
        )
    )
    for line in case["clinical"]["lines"]:
        typer.echo(f"  missing: {line}")
    for form in case["forms"]:
        typer.echo(f"  form {form['form_id']}: {form['title']}, {form['status']}, {len(form['open_required'])} open")
    for request in case["requests"]:
        answered = "answered" if request["answered"] else "not answered"
        typer.echo(f"  payer asks: {request['text']} ({request['control_number']}), {answered}")
    for sent in case["submissions"]:
        typer.echo(f"  sent {sent['attempts']} time(s): {sent['claim_identifier']}, {sent['state']}")


def _print_events(found: dict[str, Any]) -> None:
    rows = [
        (
            event["seq"],
            event["at"],
            event["actor"],
            event["verb"],
            event["to_state"] if event["to_state"] != event["from_state"] else "",
        )
        for event in found["events"]
    ]
    print_table(("seq", "at", "actor", "act", "new state"), rows)
