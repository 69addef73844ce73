"""Forest plots one line high, for cells of tables: a mark on its interval, and the value to compare it with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bntt.charts.axes import finite
from bntt.charts.svg_lines import digits, path, shape

WIDTH, HEIGHT, EDGE = 180.0, 18.0, 6.0
DIAMOND = "M0 -5L5 0L0 5L-5 0z"


@dataclass(frozen=True)
class Strip:
    """One value in a cell."""

    name: str
    said: str
    """The value in words."""
    value: float
    low: float | None
    high: float | None
    bounds: tuple[float, ...]
    """Values that it is compared with, drawn as lines."""
    scale: tuple[float, float]
    """Ends of the drawing, shared by strips that are read together."""


def scale_of(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the ends of a scale that shows all values.

    >>> scale_of([1.0, None, 3.0]), scale_of([2.0])
    ((1.0, 3.0), (1.5, 2.5))
    """
    seen = finite(values)
    low, high = min(seen), max(seen)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def draw_strip(strip: Strip) -> Markup:
    """Draw a strip with its text alternative."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="strip">{}</svg>').format(
        digits(WIDTH), digits(HEIGHT), f"{strip.name}: {strip.said}", Markup("").join(_parts(strip))
    )


def _parts(strip: Strip) -> Iterator[Markup]:
    low, high = strip.scale
    middle = digits(HEIGHT / 2)

    def at(value: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * min(1.0, max(0.0, (value - low) / (high - low)))

    yield path(f"M0 {middle}H{digits(WIDTH)}", "grid")
    for bound in strip.bounds:
        yield path(f"M{digits(at(bound))} 0V{digits(HEIGHT)}", "level")
    if strip.low is not None and strip.high is not None:
        yield path(f"M{digits(at(strip.low))} {middle}H{digits(at(strip.high))}", "l interval")
    yield shape(at(strip.value), HEIGHT / 2, DIAMOND, "m" if strip.low is not None else "hollow")
