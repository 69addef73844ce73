"""Where things are in a figure: rounded ticks of an axis, and the way from a value to a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 1e-90
"""Between the ends of an axis."""


@dataclass(frozen=True)
class Axis:
    """From ``low`` at the place ``start`` to ``high`` at ``end``, with ticks and what is written at them."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Its place, within the axis."""
        low, high, value = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks_of(low: float, high: float, most: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in between, at most that many and one.

    >>> ticks_of(0.0, 1.0), ticks_of(0.0, 0.37)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.1, 0.2, 0.3])
    """
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * by for by in (1, 2, 5, 10) if (high - low) / (step * by) <= most + 1e-9)
    return [_round(i * step) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _round(value: float) -> float:
    """What sums of decimal fractions leave behind is taken off."""
    return float(f"{value:.12g}")


def from_values(
    values: Sequence[float], start: float, end: float, *, percent: bool = False, logarithmic: bool = False
) -> Axis:
    """An axis of values: with 0 in it where it is linear, and a little beyond them."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if logarithmic and low > 0:
        first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
        powers = range(first, max(last, first + 1) + 1)
        shown = tuple(10.0**power for power in powers[:: 1 + len(powers) // 7])
        return Axis(10.0**first, 10.0 ** powers[-1], start, end, shown, tuple(f"{v:g}" for v in shown), True)
    low, high = min(0.0, low), max(0.0, high)
    if high - low < LEAST:
        high = low + 1.0
    top = min(1.0, high * 1.04) if percent and low >= 0 and high <= 1 else high + 0.04 * (high - low)
    bottom = low - 0.04 * (high - low) if low < 0 else 0.0
    shown = tuple(ticks_of(bottom, top, 6))
    if len(shown) > 1 and (following := _round(2 * shown[-1] - shown[-2])) <= 1.12 * high:
        top, shown = following, (*shown, following)
    return Axis(bottom, top, start, end, shown, tuple(_label(v, shown, percent=percent) for v in shown))


def from_places(places: Sequence[float], start: float, end: float, *, whole: bool = True) -> Axis:
    """An axis of places, from the first to the last."""
    low, high = min(places, default=0.0), max(places, default=1.0)
    if high - low <= max(LEAST, 1e-9 * max(abs(low), abs(high))):
        around = max(0.5, 1e-6 * abs(low))
        low, high = low - around, high + around
    shown = [tick for tick in ticks_of(low, high, 8) if not whole or tick == round(tick)]
    if whole and low == 1 and 1.0 not in shown:
        crowded = len(shown) > 1 and shown[0] - 1 < 0.5 * (shown[1] - shown[0])
        shown = [1.0, *shown[crowded:]]
    return Axis(low, high, start, end, tuple(shown), tuple(_label(v, shown) for v in shown))


def _label(value: float, among: Sequence[float], *, percent: bool = False) -> str:
    if percent:
        return f"{100 * value:.6g}%"
    largest = max((abs(one) for one in among), default=0.0)
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if largest >= bound:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.6g}{unit}" if value else "0"
    return f"{value:.6g}"
