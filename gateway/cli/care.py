"""`pa-gateway care …`: conservative care from the command line."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.shared import (
    CaseArgument,
    JsonOption,
    SettingsOption,
    find_case,
    opened,
    print_fields,
    print_table,
    short,
    show,
)
from gateway.errors import InputError
from gateway.flows import care as flows_care
from gateway.flows import care_start, care_upload, care_views

care = typer.Typer(help="Conservative care: timers, their milestones, visits of other clinics.", no_args_is_help=True)


@care.command("list")
def list_timers(
    settings: SettingsOption = None,
    state: Annotated[str, typer.Option(help=f"One of {', '.join(care_views.STATES)}.")] = "running",
    as_json: JsonOption = False,
) -> None:
    """Timers, the longest running first: day, sessions, covered days, what is due next."""
    wanted = care_views.state_named(state)
    if wanted is None:
        raise typer.BadParameter(f"states are {', '.join(care_views.STATES)}.", param_hint="--state")
    with opened(settings) as (services, actor):
        lines = [care_views.summary(line) for line in care_views.list_timers(services, actor, wanted)]
    show({"timers": lines}, as_json, _print_list)


@care.command("show")
def show_timer(case: CaseArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """The newest timer of a case: progress, milestones, alerts, its resources in the EHR."""
    with opened(settings) as (services, actor):
        line = care_views.show_timer(services, actor, find_case(services, actor, case))
    show(care_views.details(line), as_json, _print_timer)


@care.command("start")
def start(
    case: CaseArgument,
    negative: Annotated[
        list[str] | None,
        typer.Option("--negative", help="A red-flag screen confirmed as negative, as --propose names it; give all."),
    ] = None,
    drug: Annotated[str, typer.Option(help="Key of the drug a clinician chose, or none; nothing is preselected.")] = "",
    takes: Annotated[str, typer.Option(help="RxNorm ingredient that the patient says to take already.")] = "",
    takes_since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Since when, as the patient says.")
    ] = None,
    propose: Annotated[bool, typer.Option("--propose", help="Only show what would be asked and made.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the timer of a held case; its drafts are written to the EHR and wait for a clinician's signature."""
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        if propose:
            found = _proposal(care_start.propose(services, actor, case_id))
        else:
            said = care_start.Confirmation(
                negative=frozenset(negative or ()),
                choice=drug,
                reported=takes,
                reported_since=_day(takes_since),
            )
            care_start.start(services, actor, case_id, said)
            found = care_views.details(care_views.show_timer(services, actor, case_id))
    show(found, as_json, _print_proposal if propose else _print_timer)


