"""What is wrong with a set of rule rows as a whole: dates that overlap, rows that tie, names nobody knows.

One row alone is checked by its schema; this looks at rows beside each other and at the concepts they name.
Source: spec/clinical.md §6.1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations, pairwise
from typing import Literal

from gateway.clinical.concepts import Concepts, Region
from gateway.clinical.rule_row import Rule
from gateway.errors import SettingsError

NEVER = "it names neither payor, plan nor state and is never chosen by itself"
"""Remark on a row without a match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """One thing wrong with a row."""

    severity: Literal["error", "warning"]
    """An error keeps the gateway from starting; a warning is for a person to see."""
    rule: str
    """`rule_id version`."""
    key: str
    """Path of the key concerned."""
    what: str
    """What is wrong, in words."""

    @property
    def sentence(self) -> str:
        """Row, key and what is wrong in one line."""
        return f"{self.rule}: {self.key}: {self.what}."


def check_rules(rules: Sequence[Rule], concepts: Concepts, today: date) -> tuple[RuleFinding, ...]:
    """All findings, errors first; empty when the rows are sound and reviewed.

    Steps: (1) versions of one row whose dates overlap; (2) rows that no order could tell apart; (3) names
    and codes that the concepts lack; (4) reviews that are overdue, and rows that are never chosen.
    """
    found = [*_overlaps(rules), *_ties(rules)]  # (1) (2)
    for rule in rules:
        found += _unknown_names(rule, concepts)  # (3)
        found += _remarks(rule, today)  # (4)
    return tuple(sorted(found, key=lambda finding: (finding.severity != "error", finding.rule, finding.key)))


def require_sound(rules: Sequence[Rule], concepts: Concepts, today: date) -> None:
    """Raise `SettingsError` with every error among the findings."""
    errors = [finding.sentence for finding in check_rules(rules, concepts, today) if finding.severity == "error"]
    if errors:
        raise SettingsError(f"Rule rows cannot be used together. {' '.join(errors)}", code="rule.set")


def name_of(rule: Rule) -> str:
    """Id and version of a row, as people name it."""
    return f"{rule.rule_id} {rule.version}"


def _error(rule: Rule, key: str, what: str) -> RuleFinding:
    return RuleFinding(severity="error", rule=name_of(rule), key=key, what=what)


def _overlaps(rules: Iterable[Rule]) -> Iterator[RuleFinding]:
    """Versions in force on the same day. An open end is closed by the next version; a written one must not reach it."""
    versions: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules:
        if not rule.is_withdrawn:
            versions[rule.rule_id].append(rule)
    for listed in versions.values():
        for earlier, later in pairwise(sorted(listed, key=lambda rule: (rule.effective.start, rule.version))):
            end = earlier.effective.end
            if earlier.effective.start == later.effective.start:
                yield _error(later, "effective.from", f"version {earlier.version} begins on the same day")
            elif end is not None and end >= later.effective.start:
                what = f"it overlaps version {later.version}, which begins on {later.effective.start.isoformat()}"
                yield _error(earlier, "effective.to", what)


def _ties(rules: Iterable[Rule]) -> Iterator[RuleFinding]:
    """Pairs of different rows that one order could match equally well; choosing between them would be chance."""
    live = [rule for rule in rules if not rule.is_withdrawn]
    for one, other in combinations(live, 2):
        if one.rule_id != other.rule_id and _is_tie(one, other):
            yield _error(other, "payer.match", f"{name_of(one)} applies to the same orders equally; narrow one of them")


def _is_tie(one: Rule, other: Rule) -> bool:
    same_rank = one.payer.kind == other.payer.kind and one.effective.start == other.effective.start
    shared = set(one.procedure.cpt) & set(other.procedure.cpt)
    if not same_rank or not shared or not _both_chosen(one, other):
        return False
    criteria = list(zip(_criteria(one), _criteria(other), strict=True))
    if sum(bool(own) for own, _ in criteria) != sum(bool(its) for _, its in criteria):
        return False
    return all(set(own) & set(its) for own, its in criteria if own and its)


def _both_chosen(*rules: Rule) -> bool:
    return all(any(_criteria(rule)) or rule.payer.kind == "default" for rule in rules)


def _criteria(rule: Rule) -> tuple[tuple[str, ...], ...]:
    match = rule.payer.match
    return match.coverage_payor_identifiers, match.plan_ids, match.states


def _unknown_names(rule: Rule, concepts: Concepts) -> Iterator[RuleFinding]:
    region = concepts.region_of(rule.procedure.cpt[0])
    if region is None or not set(rule.procedure.cpt) <= set(region.procedures):
        yield _error(rule, "procedure.cpt", "the concepts know no one part of the body with all these services")
    for name in rule.outcome.measures:
        if concepts.measure_named(name) is None:
            yield _error(rule, "outcome.measures", f"the concepts have no measure {name}")
    if concepts.exam_named(rule.exam_template) is None:
        yield _error(rule, "exam_template", f"the concepts have no examination {rule.exam_template}")
    yield from _unknown_flags(rule, concepts)
    yield from _lacking(rule, region)


def _unknown_flags(rule: Rule, concepts: Concepts) -> Iterator[RuleFinding]:
    chosen = concepts.with_catalog(rule.red_flags.catalog)
    if chosen is None:
        yield _error(rule, "red_flags.catalog", f"the concepts have no catalogue {rule.red_flags.catalog}")
        return
    known = {flag.code for flag in chosen.red_flag}
    for code in (*rule.red_flags.accept, *rule.red_flags.extra):
        if code not in known:
            yield _error(rule, "red_flags", f"the catalogue has no category {code}")


def _lacking(rule: Rule, region: Region | None) -> Iterator[RuleFinding]:
    """Things that a row asks of a part of the body that has none."""
    sided = region is not None and (region.sides.right.conditions or region.sides.right.body_sites)
    if rule.laterality_required and not sided:
        yield _error(rule, "laterality_required", "the part of the body has no sides in the concepts")
    if rule.prior_imaging_required and not (region and region.prior_imaging):
        yield _error(rule, "prior_imaging_required", "the concepts name no plain imaging for the part of the body")


def _remarks(rule: Rule, today: date) -> Iterator[RuleFinding]:
    def remark(key: str, what: str) -> RuleFinding:
        return RuleFinding(severity="warning", rule=name_of(rule), key=key, what=what)

    if rule.status != "retired" and rule.review_is_overdue(today):
        yield remark("reviewed.next_due", "review overdue")
    if rule.status == "verified" and not any(source.confidence in ("high", "medium") for source in rule.sources):
        yield remark("sources", "verified, but no source of high or medium confidence is named")
    if rule.payer.kind != "default" and not any(_criteria(rule)):
        yield remark("payer.match", NEVER)
