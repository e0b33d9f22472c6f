"""The part of UCUM that forms meet: enough to compare two amounts, exact, and honest about the rest.

A unit outside the table is of no known kind: two such amounts compare only when their codes are equal.
"""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

_PREFIXES: Final = {
    "k": Decimal(1000),
    "h": Decimal(100),
    "da": Decimal(10),
    "d": Decimal("0.1"),
    "c": Decimal("0.01"),
    "m": Decimal("0.001"),
    "u": Decimal("0.000001"),
    "n": Decimal("0.000000001"),
    "p": Decimal("0.000000000001"),
    "M": Decimal(1000000),
    "G": Decimal(1000000000),
}
_METRIC: Final[dict[str, tuple[Decimal, str]]] = {
    "m": (Decimal(1), "m"),
    "g": (Decimal(1), "g"),
    "s": (Decimal(1), "s"),
    "mol": (Decimal(1), "mol"),
    "L": (Decimal("0.001"), "m3"),
    "l": (Decimal("0.001"), "m3"),
    "eq": (Decimal(1), "mol"),
    "U": (Decimal(1), "U"),
    "[iU]": (Decimal(1), "[iU]"),
    "Pa": (Decimal(1), "Pa"),
    "m[Hg]": (Decimal("133322"), "Pa"),
    "cal": (Decimal("4.184"), "J"),
    "J": (Decimal(1), "J"),
    "K": (Decimal(1), "K"),
}
_PLAIN: Final[dict[str, tuple[Decimal, str]]] = {
    "1": (Decimal(1), ""),
    "%": (Decimal("0.01"), ""),
    "[ppth]": (Decimal("0.001"), ""),
    "min": (Decimal(60), "s"),
    "h": (Decimal(3600), "s"),
    "d": (Decimal(86400), "s"),
    "wk": (Decimal(604800), "s"),
    "mo": (Decimal("2629800"), "s"),
    "a": (Decimal("31557600"), "s"),
    "[in_i]": (Decimal("0.0254"), "m"),
    "[ft_i]": (Decimal("0.3048"), "m"),
    "[lb_av]": (Decimal("453.59237"), "g"),
    "[oz_av]": (Decimal("28.349523125"), "g"),
    "Cel": (Decimal(1), "Cel"),
    "[degF]": (Decimal(1), "[degF]"),
}
_FACTOR = re.compile(r"(.+?)(-?\d+)?")


def same_scale(left: Decimal, left_unit: str, right: Decimal, right_unit: str) -> tuple[Decimal, Decimal] | None:
    """Both values in base units, or None when the units differ in kind or are not known."""
    one, two = _measure(left_unit), _measure(right_unit)
    if one is None or two is None or one[1] != two[1]:
        return None
    return left * one[0], right * two[0]


def product(left_unit: str, right_unit: str, sign: int) -> str:
    """Unit of a product (`sign` 1) or quotient (-1), in the simplest spelling."""
    if right_unit == "1":
        return left_unit
    if sign < 0 and left_unit == right_unit:
        return "1"
    if left_unit == "1":
        return right_unit if sign > 0 else f"/{right_unit}"
    return f"{left_unit}.{right_unit}" if sign > 0 else f"{left_unit}/{right_unit}"


@lru_cache(maxsize=512)
def _measure(unit: str) -> tuple[Decimal, tuple[tuple[str, int], ...]] | None:
    """Factor to base units and the base dimensions of a UCUM code, or None."""
    factor, powers = Decimal(1), dict[str, int]()
    for position, term in enumerate(re.sub(r"\{[^}]*\}", "1", unit).split("/")):
        for atom in (term or "1").split("."):
            read = _atom(atom)
            if read is None:
                return None
            scale, base, power = read
            power = -power if position else power
            with localcontext() as context:
                context.prec = 34
                factor *= scale**power
            for name, times in _dimensions(base):
                powers[name] = powers.get(name, 0) + times * power
    return factor, tuple(sorted((name, power) for name, power in powers.items() if power))


def _dimensions(base: str) -> tuple[tuple[str, int], ...]:
    if not base:
        return ()
    return (("m", 3),) if base == "m3" else ((base, 1),)


def _atom(text: str) -> tuple[Decimal, str, int] | None:
    if text.isdigit() and len(text) < 10:
        return Decimal(text), "", 1
    match = _FACTOR.fullmatch(text)
    if match is None:
        return None
    symbol, power = match.group(1), int(match.group(2) or 1)
    if abs(power) > 9:
        return None
    if symbol in _PLAIN:
        return (*_PLAIN[symbol], power)
    if symbol in _METRIC:
        return (*_METRIC[symbol], power)
    for prefix, scale in _PREFIXES.items():
        if symbol.startswith(prefix) and symbol[len(prefix) :] in _METRIC:
            base_scale, base = _METRIC[symbol[len(prefix) :]]
            return scale * base_scale, base, power
    return None
