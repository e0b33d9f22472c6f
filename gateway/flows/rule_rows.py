"""Rule rows as a managed thing: what is in force, who accepted it, and what is wrong with the set.

An illustrative row is nobody's policy. In production it applies to a payer only after a named person
accepted that very content for that payer; the decision is signed, kept for good and logged.
Source: spec/clinical.md §6.1; design.md §5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509 import load_der_x509_certificate

import provenance
from gateway.clinical.rule_checks import RuleFinding, check_rules, name_of
from gateway.clinical.rule_row import status_words
from gateway.clinical.rules import Rule, in_force, load_concepts, load_rules
from gateway.errors import InputError, IntegrityError, NotFound
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.policy.access import require_access
from gateway.settings import Settings
from gateway.store.rule_decisions import EVERY_PAYER, RuleDecisionRow
from provenance.jws import fits, read_detached, sign_detached

MAX_REASON = 400
"""Longest reason that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A decision somebody is about to make on a row."""

    rule_id: str
    """Row."""
    version: str = ""
    """Its version; empty for the only one there is."""
    payer: str = EVERY_PAYER
    """Payer it is for; `*` for every one."""
    decided_by: str
    """Name of the person who answers for it."""
    reason: str
    """Why, without patient data."""
    withdraw: bool = False
    """Take an earlier acceptance back."""


def rules_for(services: Services, payer: str) -> tuple[Rule, ...]:
    """Rows that may be chosen for a payer: in production verified ones and those accepted for it, else all.

    Retired rows are among them; `choose_rule` leaves them out.
    """
    if services.settings.server.mode != "production":
        return services.rules
    return usable_rules(services.rules, _decisions(services), services.settings.rules.accepted, payer)


def usable_rules(
    rules: Iterable[Rule], decisions: Sequence[RuleDecisionRow], by_settings: Sequence[str], payer: str
) -> tuple[Rule, ...]:
    """Rows of `rules` that production may use for a payer. Pure; the latest decision on a content and payer holds."""
    accepted = accepted_content(decisions, payer)
    return tuple(
        rule
        for rule in rules
        if rule.status != "illustrative" or rule.rule_id in by_settings or rule_digest(rule) in accepted
    )


def accepted_content(decisions: Iterable[RuleDecisionRow], payer: str) -> frozenset[str]:
    """Digests of the rows accepted for a payer; a decision on the payer itself wins over one on all."""
    latest: dict[tuple[str, str], str] = {}
    for row in decisions:
        if row.payer in (payer, EVERY_PAYER):
            latest[(row.rule_digest, row.payer)] = row.decision
    digests = {digest for digest, _ in latest}
    own = {digest: latest.get((digest, payer), latest.get((digest, EVERY_PAYER), "")) for digest in digests}
    return frozenset(digest for digest, decision in own.items() if decision == "accepted")


def rule_digest(rule: Rule) -> str:
    """Hex SHA-256 of a row's whole content, defaults included, as canonical JSON."""
    text = json.dumps(rule.model_dump(mode="json", by_alias=True))
    return provenance.digest_hex(provenance.jcs(text.encode()))


def list_rules(settings: Settings, today: date) -> list[dict[str, Any]]:
    """Every row, also retired ones, in short. Raises SettingsError that names the file and the key at fault."""
    rules = load_rules(settings.rules.directories)
    current = in_force(rules, today)
    return [{**_short(rule, settings, today), "in_force": rule in current} for rule in rules]


def show_rule(settings: Settings, rule_id: str) -> list[dict[str, Any]]:
    """Every version of one row, whole. Raises SettingsError, NotFound."""
    found = [rule for rule in load_rules(settings.rules.directories) if rule.rule_id == rule_id]
    if not found:
        raise NotFound("There is no rule with this id; `pa-gateway rule list` shows them.")
    accepted = rule_id in settings.rules.accepted
    return [
        {
            **rule.model_dump(mode="json", by_alias=True),
            "label": status_words(rule.status),
            "accepted": accepted,
            "digest": rule_digest(rule),
        }
        for rule in found
    ]


def check(settings: Settings, today: date) -> tuple[RuleFinding, ...]:
    """What is wrong with the set of rows. Raises SettingsError for a row or a region file that cannot be read."""
    rules = load_rules(settings.rules.directories)
    found = check_rules(rules, load_concepts(extra=settings.rules.directories), today)
    return (*found, *(_off(rule) for rule in in_force(rules, today) if _is_off(rule, settings)))


def _is_off(rule: Rule, settings: Settings) -> bool:
    is_production = settings.server.mode == "production"
    return is_production and rule.status == "illustrative" and rule.rule_id not in settings.rules.accepted


def _off(rule: Rule) -> RuleFinding:
    what = "off in production for every payer that `pa-gateway rule decisions` does not name"
    return RuleFinding(severity="warning", rule=name_of(rule), key="status", what=what)


def list_decisions(services: Services, rule_id: str = "") -> list[dict[str, Any]]:
    """Decisions on rows, oldest first, and whether each is about the content that is loaded now."""
    now = {rule_digest(rule) for rule in services.rules}
    return [
        {
            "rule_id": row.rule_id,
            "version": row.version,
            "payer": row.payer,
            "decision": row.decision,
            "decided_by": row.decided_by,
            "decided_at": row.decided_at.isoformat(),
            "reason": row.reason,
            "is_current_content": row.rule_digest in now,
        }
        for row in _decisions(services)
        if rule_id in ("", row.rule_id)
    ]


