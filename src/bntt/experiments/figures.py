"""Pictures of results; the only user of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bntt.analysis.prediction import Prediction
    from bntt.data.picture import Picture
    from bntt.experiments.run import RunResult


def save_overview(result: RunResult, path: Path) -> None:
    """Accuracy, mean |γ| and firing rates over time, side by side, as one PNG."""
    from matplotlib.figure import Figure

    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    rates = {name: activity.rate(name).tolist() for name in activity.spikes}
    gamma = {name: row.tolist() for name, row in result.gamma.magnitude.items()}
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, *others = figure.subplots(1, 3 if gamma else 2)
    steps = range(1, len(accuracy.over_time) + 1)
    for draw in accuracy.correct:
        left.plot(steps, [100 * hits / accuracy.samples for hits in draw], color="0.7", linewidth=0.8)
    left.plot(steps, [100 * a for a in accuracy.over_time], color="C0", marker="o", markersize=3)
    left.set_title(f"{accuracy.mean:.1%} ± {accuracy.spread:.1%} after all steps")
    _label(left, "accuracy when stopped after this step (%)")
    if gamma:
        _lines(others.pop(0), gamma, "mean |γ| over channels")
    right = others.pop(0)
    _lines(right, {name: [100 * r for r in row] for name, row in rates.items()}, "firing rate (%)")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.suptitle(f"{result.dataset}, {result.split}: {accuracy.samples:,} images, {len(accuracy.correct)} draws")
    figure.savefig(path, dpi=110)


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
    figure.savefig(path, dpi=110)


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


def _lines(axes: Axes, rows: dict[str, list[float]], title: str) -> None:
    """One line a layer, from dark (first) to light (last)."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    for i, (name, row) in enumerate(rows.items()):
        colour = colours(0.9 * i / max(1, len(rows) - 1))
        axes.plot(range(1, len(row) + 1), row, label=name, color=colour, marker="o", markersize=3)
    _label(axes, title)


def _label(axes: Axes, what: str) -> None:
    axes.set_xlabel("time step")
    axes.set_ylabel(what)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def save_predictions(said: Sequence[tuple[Picture, Prediction]], path: Path, leading: int = 3) -> None:
    """Each picture as the network sees it, beside its confidence over time in the leading classes, a row each."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 2.6 * len(said)), layout="constrained")
    rows = figure.subplots(len(said), 2, squeeze=False, width_ratios=(1, 2.6))
    for (left, right), (picture, prediction) in zip(rows, said, strict=True):
        pixels = picture.pixels.permute(1, 2, 0)
        left.imshow(pixels.expand(-1, -1, 3).numpy())
        left.axis("off")
        left.set_title(_plain(picture.path.name), fontsize=9)
        confidence = (100 * prediction.confidence).tolist()
        steps = len(confidence)
        for number in prediction.leading(leading):
            name = f"{confidence[-1][number]:.1f}%  {_plain(prediction.classes[number])}"
            right.plot(range(1, steps + 1), [row[number] for row in confidence], label=name, marker="o", markersize=3)
        right.axvline(prediction.stable_from, color="0.6", linestyle="--", linewidth=0.8)
        right.set_title(f"{_plain(prediction.label)}, from step {prediction.stable_from} on", fontsize=10)
        right.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        right.set_xlim(0.5, steps + 0.5)
        _label(right, "confidence (%)")
        right.set_ylim(0, 103)
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    figure.savefig(path, dpi=110)


def _plain(name: str, most: int = 20) -> str:
    """A name as it is, or its beginning: a dollar sign begins no formula."""
    short = name if len(name) <= most else name[: most - 1] + "…"
    return short.replace("$", r"\$")
