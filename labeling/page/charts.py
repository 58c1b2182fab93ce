"""Small charts as shapes that a template draws as SVG: lines of agreement, bars of judgements per day.

Coordinates are those of a view box of WIDTH by HEIGHT, y downwards. Every chart stands beside a table with its numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 180
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 12, 152


@dataclass(frozen=True)
class Tick:
    """A height on the y axis, and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """A line with a dot at each known value; where a value is not known, the line is broken. `x_labels`: the first and the last."""

    y_ticks: list[Tick]
    x_labels: list[str]
    lines: list[str]
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class BarChart:
    """Bars that stand on the lower axis: (left edge, upper edge, width, height)."""

    y_ticks: list[Tick]
    x_labels: list[str]
    bars: list[tuple[float, float, float, float]]


def line_chart(labels: Sequence[str], values: Sequence[float | None]) -> LineChart:
    """Values up to 1 over evenly spaced labels; the lower end of the axis is 0, or lower where a value is."""
    low = math.floor(min([0.0, *(value for value in values if value is not None)]))
    step = 0.25 if low == 0 else 0.5
    marks = [low + step * n for n in range(int((1 - low) / step) + 1)]
    xs = [LEFT + (RIGHT - LEFT) * (n + 0.5) / len(values) for n in range(len(values))]
    dots: list[tuple[float, float]] = []
    lines: list[list[str]] = [[]]
    for x, value in zip(xs, values, strict=True):
        if value is None:
            lines.append([])
            continue
        dots.append((round(x, 1), round(_height(value, low, 1), 1)))
        lines[-1].append(f"{dots[-1][0]},{dots[-1][1]}")
    return LineChart(
        y_ticks=[Tick(round(_height(mark, low, 1), 1), f"{mark:.2f}") for mark in marks],
        x_labels=_ends(labels),
        lines=[" ".join(line) for line in lines if len(line) > 1],
        dots=dots,
    )


def bar_chart(labels: Sequence[str], counts: Sequence[int]) -> BarChart:
    """Counts over evenly spaced labels."""
    top = _round_above(max(counts))
    slot = (RIGHT - LEFT) / len(counts)
    xs = [LEFT + slot * (n + 0.5) for n in range(len(counts))]
    width = min(slot * 0.8, 40)
    bars = []
    for x, count in zip(xs, counts, strict=True):
        upper = _height(count, 0, top)
        bars.append(tuple(round(value, 1) for value in (x - width / 2, upper, width, BOTTOM - upper)))
    ticks = [Tick(_height(count, 0, top), f"{count:,}") for count in (0, top // 2, top)]
    return BarChart(ticks, _ends(labels), bars)


def _height(value: float, low: float, high: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)


def _ends(labels: Sequence[str]) -> list[str]:
    return [labels[0], labels[-1]] if len(labels) > 1 else [labels[0]]


def _round_above(count: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100, … that is not below the count, so that half of it is a whole number, too."""
    power = 1
    while True:
        for digit in (2, 4, 10):
            if digit * power >= count:
                return digit * power
        power *= 10
