"""docs/evidence/findings.md, from what `bntt exit`, `activity`, `drift`, `equivalence` and `energy` wrote about runs.

A row of what was not run is left empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bntt.charts.records import Figure
from pages.kept import RUNS, Facts, figures_of, introduction, read, read_json

WHOLE = ("wheel", "fashion-mnist-bntt", "fashion-mnist-bn", "cifar10-small-bntt", "cifar10-small-bn")
"""Networks that every command was run on."""
PICTURED = ("cifar10-small-bntt", "cifar10-small-bn")
"""Those of them whose pictures are shown."""
PICTURES = ("exit", "activity", "drift", "equivalence", "energy")
SHORT = ("short-after", "short-before", "short-no-decay")
"""A start each, by the number at the end."""
MEASURED = (
    "Measured with one draw each, one thread of the same processor, by commits dfdcc9c (wheel), dd92422 "
    "(fashion-mnist-bntt), f2583e7, fcef16b, f2c52dd and 98212db (the rest), other work beside: `bntt exit RUN --draws 1`, "
    "`bntt activity RUN`, `bntt drift RUN`, `bntt equivalence RUN --images 1000` (of the first three networks the first 1,000, of the others 1,000 "
    "of all classes), `bntt energy RUN`, "
    "`bntt exit RUN --draws 1 --per-sample`; test accuracies are those of `bntt train`, five draws (the wheel's: one)."
)
RETIMED = "rival-bntt-0"
STEPS = (
    "`bntt evaluate runs/rival-bntt-0 --draws 2 --num-steps T`, fewer steps truncated, more by `--longer`: the last step's γ and "
    "statistics held, all stretched (interpolate), or γ held and the statistics taken anew from 20 training batches "
    "(re-estimate); 10,000 test images (docs/evidence/rivals.md has the run: 5 epochs at half width, decay 5e-4 on γ); "
    "seed 0, one thread, commit f8c624c."
)
STABILITY = (
    "`bntt stability cifar10-small -s data.name=images -s data.root=cifar10-jpeg --networks vgg6 vgg9 --rates 0.03 0.3 3.0 "
    "--starts 3 --steps 100`: 6,400 images, 100 updates of 64 at a constant rate, T = 8, a quarter of the width; a start "
    "failed if its accuracy on 1,000 validation images is below 20 %, twice chance, or numbers were not finite. Seeds 0 to 2, "
    "one thread, commit 98212db."
)


def made(runs: dict[str, Facts]) -> list[str]:
    """What command, seed and commit trained each network."""
    lines = []
    for name, facts in runs.items():
        if "environment" in facts:
            environment = facts["environment"]
            words = " ".join(environment["command"])
            where = f"commit {environment['commit']}, {environment['processor']}, {environment['threads']} thread"
            lines.append(f"- {name}: `bntt {words}`; seed {facts['recipe']['seed']}, {where}")
    return lines


def accuracy(facts: Facts) -> str:
    """On the test images."""
    if "evaluation" in facts:
        return f"{facts['evaluation']['accuracy']:.1%}"
    return f"{facts['exit']['grid'][-1]['test_accuracy']:.1%}"


def spikes(facts: Facts) -> str:
    """Of all layers and steps, for one image."""
    return f"{facts['activity']['spikes_per_image']:,.0f}"


def peaks(facts: Facts, key: str) -> str:
    """The step at which each layer's row is largest, from the first layer to the last."""
    found = [layer[key] for layer in facts["activity"]["layers"].values()]
    return "" if None in found else ", ".join(str(step) for step in found)


def deviations(facts: Facts) -> str:
    """σ̄'s largest over its smallest step, least and most of the layers."""
    rows = {name: row[slice(*facts["exit"]["driven"][name])] for name, row in facts["exit"]["deviation"].items()}
    found = [max(row) / min(row) for row in rows.values()]
    return f"{min(found):.1f} to {max(found):.1f}"


def stopped(facts: Facts, where: str) -> str:
    """Steps, and by how many points the accuracy on the test images changes."""
    found = facts["exit"][where] if where in facts["exit"] else facts["exit"]["by_reading"][where]
    return f"{found['steps']} ({0.0 - 100 * found['test_lost']:+.1f})"


def each_by_itself(facts: Facts) -> str:
    """The margin's mean steps and accuracy, beside all images alike."""
    (found,) = (row for row in facts["exit-per-sample"]["criteria"] if row["criterion"] == "margin")
    return f"{found['mean_steps']:.1f}, {found['test_accuracy']:.1%}"


def distances(facts: Facts, key: str) -> str:
    """The largest distance of means over layers and steps, in held deviations."""
    rows = facts["drift"]["layers"].values()
    return f"{max(abs(value) for row in rows for value in row[key][row['driven'][0] - 1 : row['driven'][1]]):.2f}"


def folds(facts: Facts) -> str:
    """Accuracy of the four networks without norms, in %."""
    rows = facts["equivalence"]["folds"]
    return ", ".join(f"{100 * rows[name]['accuracy']:.1f}" for name in ("exact", "no mean", "no ratio", "Eq. 15"))


def energies(facts: Facts) -> str:
    """By the 45 nm table for all steps, spikes in a pooled value added one by one or multiplied; the ANN's."""
    steps = facts["energy"]["steps"][0]
    rows = [row for row in facts["energy"]["energy"] if row["costs"] == "digital-45nm" and row["steps"] == steps]
    low, high = (1e-6 * row["snn"] for row in sorted(rows, key=lambda row: row["price"]))
    return f"{low:.1f} or {high:.1f} / {1e-6 * rows[0]['ann']:.1f}"


