"""A benchmark's picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.runs.figures.figures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 8
"""Cases side by side; where there are more, every network has a row of its own."""


def save_bench(report: Mapping[str, Any], path: Path) -> None:
    """A benchmark's report as one PNG: time and memory by case, and against T where several were timed."""
    from matplotlib.figure import Figure

    cases = report["cases"]
    sweep = [row for row in cases if row["case"]["name"].startswith("VGG9 training, T=")]
    single = [row for row in cases if row not in sweep]
    groups = [single] if single else []
    if len(single) > MOST_BARS:
        networks = dict.fromkeys(row["case"]["network"] for row in single)
        groups = [[row for row in single if row["case"]["network"] == network] for network in networks]
    rows = len(groups) + bool(sweep)
    figure = Figure(figsize=(13, 4.2 * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False)
    measures = (("median", 1.0, "seconds a step"), ("peak_over_base", 2.0**-20, "peak memory over base (MiB)"))
    for column, (key, unit, label) in enumerate(measures):
        for place, group in zip(axes, groups, strict=False):
            _bars(place[column], group, key, unit, label)
        if sweep:
            _against_steps(axes[-1][column], sweep, key, unit, label)
    axes[0][0].legend(fontsize=8)
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    figure.suptitle(f"{report['threads']} threads; {versions}", fontsize=10)
    save_figure(figure, path)


def _bars(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, unit: float, label: str) -> None:
    names = list(dict.fromkeys(timing["variant"] for row in rows for timing in row["timings"]))
    drawn: list[float] = []
    for i, name in enumerate(names):
        values = [next((t[key] * unit for t in row["timings"] if t["variant"] == name), 0.0) for row in rows]
        places = [place + (i - len(names) / 2 + 0.5) * 0.8 / len(names) for place in range(len(rows))]
        axes.bar(places, values, 0.8 / len(names), label=name)
        drawn += [value for value in values if value]
    if key == "median" and max(drawn) > 10 * min(drawn):
        axes.set_yscale("log")  # the slowest would flatten all others
    cases = [row["case"]["name"] for row in rows]
    shared = {name.rpartition(", ")[0] for name in cases} if len(cases) > 1 else set()
    if len(shared) == 1 and (of_all := shared.pop()):
        axes.set_xlabel(of_all)
        cases = [name.removeprefix(of_all + ", ") for name in cases]
    axes.set_xticks(range(len(rows)), [name.replace(", ", ",\n") for name in cases], fontsize=8)
    axes.set_ylabel(label)
    axes.grid(axis="y", which="both", alpha=0.3)


def _against_steps(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, unit: float, label: str) -> None:
    names = list(dict.fromkeys(timing["variant"] for row in rows for timing in row["timings"]))
    for name in names:
        points = [
            (row["case"]["num_steps"], timing[key] * unit)
            for row in rows
            for timing in row["timings"]
            if timing["variant"] == name
        ]
        axes.plot(*zip(*points, strict=True), label=name, marker="o", markersize=4)
    axes.set_xlabel("time steps T")
    axes.set_ylabel(label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
