"""Rule rows: what a payer, or we in its place, ask before advanced imaging.

A row is versioned data and does not change once it is in force. Rows that nobody verified say
`illustrative` and are shown as *not a payer policy*. Source: spec/clinical.md §6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path

from gateway.clinical.concepts import Concepts, packaged_concepts, with_regions
from gateway.clinical.rule_row import Rule, validate_rule
from gateway.clinical.scalars import MAX_BYTES, parse_scalars
from gateway.errors import SettingsError

__all__ = ["Concepts", "Rule", "choose_rule", "in_force", "load_concepts", "load_rules", "parse_rule", "parse_rules"]


def parse_rule(text: str, name: str = "rule") -> Rule:
    """One rule from YAML text; raises `SettingsError` with the path of the first key at fault."""
    return validate_rule(parse_scalars(text, name), name)


def parse_rules(files: Iterable[tuple[str, str]]) -> tuple[Rule, ...]:
    """Rules of (file name, text) pairs; a file is named after its rule id. Same id and version twice is refused."""
    found: dict[tuple[str, str], Rule] = {}
    for name, text in files:
        rule = parse_rule(text, name)
        if name.partition("@")[0].removesuffix(".yaml") != rule.rule_id:
            raise SettingsError(f"{name}: the file must be named after its rule_id.", code="rule.name")
        if (rule.rule_id, rule.version) in found:
            raise SettingsError(f"{name}: this version of the rule exists already.", code="rule.version")
        found[(rule.rule_id, rule.version)] = rule
    return tuple(found.values())


def load_rules(extra: Sequence[Path] = ()) -> tuple[Rule, ...]:
    """Packaged rows and those of `extra` (YAML files or folders of them); a later file of the same name replaces.

    Raises `SettingsError` that names the file and the key.
    """
    packaged = files("payer_endpoints") / "rules"
    found = {item.name: item.read_text("utf-8") for item in packaged.iterdir() if item.name.endswith(".yaml")}
    for path in extra:
        for file in sorted(path.glob("*.yaml")) if path.is_dir() else [path]:
            found[file.name] = _read_file(file)
    return parse_rules(sorted(found.items()))


def load_concepts(slug: str = "conservative-care", extra: Sequence[Path] = ()) -> Concepts:
    """The codes that the rules are about; TOML files in the folders of `extra` add parts of the body.

    Raises `SettingsError` that names the file and the key.
    """
    found = [file for path in extra if path.is_dir() for file in sorted(path.glob("*.toml"))]
    return with_regions(packaged_concepts(slug), [(file.name, _read_file(file)) for file in found])


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as opened:
            return opened.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{path.name}: a readable UTF-8 file is expected.", code="rule.file") from None


def in_force(rules: Iterable[Rule], on: date) -> tuple[Rule, ...]:
    """The rows that an order of that day may be judged by: of each row the version that began last."""
    latest: dict[str, Rule] = {}
    for rule in rules:
        known = latest.get(rule.rule_id)
        if rule.holds_on(on) and (known is None or known.effective.start < rule.effective.start):
            latest[rule.rule_id] = rule
    return tuple(latest.values())


_RANK = {"plan": 3, "um_vendor": 2, "mac": 1, "default": 0}


def choose_rule(
    rules: Iterable[Rule],
    payor_identifiers: Collection[tuple[str, str]],
    plan_ids: Collection[str],
    state: str | None,
    code: str,
    on: date,
) -> Rule | None:
    """The row for an order: plan before vendor before MAC before default; None when none is about `code`.

    `payor_identifiers` are (system, value) pairs of the payor; `state` is that of the practice; `code`
    the CPT code; `on` the order date. Of two rows of one kind the one with more matching criteria wins,
    then the one in force later; a tie is a `SettingsError` (spec/clinical.md §6.1).
    """
    usable = [rule for rule in rules if rule.holds_on(on) and code in rule.procedure.cpt]
    ranked = [
        ((_RANK[rule.payer.kind], weight, rule.effective.start), rule)
        for rule in usable
        if (weight := _weight(rule, payor_identifiers, plan_ids, state)) is not None
    ]
    if not ranked:
        return None
    best = max(key for key, _ in ranked)
    chosen = [rule for key, rule in ranked if key == best]
    if len(chosen) > 1:
        names = ", ".join(sorted(f"{rule.rule_id} {rule.version}" for rule in chosen))
        raise SettingsError(f"Several rules apply equally: {names}. Narrow one of them.", code="rule.tie")
    return chosen[0]


def _weight(
    rule: Rule, payors: Collection[tuple[str, str]], plan_ids: Collection[str], state: str | None
) -> int | None:
    """Number of criteria that match, None when one does not or there is none."""
    match = rule.payer.match
    known = {value for _, value in payors} | {f"{system}|{value}" for system, value in payors}
    tests = [
        (match.coverage_payor_identifiers, known),
        (match.plan_ids, set(plan_ids)),
        (match.states, {state} if state else set()),
    ]
    asked = [(wanted, had) for wanted, had in tests if wanted]
    if any(not set(wanted) & had for wanted, had in asked):
        return None
    return len(asked) if asked or rule.payer.kind == "default" else None
