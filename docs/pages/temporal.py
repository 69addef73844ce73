"""docs/evidence/temporal.md, from the kept runs on recordings and sequences.

A run is ``events-NORM-SEED``, ``cifar-events-NORM-SEED``, ``rows-NORM-SEED``, ``pixels-NORM-SEED`` or
``growing-SEED``. Every number comes from such a run's files; what was not run is left out.
"""

from __future__ import annotations

import statistics
from itertools import accumulate

from pages.kept import RUNS, Facts, epochs, introduction, made, over, starts, table

EVENTS = {
    "bntt": "BNTT",
    "bn": "one standard BN",
    "none": "no norm",
    "ann": "the ANN on summed frames",
}
NORMS = {
    "bntt": "BNTT",
    "bntt-scaled": "BNTT, times αθ",
    "tdbn": "tdBN",
    "tebn": "TEBN",
    "tab": "TAB",
    "bn": "one standard BN",
    "bn-pooled": "pooled BN",
    "layer": "LayerNorm",
    "none": "no norm",
    "lsnn": "LSNN, no norm (Adam)",
}
GROWING = (("growing", "T grows from 2 over 4 to 8"), ("rival-bntt", "T = 8 from the start"))
HEADS = ("network", "T", "test accuracy, %", "each start, %", "spikes a sample", "seconds an epoch", "starts")


def seconds(facts: Facts) -> float:
    """An epoch of training with its share of the validation, on one thread beside other work."""
    return facts["evaluation"]["seconds"] / facts["recipe"]["train"]["epochs"]


def row(name: str, found: list[Facts]) -> list[str]:
    """One line of a table."""
    first = found[0]["recipe"]["network"]
    spiking = first["neuron"] != "relu"
    return [
        name,
        str(first["num_steps"]) if spiking else "",
        over(found, lambda one: 100 * one["accuracy"], ".2f"),
        ", ".join(f"{100 * facts['evaluation']['accuracy']:.1f}" for facts in found),
        over(found, lambda one: one["spikes_per_image"], ",.0f") if spiking else "",
        f"{statistics.median(seconds(facts) for facts in found):.0f}",
        str(len(found)),
    ]


def compared(title: str, prefix: str, names: dict[str, str], text: str) -> tuple[list[str], list[Facts]]:
    """A section: every norm that was run, and the first start of each."""
    runs = {label: starts(f"{prefix}-{key}") for key, label in names.items()}
    runs = {label: found for label, found in runs.items() if found}
    if not runs:
        return [], []
    rows = [row(label, found) for label, found in runs.items()]
    return ["", f"## {title}", "", text, "", *table(HEADS, rows)], [found[0] for found in runs.values()]


def growing() -> tuple[list[str], list[Facts]]:
    """Validation accuracy after every epoch, by the steps taken so far, with T that grows and with all from the start."""
    runs = {label: starts(name) for name, label in GROWING}
    if not all(runs.values()):
        return [], []
    rows = []
    for (name, label), found in zip(GROWING, runs.values(), strict=True):
        for facts, place in zip(found, sorted(RUNS.glob(f"{name}-[0-9]")), strict=True):
            trained = epochs(place)
            taken = accumulate(one.get("steps", facts["recipe"]["network"]["num_steps"]) for one in trained)
            cells = [f"{n}: {100 * one['validation_accuracy']:.1f}" for n, one in zip(taken, trained, strict=True)]
            test = f"{100 * facts['evaluation']['accuracy']:.2f}"
            rows.append([label, str(facts["recipe"]["seed"]), *cells, test])
    heads = ("training", "seed", *(f"after epoch {number}" for number in range(1, len(rows[0]) - 2)), "test, %")
    return ["", "## Growing T", "", GROWN, "", *table(heads, rows)], [runs[GROWING[0][1]][0]]


SECTIONS = (
    (
        "Fashion-MNIST before a simulated event camera",
        "events",
        EVENTS,
        "`fashion-mnist-events`: 8,100 training, 900 validation and 1,000 test recordings, ten frames of 28x28, VGG6 at the "
        "full width, five epochs of batches of 50. The ANN has the frames summed.",
    ),
    (
        "CIFAR-10 before a simulated event camera",
        "cifar-events",
        EVENTS,
        "`dvs-cifar10-simulated`: as many recordings of the JPEG copy, ten frames of 32x32, the network of Wu et al. 2019 at "
        "an eighth of its channels.",
    ),
    (
        "A row a step: sequential Fashion-MNIST, T = 28",
        "rows",
        NORMS,
        "`sequential-fashion-mnist-rows`, five epochs: FC(28,256)-FC(256,256)-FC(256,10), a leak of 0.95, the paper's SGD at 0.1. The "
        "LSNN, recurrent with thresholds that adapt, is made of registered parts (`lsnn.py`) and trains by Adam at 0.001: `bntt --with lsnn.py study lsnn-rows.toml --small` in `examples/parts`. With "
        "αθ = 1 BNTT times αθ is BNTT and tdBN is the pooled BN, bit for bit.",
    ),
    (
        "A pixel a step: T = 784",
        "pixels",
        NORMS,
        "`sequential-fashion-mnist` on a subset, as the commands below say it: FC(1,256)-FC(256,256)-FC(256,10), a leak of 0.99. "
        "The paper's Table 3 is about MNIST; how many steps and epochs it took was not found.",
    ),
)
GROWN = (
    "The half-width network of [Table 1's study](claims.md), five epochs; with `train.grow = [[2, 1], [4, 2]]` one epoch takes the first 2 "
    "steps, two more the first 4, and the last two all 8. Cells are the epochs times steps so far, which is what training costs, "
    "and validation accuracy in % with the steps that the epoch trained."
)


def page() -> str:
    """The whole of temporal.md."""
    lines, firsts = [introduction("temporal")], list[Facts]()
    for title, prefix, names, text in SECTIONS:
        more, found = compared(title, prefix, names, text)
        lines, firsts = [*lines, *more], [*firsts, *found]
    more, found = growing()
    lines, firsts = [*lines, *more], [*firsts, *found]
    ways = ["", "## How they were made", "", "The first start of each; the others differ in the seed.", ""]
    return "\n".join([*lines, *ways, *(made(facts) for facts in firsts)]) + "\n"
