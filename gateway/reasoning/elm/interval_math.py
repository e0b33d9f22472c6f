"""How two intervals, or a point and an interval, lie to each other: true, false or not known.

An end that is unknown is not without any knowledge: the start of `(null, 5]` is at most 5. Each end is therefore
a range of possible values, and an answer is given when all of them agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.reasoning.elm.equality import at_most, compare
from gateway.reasoning.elm.intervals import MAXIMUM, Interval, predecessor, successor
from gateway.reasoning.elm.moment_steps import add_duration
from gateway.reasoning.elm.moments import PRECISIONS, Date, DateTime, Time

Answer = bool | None


@dataclass(frozen=True, slots=True)
class End:
    """What is known of one end: least and greatest value; None for no bound."""

    least: Any
    greatest: Any

    @property
    def is_known(self) -> bool:
        """Whether the end is one value."""
        return self.least is not None and self.least is self.greatest


@dataclass(frozen=True, slots=True)
class Scale:
    """At which precision ends are compared, and the offset of the evaluation."""

    precision: int | None = None
    offset: int = 0

    def at_most(self, left: End, right: End) -> Answer:
        """Whether left is not after right."""
        if left.is_known and right.is_known:
            return at_most(left.least, right.least, self.precision, self.offset)
        if self._surely(left.greatest, right.least, 0):
            return True
        return False if self._surely(right.greatest, left.least, -1) else None

    def before(self, left: End, right: End) -> Answer:
        """Whether left is before right."""
        return negated(self.at_most(right, left))

    def same(self, left: End, right: End) -> Answer:
        """Whether both are one value."""
        if left.is_known and right.is_known:
            order = compare(left.least, right.least, self.precision, self.offset)
            return None if order is None else order == 0
        apart = self._surely(left.greatest, right.least, -1) or self._surely(right.greatest, left.least, -1)
        return False if apart else None

    def _surely(self, left: Any, right: Any, most: int) -> bool:
        if left is None or right is None:
            return False
        order = compare(left, right, self.precision, self.offset)
        return order is not None and order <= most

    def next(self, value: Any) -> Any:
        """The value that follows at this precision."""
        if self.precision is None or not isinstance(value, Date | DateTime | Time):
            return successor(value)
        return add_duration(value, Decimal(1), PRECISIONS[self.precision].lower())


def start_of(value: Any) -> End:
    """Start of an interval, or the point itself."""
    if not isinstance(value, Interval):
        return End(value, value)
    start = value.start()
    return End(start, start) if start is not None else End(None, value.end())


def end_of(value: Any) -> End:
    """End of an interval, or the point itself."""
    if not isinstance(value, Interval):
        return End(value, value)
    end = value.end()
    return End(end, end) if end is not None else End(value.start(), None)


def negated(answer: Answer) -> Answer:
    """Not."""
    return None if answer is None else not answer


def both(one: Answer, two: Answer) -> Answer:
    """And."""
    return False if one is False or two is False else None if one is None or two is None else True


def either(one: Answer, two: Answer) -> Answer:
    """Or."""
    return negated(both(negated(one), negated(two)))


def is_before(left: Any, right: Any, scale: Scale) -> Answer:
    """Left ends before right starts."""
    return scale.before(end_of(left), start_of(right))


def is_same_or_before(left: Any, right: Any, scale: Scale) -> Answer:
    """Left ends no later than right starts."""
    return scale.at_most(end_of(left), start_of(right))


def overlaps(left: Any, right: Any, scale: Scale) -> Answer:
    """Some point is in both."""
    return both(scale.at_most(start_of(left), end_of(right)), scale.at_most(start_of(right), end_of(left)))


def overlaps_before(left: Any, right: Any, scale: Scale) -> Answer:
    """They overlap and left starts first."""
    return both(overlaps(left, right, scale), scale.before(start_of(left), start_of(right)))


def overlaps_after(left: Any, right: Any, scale: Scale) -> Answer:
    """They overlap and left ends last."""
    return both(overlaps(left, right, scale), scale.before(end_of(right), end_of(left)))


def meets_before(left: Any, right: Any, scale: Scale) -> Answer:
    """Right starts right after left ends."""
    end, start = end_of(left), start_of(right)
    if end.is_known:
        if end.least == MAXIMUM.get(left.point_type):
            return False
        following = scale.next(end.least)
        return scale.same(End(following, following), start)
    # The end is unknown: a start at or before the least it can be cannot follow it.
    return False if scale.at_most(start, End(end.least, end.least)) else None


def includes(left: Any, right: Any, scale: Scale) -> Answer:
    """Every point of right is in left."""
    return both(scale.at_most(start_of(left), start_of(right)), scale.at_most(end_of(right), end_of(left)))


def includes_properly(left: Any, right: Any, scale: Scale) -> Answer:
    """Right is in left and left reaches further; a point must lie strictly inside."""
    starts_before = scale.before(start_of(left), start_of(right))
    ends_after = scale.before(end_of(right), end_of(left))
    if not isinstance(right, Interval):
        return both(starts_before, ends_after)
    return both(includes(left, right, scale), either(starts_before, ends_after))


def starts(left: Any, right: Any, scale: Scale) -> Answer:
    """Both start together and left does not end later."""
    return both(scale.same(start_of(left), start_of(right)), scale.at_most(end_of(left), end_of(right)))


def ends(left: Any, right: Any, scale: Scale) -> Answer:
    """Both end together and left does not start earlier."""
    return both(scale.same(end_of(left), end_of(right)), scale.at_most(start_of(right), start_of(left)))


def between(start: End, end: End, like: Interval) -> Interval:
    """Interval of two ends; an unknown one stays open."""
    low = start.least if start.is_known else None
    high = end.least if end.is_known else None
    return Interval(low, high, low is not None, high is not None, like.point_type)


def _outer(one: End, two: End, scale: Scale, *, first: bool) -> End:
    """The earlier (`first`) or the later of two ends; unknown when it cannot be told."""
    earlier = scale.at_most(one, two)
    if earlier is None:
        return End(None, None)
    return one if earlier is first else two


def union(left: Interval, right: Interval, scale: Scale) -> Interval | None:
    """One interval for both when they overlap or meet, else None."""
    joined = either(
        overlaps(left, right, scale), either(meets_before(left, right, scale), meets_before(right, left, scale))
    )
    if not joined:
        return None
    start = _outer(start_of(left), start_of(right), scale, first=True)
    return between(start, _outer(end_of(left), end_of(right), scale, first=False), left)


def intersect(left: Interval, right: Interval, scale: Scale) -> Interval | None:
    """What both have in common; None when that is nothing or not known."""
    if not overlaps(left, right, scale):
        return None
    start = _outer(start_of(left), start_of(right), scale, first=False)
    return between(start, _outer(end_of(left), end_of(right), scale, first=True), left)


def except_(left: Interval, right: Interval, scale: Scale) -> Interval | None:
    """What of left is not in right; None when that is nothing, two pieces, or not known."""
    shared = overlaps(left, right, scale)
    if shared is not True:
        return left if shared is False else None
    starts_before = scale.before(start_of(left), start_of(right))
    ends_after = scale.before(end_of(right), end_of(left))
    if starts_before and ends_after is False:
        last = predecessor(start_of(right).least)
        return between(start_of(left), End(last, last), left)
    if ends_after and starts_before is False:
        first = successor(end_of(right).least)
        return between(End(first, first), end_of(left), left)
    return None
