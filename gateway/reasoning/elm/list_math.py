"""Lists as CQL has them: membership, distinct and set operations, by CQL equality with nulls equal.

Elements that cannot be equal fall into different buckets, so that a long list is not compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

from gateway.reasoning.elm.codes import Code
from gateway.reasoning.elm.equality import compare, equal
from gateway.reasoning.elm.moment_order import sort_key
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.wire import plain


def bucket(value: Any) -> Hashable:
    """Equal for values that may be equal."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | Decimal):
        return ("number", value)
    if isinstance(value, Node):
        holder = value.value if isinstance(value.value, Mapping) else {}
        return ("node", str(holder.get("id", "")))
    if isinstance(value, Code):
        return ("code", value.code)
    if isinstance(value, Date | DateTime | Time):
        return "moment"
    return type(value).__name__


def _same(left: Any, right: Any, offset: int) -> bool:
    return left is right or (left is None and right is None) or equal(left, right, offset) is True


def holds(values: list[Any], element: Any, offset: int) -> bool | None:
    """Whether an element is in a list; None when a value of it might be the element."""
    if element is None:
        # Null is in a list that has one and not in an empty list; else it is not known (the public suite).
        return True if any(value is None for value in values) else None if values else False
    answer: bool | None = False
    for value in values:
        if value is None:
            continue
        same = equal(value, element, offset)
        if same:
            return True
        if same is None:
            answer = None
    return answer


def distinct_positions(values: Iterable[Any], offset: int, state: Any) -> list[int]:
    """Positions of the values that are not equal to an earlier one."""
    groups: dict[Hashable, list[Any]] = {}
    kept: list[int] = []
    for position, value in enumerate(values):
        group = groups.setdefault(bucket(value), [])
        state.spend(1 + len(group))
        if not any(_same(value, other, offset) for other in group):
            group.append(value)
            kept.append(position)
    return kept


def distinct(values: list[Any], offset: int, state: Any) -> list[Any]:
    """Each value once, in the order of first appearance."""
    return [values[position] for position in distinct_positions(values, offset, state)]


def _index(values: list[Any]) -> dict[Hashable, list[Any]]:
    groups: dict[Hashable, list[Any]] = {}
    for value in values:
        groups.setdefault(bucket(value), []).append(value)
    return groups


def _kept(values: list[Any], other: list[Any], offset: int, state: Any, wanted: bool) -> list[Any]:
    groups = _index(other)
    found = []
    for value in values:
        group = groups.get(bucket(value), ())
        state.spend(1 + len(group))
        if any(_same(value, one, offset) for one in group) is wanted:
            found.append(value)
    return distinct(found, offset, state)


def intersect(left: list[Any], right: list[Any], offset: int, state: Any) -> list[Any]:
    """Values of left that are in right, each once."""
    return _kept(left, right, offset, state, True)


def except_(left: list[Any], right: list[Any], offset: int, state: Any) -> list[Any]:
    """Values of left that are not in right, each once."""
    return _kept(left, right, offset, state, False)


def sorted_positions(keys: list[tuple[Any, ...]], descending: list[bool], offset: int) -> list[int]:
    """Positions of rows in sorted order: nulls first ascending, last descending; equal rows keep their order."""
    order = list(range(len(keys)))
    for column in reversed(range(len(descending))):
        key = _sorting_key(offset, [plain(row[column], offset) for row in keys])
        order.sort(key=key, reverse=descending[column])
    return order


def _sorting_key(offset: int, column: list[Any]) -> Callable[[int], Any]:
    known = [value for value in column if value is not None]
    if all(isinstance(value, str) for value in known) or all(_is_number(value) for value in known):
        return lambda position: () if column[position] is None else (column[position],)
    if all(isinstance(value, Date | DateTime | Time) for value in known):
        return lambda position: () if column[position] is None else sort_key(column[position], offset)
    by_order = cmp_to_key(lambda one, two: _order(one, two, offset))
    return lambda position: by_order(column[position])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _order(left: Any, right: Any, offset: int) -> int:
    if left is None or right is None:
        return (left is not None) - (right is not None)
    return compare(left, right, None, offset) or 0