@care.command("sign")
def sign(
    case: CaseArgument,
    order: Annotated[
        list[str] | None,
        typer.Option("--order", help="drug or referral: an order that is signed; others are declined."),
    ] = None,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign the drafts as a clinician: the plan becomes active, with the orders that are named.

    An order needs a sign-in that names its Practitioner: without one sign it on the page.
    """
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        flows_care.sign(services, actor, case_id, frozenset(order or ()))
        found = care_views.details(care_views.show_timer(services, actor, case_id))
    show(found, as_json, _print_timer)


@care.command("cancel")
def cancel(
    case: CaseArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why it ends; kept in the history.")],
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the timer of a case; the case stays held."""
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        flows_care.cancel(services, actor, case_id, reason)
        found = care_views.details(care_views.show_timer(services, actor, case_id))
    show(found, as_json, _print_timer)


@care.command("upload")
def upload(
    case: CaseArgument,
    file: Annotated[Path, typer.Argument(help="Visits of another clinic: .csv, or a FHIR Bundle as .json.")],
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Count the visits; without it they are only shown.")
    ] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in the visits of another clinic; they count once they are confirmed."""
    raw, media_type = _read(file), care_upload.media_type_of(file.name)
    with opened(settings) as (services, actor):
        case_id = find_case(services, actor, case)
        preview = care_upload.hand_in(services, actor, case_id, raw, media_type)
        if confirm:
            care_upload.confirm(services, actor, case_id, preview.upload.upload_id)
            preview = care_upload.show(services, actor, case_id, preview.upload.upload_id)
    show(_preview(preview), as_json, _print_preview)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as opened_file:
            return opened_file.read(care_upload.MOST_BYTES + 1)
    except OSError:
        raise InputError(f"{path} cannot be read.", code="usage.file") from None


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _proposal(found: care_start.Proposal) -> dict[str, Any]:
    return {
        "day_zero": found.day_zero.isoformat(),
        "decision_on": found.ends_on.isoformat(),
        "days": found.days,
        "is_restart": found.is_restart,
        "rule": found.rule,
        "rule_status": found.rule_status,
        "screens": [{"code": code, "text": words} for code, words in found.screens],
        "cautions": [{"text": item.label, "evidence": item.evidence} for item in found.offer.cautions],
        "drugs": [{"key": item.key, "text": item.label, "directions": item.text} for item in found.offer.choices],
        "drafts": [{"type": kind, "text": words} for kind, words in found.drafts],
    }


def _preview(preview: care_upload.Preview) -> dict[str, Any]:
    fresh = {(visit.day, visit.code) for visit in preview.fresh}
    return {
        "upload_id": preview.upload.upload_id,
        "state": preview.upload.state,
        "sha256": preview.upload.digest,
        "adds": len(preview.fresh),
        "visits": [
            {
                "on": visit.day.isoformat(),
                "code": visit.code,
                "status": visit.status,
                "adds": (visit.day, visit.code) in fresh,
                "why_not": visit.why_not or ("" if (visit.day, visit.code) in fresh else "that day is on file already"),
            }
            for visit in preview.visits
        ],
    }


def _print_list(found: dict[str, Any]) -> None:
    rows = [
        (
            short(line["case_id"]),
            f"{line['day']} of {line['days']}",
            f"{line['sessions']['attended']} of {line['sessions']['needed']}",
            line["medication"]["covered_days"] or 0,
            " → ".join(score["value"] for score in line["scores"]) or "-",
            f"{line['next']['due_on']} {line['next']['title']}" if line["next"] else "-",
            len(line["alerts"]),
        )
        for line in found["timers"]
    ]
    if not rows:
        typer.echo("No timers.")
        return
    print_table(("case", "day", "sessions", "covered days", "scores", "next", "alerts"), rows)


def _print_timer(found: dict[str, Any]) -> None:
    print_fields(
        (
            ("case", found["case_id"]),
            ("state", f"{found['state']} ({found['phase']})"),
            ("reason", found["reason"]),
            ("day", f"{found['day']} of {found['days']}, since {found['started_on']}"),
            ("decision", found["decision_on"]),
            ("sessions", f"{found['sessions']['attended']} of {found['sessions']['needed']}"),
            ("covered days", found["medication"]["covered_days"]),
            ("scores", ", ".join(f"{score['on']}: {score['value']}" for score in found["scores"])),
            ("next", found["next"]["title"] if found["next"] else ""),
        )
    )
    for item in found["milestones"]:
        typer.echo(f"  day {item['day']:>2}  {item['outcome'] or 'open':<8} {item['title']}")
    for alert in found["alerts"]:
        for line in alert["lines"]:
            typer.echo(f"  missing: {line}")


def _print_proposal(found: dict[str, Any]) -> None:
    print_fields((("day 0", found["day_zero"]), ("decision", found["decision_on"]), ("rule", found["rule"])))
    for name, key in (("ask", "screens"), ("caution", "cautions"), ("draft", "drafts")):
        for item in found[key]:
            typer.echo(f"  {name}: {item['text']}{' (' + item['code'] + ')' if 'code' in item else ''}")
    for item in found["drugs"]:
        typer.echo(f"  drug {item['key']}: {item['directions']}")


def _print_preview(found: dict[str, Any]) -> None:
    rows = [(item["on"], item["code"], item["status"], item["why_not"] or "counts") for item in found["visits"]]
    print_table(("day", "service", "visit", "effect"), rows)
    typer.echo(f"{found['adds']} would be added; state: {found['state']}.")
