"""FHIRPath functions that take part of a collection, or join two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.reasoning import fhirpath_equality as equality
from gateway.reasoning import fhirpath_operators as operators
from gateway.reasoning.fhirpath_evaluate import Collection, Evaluation, Function, run
from gateway.reasoning.fhirpath_syntax import Tree


def _zone(evaluation: Evaluation) -> Any:
    return evaluation.now.tzinfo if evaluation.now else None


def _single(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    operators.single(focus)
    return focus


def _first(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return focus[:1]


def _last(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return focus[-1:]


def _tail(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return focus[1:]


def _take(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return focus[: max(0, operators.integer(run(arguments[0], evaluation.this, evaluation)))]


def _skip(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return focus[max(0, operators.integer(run(arguments[0], evaluation.this, evaluation))) :]


def _intersect(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    other = run(arguments[0], evaluation.this, evaluation)
    evaluation.spend(len(focus) * len(other) // 4)
    zone = _zone(evaluation)
    kept = [item for item in focus if any(equality.equal_items(item, one, zone) for one in other)]
    return equality.distinct(kept, zone)


def _exclude(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    other = run(arguments[0], evaluation.this, evaluation)
    evaluation.spend(len(focus) * len(other) // 4)
    zone = _zone(evaluation)
    return [item for item in focus if not any(equality.equal_items(item, one, zone) for one in other)]


def _union(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    other = run(arguments[0], evaluation.this, evaluation)
    evaluation.spend((len(focus) + len(other)) ** 2 // 8)
    return operators.union(focus, other, _zone(evaluation))


def _combine(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [*focus, *run(arguments[0], evaluation.this, evaluation)]


SUBSETS: Final[Mapping[str, tuple[int, int, Function]]] = {
    "single": (0, 0, _single),
    "first": (0, 0, _first),
    "last": (0, 0, _last),
    "tail": (0, 0, _tail),
    "take": (1, 1, _take),
    "skip": (1, 1, _skip),
    "intersect": (1, 1, _intersect),
    "exclude": (1, 1, _exclude),
    "union": (1, 1, _union),
    "combine": (1, 1, _combine),
}
