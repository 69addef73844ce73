"""Where things are in a chart of the page: rounded ticks of an axis, and the way from a value to a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bntt.charts.limits import is_logarithmic, place_limits, value_limits
from bntt.charts.records import Axis

UNITS = ((1e9, "G"), (1e6, "M"), (1e4, "k"))
"""Letters for large numbers, from where on each is written."""


@dataclass(frozen=True)
class Ruler:
    """From ``low`` at the place ``start`` to ``high`` at ``end``, with ticks and what is written at them."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The place of a value, within the axis."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = (math.log10(max(v, 5e-324)) for v in (low, high, value))
        share = (value - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ruler(axis: Axis, held: Sequence[float], start: float, end: float, *, places: bool = False, most: int = 6) -> Ruler:
    """An axis that has room for these values.

    Args:
        places: whether it is an axis of places, which begins at the first; one of values has 0 in it.
        most: about as many ticks as there is room for.
    """
    low, high = (place_limits if places else value_limits)(axis, held)
    logarithmic = is_logarithmic(axis, held)
    if logarithmic:
        ticks = _powers(low, high)
    else:
        ticks = [tick for tick in ticks_of(low, high, most) if not axis.whole or tick == round(tick)]
        if places and axis.whole and 0.5 <= low < 1 and 1.0 not in ticks:  # counts begin at 1
            crowded = len(ticks) > 1 and ticks[1] - 1 < 0.5 * (ticks[-1] - ticks[-2])
            ticks = [1.0, *(tick for tick in ticks[crowded:] if tick > 0)]
    labels = tuple(_label(tick, ticks, percent=axis.percent) for tick in ticks)
    return Ruler(low, high, start, end, tuple(ticks), labels, logarithmic)


def ticks_of(low: float, high: float, most: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten in between, at most that many and one.

    >>> ticks_of(0.0, 1.0), ticks_of(0.0, 0.37)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.1, 0.2, 0.3])
    """
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * by for by in (1, 2, 5, 10) if (high - low) / (step * by) <= most + 1e-9)
    return [_round(i * step) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten in between, at most about seven; of few decades 2 and 5 times as much too."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, last + 1)
    by = (1, 2, 5) if last - first <= 2 else (1,)
    found = [m * 10.0**power for power in powers[:: 1 + len(powers) // 7] for m in by]
    return [_round(tick) for tick in found if low <= tick <= high] or [low, high]


def _round(value: float) -> float:
    """A number without what sums of decimal fractions leave behind."""
    return float(f"{value:.12g}")


def _label(value: float, among: Sequence[float], *, percent: bool = False) -> str:
    if percent:
        return f"{100 * value:.6g}%"
    largest = max(abs(one) for one in among)
    for bound, unit in UNITS:
        if largest >= bound:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.6g}{unit}" if value else "0"
    return f"{value:.6g}"
