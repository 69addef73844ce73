"""docs/evidence/rivals.md, from kept runs of every method.

A run is ``rival-METHOD-SEED``; what `bntt robust` and `bntt attack` wrote lies in ``rivals-noise`` and in
``rivals-attack-METHOD`` beside them. Every number comes from such a file; what was not run is left empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bntt.charts.records import Axis, Figure, Level, Line, Lines
from pages.kept import RUNS, Facts, figures_of, introduction, made, over, read, read_json, starts, table

ACCURACY = Axis("test accuracy", percent=True, low=0, high=1)

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
    found = read_json(RUNS / "rivals-noise" / "robust.json")
    sigmas = [one["sigma"] for one in found["runs"][0]["rows"]]
    lines = ["", "## Noise on the image (Figure 8A)", ""]
    lines += ["| run | " + " | ".join(f"σ = {sigma:g}" for sigma in sigmas) + " |", "|---" * (len(sigmas) + 1) + "|"]
    for run in found["runs"]:
        lines.append(f"| {run['run']} | " + " | ".join(f"{100 * one['accuracy']:.1f}" for one in run["rows"]) + " |")
    said = f"{found['images_chosen']}, {found['runs'][0]['rows'][0]['draws']} draws; % right"
    return [*lines, "", f"{said}.", "", "![accuracy against noise](../pictures/rivals-noise-robust.svg)"]


KINDS = {"attack-fgsm": ("fgsm",), "attack": ("signs", "pgd", "square", "worst case", "pgd, no bound")}
"""What is told of each file: one step on many images, and the others on fewer."""
ATTACKED = ("bntt", "surrogate", "ann")


def attacks() -> list[str]:
    """The lowest accuracy that each attack found, by method and ε; and images made on another network."""
    lines = ["", "## Changed on purpose (Figure 8B)", "", "![accuracy against ε](../pictures/rivals-fgsm.svg)", ""]
    lines += ["| network | images | attack | ε | right, % | 95 % | found by | |", "|---" * 8 + "|"]
    for method in ATTACKED:
        for stem, kinds in KINDS.items():
            rows = attack_rows(method, stem)
            for kind in kinds:
                lines += [attacked(method, low) for low in lowest([one for one in rows if one["attack"] == kind])]
    lines += ["", "| made on | measured on | attack | right, % | 95 % |", "|---" * 5 + "|"]
    for row in attack_rows("transfer", "attack"):
        if row["crafted_on"] not in (row["model"], "any") and row["attack"] in ("fgsm", "pgd"):
            by = f"{row['attack']} {row['estimator'].replace('_', ' ')}, ε = {row['eps_255']:g}/255"
            lines.append(
                f"| {row['crafted_on']} | {row['model']} | {by} | {100 * row['accuracy']:.1f} | {interval(row)} |"
            )
    return [*lines, *enough_draws()]


def attack_rows(method: str, stem: str) -> list[Facts]:
    """Read the rows of a file of `bntt attack`; none where it is not there."""
    place = RUNS / f"rivals-attack-{method}" / f"{stem}.json"
    return read_json(place)["rows"] if place.exists() else []


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
        for one in read_json(RUNS / f"rivals-attack-{method}" / "attack.json")["enough_draws"]:
            alike = "" if one["sign_agreement"] is None else f"{one['sign_agreement']:.1%}"
            lines.append(f"| {one['model']}, {one['estimator'].replace('_', ' ')} | {one['draws']} | {alike} |")
    return lines


def latency() -> Figure:
    """Draw Figures 1 and 5: accuracy over time and spikes of every layer, for every method."""
    over_time, spikes, levels, names = list[Line](), list[Line](), list[Level](), list[str]()
    for method, (first, *_) in methods():
        accuracy, label = first["evaluation"]["accuracy_over_time"], METHODS[method]
        if method == "ann":
            levels.append(Level(first["evaluation"]["accuracy"], "ANN"))
            continue
        of, variant = method.split("-")[0], "-" in method
        over_time.append(Line(label, range(1, len(accuracy) + 1), accuracy, of, dashed=variant))
        if "activity" in first:
            layers = first["activity"]["layers"]
            names = list(layers)
            rates = [one["spike_rate"] * one["neurons"] for one in layers.values()]
            spikes.append(Line(label, range(1, len(rates) + 1), rates, of, dashed=variant))
    steps = Axis("time step at which it is stopped", scale="log", whole=True)
    counts = Axis("spikes an image, all steps", scale="log")
    note = "layers: " + ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
    charts = [
        Lines("accuracy by latency", steps, ACCURACY, over_time, levels),
        Lines("activity by layer", Axis("layer", whole=True), counts, spikes, note=note),
    ]
    return Figure("Every method by one budget (Fashion-MNIST, first start of each)", charts)


def bounds() -> Figure:
    """Draw Figure 8B: accuracy against the bound of one step along the gradient, with its interval."""
    lines, levels = list[Line](), list[Level]()
    for method in ATTACKED:
        rows = [one for one in attack_rows(method, "attack-fgsm") if one["attack"] == "fgsm"]
        by_eps = {row["eps_255"]: row for row in lowest(rows)}
        low, y, high = ([row[key] for row in by_eps.values()] for key in ("low_95", "accuracy", "high_95"))
        lines.append(Line(METHODS[method], list(by_eps), y, method, low, high))
        levels.append(Level(rows[0]["clean_accuracy"], f"{method}, clean"))
    x = Axis("ε of FGSM (1/255)")
    chart = Lines("the lower of its estimators", x, ACCURACY, lines, levels, note="bands: 95 % intervals")
    return Figure("Accuracy under FGSM (Fashion-MNIST)", [chart])


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    yield "rivals.svg", latency()
    yield from figures_of("rivals-noise", "robust")
    yield "rivals-fgsm.svg", bounds()


def _eps(rows: list[Facts]) -> list[float]:
    return sorted({one["eps_255"] for one in rows})


def page() -> str:
    """The whole of rivals.md."""
    parts = [introduction("rivals"), "", "## Every method by one budget", ""]
    parts += table(HEADS, [row(method, found) for method, found in methods()])
    parts += ["", "![accuracy and activity](../pictures/rivals.svg)", "", "## Conversion by its number of steps", ""]
    parts += conversion_table([*of_method("conversion-100"), *of_method("conversion")])
    on = [row(method, found) for method, found in methods(on_cifar)]
    parts += ["", "## On CIFAR-10 (JPEG copy)", "", CIFAR, "", *table(HEADS, on)]
    parts += [*noise(), *attacks()]
    return "\n".join([*parts, "", "## How they were made", "", *commands(), "", MEASURED]) + "\n"
