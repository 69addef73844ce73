"""docs/evidence/temporal.md, from the kept runs on recordings and sequences.

A run is one of a study or, where no study has it, ``events-NORM-SEED``, ``cifar-events-NORM-SEED``, ``rows-NORM-SEED``,
``pixels-NORM-SEED`` or ``growing-SEED``. Every number comes from such a run's files; what was not run is left out.
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
STUDIES = {"events": "table-2", "rows": "sequence-norms"}
"""Studies that have the runs of a section."""
GROWING = (("growing", "T grows from 2 over 4 to 8"), ("rival-bntt", "T = 8 from the start"))
HEADS = ("network", "T", "test accuracy, %", "each start, %", "spikes per sample", "seconds per epoch", "starts")


def seconds(facts: Facts) -> float:
    """Return the seconds of an epoch with its share of the validation, on one thread while other work was running."""
    return facts["evaluation"]["seconds"] / facts["recipe"]["train"]["epochs"]


def row(name: str, found: list[Facts]) -> list[str]:
    """Return one row of a table."""
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
    """Return a section with every norm that was run, and the first start of each."""
    runs = {label: starts(f"{prefix}-{key}", STUDIES.get(prefix, "")) for key, label in names.items()}
    runs = {label: found for label, found in runs.items() if found}
    if not runs:
        return [], []
    rows = [row(label, found) for label, found in runs.items()]
    return ["", f"## {title}", "", text, "", *table(HEADS, rows)], [found[0] for found in runs.values()]


def growing() -> tuple[list[str], list[Facts]]:
    """Tabulate validation accuracy after every epoch, with the steps so far, for a growing T and for all steps."""
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
        "Fashion-MNIST in front of a simulated event camera",
        "events",
        EVENTS,
        "`fashion-mnist-events`: 8,100 training, 900 validation and 1,000 test recordings, ten frames of 28x28, VGG6 at the "
        "full width, five epochs of batches of 50. The ANN gets the sum of the frames.",
    ),
    (
        "CIFAR-10 in front of a simulated event camera",
        "cifar-events",
        EVENTS,
        "`dvs-cifar10-simulated`: the same number of recordings of the JPEG copy, ten frames of 32x32, the network of Wu et al. 2019 at "
        "an eighth of its channels.",
    ),
    (
        "One row per step: sequential Fashion-MNIST, T = 28",
        "rows",
        NORMS,
        "`sequential-fashion-mnist-rows`, five epochs: FC(28,256)-FC(256,256)-FC(256,10), a leak of 0.95, the paper's SGD at 0.1. The "
        "LSNN, recurrent with adaptive thresholds, is built from registered parts (`lsnn.py`) and trained with Adam at 0.001: `bntt --with lsnn.py study lsnn-rows.toml --small` in `examples/parts`. Unlike that of Bellec et al., its surrogate gradient is not divided by the adaptive threshold. With "
        "αθ = 1, BNTT times αθ equals BNTT, and tdBN equals pooled BN, bit for bit.",
    ),
    (
        "One pixel per step: T = 784",
        "pixels",
        NORMS,
        "`sequential-fashion-mnist` on a subset (see the commands below): FC(1,256)-FC(256,256)-FC(256,10), a leak of 0.99. "
        "The paper's Table 3 is about MNIST; we did not find how many steps and epochs it used.",
    ),
)
GROWN = (
    "The half-width network of [Table 1's study](claims.md), five epochs; with `train.grow = [[2, 1], [4, 2]]` one epoch trains the first 2 "
    "steps, the next two the first 4, and the last two all 8. Each cell gives the epochs times steps so far, which is the cost of "
    "training, and the validation accuracy in % with the steps that the epoch trained."
)


def page() -> str:
    """Make the whole of temporal.md."""
    lines, firsts = [introduction("temporal")], list[Facts]()
    for title, prefix, names, text in SECTIONS:
        more, found = compared(title, prefix, names, text)
        lines, firsts = [*lines, *more], [*firsts, *found]
    more, found = growing()
    lines, firsts = [*lines, *more], [*firsts, *found]
    ways = [
        "",
        "## How they were made",
        "",
        "The command of the first start; the other starts differ only in the seed.",
        "",
    ]
    return "\n".join([*lines, *ways, *(made(facts) for facts in firsts)]) + "\n"
