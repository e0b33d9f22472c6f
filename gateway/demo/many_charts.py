"""Any number of synthetic charts, all different, for audits and measurements.

Each is one of the worked cases moved to other days and changed a little: fewer visits, another score, an earlier
order. The same seed gives the same bytes. What a chart's verdict is follows from the rules alone.

    python -m gateway.demo.many_charts OUT_DIR --count 1000            a Bundle for each chart
    python -m gateway.demo.many_charts OUT_DIR --count 1000 --ndjson   a bulk export, one file for each type
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import IO, Any

from gateway.demo.charts import build_chart
from gateway.demo.charts_recipe import Person, Recipe, case_ids, case_recipe
from gateway.fhir import Json
from gateway.fhir.json import dump_json

MOST_MOVED = 180
"""Days over which charts are spread; all are later than the worked cases."""
MOST_EARLIER = 35
"""Days by which an order is written earlier than in its worked case."""


def many_charts(count: int, seed: int = 1) -> Iterator[tuple[str, Json]]:
    """(name, Bundle) of `count` charts, `C00001` and on."""
    cases = case_ids()
    for number in range(1, count + 1):
        dice = Random(f"{seed}/{number}")
        recipe = case_recipe(dice.choice(cases))
        name = f"C{number:05d}"
        yield name, build_chart(_changed(_moved_recipe(recipe, MOST_EARLIER + dice.randrange(MOST_MOVED)), name, dice))


def _changed(recipe: Recipe, name: str, dice: Random) -> Recipe:
    """The recipe under another name, with a few facts other than in its worked case."""
    person = Person(
        family=f"Synthetic{name}",
        given=dice.choice(("Ada", "Bo", "Cleo", "Dov", "Esme", "Finn")),
        gender=dice.choice(("female", "male")),
        birth_date=date(dice.randrange(1935, 2004), dice.randrange(1, 13), dice.randrange(1, 29)).isoformat(),
        line=f"{dice.randrange(1, 999)} Placeholder Way",
    )
    visits = dice.sample(recipe.sessions_on, dice.randrange(len(recipe.sessions_on) + 1))
    few = dice.random() < 0.4
    return replace(
        recipe,
        chart_id=name,
        person=person,
        member_id=f"SYN-{name}",
        sessions_on=tuple(sorted(visits)) if few else recipe.sessions_on,
        ndi=tuple(_scored(score, dice) for score in recipe.ndi),
        drugs=tuple({**drug, "days": dice.choice((21, 28, 42, 42, 60))} for drug in recipe.drugs),
        order_on=recipe.order_on - timedelta(days=dice.randrange(MOST_EARLIER) if dice.random() < 0.4 else 0),
    )


def _scored(score: Mapping[str, Any], dice: Random) -> Mapping[str, Any]:
    return {**score, "total": min(50, max(0, score["total"] + dice.choice((-4, -2, 0, 0, 0, 1, 3))))}


def _moved_recipe(recipe: Recipe, days: int) -> Recipe:
    """Every day of the recipe, `days` later."""
    fields = {name: getattr(recipe, name) for name in Recipe.__slots__ if name != "person"}
    return replace(recipe, **{name: _moved(value, days) for name, value in fields.items()})


def _moved(value: Any, days: int) -> Any:
    if isinstance(value, date):
        return value + timedelta(days=days)
    if isinstance(value, Mapping):
        return {key: _moved(item, days) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_moved(item, days) for item in value)
    if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-" == value[7:8]:
        return (date.fromisoformat(value[:10]) + timedelta(days=days)).isoformat() + value[10:]
    return value


def save_bundles(folder: Path, count: int, seed: int = 1) -> None:
    """Write `<name>.json` for each chart."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, bundle in many_charts(count, seed):
        (folder / f"{name}.json").write_bytes(dump_json(bundle))


def save_export(folder: Path, count: int, seed: int = 1) -> None:
    """Write `<Type>.ndjson` for each type, as a bulk export does; what charts share stands there once."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        written: set[str] = set()
        for _, bundle in many_charts(count, seed):
            for entry in bundle["entry"]:
                resource = entry["resource"]
                kind = resource["resourceType"]
                if entry["fullUrl"] in written:
                    continue
                written.add(entry["fullUrl"])
                if kind not in files:
                    files[kind] = stack.enter_context((folder / f"{kind}.ndjson").open("wb"))
                files[kind].write(dump_json(resource) + b"\n")


def main(arguments: list[str]) -> int:
    """Command line. Exit 0 done, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.many_charts", description="Write synthetic charts.")
    parser.add_argument("folder", type=Path, metavar="OUT_DIR")
    parser.add_argument("--count", type=int, default=1000, help="how many charts")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other charts")
    parser.add_argument("--ndjson", action="store_true", help="a bulk export instead of Bundles")
    chosen = parser.parse_args(arguments)
    save = save_export if chosen.ndjson else save_bundles
    save(chosen.folder, chosen.count, chosen.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
