"""Write docs/rivals.md, and draw its figures, from runs of every method kept in docs/results/.

    python docs/make_rivals.py

A run is ``rival-METHOD-SEED``; what `bntt robust` and `bntt attack` wrote lies in ``rivals-noise`` and in
``rivals-attack-METHOD`` beside them. Every number comes from such a file; what was not run is left empty.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kept import HERE, RUNS, Facts, made, over, read, starts, table

METHODS = {
    "ann": "ANN (ReLU, expected spikes)",
    "conversion": "ANN-SNN conversion",
    "conversion-100": "ANN-SNN conversion, few steps",
    "hybrid": "hybrid, thresholds times 0.7",
    "hybrid-scaled": "hybrid, factor chosen on validation",
    "surrogate": "surrogate gradient, no norm",
    "bn": "standard BN",
    "bntt": "BNTT",
}
STEPS = (8, 16, 25, 32, 64, 100, 250, 500, 1000)
"""Of a conversion."""
MEASURED = (
    "Measured on one thread of the same processor, other work beside, seed 0; energy and activity (`bntt energy`, "
    "`bntt activity`) by the commit of the training. By c2a0baa: `bntt robust RUNS --images 1000 --draws 3 --sigmas 0.1 0.2 "
    "0.3 0.4 0.6 0.8 1.0`, and all attacks on 500 images, `bntt attack RUN --eps 8/255 --draws 5 --images 500 --queries 300` "
    "(16 draws behind a gradient; the ANN, which draws nothing, with --restarts 5 and without --draws). By 98212db: FGSM by ε, "
    "`bntt attack RUN --eps 1/255 2/255 4/255 8/255 --attack fgsm --draws 5`; made on another network, `bntt attack "
    "runs/rival-bntt-0 --from runs/rival-ann-0 --eps 8/255 --attack fgsm pgd --eot 4 --draws 5 --images 200`."
)


def of_method(method: str) -> list[Facts]:
    """Every start of a method on Fashion-MNIST."""
    return starts(f"rival-{method}")


def on_cifar(method: str) -> list[Facts]:
    """The start of a method on CIFAR-10; two of them have names of their own."""
    whole = RUNS / f"cifar10-small-{method}"
    return [read(whole)] if whole.exists() else starts(f"cifar-{method}")


def updates(facts: Facts) -> str:
    """The optimiser's, with those of the ANN that it began with."""
    own, began = facts["evaluation"]["updates"], facts["evaluation"].get("conversion")
    return f"{began['ann']['updates']:,} + {own:,}" if began else f"{own:,}"


def minutes(facts: Facts) -> float:
    """Of training and conversion, the ANN's included."""
    began = facts["evaluation"].get("conversion")
    return (facts["evaluation"]["seconds"] + (began["ann"]["seconds"] if began else 0.0)) / 60


def energy(facts: Facts) -> str:
    """Of an image by the 45 nm table, spikes in a pooled value added one by one or multiplied, in µJ."""
    if "energy" not in facts:
        return ""
    steps = facts["recipe"]["network"]["num_steps"]
    rows = [row for row in facts["energy"]["energy"] if row["costs"] == "digital-45nm" and row["steps"] == steps]
    return " or ".join(sorted({f"{1e-6 * row['snn']:.1f}" for row in rows}, key=float))


CIFAR = (
    "VGG9 at a quarter of the channels, six epochs, one start. The hybrid was stopped after three of them, at chance since the "
    "second: its best epoch, the first, is measured."
)
HEADS = ("method", "T", "test accuracy, %", "images", "spikes an image", "energy, µJ", "updates", "minutes", "starts")


def row(method: str, found: list[Facts]) -> list[str]:
    """One line of a table of methods; energy, updates and minutes are those of the first start."""
    first = found[0]
    spiking = first["recipe"]["network"].get("neuron") != "relu"
    return [
        METHODS[method],
        str(first["recipe"]["network"]["num_steps"]) if spiking else "",
        over(found, lambda one: 100 * one["accuracy"], ".2f"),
        f"{first['evaluation']['images']:,}",
        over(found, lambda one: one["spikes_per_image"], ",.0f") if spiking else "",
        energy(first),
        updates(first),
        f"{minutes(first):.1f}",
        str(len(found)),
    ]


def methods(of: Callable[[str], list[Facts]] = of_method) -> Iterator[tuple[str, list[Facts]]]:
    """Those that were run."""
    for method in METHODS:
        if found := of(method):
            yield method, found


