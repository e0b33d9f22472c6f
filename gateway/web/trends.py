"""Scores over time as a small drawing: a line of points with a title, and a table of the same numbers below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.flows.instruments_measure import Trend

WIDTH: Final = 480
HEIGHT: Final = 120
_MARGIN: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One score in the drawing."""

    x: int
    y: int
    shown: str
    """Day and value, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One measure with its dots."""

    trend: Trend
    dots: tuple[Dot, ...]
    line: str
    """Points of the line, as SVG writes them."""
    description: str
    """What the drawing shows, for those who do not see it."""


def draw(trends: Sequence[Trend]) -> tuple[Drawing, ...]:
    """A drawing for each measure."""
    return tuple(_drawing(trend) for trend in trends)


def _drawing(trend: Trend) -> Drawing:
    first, last = trend.points[0].day, trend.points[-1].day
    days = max((last - first).days, 1)
    dots = tuple(
        Dot(
            x=_MARGIN + (WIDTH - 2 * _MARGIN) * (point.day - first).days // days,
            y=HEIGHT - _MARGIN - int((HEIGHT - 2 * _MARGIN) * point.value / trend.top),
            shown=f"{point.day.isoformat()}: {point.shown}{trend.unit}",
        )
        for point in trend.points
    )
    return Drawing(
        trend=trend,
        dots=dots,
        line=" ".join(f"{dot.x},{dot.y}" for dot in dots),
        description=f"{trend.label} from 0 to {trend.top}: {'; '.join(dot.shown for dot in dots)}",
    )
