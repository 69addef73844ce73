"""Pictures of runs, and how every picture is written: whole or not at all."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.io.whole_file import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bntt.analysis.prediction.prediction import Prediction
    from bntt.data.images.picture import Picture
    from bntt.runs.measures.evaluate import RunResult


def save_overview(result: RunResult, path: Path) -> None:
    """Accuracy, mean |γ| and firing rates over time, side by side, as one PNG."""
    from matplotlib.figure import Figure

    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    rates = {name: activity.rate(name).tolist() for name in activity.spikes}
    gamma = {name: row.tolist()[: len(accuracy.over_time)] for name, row in result.gamma.magnitude.items()}
    panels = 1 + bool(gamma) + bool(rates)
    figure = Figure(figsize=(13 if panels > 1 else 6, 4), layout="constrained")
    left, *others = figure.subplots(1, panels, squeeze=False).flat
    steps = range(1, len(accuracy.over_time) + 1)
    for draw in accuracy.correct:
        left.plot(steps, [100 * hits / accuracy.samples for hits in draw], color="0.7", linewidth=0.8)
    left.plot(steps, [100 * a for a in accuracy.over_time], color="C0", marker=_dots(len(steps)), markersize=3)
    spread = "" if accuracy.spread is None else f" ± {accuracy.spread:.1%}"
    left.set_title(f"{accuracy.mean:.1%}{spread} after all steps")
    label_steps(left, "accuracy when stopped after this step (%)")
    if gamma:
        layer_lines(others.pop(0), gamma, "mean |γ| over channels")
    if rates:
        right = others.pop(0)
        layer_lines(right, {name: [100 * r for r in row] for name, row in rates.items()}, "firing rate (%)")
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    draws = "one draw" if len(accuracy.correct) == 1 else f"{len(accuracy.correct)} draws"
    seen = f"{result.split}: {accuracy.samples:,} images, {draws}"
    figure.suptitle(f"{result.dataset}, {seen}", parse_math=False)
    save_figure(figure, path)


MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
"""By which lines that are compared are told apart without colours."""
FEW = 40
"""Points of a line that are marked, each by itself; of more, the line says enough."""


def save_curves(rows: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """A run epoch by epoch as one PNG: loss, accuracies, learning rate and, where the rows have them, mean firing rate
    and mean |γ| of every layer.

    Args:
        rows: an epoch each, as the lines of ``metrics.jsonl``: ``epoch`` (from 0), ``train_loss``, ``train_accuracy``,
            ``lr``; ``validation_accuracy``, ``firing_rate`` and ``gamma`` (by layer) may be None or not there.

    Raises:
        ValueError: if there is no row.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise ValueError("there is no epoch to draw")
    found = {key: _layers_of(rows, key) for key in BY_LAYER}
    layered = [key for key, names in found.items() if names]
    figure = Figure(figsize=(13, 7.5 if layered else 4), layout="constrained")
    places = list(figure.subplots(2 if layered else 1, 3, squeeze=False).flat)
    _over_epochs(places.pop(0), rows, {"training": "train_loss"}, "loss")
    _accuracies(places.pop(0), rows)
    _learning_rate(places.pop(0), rows)
    colours = shades(_merged(*found.values()))
    for key in layered:
        _layers_over_epochs(places.pop(0), rows, key, {name: colours[name] for name in found[key]})
    for place in places:
        place.axis("off")
    if layered:
        _name_layers(places[0], colours)
    figure.suptitle(title, parse_math=False)
    save_figure(figure, path)


BY_LAYER = {"firing_rate": ("mean firing rate (%)", 100.0), "gamma": ("mean |γ|", 1.0)}
"""What a row says of every layer: the axis and its unit."""


def _over_epochs(
    axes: Axes, rows: Sequence[Mapping[str, Any]], lines: Mapping[str, str], label: str, unit: float = 1.0
) -> None:
    for name, key in lines.items():
        _plot(axes, [(row["epoch"] + 1, unit * row[key]) for row in rows if row.get(key) is not None], label=name)
    _epochs(axes, rows, label)


