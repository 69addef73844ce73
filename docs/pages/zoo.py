"""docs/reference/zoo.md, from the facts in the package about its trained networks; the picture of README.md shows one."""

from __future__ import annotations

from collections.abc import Iterator

from bntt.charts.records import STEPS, Axis, Bar, Bars, Figure, Level, Line, Lines
from bntt.cli.report import PRETRAINED_HEADS, pretrained_row
from bntt.models import PRETRAINED, pretrained_facts
from pages.kept import RUNS, Facts, figures_of, introduction, read, table

NETWORK = "wheel"
"""The run of the picture: the network that comes trained with the package as ``PICTURED``."""
PICTURED = "fashion-mnist-vgg6"
CRITERION = "margin"
HEADS = (
    "name",
    "weights stored in",
    "test accuracy in float32, float16",
    "epoch kept",
    "seed, commit",
    "trained on",
    "minutes",
)


def page() -> str:
    """Make the whole of zoo.md."""
    rows = [list(pretrained_row(name)) for name in PRETRAINED]
    trained = [_trained(name) for name in PRETRAINED]
    size = sum(pretrained_facts(name).stored["bytes"] for name in PRETRAINED)
    parts = [
        introduction("zoo"),
        "",
        *table(PRETRAINED_HEADS, rows),
        "",
        f"All together: {size / 1e6:.2f} MB.",
        "",
        "## How they were trained",
        "",
        *table(HEADS, trained),
    ]
    return "\n".join(parts) + "\n"


def _trained(name: str) -> list[str]:
    facts = pretrained_facts(name)
    run, accuracy = facts.run, facts.stored["accuracy"]
    return [
        name,
        facts.stored["dtype"],
        ", ".join(f"{100 * accuracy[dtype]:.2f} %" for dtype in ("float32", "float16") if dtype in accuracy),
        str(facts.epoch),
        f"{facts.seed}, {run['commit']}",
        f"{run['processor']}, {run['threads']} thread{'s' * (run['threads'] > 1)}",
        f"{run['seconds'] / 60:.0f}",
    ]


def pictures() -> Iterator[tuple[str, Figure]]:
    """Draw accuracy, spikes and exits of one network; and a training, for the site's first pages."""
    yield from figures_of("fashion-mnist", "evaluation")
    facts = read(RUNS / NETWORK)
    found, activity, single = facts["exit"], facts["activity"], facts["exit-per-sample"]
    steps = range(1, 1 + found["num_steps"])
    right = pretrained_facts(PICTURED).test["accuracy_over_time"]  # of all draws; the exit's record has one
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
    yield "readme-narrow.svg", Figure(title, charts, columns=1)


def _spikes(name: str, layer: Facts) -> Line:
    """Return a layer's spikes at each step, the mean over classes of equal size."""
    by_class = layer["spikes_by_class"].values()
    mean = [sum(at) / len(by_class) for at in zip(*by_class, strict=True)]
    return Line(name, range(1, 1 + len(mean)), mean)
