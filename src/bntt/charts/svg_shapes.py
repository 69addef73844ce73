"""What charts of the page are made of: text that stays text, and shapes in classes of the page's style.

No shape has a style of its own: the page's policy refuses those, and classes take the reader's colours in the dark.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from bntt.charts.colours import Colour

WIDTH = 440.0
"""Of every chart."""
LETTER = 6.3
"""The width of one in a label, about."""
MARKS = (
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    "M-2.7 -2.7h5.4v5.4h-5.4z",
    "M0 -3.6L3.5 2.6H-3.5z",
    "M0 -3.8L3.8 0L0 3.8L-3.8 0z",
    "M0 3.6L3.5 -2.6H-3.5z",
    "M-3.4 -1.2h2.2v-2.2h2.4v2.2h2.2v2.4h-2.2v2.2h-2.4v-2.2h-2.2z",
    "M-3.6 0L-1.8 -3.2H1.8L3.6 0L1.8 3.2H-1.8z",
)
"""Shapes that tell series apart without colours."""
CROSS = "M-6 -6L6 6M6 -6L-6 6"
CIRCLE = "M-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0 -5.2 0z"


def digits(value: float) -> str:
    """A coordinate, short.

    >>> digits(2.0), digits(1 / 3)
    ('2', '0.33')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def path(way: str, kind: str) -> Markup:
    """A path of a class."""
    return Markup('<path d="{}" class="{}"/>').format(way, kind)


def shape(x: float, y: float, way: str, kind: str) -> Markup:
    """A small path at a place."""
    return Markup('<path d="{}" transform="translate({} {})" class="{}"/>').format(way, digits(x), digits(y), kind)


def mark(x: float, y: float, number: int, colour: Colour) -> Markup:
    """The mark of a series at a point."""
    return shape(x, y, MARKS[number % len(MARKS)], f"m {colour.css}")


def rectangle(x: float, y: float, width: float, height: float, kind: str, opacity: float = 1.0) -> Markup:
    """A bar, or a cell of a heat map, which is the fainter the less there is."""
    faint = Markup(' fill-opacity="{}"').format(digits(opacity)) if opacity < 1 else ""
    ends = (digits(x), digits(y), digits(width), digits(height))
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"{}/>').format(*ends, kind, faint)


def text(x: float, y: float, words: str, place: str, kind: str = "") -> Markup:
    """Words that begin ("start"), end or have their middle at a place."""
    classed = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<text x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(
        digits(x), digits(y), place, classed, escape(words)
    )


def shortened(name: str, width: float) -> str:
    """A name, or its beginning where it has no room."""
    most = max(2, int(width / LETTER))
    return name if len(name) <= most else name[: most - 1] + "…"


def swatch(inner: Markup, width: int = 24) -> Markup:
    """What stands beside a name in a legend."""
    return Markup('<svg viewBox="0 0 {} 12" width="{}" height="12" aria-hidden="true" class="swatch">{}</svg>').format(
        width, width, inner
    )