def decide(services: Services, actor: Actor, wanted: Acceptance, *, stepped_up: bool = False) -> dict[str, Any]:
    """Record who lets a row apply to a payer, or takes that back; signed, kept for good and logged.

    `stepped_up`: the actor proved who they are a moment ago; one who commands the machine itself has.
    Raises NotFound for a row or payer that does not exist, InputError for a missing name or reason, a
    version that must be given, or a row that needs no acceptance; AccessError.
    """
    require_access(replace(actor.caller, stepped_up=stepped_up), "rule.accept")
    rule = _chosen(services.rules, wanted)
    _require_sense(services, rule, wanted)
    earlier = _decisions(services)
    row = _signed(services, rule, wanted, earlier)
    with services.store.begin() as tx:
        tx.rule_decisions.append(row)
    get_logger().info(f"rule.{row.decision}", code=f"{row.rule_id} {row.version}", payer=row.payer)
    return list_decisions(services, row.rule_id)[-1]


def _decisions(services: Services) -> tuple[RuleDecisionRow, ...]:
    """Every decision of the tenant, oldest first. Raises IntegrityError where one was tampered with."""
    with services.store.read() as tx:
        rows = tx.rule_decisions.list(services.settings.tenant.id)
    require_intact(rows, services.keys)
    return rows


def _chosen(rules: Iterable[Rule], wanted: Acceptance) -> Rule:
    versions = [rule for rule in rules if rule.rule_id == wanted.rule_id]
    found = [rule for rule in versions if wanted.version in ("", rule.version)]
    if not found:
        raise NotFound("There is no such rule in this version; `pa-gateway rule list` shows them.")
    if len(found) > 1:
        raise InputError("The rule has several versions; say which one with --version.", code="rule.version")
    return found[0]


def _require_sense(services: Services, rule: Rule, wanted: Acceptance) -> None:
    if not wanted.decided_by.strip() or not wanted.reason.strip():
        raise InputError("Say who decides and why: --by and --reason.", code="rule.reason")
    if len(wanted.reason) > MAX_REASON or len(wanted.decided_by) > MAX_REASON:
        raise InputError(f"Keep name and reason within {MAX_REASON} characters.", code="rule.reason")
    if rule.status != "illustrative":
        raise InputError(f"A {rule.status} rule needs no acceptance; only illustrative ones do.", code="rule.status")
    if wanted.payer != EVERY_PAYER:
        services.payer_row(wanted.payer)


def _signed(services: Services, rule: Rule, wanted: Acceptance, earlier: Sequence[RuleDecisionRow]) -> RuleDecisionRow:
    """The decision with its statement, signed by the event key; each names the digest of the one before."""
    row = RuleDecisionRow(
        tenant_id=services.settings.tenant.id,
        seq=len(earlier),
        rule_id=rule.rule_id,
        version=rule.version,
        rule_digest=rule_digest(rule),
        payer=wanted.payer,
        decision="withdrawn" if wanted.withdraw else "accepted",
        decided_by=wanted.decided_by.strip(),
        decided_at=services.clock.now(),
        reason=wanted.reason.strip(),
        statement="",
        jws="",
    )
    statement = statement_of(row, earlier[-1] if earlier else None)
    signer = services.keys.signer("event")
    header = {"typ": "JOSE", "x5t#S256": signer.x5t, "sigT": row.decided_at.isoformat()}
    return replace(row, statement=statement.decode(), jws=sign_detached(header, statement, signer))


def statement_of(row: RuleDecisionRow, earlier: RuleDecisionRow | None) -> bytes:
    """What is signed for a decision: its fields and the digest of the decision before it, as canonical JSON."""
    content = {
        "type": "rule-decision",
        "tenant": row.tenant_id,
        "seq": row.seq,
        "previous": provenance.jws_digest(earlier.jws) if earlier else None,
        "rule_id": row.rule_id,
        "version": row.version,
        "rule_digest": row.rule_digest,
        "payer": row.payer,
        "decision": row.decision,
        "decided_by": row.decided_by,
        "decided_at": row.decided_at.isoformat(),
        "reason": row.reason,
    }
    return provenance.jcs(json.dumps(content).encode())


def require_intact(rows: Sequence[RuleDecisionRow], keys: provenance.KeyRing) -> None:
    """Raise IntegrityError where a decision was changed, left out, or not signed by one of the tenant's keys."""
    for place, row in enumerate(rows):
        expected = statement_of(row, rows[place - 1] if place else None)
        if row.seq != place or row.statement.encode() != expected or not _is_signed(row, expected, keys):
            raise IntegrityError(
                "A decision on a rule row was changed after it was signed; restore the database from its backup.",
                code="integrity.rule-decision",
            )


def _is_signed(row: RuleDecisionRow, statement: bytes, keys: provenance.KeyRing) -> bool:
    try:
        jws = read_detached(row.jws)
        certificate = load_der_x509_certificate(keys.certificate(str(jws.header.get("x5t#S256"))))
    except (provenance.JwsError, provenance.KeyRingError):
        return False
    key = certificate.public_key()
    return isinstance(key, EllipticCurvePublicKey) and fits(jws, statement, key)


def _short(rule: Rule, settings: Settings, today: date) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "version": rule.version,
        "status": rule.status,
        "label": status_words(rule.status),
        "accepted": rule.rule_id in settings.rules.accepted,
        "kind": rule.payer.kind,
        "payer_name": rule.payer.name,
        "from": rule.effective.start.isoformat(),
        "to": rule.effective.end.isoformat() if rule.effective.end else "",
        "procedures": list(rule.procedure.cpt),
        "review_overdue": rule.review_is_overdue(today),
    }