def _accuracies(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = {"training": "train_accuracy", "validation": "validation_accuracy"}
    _over_epochs(axes, rows, lines, "accuracy (%)", 100.0)
    if measured := [row for row in rows if row.get("validation_accuracy") is not None]:
        best = max(measured, key=lambda row: row["validation_accuracy"])  # the first of equals
        at, share = best["epoch"] + 1, best["validation_accuracy"]
        axes.plot(
            at, 100 * share, "*", color="C3", markersize=11, clip_on=False, label=f"best: {share:.1%}, epoch {at}"
        )
    axes.legend(fontsize=8)


def _learning_rate(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    rates = [row["lr"] for row in rows]
    _plot(axes, [(row["epoch"] + 1, row["lr"]) for row in rows], drawstyle="steps-mid")
    _epochs(axes, rows, "learning rate")
    if min(rates) > 0 and max(rates) >= 10 * min(rates):
        axes.autoscale(axis="y")
        axes.set_yscale("log")  # the last of several drops would not be seen


def _layers_over_epochs(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, colours: Mapping[str, Any]) -> None:
    label, unit = BY_LAYER[key]
    for name, colour in colours.items():
        found = [(row["epoch"] + 1, (row.get(key) or {}).get(name)) for row in rows]
        _plot(axes, [(epoch, unit * value) for epoch, value in found if value is not None], color=colour)
    _epochs(axes, rows, label)


def _plot(axes: Axes, points: Sequence[tuple[int, float]], **options: Any) -> None:
    """A line through points, each of which is marked where they are few."""
    mark = "o" if len(points) <= FEW else None
    axes.plot([x for x, _ in points], [y for _, y in points], marker=mark, markersize=4, **options)


def _epochs(axes: Axes, rows: Sequence[Mapping[str, Any]], label: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    from_zero(axes)
    whole_numbers(axes, rows[0]["epoch"] + 1, rows[-1]["epoch"] + 1)


def _layers_of(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.get(key) or {}))


def _merged(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """The names of both in one order: some layers do not spike, some have no γ."""
    names, at = list(first), 0
    for name in second:
        if name not in names:
            names.insert(at, name)
        at = names.index(name) + 1
    return names


def _name_layers(axes: Axes, colours: Mapping[str, Any]) -> None:
    """The layers' colours in a place of their own, for there may be many."""
    for name, colour in colours.items():
        axes.plot([], [], label=name, color=colour)
    columns = 1 + (len(colours) - 1) // 16
    axes.legend(loc="center left", fontsize=8, ncols=columns, title="layers", alignment="left")


def layer_lines(axes: Axes, rows: dict[str, list[float]], title: str) -> None:
    """A line over time for every layer, in its shade; what is NaN is left open."""
    for (name, row), colour in zip(rows.items(), shades(rows).values(), strict=True):
        axes.plot(range(1, len(row) + 1), row, label=name, color=colour, marker=_dots(len(row)), markersize=3)
    label_steps(axes, title)


def _dots(points: int) -> str:
    """The mark of every point, where there are not too many."""
    return "o" if points <= FEW else ""


def shades(layers: Collection[str], lightest: float = 0.9) -> dict[str, Any]:
    """A colour for every layer, from dark (first) to light (last)."""
    import matplotlib

    colours = matplotlib.colormaps["viridis"]
    return {name: colours(lightest * i / max(1, len(layers) - 1)) for i, name in enumerate(layers)}


def label_steps(axes: Axes, what: str) -> None:
    """Name an axis over time steps, counted from 1, and what is shown, from 0 on."""
    axes.set_xlabel("time step")
    axes.set_ylabel(what)
    axes.grid(alpha=0.3)
    from_zero(axes)
    whole_numbers(axes, 1, round(max(1.0, axes.dataLim.x1)))


def from_zero(axes: Axes, *drawn: Axes) -> None:
    """An axis that begins at 0 and ends above what is drawn in it, or in all of these; at 1 where nothing is."""
    top = max(one.dataLim.y1 for one in drawn or (axes,))
    axes.set_ylim(0, 1.05 * top if 0 < top < math.inf else 1)


def whole_numbers(axes: Axes, first: int, last: int) -> None:
    """An axis that counts: no halves between few epochs or steps."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlim(first - 0.5, last + 0.5)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture whole or not at all, a PNG or what else its name ends in; an SVG without its date."""
    drawn, kind = io.BytesIO(), path.suffix.removeprefix(".").lower() or "png"
    figure.savefig(drawn, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    write_whole(path, drawn.getvalue())


def save_predictions(said: Sequence[tuple[Picture, Prediction]], path: Path, leading: int = 3) -> None:
    """Each picture as the network sees it, beside its confidence over time in the leading classes, a row each."""
    from matplotlib.figure import Figure

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
        label_steps(right, "confidence (%)")
        right.set_ylim(0, 103)
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    save_figure(figure, path)


def _plain(name: str, most: int = 20) -> str:
    """A name as it is, or its beginning: a dollar sign begins no formula."""
    short = name if len(name) <= most else name[: most - 1] + "…"
    return short.replace("$", r"\$")
