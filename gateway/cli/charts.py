"""`pa-gateway chart audit`: the clinical rules over charts on disk, a bulk export, or the EHR."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import IO, Annotated

import typer

from gateway.cli.charts_output import Table, Watch, print_summary
from gateway.cli.output import SettingsOption
from gateway.clock import SystemClock
from gateway.errors import InputError
from gateway.flows.audit_html import HtmlSink
from gateway.flows.audit_output import CsvSink, JsonSink, RunningAudit, Sink, write_audit
from gateway.flows.audit_plan import AuditPlan, open_plan
from gateway.flows.audit_run import open_audit
from gateway.flows.audit_summary import Summary
from gateway.settings import Settings, load_settings

charts = typer.Typer(help="Charts: audit them against the clinical rules.", no_args_is_help=True)


@charts.callback()
def _group() -> None:
    """Charts: audit them against the clinical rules."""


@charts.command("audit")
def audit(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...",
            help="Chart Bundles (.json, .xml), folders of them, or a FHIR bulk export (.ndjson files).",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        list[str] | None, typer.Option("--rule", metavar="ID", help="Ask this rule only; may be repeated.")
    ] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Ask every rule about the ordered service.")] = False,
    overlay: Annotated[
        Path | None,
        typer.Option("--overlay", metavar="FILE", help="What-if (JSON or YAML): rule id to fields laid over the row."),
    ] = None,
    ehr: Annotated[str, typer.Option("--ehr", metavar="ID", help="Audit orders of this EHR of the settings.")] = "",
    codes: Annotated[
        list[str] | None, typer.Option("--code", metavar="CPT", help="With --ehr: ordered service; may be repeated.")
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="DATE", help="With --ehr: orders of this day (YYYY-MM-DD) or later.")
    ] = "",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="OUT", help="Write a line per order and rule.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Write a report to read and print.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON (docs/chart-audit.md) instead of a table.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=16, help="Worker processes; 0: one per core, at most two.")
    ] = 0,
    settings: SettingsOption = None,
) -> None:
    """Say of each order whether its chart meets the rule in force on the day of the order, and what is missing.

    Without --rule and --all the rule is chosen from the coverage. Nothing is sent and nothing is changed.

    Exit codes: 0 every order has a verdict, whatever it is; 1 at least one chart could not be audited; 2 usage;
    3 every order has a verdict and something in a chart could not be read; 10 settings, rule rows or overlay; 20 EHR.
    """
    _require_sense(paths, rules, is_all, ehr, codes, since)
    loaded = load_settings(settings)
    if ehr and ehr not in loaded.ehr:
        known = ", ".join(loaded.ehr) or "none"
        raise typer.BadParameter(f"this EHR is not in the settings; there is: {known}", param_hint="--ehr")
    plan = open_plan(
        loaded.rules.directories,
        zone=loaded.tenant.practice_zone,
        now=SystemClock().now(),
        rule_ids=rules or (),
        is_all=is_all,
        overlay=overlay,
        accepted=loaded.rules.accepted if loaded.server.mode == "production" else None,
    )
    with ExitStack() as stack:
        made: RunningAudit = (
            open_audit(paths or (), plan, workers=workers)
            if not ehr
            else stack.enter_context(_of_ehr(settings, ehr, plan, codes or (), _day(since)))
        )
        summary = _write(made, loaded, as_json=as_json, csv=csv, html=html, stack=stack)
    raise typer.Exit(summary.exit_code)


def _require_sense(
    paths: list[Path] | None, rules: list[str] | None, is_all: bool, ehr: str, codes: list[str] | None, since: str
) -> None:
    """Refuse options that contradict each other. Raises BadParameter, which ends with exit code 2."""
    if is_all and rules:
        raise typer.BadParameter("give --rule or --all, not both", param_hint="--rule")
    if bool(paths) == bool(ehr):
        raise typer.BadParameter("give files or folders, or --ehr ID", param_hint="PATH")
    if not ehr and (codes or since):
        raise typer.BadParameter("--code and --since go with --ehr", param_hint="--ehr")


def _day(since: str) -> date | None:
    try:
        return date.fromisoformat(since) if since else None
    except ValueError:
        raise typer.BadParameter("write a day as YYYY-MM-DD", param_hint="--since") from None


@contextmanager
def _of_ehr(
    settings: Path | None, ehr: str, plan: AuditPlan, codes: Sequence[str], since: date | None
) -> Iterator[RunningAudit]:
    """The audit of an EHR of the settings, by the local operator; the house is only imported for this."""
    from gateway.cli.shared import opened
    from gateway.flows.audit_ehr import open_ehr_audit

    with opened(settings) as (services, actor):
        yield open_ehr_audit(services, actor, ehr, plan, codes=codes, since=since)


def _write(
    made: RunningAudit, loaded: Settings, *, as_json: bool, csv: Path | None, html: Path | None, stack: ExitStack
) -> Summary:
    """Write the audit where it is wanted; a table where nothing else is."""
    sinks: list[Sink] = []
    if as_json:
        sinks.append(JsonSink(sys.stdout.buffer))
    elif not csv and not html:
        sinks.append(Table())
    if csv:
        sinks.append(CsvSink(_open(csv, stack)))
    if html:
        sinks.append(HtmlSink(_open(html, stack), made.plan, tenant=loaded.tenant.name))
    watch = [Watch(made.total, stack)] if sys.stderr.isatty() else []
    summary = write_audit(made, sinks, watch)
    if not as_json:
        print_summary(summary)
    return summary


def _open(path: Path, stack: ExitStack) -> IO[bytes]:
    """A file for its owner alone: what an audit says of charts is health information."""
    try:
        return stack.enter_context(open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", code="usage.out") from None