ROWS = (
    ("test accuracy", accuracy),
    ("spikes an image", spikes),
    ("mean abs γ is largest at step, by layer", lambda facts: peaks(facts, "gamma_peak_step")),
    ("spikes are most at step, by layer", lambda facts: peaks(facts, "peak_step")),
    ("σ̄ of its largest step / of its smallest", deviations),
    ("steps by threshold 0.1 (change of accuracy in points)", lambda facts: stopped(facts, "paper_threshold")),
    ("steps by γ, half a point allowed", lambda facts: stopped(facts, "chosen")),
    ("steps by γ/σ̄, likewise", lambda facts: stopped(facts, "relative")),
    ("steps by truncation, likewise", lambda facts: stopped(facts, "truncation")),
    ("each image by its margin: mean steps, accuracy", each_by_itself),
    ("drift: means from those held, at most, in held deviations", lambda facts: distances(facts, "distance")),
    ("... from one pair for all steps", lambda facts: distances(facts, "distance_if_shared")),
    ("without norms: exact, no mean, no ratio, Eq. 15, %", folds),
    ("energy, µJ: spikes added or multiplied / ANN", energies),
)
"""What a table says, and how it is read; a row of what was not measured stays empty."""


def cell(read_out: Any, facts: Facts) -> str:
    try:
        return str(read_out(facts))
    except (KeyError, TypeError):
        return ""


def table(runs: dict[str, Facts]) -> list[str]:
    """Networks side by side."""
    rows = [(name, [cell(read_out, facts) for facts in runs.values()]) for name, read_out in ROWS]
    return [
        "| | " + " | ".join(runs) + " |",
        "|---" * (len(runs) + 1) + "|",
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows if any(cells)),
    ]


def distance_of_thresholds(runs: dict[str, Facts]) -> list[str]:
    """How far the paper's fixed threshold stops from where truncation, chosen on validation, does."""
    found = {name: facts["exit"] for name, facts in runs.items() if "exit" in facts}
    lines = ["| network | T | threshold 0.1 | truncation, half a point | apart |", "|---|---|---|---|---|"]
    apart = []
    for name, facts in found.items():
        fixed, chosen = facts["paper_threshold"]["steps"], facts["truncation"]["steps"]
        apart.append(fixed - chosen)
        lines.append(f"| {name} | {facts['num_steps']} | {fixed} | {chosen} | {fixed - chosen:+d} |")
    mean = sum(abs(steps) for steps in apart) / len(apart)
    return [*lines, "", f"On average {mean:.1f} steps apart, over {len(apart)} networks."]


def other_steps() -> list[str]:
    """One network at other numbers of steps than it was trained with."""
    run = RUNS / RETIMED
    files = sorted(run.glob("evaluation-*-steps-*.json"), key=lambda place: (int(place.stem.split("-")[1]), place.stem))
    if not files:
        return []
    usual = read_json(run / "evaluation.json")
    lines = ["", "## Another number of steps than it was trained with", "", STEPS, ""]
    lines += ["| steps | how | test accuracy | spikes an image |", "|---|---|---|---|"]
    lines.append(f"| {usual['steps']} | as trained | {usual['accuracy']:.1%} | {usual['spikes_per_image']:,.0f} |")
    for place in files:
        found = read_json(place)
        steps, _, how = place.stem.removeprefix("evaluation-").split("-", 2)
        lines.append(f"| {steps} | {how} | {found['accuracy']:.1%} | {found['spikes_per_image']:,.0f} |")
    return lines


def failed_starts() -> list[str]:
    """How many starts of each network, norm and rate failed, as `bntt stability` counts them."""
    place = RUNS / "stability" / "stability.json"
    if not place.exists():
        return []
    found = read_json(place)
    rates = sorted({row["rate"] for row in found["shares"]})
    failed = {
        (row["network"], row["norm"], row["rate"]): f"{row['failed']} of {row['starts']}" for row in found["shares"]
    }
    lines = ["", "## Starts that fail", "", STABILITY, ""]
    lines.append("| network, norm | " + " | ".join(f"rate {rate:g}" for rate in rates) + " |")
    lines.append("|---" * (len(rates) + 1) + "|")
    for network, norm in dict.fromkeys((network, norm) for network, norm, _ in failed):
        cells = [failed.get((network, norm, rate), "") for rate in rates]
        lines.append(f"| {network}, {norm} | " + " | ".join(cells) + " |")
    return [*lines, "", *pictures_of("stability", "stability")]


def page() -> str:
    """The whole of findings.md."""
    whole = {name: read(RUNS / name) for name in WHOLE if (RUNS / name / "activity.json").exists()}
    short = {folder.name: read(folder) for kind in SHORT for folder in sorted(RUNS.glob(f"{kind}-[0-9]"))}
    parts = [introduction("findings"), "", "## The networks", "", *table(whole)]
    if short:
        parts += ["", "## Starts at a short budget", "", *table(short)]
    parts += ["", "## How they were trained", "", *made({**whole, **short}), "", MEASURED]
    parts += ["", "## A threshold that needs no data", "", *distance_of_thresholds({**whole, **short})]
    parts += [*other_steps(), *failed_starts()]
    shown = [line for name in PICTURED for stem in PICTURES for line in pictures_of(name, stem)]
    return "\n".join([*parts, "", "## Pictures", "", *shown]) + "\n"


def pictures_of(name: str, stem: str) -> list[str]:
    """Show the pictures of a measurement."""
    return [f"![{file.removesuffix('.svg').replace('-', ' ')}](../pictures/{file})" for file, _ in shown_of(name, stem)]


def shown_of(name: str, stem: str) -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of a measurement, but for those of every layer by itself."""
    yield from (one for one in figures_of(name, stem) if not one[0].endswith("-layers.svg"))


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    for name in PICTURED:
        for stem in PICTURES:
            yield from shown_of(name, stem)
    yield from figures_of("stability", "stability")
