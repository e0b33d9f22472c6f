"""Which rules an audit asks, each in the version that was in force on the day of the order.

A plan is frozen and may be handed to another process. A what-if lays fields over rows; whatever was changed
is marked in every verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from gateway.clinical.practice import practice_state
from gateway.clinical.rule_checks import require_sound
from gateway.clinical.rules import Concepts, Rule, choose_rule, load_concepts, load_rules
from gateway.clinical.scalars import MAX_BYTES, parse_scalars
from gateway.errors import InputError, NotFound, SettingsError
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.fhir.reading import codings, objects, text
from gateway.fhir.references import reference_text
from gateway.flows.audit_rows import Problem
from gateway.policy.routing import choose_coverage
from gateway.reasoning.record import RecordSnapshot

IDENTITY: Final = frozenset({"rule_id", "version", "status"})
"""Fields that name a row; a what-if may not change them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlan:
    """What is asked of every order."""

    rules: tuple[Rule, ...]
    """All rows of the installation, a what-if laid over them already."""
    concepts: Concepts
    """The codes that the rules are about."""
    zone: str
    """Time zone of practices whose charts name none."""
    now: datetime
    """Instant of the audit."""
    rule_ids: tuple[str, ...] = ()
    """Only these rules; empty with `is_all` false: the one that applies to the order's coverage."""
    is_all: bool = False
    """Every rule about the ordered service."""
    overlaid: frozenset[str] = frozenset()
    """Rules that the what-if changed."""
    usable: frozenset[tuple[str, str]] | None = None
    """Id and version of the rows that may be chosen from a coverage; None = all. Named rules are asked anyway."""

    def rules_for(self, record: RecordSnapshot, order: Json, code: str, on: date) -> tuple[Rule, ...] | Problem:
        """The rules to ask about an order of that service and local day, or why there is none."""
        if self.rule_ids or self.is_all:
            return self._named(code, on)
        try:
            chosen = self._chosen(record, order, code, on)
        except SettingsError as error:
            return Problem(code=error.reason, severity="error", message=error.diagnostics())
        return (chosen,) if chosen else _no_rule()

    def _named(self, code: str, on: date) -> tuple[Rule, ...] | Problem:
        in_force: dict[str, Rule] = {}
        for rule in self.rules:
            wanted = rule.rule_id in self.rule_ids if self.rule_ids else code in rule.procedure.cpt
            if not wanted or not rule.holds_on(on):
                continue
            known = in_force.setdefault(rule.rule_id, rule)
            if _age(rule) > _age(known):
                in_force[rule.rule_id] = rule
        return tuple(rule for _, rule in sorted(in_force.items())) or _no_rule()

    def _chosen(self, record: RecordSnapshot, order: Json, code: str, on: date) -> Rule | None:
        coverages = _coverages(record, order)
        coverage, _ = choose_coverage(coverages, on)
        own = [coverage] if coverage else []
        usable = [rule for rule in self.rules if self.usable is None or (rule.rule_id, rule.version) in self.usable]
        return choose_rule(
            usable,
            payor_identifiers=[pair for item in own for pair in _payors(record, item)],
            plan_ids=[plan for item in own for plan in _plans(item)],
            state=practice_state(record) or None,
            code=code,
            on=on,
        )


def open_plan(
    directories: Sequence[Path],
    *,
    zone: str,
    now: datetime,
    rule_ids: Sequence[str] = (),
    is_all: bool = False,
    overlay: Path | None = None,
    accepted: Collection[str] | None = None,
) -> AuditPlan:
    """The plan of an audit over the packaged rows and those of `directories`.

    With `accepted`, as in production, illustrative rows are only chosen from a coverage where it names them.
    Raises NotFound for a rule id nobody knows, SettingsError for rows or an overlay that cannot be used.
    """
    rules, concepts = load_rules(directories), load_concepts(extra=directories)
    require_sound(rules, concepts, now.date())
    known = {rule.rule_id for rule in rules}
    if set(rule_ids) - known:
        raise NotFound("There is no rule with this id; `pa-gateway rule list` shows them.", code="usage.rule")
    changes = read_overlay(overlay, known) if overlay else {}
    return AuditPlan(
        rules=tuple(rule.overlaid(changes[rule.rule_id]) if rule.rule_id in changes else rule for rule in rules),
        concepts=concepts,
        zone=zone,
        now=now,
        usable=None if accepted is None else row_names(rules, accepted),
        rule_ids=tuple(dict.fromkeys(rule_ids)),
        is_all=is_all,
        overlaid=frozenset(changes),
    )


def row_names(rules: Iterable[Rule], accepted: Collection[str]) -> frozenset[tuple[str, str]]:
    """Id and version of every row that somebody verified, or that `accepted` names."""
    usable = (rule for rule in rules if rule.status != "illustrative" or rule.rule_id in accepted)
    return frozenset((rule.rule_id, rule.version) for rule in usable)


def read_overlay(path: Path, known: frozenset[str] | set[str]) -> dict[str, Mapping[str, Any]]:
    """Rule id → fields to lay over the row, from JSON or YAML. Raises SettingsError that names what is refused."""
    content = _read(path)
    if not isinstance(content, Mapping) or not all(isinstance(fields, Mapping) for fields in content.values()):
        raise SettingsError(f"{path.name}: an overlay maps rule ids to fields of the row.", code="overlay.shape")
    for rule_id, fields in content.items():
        if rule_id not in known:
            raise SettingsError(f"{path.name}: there is no rule `{rule_id[:64]}`.", code="overlay.rule")
        fixed = sorted(IDENTITY & fields.keys())
        if fixed:
            raise SettingsError(f"{path.name}: {rule_id}.{fixed[0]}: an overlay may not change it.", code="overlay.key")
    return dict(content)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as opened:
            body = opened.read(MAX_BYTES + 1)
        written = body.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{path.name}: a readable UTF-8 file is expected.", code="overlay.file") from None
    if not written.lstrip().startswith("{") or len(body) > MAX_BYTES:
        return parse_scalars(written, path.name)
    try:
        return parse_json(body)
    except InputError as error:
        raise SettingsError(f"{path.name}: {error.message}", code="overlay.file") from None


def _age(rule: Rule) -> tuple[date, tuple[int, ...]]:
    """What makes one version of a row newer than another."""
    return rule.effective.start, tuple(int(part) for part in rule.version.split("."))


def _no_rule() -> Problem:
    message = "No rule about this service was in force on the day of the order; `pa-gateway rule list` shows the dates."
    return Problem(code="rule.none", severity="error", message=message)


def _coverages(record: RecordSnapshot, order: Json) -> list[Json]:
    """The coverages that the order names, else all of the chart."""
    named = [record.find(reference_text(item)) for item in objects(order.get("insurance"))]
    own = [item for item in named if item is not None and item.get("resourceType") == "Coverage"]
    return own or list(record.of_type("Coverage"))


def _payors(record: RecordSnapshot, coverage: Json) -> list[tuple[str, str]]:
    """(system, value) of everything by which the payors of a coverage are known."""
    found = []
    for payor in objects(coverage.get("payor")):
        organization = record.find(reference_text(payor)) or {}
        for identifier in (*objects(payor.get("identifier")), *objects(organization.get("identifier"))):
            found.append((text(identifier.get("system")), text(identifier.get("value"))))
    return found


def _plans(coverage: Json) -> list[str]:
    classes = objects(coverage.get("class"))
    return [text(item.get("value")) for item in classes if _is_plan(item)]


def _is_plan(item: Json) -> bool:
    return any(coding.get("code") == "plan" for coding in codings(item.get("type")))
