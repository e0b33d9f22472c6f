"""The table of FHIRPath functions, and those on collections: existence, filters, subsets, order, trees.

What reaches outside is in `fhirpath_context`, values in `fhirpath_texts`, `_numbers`, `_conversions`, `_boundaries`.

A function gets its unevaluated arguments, the input collection and the evaluation. One that is not in
the table is refused by name, never taken for an empty answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning import fhirpath_equality as equality
from gateway.reasoning import fhirpath_operators as operators
from gateway.reasoning.fhirpath_boundaries import BOUNDARIES
from gateway.reasoning.fhirpath_context import CONTEXT_FUNCTIONS
from gateway.reasoning.fhirpath_conversions import CONVERSIONS, ValueFunction
from gateway.reasoning.fhirpath_evaluate import (
    Collection,
    Evaluation,
    Function,
    is_exactly,
    require_type,
    run,
    test_type,
)
from gateway.reasoning.fhirpath_items import Item, all_members, computed, system_value
from gateway.reasoning.fhirpath_numbers import NUMBERS
from gateway.reasoning.fhirpath_subsets import SUBSETS
from gateway.reasoning.fhirpath_syntax import Call, Member, Special, Step, Tree, Unary
from gateway.reasoning.fhirpath_texts import PATTERNS, TEXTS

_READ_STEP: Final = 200
"""Characters of a text that a function may read for one step."""


def call_function(tree: Call, focus: Collection, evaluation: Evaluation) -> Collection:
    """Result of a call. Raises `fhirpath.unsupported` for a name that is not known, `fhirpath.evaluation` for
    a wrong number of arguments."""
    own = _FUNCTIONS.get(tree.name)
    if own is not None:
        low, high, function = own
        _require_count(tree, low, high)
        return function(tree.arguments, focus, evaluation)
    plain = _PLAIN.get(tree.name)
    if plain is None:
        raise ReasoningError(
            f"The function {tree.name[:40]} is not known here.",
            code="fhirpath.unsupported",
            frame={"function": tree.name},
        )
    low, high, value_function = plain
    _require_count(tree, low, high)
    arguments = [run(argument, evaluation.this, evaluation) for argument in tree.arguments]
    evaluation.spend(sum(len(item.value) for item in focus if type(item.value) is str) // _READ_STEP)
    return value_function(focus, arguments)


def _require_count(tree: Call, low: int, high: int) -> None:
    if not low <= len(tree.arguments) <= high:
        raise equality.failed(f"The function {tree.name[:40]} has a wrong number of arguments.")


def _zone(evaluation: Evaluation) -> Any:
    return evaluation.now.tzinfo if evaluation.now else None


# existence


def _empty(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [computed(not focus, focus)]


def _exists(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found = _where(arguments, focus, evaluation) if arguments else focus
    return [computed(bool(found), found or focus)]


def _all(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    for position, item in enumerate(focus):
        if operators.truth(run(arguments[0], [item], evaluation.at(item, position))) is not True:
            return [computed(False, (item,))]
    return [computed(True, focus)]


def _count(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [computed(len(focus), focus)]


def _truths(focus: Collection) -> list[bool]:
    found = [system_value(item) for item in focus]
    if not all(isinstance(value, bool) for value in found):
        raise equality.failed("Truth values are expected.")
    return found


def _every(wanted: bool) -> Function:
    def function(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
        return [computed(all(value is wanted for value in _truths(focus)), focus)]

    return function


def _some(wanted: bool) -> Function:
    def function(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
        return [computed(any(value is wanted for value in _truths(focus)), focus)]

    return function


def _not(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    value = operators.truth(focus)
    return [] if value is None else [computed(not value, focus)]


def _distinct(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    evaluation.spend(len(focus))
    return equality.distinct(focus, _zone(evaluation))


def _is_distinct(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [computed(len(_distinct(arguments, focus, evaluation)) == len(focus), focus)]


def _subset_of(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    other = run(arguments[0], evaluation.this, evaluation)
    return [computed(_contained(focus, other, evaluation), (*focus, *other))]


def _superset_of(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    other = run(arguments[0], evaluation.this, evaluation)
    return [computed(_contained(other, focus, evaluation), (*focus, *other))]


def _contained(part: Collection, whole: Collection, evaluation: Evaluation) -> bool:
    evaluation.spend(len(part) * len(whole) // 4)
    return all(any(equality.equal_items(item, other, _zone(evaluation)) for other in whole) for item in part)


# filters and projections


def _where(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found: Collection = []
    for position, item in enumerate(focus):
        answer = operators.single(run(arguments[0], [item], evaluation.at(item, position)))
        value = system_value(answer) if answer is not None else False
        if not isinstance(value, bool):
            raise equality.failed("A filter wants a truth value.")
        if value:
            found.append(item)
    return found


def _select(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found: Collection = []
    for position, item in enumerate(focus):
        found.extend(run(arguments[0], [item], evaluation.at(item, position)))
    return found


def _repeat(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found: Collection = []
    waiting = list(focus)
    while waiting:
        fresh: Collection = []
        for position, item in enumerate(waiting):
            fresh.extend(run(arguments[0], [item], evaluation.at(item, position)))
        waiting = []
        for item in fresh:
            evaluation.spend(1 + len(found))
            if not any(equality.equal_items(item, other, _zone(evaluation)) for other in found):
                found.append(item)
                waiting.append(item)
        _require_room(found, evaluation)
    return found


def _require_room(found: Collection, evaluation: Evaluation) -> None:
    if len(found) > evaluation.max_items:
        raise ReasoningError("The expression yields too many items.", code="fhirpath.limit")


def _of_type(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    name = _type_name(arguments[0])
    require_type(name)
    return [item for item in focus if is_exactly(item, name)]


def _is(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return test_type("is", focus, _type_name(arguments[0]))


def _as(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return test_type("as", focus, _type_name(arguments[0]))


def _type_name(tree: Tree) -> str:
    if isinstance(tree, Member):
        return tree.name
    if isinstance(tree, Step) and isinstance(tree.left, Member) and isinstance(tree.right, Member):
        return f"{tree.left.name}.{tree.right.name}"
    raise equality.failed("A type name is expected.")


def _type(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found = []
    for item in focus:
        space, _, name = item.type.rpartition(".")
        found.append(Item({"namespace": space or "FHIR", "name": name}, parents=(item,)))
    return found


# control, aggregates


def _iif(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    if len(focus) > 1:
        raise equality.failed("iif wants a single item before it.")
    scope = evaluation.at(focus[0], 0) if focus else evaluation
    test = operators.single(run(arguments[0], focus, scope))
    value = system_value(test) if test is not None else False
    if not isinstance(value, bool):
        raise equality.failed("iif wants a truth value.")
    if value:
        return _because(run(arguments[1], focus, scope), test)
    return _because(run(arguments[2], focus, scope), test) if len(arguments) > 2 else []


def _because(found: Collection, test: Item | None) -> Collection:
    """A constant chosen by a test rests on what the test looked at."""
    if test is None:
        return found
    return [item if item.resource is not None or item.parents else computed(item.value, (test,)) for item in found]


def _aggregate(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    total = run(arguments[1], evaluation.this, evaluation) if len(arguments) > 1 else []
    for position, item in enumerate(focus):
        total = run(arguments[0], [item], evaluation.at(item, position, total))
    return total


def _sort(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    """Stable order by each key in turn; a minus before a key turns it round; items without a key come first."""
    keys = arguments or (Special("$this"),)
    rows: list[tuple[Item, list[Any]]] = [
        (item, [_sort_key(key, item, position, evaluation) for key in keys]) for position, item in enumerate(focus)
    ]
    evaluation.spend(len(rows) * 16)
    signs = [-1 if isinstance(key, Unary) and key.sign == "-" else 1 for key in keys]

    def order(one: tuple[Item, list[Any]], two: tuple[Item, list[Any]]) -> int:
        return _compare_keys(one[1], two[1], signs, evaluation)

    return [item for item, _ in sorted(rows, key=cmp_to_key(order))]


def _sort_key(key: Tree, item: Item, position: int, evaluation: Evaluation) -> Any:
    plain = key.operand if isinstance(key, Unary) and key.sign == "-" else key
    found = operators.single(run(plain, [item], evaluation.at(item, position)))
    return None if found is None else system_value(found)


def _compare_keys(one: list[Any], two: list[Any], signs: list[int], evaluation: Evaluation) -> int:
    for left, right, sign in zip(one, two, signs, strict=True):
        if left is None or right is None:
            order = (left is not None) - (right is not None)
        else:
            order = (equality.compare(left, right, _zone(evaluation)) or 0) * sign
        if order:
            return order
    return 0


def _trace(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return focus


# trees


def _children(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [child for item in focus for child in all_members(item)]


def _descendants(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found: Collection = []
    waiting = list(focus)
    while waiting:
        waiting = [child for item in waiting for child in all_members(item)]
        evaluation.spend(len(waiting))
        found.extend(waiting)
        _require_room(found, evaluation)
    return found


_FUNCTIONS: Final[Mapping[str, tuple[int, int, Function]]] = {
    **CONTEXT_FUNCTIONS,
    **SUBSETS,
    **PATTERNS,
    "empty": (0, 0, _empty),
    "exists": (0, 1, _exists),
    "all": (1, 1, _all),
    "count": (0, 0, _count),
    "allTrue": (0, 0, _every(True)),
    "allFalse": (0, 0, _every(False)),
    "anyTrue": (0, 0, _some(True)),
    "anyFalse": (0, 0, _some(False)),
    "not": (0, 0, _not),
    "distinct": (0, 0, _distinct),
    "isDistinct": (0, 0, _is_distinct),
    "subsetOf": (1, 1, _subset_of),
    "supersetOf": (1, 1, _superset_of),
    "where": (1, 1, _where),
    "select": (1, 1, _select),
    "repeat": (1, 1, _repeat),
    "ofType": (1, 1, _of_type),
    "is": (1, 1, _is),
    "as": (1, 1, _as),
    "type": (0, 0, _type),
    "iif": (2, 3, _iif),
    "aggregate": (1, 2, _aggregate),
    "sort": (0, 9, _sort),
    "trace": (1, 2, _trace),
    "children": (0, 0, _children),
    "descendants": (0, 0, _descendants),
}
_PLAIN: Final[Mapping[str, tuple[int, int, ValueFunction]]] = {**CONVERSIONS, **TEXTS, **NUMBERS, **BOUNDARIES}