def conversion_table(found: list[Facts]) -> list[str]:
    """Accuracy of a conversion by its number of steps."""
    heads = " | ".join(f"after {steps}" for steps in STEPS)
    lines = [f"| T | images | factor, chosen on validation | {heads} |", "|---" * (len(STEPS) + 3) + "|"]
    for facts in found:
        over_time = facts["evaluation"]["accuracy_over_time"]
        cells = [f"{over_time[steps - 1]:.1%}" if steps <= len(over_time) else "" for steps in STEPS]
        one = facts["evaluation"]
        lines.append(f"| {len(over_time)} | {one['images']:,} | {one['conversion']['scale']:g} | {' | '.join(cells)} |")
    return lines


def commands() -> list[str]:
    """How every first start was made."""
    return [made(found[0]) for of in (of_method, on_cifar) for _, found in methods(of)]


def noise() -> list[str]:
    """Accuracy against σ for every run."""
    place = RUNS / "rivals-noise" / "robust.json"
    if not place.exists():
        return []
    found = json.loads(place.read_text(encoding="utf-8"))
    sigmas = [one["sigma"] for one in found["runs"][0]["rows"]]
    lines = ["", "## Noise on the image (Figure 8A)", ""]
    lines += ["| run | " + " | ".join(f"σ = {sigma:g}" for sigma in sigmas) + " |", "|---" * (len(sigmas) + 1) + "|"]
    for run in found["runs"]:
        lines.append(f"| {run['run']} | " + " | ".join(f"{100 * one['accuracy']:.1f}" for one in run["rows"]) + " |")
    said = f"{found['images_chosen']}, {found['runs'][0]['rows'][0]['draws']} draws; % right"
    return [*lines, "", f"{said}.", "", "![accuracy against noise](results/rivals-noise/robust.png)"]


KINDS = {"attack-fgsm": ("fgsm",), "attack": ("signs", "pgd", "square", "worst case", "pgd, no bound")}
"""What is told of each file: one step on many images, and the others on fewer."""
ATTACKED = ("bntt", "surrogate", "ann")


def attacks() -> list[str]:
    """The lowest accuracy that each attack found, by method and ε; and images made on another network."""
    lines = ["", "## Changed on purpose (Figure 8B)", "", "![accuracy against ε](results/rivals-fgsm.png)", ""]
    lines += ["| network | images | attack | ε | right, % | 95 % | found by | |", "|---" * 8 + "|"]
    for method in ATTACKED:
        for stem, kinds in KINDS.items():
            place = RUNS / f"rivals-attack-{method}" / f"{stem}.json"
            rows = json.loads(place.read_text(encoding="utf-8"))["rows"] if place.exists() else []
            for kind in kinds:
                lines += [attacked(method, low) for low in lowest([one for one in rows if one["attack"] == kind])]
    lines += ["", "| made on | measured on | attack | right, % | 95 % |", "|---" * 5 + "|"]
    rows = json.loads((RUNS / "rivals-attack-transfer" / "attack.json").read_text(encoding="utf-8"))["rows"]
    for row in rows:
        if row["crafted_on"] not in (row["model"], "any") and row["attack"] in ("fgsm", "pgd"):
            by = f"{row['attack']} {row['estimator'].replace('_', ' ')}, ε = {row['eps_255']:g}/255"
            lines.append(
                f"| {row['crafted_on']} | {row['model']} | {by} | {100 * row['accuracy']:.1f} | {interval(row)} |"
            )
    return [*lines, *enough_draws()]


def lowest(rows: list[Facts]) -> list[Facts]:
    """Of every ε the row of the lowest accuracy."""
    return [min((row for row in rows if row["eps_255"] == eps), key=lambda row: row["accuracy"]) for eps in _eps(rows)]


def attacked(method: str, row: Facts) -> str:
    """One line of the table of attacks."""
    by = (row["lowest_single"] or row["estimator"]).replace("_", " ")
    invalid = f"INVALID: {row['invalid']}" if row["invalid"] else ""
    right = f"{100 * row['accuracy']:.1f} | {interval(row)}"
    return f"| {METHODS[method]} | {row['images']} | {row['attack']} | {row['eps_255']:g}/255 | {right} | {by} | {invalid} |"


