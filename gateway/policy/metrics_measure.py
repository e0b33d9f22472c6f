"""The shape of one measure, and how cells are grouped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from gateway.policy.metrics_math import Cell, rate

Unit = Literal["share", "hours", "days", "minutes", "count", "amount"]
NOT_RECORDED = "Not recorded here; an operator may supply it."
"""Note on a measure without input."""
PARTITIONS = ("payer", "diagnosis", "limit")
"""Splits whose groups add up to the whole. Clinicians do as well, but who stands out among them must be seen."""
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

    def guarded(self) -> Measure:
        """The same where no group that is hidden alone can be had by taking the others from the whole: the smallest
        of these is hidden as well."""
        alone = {
            name
            for name in PARTITIONS
            if sum(cell.is_hidden for cell in self.cells if cell.by == name) == 1 and not self.cells[0].is_hidden
        }
        cells = list(self.cells)
        for name in alone:
            shown = [place for place, cell in enumerate(cells) if cell.by == name and not cell.is_hidden]
            if shown:
                least = min(shown, key=lambda place: (_people(cells[place]), cells[place].group))
                cells[least] = Cell(by=name, group=cells[least].group, is_hidden=True)
        return replace(self, cells=tuple(cells))

    @property
    def is_recorded(self) -> bool:
        """Whether there is anything to compute it from."""
        return bool(self.cells)


def _people(cell: Cell) -> tuple[int, int]:
    """How many a group is about, by what is shown of it."""
    return cell.denominator or 0, cell.numerator or 0


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
