"""The shape of one measure, and how cells are grouped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from gateway.policy.metrics_math import Cell, rate

Unit = Literal["share", "hours", "days", "minutes", "count", "amount"]
NOT_RECORDED = "Not recorded here; an operator may supply it."
"""Note on a measure without input."""
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure over the period."""

    id: str
    """Stable name."""
    title: str
    """Name that people see."""
    definition: str
    """Numerator over denominator, in words."""
    unit: Unit
    """What its numbers are."""
    cells: tuple[Cell, ...] = ()
    """The whole first, then its groups; empty for one that is not recorded."""
    notes: tuple[str, ...] = ()
    """What to know when reading it."""
    is_alarm: bool = False
    """A number that must be 0 is not."""

    @property
    def is_recorded(self) -> bool:
        """Whether there is anything to compute it from."""
        return bool(self.cells)


def shares(
    rows: Iterable[Row], counts: Callable[[Row], bool], *splits: tuple[str, Callable[[Row], str]]
) -> tuple[Cell, ...]:
    """The share of `rows` that count, as a whole and split by each (name, group of a row).

    A row whose group is empty is in the whole and in no group.
    """
    listed = list(rows)
    cells = [rate(sum(map(counts, listed)), len(listed))]
    for by, group_of in splits:
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in listed:
            groups[group_of(row)].append(row)
        cells += [rate(sum(map(counts, own)), len(own), by, name) for name, own in sorted(groups.items()) if name]
    return tuple(cells)
