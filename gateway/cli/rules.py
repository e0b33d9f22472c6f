"""`pa-gateway rule …`: clinical rule rows as they stand, what is wrong with them, and who accepted them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from gateway.cli.shared import JsonOption, SettingsOption, flat, opened, print_fields, print_table, show
from gateway.clock import SystemClock
from gateway.errors import SettingsError
from gateway.flows import rule_rows
from gateway.flows.rule_rows import Acceptance
from gateway.settings import load_settings

rules = typer.Typer(help="Clinical rule rows.", no_args_is_help=True)
RuleArgument = Annotated[str, typer.Argument(help="Id of the rule.", show_default=False)]


@rules.command("list")
def list_rules(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Every clinical rule row, packaged ones and those of `rules.directories`."""
    found = rule_rows.list_rules(load_settings(settings), SystemClock().now().date())
    show({"rules": found}, as_json, _print_rules)


@rules.command("show")
def show_rule(rule: RuleArgument, settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """One rule with everything it asks, all its versions."""
    show({"versions": rule_rows.show_rule(load_settings(settings), rule)}, as_json, _print_rule)


@rules.command("check")
def check_rules(settings: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Read every rule row and the codes it names.

    Exit code 10, with file, key and what was expected, when a row cannot be used, when versions of one row
    overlap, when two rows apply equally to one order, or when a row names what the codes do not have. Reviews
    that are overdue and rows that are never chosen are remarked.
    """
    loaded, today = load_settings(settings), SystemClock().now().date()
    findings = rule_rows.check(loaded, today)
    value = {
        "rules": rule_rows.list_rules(loaded, today),
        "usable": not any(finding.severity == "error" for finding in findings),
        "findings": [
            {"severity": item.severity, "rule": item.rule, "key": item.key, "what": item.what} for item in findings
        ],
    }
    show(value, as_json, _print_findings)
    if not value["usable"]:
        raise SettingsError("The rule rows cannot be used together; change what is named above.", code="rule.set")


@rules.command("accept")
def accept_rule(
    rule: RuleArgument,
    by: Annotated[str, typer.Option("--by", help="Name of the person who answers for it.", show_default=False)],
    reason: Annotated[str, typer.Option("--reason", help="Why; no patient data.", show_default=False)],
    payer: Annotated[str, typer.Option("--payer", help="Slug of the payer it is for; `*` for every payer.")] = "*",
    version: Annotated[str, typer.Option("--version", help="Version, where there are several.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take an earlier acceptance back.")] = False,
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an illustrative rule apply in production to a payer, or take that back.

    The decision is signed, kept for good with name, time and reason, and logged. It is about the row's content
    as it stands: a row that is changed later must be accepted again.
    """
    wanted = Acceptance(rule_id=rule, version=version, payer=payer, decided_by=by, reason=reason, withdraw=withdraw)
    with opened(settings) as (services, actor):
        decided = rule_rows.decide(services, replace(actor, roles=("administrator",)), wanted, stepped_up=True)
    show(decided, as_json, lambda value: print_fields(list(flat("", value))))


@rules.command("decisions")
def list_decisions(
    rule: Annotated[str, typer.Argument(help="Id of the rule; all rules without.")] = "",
    settings: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who accepted which rule for which payer and who took it back, oldest first; signatures are checked."""
    with opened(settings) as (services, _):
        found = rule_rows.list_decisions(services, rule)
    show({"decisions": found}, as_json, _print_decisions)


def _print_rules(found: dict[str, Any]) -> None:
    rows = [
        (
            row["rule_id"],
            row["version"],
            row["label"],
            row["from"],
            row["to"] or "-",
            "overdue" if row["review_overdue"] else "-",
            ", ".join(row["procedures"]),
        )
        for row in found["rules"]
    ]
    print_table(("rule", "version", "status", "from", "to", "review", "procedures"), rows)


def _print_rule(found: dict[str, Any]) -> None:
    for row in found["versions"]:
        typer.echo(f"{row['rule_id']} {row['version']}: {row['label']}")
        print_fields(list(flat("", row)))
        typer.echo()


def _print_findings(value: dict[str, Any]) -> None:
    rows = [(item["severity"], item["rule"], item["key"], item["what"]) for item in value["findings"]]
    if rows:
        print_table(("", "rule", "key", "what"), rows)
    if value["usable"]:
        typer.echo(f"{len(value['rules'])} rule rows can be used.")


def _print_decisions(value: dict[str, Any]) -> None:
    rows = [
        (
            item["decided_at"][:16],
            f"{item['rule_id']} {item['version']}",
            item["payer"],
            item["decision"] if item["is_current_content"] else f"{item['decision']} (row changed since)",
            item["decided_by"],
            item["reason"],
        )
        for item in value["decisions"]
    ]
    print_table(("when", "rule", "payer", "decision", "by", "reason"), rows)
