"""Attacks as a picture, like the paper's Figure 8B: accuracy against ε."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bntt.runs.figures.figures import MARKS, save_figure, shades
from bntt.runs.measures.attack_rows import UNBOUNDED, WORST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = ("-", "--", ":", "-.")
WIDTH = 6.4
"""Inches of a panel."""


def save_attack(values: Mapping[str, Any], path: Path) -> None:
    """A panel for each model: a line over ε for every attack, with 95 % intervals, from what is right of the clean
    images on; the worst case, image by image, has a band. Rows that are invalid are crossed out.

    Args:
        values: as :func:`~bntt.runs.measures.attack_rows.attack_json` gives them.

    Raises:
        ValueError: if there is no row.
    """
    from matplotlib.figure import Figure

    if not values["rows"]:
        raise ValueError("there is no attack to draw")
    models = [model["name"] for model in values["models"]]
    figure = Figure(figsize=(WIDTH * len(models) + 2, 4.8), layout="constrained")
    panels = list(figure.subplots(1, len(models), squeeze=False, sharey=True).flat)
    lines = _lines_of(values["rows"], several=len(models) > 1)
    colours, most = shades(lines, lightest=0.85), max(row["eps_255"] for row in values["rows"] if _drawn(row))
    for axes, model in zip(panels, models, strict=True):
        rows = [row for row in values["rows"] if row["model"] == model]
        for number, (name, keys) in enumerate(lines.items()):
            some = sorted((row for row in rows if _key(row) in keys), key=lambda row: row["eps"])
            if name == WORST:
                look: dict[str, Any] = {"color": "black", "linewidth": 2.2, "marker": "*", "markersize": 9}
            else:
                look = {"color": colours[name], "marker": MARKS[number % len(MARKS)], "markersize": 5}
                look |= {"linestyle": LINES[number % len(LINES)]}
            _line(axes, some, name, look, aside=most * (number + 1 - len(lines) / 2) / 150)
        _frame(axes, rows, values, model)
    panels[0].set_ylabel("accuracy (%)")
    handles, labels = _named(panels)
    figure.legend(handles, labels, loc="outside right center", fontsize=8)
    title = f"{values['dataset']}, {values['split']}: {values['chosen']}\nupper bounds of the robust accuracy"
    figure.suptitle(title, parse_math=False, fontsize=11)
    save_figure(figure, path)


Key = tuple[str, str, str]


def _key(row: Mapping[str, Any]) -> Key:
    return row["attack"], row["estimator"], row["crafted_on"]


def _drawn(row: Mapping[str, Any]) -> bool:
    """Attacks without a bound are no line."""
    return bool(row["attack"] != UNBOUNDED)


def _lines_of(rows: Sequence[Mapping[str, Any]], *, several: bool) -> dict[str, set[Key]]:
    """The lines by name."""
    found: dict[str, set[Key]] = {}
    for row in rows:
        if not _drawn(row):
            continue
        words = [NAMES.get(row["attack"], row["attack"])]
        if row["estimator"] not in ("", "any", "exact"):
            words.append(row["estimator"].replace("_", " "))
        name = ", ".join(words) if row["attack"] != WORST else WORST
        if several and row["attack"] != WORST:
            name += f" (made on {row['crafted_on']})"
        found.setdefault(name, set()).add(_key(row))
    return found


NAMES = {"fgsm": "FGSM", "pgd": "PGD", "square": "Square (no gradients)", "signs": "random signs"}


def _line(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, look: Mapping[str, Any], aside: float) -> None:
    """From the clean images on; intervals stand a little aside, so that they do not hide one another."""
    if not rows:
        return
    eps, shares = [row["eps_255"] for row in rows], [100 * row["accuracy"] for row in rows]
    axes.plot([0.0, *eps], [100 * rows[0]["clean_accuracy"], *shares], label=name, **look)
    low, high = ([100 * row[key] for row in rows] for key in ("low_95", "high_95"))
    if name == WORST:
        axes.fill_between(eps, low, high, color="black", alpha=0.1, linewidth=0, label="its 95% interval")
    else:
        axes.vlines([x + aside for x in eps], low, high, color=look["color"], alpha=0.6, linewidth=1.2)
    wrong = [(x, y) for x, y, row in zip(eps, shares, rows, strict=True) if row["invalid"]]
    if wrong:
        axes.plot(*zip(*wrong, strict=True), "x", color="C3", markersize=14, markeredgewidth=2.2, label="INVALID")


def _frame(axes: Axes, rows: Sequence[Mapping[str, Any]], values: Mapping[str, Any], model: str) -> None:
    whole = next(row for row in rows if row["attack"] == WORST)
    clean = 100 * whole["clean_accuracy"]
    axes.axhline(
        clean,
        color="0.3",
        linewidth=1.2,
        label=f"clean images ({clean:.1f}%)" if len(values["models"]) == 1 else "clean images",
    )
    axes.axhline(100 / values["classes"], color="0.5", linewidth=1, linestyle=(0, (1, 3)), label="chance")
    axes.set_xlabel("ε (of 255)")
    axes.set_ylim(0, 100)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.set_title(model, fontsize=10, parse_math=False)


def _named(panels: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    last = [label for label in (WORST, "its 95% interval", "INVALID") if label in found]
    order = [label for label in found if label not in last] + last
    return [found[label] for label in order], order
