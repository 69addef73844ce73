"""README.md: its table comes from the study of Table 1, its picture from stored runs; its text is written by hand."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator

from bntt.charts.records import STEPS, Axis, Bar, Bars, Figure, Level, Line, Lines
from bntt.models import pretrained_facts
from pages.kept import ROOT, RUNS, Facts, figures_of, read, read_json, table

BEGIN, END = "<!-- made by docs/make.py readme -->\n", "<!-- end -->"
STUDY = "table-1"
HEADS = ("data and method", "steps", "test accuracy, %", "spikes per image", "minutes of training", "starts")
NETWORK = "wheel"
"""The run of the picture: the network that comes trained with the package as ``PRETRAINED``."""
PRETRAINED = "fashion-mnist-vgg6"
CRITERION = "margin"


def page() -> str:
    """Return README.md with its table made again."""
    before, rest = (ROOT / "README.md").read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}{_results()}\n{END}{after}"


def _results() -> str:
    study = read_json(ROOT / "results" / f"{STUDY}.json")
    minutes = {run["name"]: _minutes(run["starts"]) for run in study["runs"]}
    rows = [row for row in study["table"]["rows"] if row["cells"]["accuracy"]]
    commits = sorted(
        {commit for row in rows for made in row["made_on"] for commit in re.findall(r" at (\w{12})", made)}
    )
    said = (
        "Values are mean ± standard deviation over starts. Minutes are the median time of one start on one thread, "
        "including validation. A conversion trains nothing: its minutes are the search for thresholds. Conversion and "
        "hybrid need the ANN's minutes in addition. Starts with "
        f"gradients in bfloat16: {_in_bfloat16(study['runs'])}. Evidence: `results/{STUDY}.json`, runs of commits {', '.join(commits)}."
    )
    return "\n".join([*table(HEADS, [_row(row, minutes[row["run"]]) for row in rows]), "", said])


def _minutes(starts: list[Facts]) -> str:
    found = [start["seconds"] / 60 for start in starts if start.get("seconds")]
    return f"{statistics.median(found):.0f}" if found else ""


def _in_bfloat16(runs: list[Facts]) -> str:
    """Return how many starts of which runs computed their gradients in bfloat16."""
    counts = {run["label"]: [start.get("precision") for start in run["starts"]] for run in runs}
    return "; ".join(
        f"{label}, {found.count('bf16-grad')} of {len(found)}"
        for label, found in counts.items()
        if "bf16-grad" in found
    )


def _row(row: Facts, minutes: str) -> list[str]:
    """Return a method's cells; an ANN has neither steps nor spikes."""
    cells, label = row["cells"], row["label"].removeprefix("CIFAR-10 (JPEG copy, reduced): ")
    data = "Fashion-MNIST" if label == row["label"] else "CIFAR-10, JPEG copy"
    name = f"**{label}**" if label == "BNTT" else label.partition(", T = ")[0]
    spiking = label != "ANN"
    return [
        f"{data}: {name}",
        f"{cells['steps']['mean']:g}" if spiking else "–",
        cells["accuracy"]["text"],
        cells["spikes"]["text"] if spiking else "–",
        minutes,
        str(cells["accuracy"]["n"]),
    ]


def pictures() -> Iterator[tuple[str, Figure]]:
    """Draw accuracy, spikes and exits of one network; and a training, for the site's first pages."""
    yield from figures_of("fashion-mnist", "evaluation")
    facts = read(RUNS / NETWORK)
    found, activity, single = facts["exit"], facts["activity"], facts["exit-per-sample"]
    steps = range(1, 1 + found["num_steps"])
    right = pretrained_facts(PRETRAINED).test["accuracy_over_time"]  # of all draws; the exit's record has one
    leaving = single["leave_after_step"][CRITERION]
    spikes = [_spikes(*layer) for layer in activity["layers"].items()]
    charts = (
        Lines(
            "Accuracy",
            STEPS,
            Axis("test accuracy when stopped there", percent=True, low=0, high=1),
            [Line("accuracy", steps, right)],
            (Level(found["steps"], "stop read from γ", "x"),),
        ),
        Lines("Spikes", STEPS, Axis("spikes per image", low=0), spikes),
        Bars(
            "Exits, image by image",
            Axis("images that leave after this step", percent=True, low=0),
            [str(step) for step in steps],
            [Bar("images", leaving)],
        ),
    )
    early = f"{right[found['steps'] - 1]:.1%} after {found['steps']}"
    title = f"One network on Fashion-MNIST: {right[-1]:.1%} after {len(steps)} steps, {early}"
    yield "readme.svg", Figure(title, charts, columns=3)


def _spikes(name: str, layer: Facts) -> Line:
    """Return a layer's spikes at each step, the mean over classes of equal size."""
    by_class = layer["spikes_by_class"].values()
    mean = [sum(at) / len(by_class) for at in zip(*by_class, strict=True)]
    return Line(name, range(1, 1 + len(mean)), mean)
