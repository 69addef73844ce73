"""The one palette: a colour for every method, shades in order for layers, a fixed cycle for all other names.

Each colour has a tone for light backgrounds, used in files and on the page, and one for dark mode, used on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from bntt.charts.records import Bars, Chart, Forest, Histogram, Lines


@dataclass(frozen=True)
class Colour:
    """A colour on a light background, and in dark mode."""

    light: str
    dark: str


METHODS = {
    "bntt": Colour("#d1410c", "#ff7a45"),
    "bntt-scaled": Colour("#a3123f", "#ff8fa8"),
    "bntt-beta": Colour("#b8741a", "#f0b060"),
    "tdbn": Colour("#1b7f4b", "#5fd39a"),
    "tebn": Colour("#7a3fa8", "#c09af0"),
    "tab": Colour("#0a7f94", "#41c4d1"),
    "bn": Colour("#1f4e9c", "#7aa7ff"),
    "bn-pooled": Colour("#3b82c4", "#a9c8ff"),
    "bntt-shared-gamma": Colour("#c3713d", "#f5b58a"),
    "bntt-shared-statistics": Colour("#825f9f", "#ccafe0"),
    "bntt-shared-both": Colour("#2f8f83", "#7fd6ca"),
    "layer": Colour("#857000", "#d6bb3a"),
    "none": Colour("#5a606b", "#a3aab5"),
    "conversion": Colour("#b02a6b", "#ef7fb5"),
    "hybrid": Colour("#4d7f1a", "#93cc4f"),
    "surrogate": Colour("#7d4e2a", "#c9a07a"),
    "ann": Colour("#1b1d21", "#e6e8eb"),
}
"""By name, as recipes write norms; BNTT's is the strongest, and no other name gets it."""
OTHERS = tuple(
    METHODS[name]
    for first in ("bn bntt-beta tebn tdbn conversion tab", "layer bn-pooled hybrid surrogate bntt-scaled none")
    for name in first.split()
)
"""Colours in turn, easy to tell apart, for names that are not methods; those of methods in the figure are left out."""
_LIGHT = ("#2a1a5e", "#2f4b9e", "#1f7a9c", "#1e9a7c", "#7aa82a", "#d09a00")
_DARK = ("#c3a8ee", "#7aa7ff", "#41c4d1", "#4fcf9f", "#b5d95a", "#ffd166")
_SHADES = 24


def _between(stops: Sequence[str], share: float) -> str:
    at = min(int(share * (len(stops) - 1)), len(stops) - 2)
    part = share * (len(stops) - 1) - at
    ends = [[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops[at : at + 2]]
    return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in zip(*ends, strict=True))


SHADES = tuple(Colour(*(_between(stops, i / (_SHADES - 1)) for stops in (_LIGHT, _DARK))) for i in range(_SHADES))
"""Shades from the first layer to the last."""


@dataclass(frozen=True)
class Looks:
    """The looks that tell the series of a figure apart: a colour and a number, which selects the marks."""

    colours: Mapping[str, Colour]
    numbers: Mapping[str, int]
    """The place of each name among the figure's names, from 0."""

    def colour(self, name: str, colour: str = "") -> Colour:
        """Return the colour of a series, from its name and the colour in its record."""
        return self.colours[(colour or name).lower()]


def looks_of(charts: Iterable[Chart]) -> Looks:
    """Choose colours and numbers of all series of charts that are seen together: one name, one look."""
    charts = list(charts)
    colours = dict[str, Colour]()
    for layers in _layer_groups(charts):
        for i, key in enumerate(layers):
            colours[key] = SHADES[round(i * (_SHADES - 1) / max(1, len(layers) - 1))]
    keys = dict.fromkeys(key for chart in charts for _, key, _ in _series(chart))
    colours |= {key: METHODS[key] for key in keys if key in METHODS}
    free = [colour for colour in OTHERS if colour not in colours.values()] or OTHERS
    others = [key for key in keys if key not in colours]
    colours |= {key: free[i % len(free)] for i, key in enumerate(others)}
    return Looks(colours, {name: i for i, name in enumerate(names_in(charts))})


def names_in(charts: Iterable[Chart]) -> list[str]:
    """Return the names of all series, each once."""
    return list(dict.fromkeys(name for chart in charts for name, _, _ in _series(chart)))


def _series(chart: Chart) -> Iterator[tuple[str, str, bool]]:
    """Yield the name of each series, the key of its colour, and whether it takes a shade in order."""
    match chart:
        case Lines():
            yield from ((line.name, (line.colour or line.name).lower(), not line.colour) for line in chart.lines)
        case Bars():
            yield from ((bar.name, (bar.colour or bar.name).lower(), False) for bar in chart.bars)
        case Forest():
            yield from ((entry.name, (entry.colour or "entry").lower(), False) for entry in chart.entries)
        case Histogram():
            yield from ((name, name.lower(), True) for name in chart.counts)


def _layer_groups(charts: Sequence[Chart]) -> list[list[str]]:
    """Return groups of keys that take shades; charts that share a key share a group, which keeps each chart's order."""
    groups = list[list[str]]()
    for chart in charts:
        keys = [key for _, key, in_order in _series(chart) if in_order]
        mine = [group for group in groups if set(group) & set(keys)]
        groups = [group for group in groups if group not in mine] + [reduce(_merged, [*mine, keys])]
    return groups


def _merged(first: list[str], second: list[str]) -> list[str]:
    """Insert the names of the second list after those that stand before them there."""
    names, at = list(first), 0
    for name in second:
        if name not in names:
            names.insert(at, name)
        at = names.index(name) + 1
    return names