def interval(row: Facts) -> str:
    """Wilson's, in percent."""
    return f"{100 * row['low_95']:.0f}-{100 * row['high_95']:.0f}"


def enough_draws() -> list[str]:
    """How alike two gradients' signs are, by the draws behind each."""
    lines = ["", "| gradient | draws behind it | signs alike in another of so many |", "|---|---|---|"]
    for method in ATTACKED:
        for one in json.loads((RUNS / f"rivals-attack-{method}" / "attack.json").read_text(encoding="utf-8"))[
            "enough_draws"
        ]:
            alike = "" if one["sign_agreement"] is None else f"{one['sign_agreement']:.1%}"
            lines.append(f"| {one['model']}, {one['estimator'].replace('_', ' ')} | {one['draws']} | {alike} |")
    return lines


def draw(folder: Path) -> None:
    """Figures 1 and 5: accuracy over time and spikes of every layer, for every method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    marks = iter("osD^vXP")
    for number, (method, found) in enumerate(one for one in methods() if one[0] != "ann"):
        over_time, mark = found[0]["evaluation"]["accuracy_over_time"], next(marks)
        look: dict[str, Any] = {"color": f"C{number}", "label": METHODS[method]}
        left.plot(range(1, len(over_time) + 1), [100 * one for one in over_time], **look)
        if "activity" in found[0]:
            layers = found[0]["activity"]["layers"]
            right.plot(
                list(layers), [one["spike_rate"] * one["neurons"] for one in layers.values()], marker=mark, **look
            )
    for method, found in methods():
        if method == "ann":
            left.axhline(100 * found[0]["evaluation"]["accuracy"], color="black", linestyle=":", label="ANN")
    left.set(
        xscale="log", xlabel="time step at which it is stopped", ylabel="accuracy (%)", title="accuracy by latency"
    )
    right.set(yscale="log", xlabel="layer", ylabel="spikes an image, all steps", title="activity by layer")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(folder / "rivals.png", dpi=110)


def draw_fgsm(folder: Path) -> None:
    """Figure 8B: accuracy against the bound of one step along the gradient, with its interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (method, mark) in enumerate(zip(ATTACKED, "osD", strict=True)):
        place = RUNS / f"rivals-attack-{method}" / "attack-fgsm.json"
        if not place.exists():
            continue
        rows = [one for one in json.loads(place.read_text(encoding="utf-8"))["rows"] if one["attack"] == "fgsm"]
        by_eps = {row["eps_255"]: row for row in lowest(rows)}
        low = [100 * (row["accuracy"] - row["low_95"]) for row in by_eps.values()]
        high = [100 * (row["high_95"] - row["accuracy"]) for row in by_eps.values()]
        shares = [100 * row["accuracy"] for row in by_eps.values()]
        bars: dict[str, Any] = {"yerr": (low, high), "marker": mark, "capsize": 3, "color": f"C{number}"}
        axes.errorbar(list(by_eps), shares, label=METHODS[method], **bars)
        axes.axhline(100 * rows[0]["clean_accuracy"], color=f"C{number}", linestyle=":", linewidth=1)
    axes.set(
        xlabel="ε (of 255)",
        ylabel="accuracy (%), 95 % interval; dotted: clean",
        title="FGSM, the lower of its estimators",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(folder / "rivals-fgsm.png", dpi=110)


def _eps(rows: list[Facts]) -> list[float]:
    return sorted({one["eps_255"] for one in rows})


def page() -> str:
    """The whole of rivals.md."""
    parts = [(HERE / "rivals-head.md").read_text(encoding="utf-8").rstrip(), "", "## Every method by one budget", ""]
    parts += table(HEADS, [row(method, found) for method, found in methods()])
    parts += ["", "![accuracy and activity](results/rivals.png)", "", "## Conversion by its number of steps", ""]
    parts += conversion_table([*of_method("conversion-100"), *of_method("conversion")])
    on = [row(method, found) for method, found in methods(on_cifar)]
    parts += ["", "## On CIFAR-10 (JPEG copy)", "", CIFAR, "", *table(HEADS, on)]
    parts += [*noise(), *attacks()]
    return "\n".join([*parts, "", "## How they were made", "", *commands(), "", MEASURED]) + "\n"


if __name__ == "__main__":
    (HERE / "rivals.md").write_text(page(), encoding="utf-8")
    draw(RUNS)
    draw_fgsm(RUNS)
    sys.stdout.write("wrote docs/rivals.md\n")
