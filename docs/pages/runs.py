"""docs/evidence/runs.md, from the directories of kept runs; their checkpoints are not kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bntt.charts.records import Axis, Figure, Line, Lines
from bntt.runs.recipe.file import load_recipe, values_of
from pages import kept
from pages.kept import RUNS, epochs, figures_of, introduction

ORDER = (
    "fashion-mnist",
    "fashion-mnist-fused",
    "fashion-mnist-wd1e-4",
    "fashion-mnist-bntt",
    "fashion-mnist-bn",
    "fmnist-3ep-bntt",
    "fmnist-3ep-bn",
    "fmnist-3ep-none",
    "cifar10-small",
    "resnet20-small",
    "resnet19-small",
    "fmnist-1ep-reference",
    "fmnist-1ep-fused",
    "fashion-mnist-best-0",
    "fashion-mnist-best-1",
    "cifar10-best",
)
PICTURED = ("fashion-mnist", "cifar10-small")
"""Those that are drawn over time; the tables say it of all."""
CHANGES = "one-"
"""Runs that differ from ``one-base`` in one thing each."""


def read(run: Path) -> dict[str, object]:
    """What the files of one run say."""
    rows = epochs(run)
    validation = max(row["validation_accuracy"] or 0.0 for row in rows)
    return {**kept.read(run), "seconds": rows[-1]["seconds"], "validation": validation}


def command(facts: dict) -> str:
    """The command line that made the run, its own paths left out."""
    words = [word for word in facts["environment"]["command"] if not word.startswith("data.root=")]
    text = " ".join(f'"{word}"' if " " in word else word for word in words)
    return "bntt " + text.replace("-s -s", "-s").replace(" --root runs", "")


def summary(name: str, facts: dict) -> str:
    """One row of the table of runs."""
    recipe, found, seconds = facts["recipe"], facts["evaluation"], facts["seconds"]
    network, low_high = recipe["network"], found["accuracy_wilson_95"]
    spread = f" ± {found['accuracy_sd_over_draws']:.2%}" if found["draws"] > 1 else ", one draw"
    return (
        f"| [{name}](#{name.lower()}) | {found['dataset']} | {network['name']} x{network['width']:g}, "
        f"{network['norm']}, T={network['num_steps']} | {recipe['train']['epochs']} | "
        f"**{found['accuracy']:.2%}{spread}** | "
        f"{low_high[0]:.1%}-{low_high[1]:.1%} | {found['spikes_per_image']:,.0f} | "
        f"{seconds / 60:.1f} min, {path(facts)} |"
    )


def path(facts: dict) -> str:
    """What computed it, on how many threads; before there were kernels, recipes had no word for it."""
    fused = facts["recipe"].get("compute", {}).get("backend", "reference") != "reference"
    threads = facts["environment"]["threads"]
    return f"{'fused kernels' if fused else 'plain PyTorch'}, {threads} thread{'s' if threads > 1 else ''}"


def changes(base: dict, facts: dict) -> str:
    """What a run's recipe says otherwise than the base's."""
    found = [
        f"{table}.{key} = {value}"
        for table, values in facts["recipe"].items()
        if isinstance(values, dict)
        for key, value in values.items()
        if value != base["recipe"][table][key]
    ]
    return ", ".join(found) or "nothing: the base"


def one_change(runs: dict) -> list[str]:
    """What one change buys, as a table."""
    base = runs[f"{CHANGES}base"]
    lines = [
        "## What one change buys",
        "",
        f"`{command(base)}`: {base['recipe']['train']['epochs']} epochs at half the width of `fashion-mnist-best`; and "
        f"the same with one thing changed; one start each, commit {base['environment']['commit']}.",
        "",
        "| changed | validation | test (95 %) | against the base | spikes per image |",
        "|---|---|---|---|---|",
    ]
    for facts in runs.values():
        found = facts["evaluation"]
        low, high = found["accuracy_wilson_95"]
        lines.append(
            f"| {changes(base, facts)} | {facts['validation']:.1%} | {found['accuracy']:.2%} ({low:.1%}-{high:.1%}) | "
            f"{100 * (found['accuracy'] - base['evaluation']['accuracy']):+.2f} | {found['spikes_per_image']:,.0f} |"
        )
    return [*lines, "", "![accuracy against spikes](../pictures/gamma-decay.svg)"]


def decay(runs: dict) -> Figure:
    """Draw accuracy against spikes, by the decay of γ alone."""
    points = sorted(
        (facts["recipe"]["train"]["gamma_decay"], facts["evaluation"])
        for name, facts in runs.items()
        if name == f"{CHANGES}base" or "gamma-decay" in name
    )
    lines = [
        Line(
            f"decay {value:g}",
            [found["spikes_per_image"]],
            [found["accuracy"]],
            low=[found["accuracy_wilson_95"][0]],
            high=[found["accuracy_wilson_95"][1]],
            joined=False,
        )
        for value, found in points
    ]
    x = Axis("spikes an image, all layers and steps", low=0)
    y = Axis("test accuracy, 95 % interval", percent=True, low=min(line.low[0] for line in lines) - 0.005, high=1)
    return Figure("What the weight decay of γ buys and costs (Fashion-MNIST)", [Lines("", x, y, lines)])


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    for name in PICTURED:
        yield from figures_of(name, "evaluation")
    yield "gamma-decay.svg", decay(changed_runs())


def over_time(found: dict) -> str:
    """Accuracy, mean |γ| and firing rates at every step."""
    steps = len(found["accuracy_over_time"])
    lines = ["| step | " + " | ".join(str(t + 1) for t in range(steps)) + " |", "|---" * (steps + 1) + "|"]
    lines.append(
        "| accuracy if stopped, % | " + " | ".join(f"{100 * a:.1f}" for a in found["accuracy_over_time"]) + " |"
    )
    for layer, row in found["gamma_magnitude"].items():
        lines.append(f"| mean abs γ, {layer} | " + " | ".join(f"{g:.2f}" for g in row) + " |")
    for layer, row in found["firing_rate"].items():
        lines.append(f"| firing rate, {layer}, % | " + " | ".join(f"{100 * r:.1f}" for r in row) + " |")
    return "\n".join(lines)


def changed_runs() -> dict:
    """The base and those that differ from it in one thing; keys that came later have their defaults."""
    return {
        folder.name: read(folder) | {"recipe": values_of(load_recipe(folder / "recipe.toml"))}
        for folder in sorted(RUNS.glob(f"{CHANGES}*"))
    }


def page() -> str:
    """The whole of runs.md."""
    runs = {name: read(RUNS / name) for name in ORDER if (RUNS / name).is_dir()}
    first = next(iter(runs.values()))["environment"]
    parts = [
        introduction("runs"),
        "",
        "| run | data | network | epochs | test accuracy ± sd over draws | 95 % | spikes per image | training |",
        "|---|---|---|---|---|---|---|---|",
        *(summary(name, facts) for name, facts in runs.items()),
        "",
        f"{first['processor']}, torch {first['torch']}.",
    ]
    for name, facts in runs.items():
        environment, found = facts["environment"], facts["evaluation"]
        parts += [
            "",
            f"## {name}",
            "",
            f"`{command(facts)}`; seed {facts['recipe']['seed']}, commit {environment['commit']}, "
            f"{environment['device']}; "
            f"epoch {found['epoch'] + 1} chosen on validation ({facts['validation']:.1%}); {found['images']:,} test "
            f"images, {found['draws']} draws.",
            "",
            over_time(found),
            "",
        ]
        if name in PICTURED:
            parts += [f"![accuracy, γ and firing rates](../pictures/{file})" for file, _ in figures_of(name, "evaluation")]
    if changed := changed_runs():
        parts += ["", *one_change(changed)]
    return "\n".join(parts) + "\n"
