"""UCUM: what a unit measures and by how much two units differ, as exact fractions.

No library fits: pint with ucumvert works in binary floats, needs 1.5 s before the first conversion and fails
with Decimals; the others are unkept. The table of UCUM itself is small, so it ships as data (facts/ucum.json)
and is read here. Logarithmic units (pH, B, Np, …) compare with their own kind only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

_COMPONENT = re.compile(r"((?:\[[^\]]*\]|[^\[\](){}./\s])+?)([+-]?\d+)?")
_TOKEN = re.compile(r"\{[^{}]*\}|[()./]|(?:\[[^\]]*\]|[^\[\](){}./\s])+")
_MAX_LENGTH: Final = 100
_MAX_POWER: Final = 30
_OFFSETS: Final = {"Cel": Fraction(27315, 100), "degF": Fraction(45967, 100), "degRe": Fraction(21852, 100)}
CALENDAR: Final = {
    word: name
    for name in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for word in (name, f"{name}s")
}
"""Words of CQL for calendar durations."""
_UCUM_OF_WORD: Final = {"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}
WORD_OF_UCUM: Final = {code: word for word, code in _UCUM_OF_WORD.items()} | {"a": "year", "mo": "month"}


@dataclass(frozen=True, slots=True)
class Measure:
    """A unit in base units: `value * factor + shift` of the dimensions."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]
    shift: Fraction = Fraction(0)


@cache
def _table() -> tuple[dict[str, Fraction], dict[str, list[str]]]:
    text = files("gateway.reasoning.elm").joinpath("facts/ucum.json").read_text(encoding="utf-8")
    body: dict[str, Any] = json.loads(text)
    return {code: Fraction(value) for code, value in body["prefixes"].items()}, body["units"]


@lru_cache(maxsize=2048)
def measure(unit: str) -> Measure | None:
    """What a UCUM code or CQL duration word measures; None for a unit that is not known."""
    word = CALENDAR.get(unit)
    if word in ("year", "month"):
        return Measure(Fraction(12 if word == "year" else 1), (("calendar month", 1),))
    if word:
        unit = _UCUM_OF_WORD[word]
    if len(unit) > _MAX_LENGTH:
        return None
    try:
        return _Reader(_TOKEN.findall(unit), unit).read()
    except (_NotAUnit, ZeroDivisionError):
        return None


class _NotAUnit(Exception):
    pass


class _Reader:
    """Recursive reader of UCUM terms."""

    def __init__(self, tokens: list[str], text: str) -> None:
        if "".join(tokens) != text:
            raise _NotAUnit
        self._tokens = tokens
        self._at = 0

    def read(self) -> Measure:
        if not self._tokens:
            return Measure(Fraction(1), ())
        found = self._term()
        if self._at < len(self._tokens):
            raise _NotAUnit
        return found

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _term(self) -> Measure:
        found = Measure(Fraction(1), ())
        sign = 1
        if self._peek() == "/":
            self._at, sign = self._at + 1, -1
        found = _times(found, self._component(), sign)
        while self._peek() in (".", "/"):
            sign = -1 if self._peek() == "/" else 1
            self._at += 1
            found = _times(found, self._component(), sign)
        return found

    def _component(self) -> Measure:
        token = self._peek()
        self._at += 1
        if token == "(":
            found = self._term()
            if self._peek() != ")":
                raise _NotAUnit
            self._at += 1
        elif token.startswith("{"):
            return Measure(Fraction(1), ())
        elif not token or token in ")./":
            raise _NotAUnit
        else:
            found = _simple(token)
        if self._peek().startswith("{"):
            self._at += 1
        return found


def _times(left: Measure, right: Measure, sign: int) -> Measure:
    if right.shift and not left.dimensions and left.factor == 1 and sign == 1:
        return right
    powers = dict(left.dimensions)
    for name, power in right.dimensions:
        powers[name] = powers.get(name, 0) + sign * power
    dimensions = tuple(sorted((name, power) for name, power in powers.items() if power))
    return Measure(left.factor * right.factor**sign, dimensions)


def _simple(token: str) -> Measure:
    if token.isdigit():
        return Measure(Fraction(int(token)), ())
    match = _COMPONENT.fullmatch(token)
    if match is None:
        raise _NotAUnit
    atom, exponent = _atom(match.group(1)), int(match.group(2) or 1)
    if abs(exponent) > _MAX_POWER:
        raise _NotAUnit
    if exponent == 1:
        return atom
    return Measure(atom.factor**exponent, tuple((name, power * exponent) for name, power in atom.dimensions))


@lru_cache(maxsize=1024)
def _atom(code: str) -> Measure:
    prefixes, units = _table()
    if code in units:
        return _defined(code, units[code])
    for size in (2, 1):
        prefix, rest = code[:size], code[size:]
        if prefix in prefixes and rest in units and units[rest][0] == "metric":
            found = _defined(rest, units[rest])
            return Measure(found.factor * prefixes[prefix], found.dimensions, found.shift)
    raise _NotAUnit


def _defined(code: str, row: list[str]) -> Measure:
    _, value, unit, *function = row
    name = function[0] if function else ""
    if name == "arbitrary" or (not function and not unit):
        return Measure(Fraction(1), (("[iU]" if code == "[IU]" else code, 1),))
    inner = measure(unit)
    if inner is None or (name and name not in _OFFSETS):
        return Measure(Fraction(1), ((code, 1),))
    factor = inner.factor * Fraction(value)
    return Measure(factor, inner.dimensions, _OFFSETS[name] * (factor if name != "Cel" else 1) if name else Fraction(0))


@lru_cache(maxsize=2048)
def atoms(unit: str) -> tuple[tuple[str, int], ...] | None:
    """Atoms and powers of a code without brackets, for multiplying; None when it is nested."""
    if unit in ("", "1"):
        return ()
    found: list[tuple[str, int]] = []
    sign = 1
    for token in _TOKEN.findall(unit):
        if token in ("(", ")"):
            return None
        if token in (".", "/"):
            sign = -1 if token == "/" else 1
        elif not token.startswith("{"):
            match = _COMPONENT.fullmatch(token)
            if match is None:
                return None
            if token.isdigit():
                found.append((token, sign))
            else:
                found.append((match.group(1), sign * int(match.group(2) or 1)))
    return tuple(found)


def joined(left: str, right: str, sign: int) -> str | None:
    """Code of a product (`sign` 1) or quotient (-1), powers of equal atoms added; None when it cannot be told."""
    one, two = atoms(left), atoms(right)
    if one is None or two is None:
        return None
    powers: dict[str, int] = {}
    for atom, power in (*one, *((atom, sign * power) for atom, power in two)):
        powers[atom] = powers.get(atom, 0) + power
    above = ".".join(f"{atom}{power if power != 1 else ''}" for atom, power in powers.items() if power > 0)
    below = "".join(f"/{atom}{-power if power != -1 else ''}" for atom, power in powers.items() if power < 0)
    return f"{above}{below}" or "1"
