"""Charts changed at random places, for comparing two readings of one rule: same seed, same mutant.

A change takes away, moves a date, makes it partial, counts up or down, doubles a resource, or puts in the place of
a value another one that some chart has at such a place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

Json = dict[str, Any]
Place = tuple[Any, ...]
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(.*)", re.S)


class Pool:
    """Values that charts have, by the name of their element."""

    def __init__(self, charts: Iterable[Iterable[Json]]) -> None:
        self._values: dict[str, list[Any]] = {}
        for chart in charts:
            for resource in chart:
                for place, value in places(resource):
                    self._values.setdefault(_name(place), []).append(value)

    def other(self, place: Place, random: Random) -> Any:
        """Another value of the element at a place."""
        return copy.deepcopy(random.choice(self._values[_name(place)]))


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every element inside a resource with its place, the identity of the resource left out."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        if not at and key in ("resourceType", "id", "meta", "text", "subject", "patient"):
            continue
        yield (*at, key), item
        yield from places(item, (*at, key))


def _name(place: Place) -> str:
    return str(next(key for key in reversed(place) if isinstance(key, str)))


def mutant(chart: list[Json], pool: Pool, random: Random, changes: int) -> list[Json]:
    """A copy of a chart with so many changes."""
    mutated = copy.deepcopy(chart)
    for number in range(changes):
        resource = random.choice(mutated)
        found = list(places(resource))
        if not found or random.random() < 0.08:
            _whole(mutated, resource, random, number)
            continue
        place, value = random.choice(found)
        _change(resource, place, value, pool, random)
    return mutated


def _whole(chart: list[Json], resource: Json, random: Random, number: int) -> None:
    """Take a resource away, or double it under another name."""
    if random.random() < 0.5 and resource["resourceType"] not in ("Patient",):
        chart.remove(resource)
    else:
        chart.append({**copy.deepcopy(resource), "id": f"twin-{number}-{resource['id']}"[:60]})


def _change(resource: Json, place: Place, value: Any, pool: Pool, random: Random) -> None:
    *path, last = place
    holder: Any = resource
    for key in path:
        holder = holder[key]
    if random.random() < 0.2:
        del holder[last]
    elif random.random() < 0.4:
        holder[last] = pool.other(place, random)
    else:
        holder[last] = _varied(value, random)


def _varied(value: Any, random: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | Decimal):
        return value + random.choice([-1, 1, 2, 7, -7])
    if isinstance(value, str) and (match := _DATE.fullmatch(value)):
        return _other_date(match.group(1), match.group(2), random)
    if isinstance(value, list) and value:
        return [*value, copy.deepcopy(random.choice(value))] if random.random() < 0.5 else value[1:]
    return value


def _other_date(day: str, rest: str, random: Random) -> str:
    if random.random() < 0.15:
        return day[: random.choice([4, 7])]
    steps = random.choice([1, -1, 2, -2, 7, -7, 14, -14, 28, -28, 42, -42, 91, -91, 120, -150, -183, -184])
    return (date.fromisoformat(day) + timedelta(days=steps)).isoformat() + rest
