"""Numbers of charts in words, and selections of many."""

from __future__ import annotations

from bntt.charts.records import Axis, Number


def number_text(value: Number, axis: Axis) -> str:
    """Format a value for tables and descriptions.

    >>> number_text(0.5455, Axis("accuracy", percent=True)), number_text(1234.5, Axis("spikes"))
    ('54.5%', '1,234')
    >>> number_text(None, Axis("spikes")), number_text(0.0004, Axis("firing rate", percent=True))
    ('–', '0.04%')
    """
    if value is None:
        return "–"
    if axis.percent:
        return f"{value:.1%}" if abs(value) >= 0.0005 or not value else f"{100 * value:.1g}%"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def thinned(total: int, most: int) -> list[int]:
    """Select evenly spaced places among ``total``, including the first and the last.

    >>> thinned(5, 9), thinned(10, 4)
    ([0, 1, 2, 3, 4], [0, 3, 6, 9])
    """
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]
