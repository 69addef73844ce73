"""``bntt equivalence``: is BNTT a threshold that varies with time?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from bntt.cli.opening import Split

if TYPE_CHECKING:
    from bntt.runs.measures.equivalence import RunEquivalence


def equivalence(
    run: tyro.conf.Positional[Path],
    split: Split = "validation",
    images: Annotated[int, tyro.conf.arg(metavar="N")] = 1000,
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Compare a run's best epoch with four networks without norms (Section 3.3): the exact fold, the same without the
    mean, without the ratio in the leak, and without both, which is the paper's Eq. 15.

    Says which share of the neurons fires otherwise, by layer, on true spikes and on each network's own, and what that
    does to the accuracy. Writes equivalence.json and equivalence.png into the run directory (equivalence-test.* for the
    other split).

    Example: bntt equivalence runs/fashion-mnist --images 500

    Args:
        run: the run directory.
        split: which images.
        images: how many, as many of each class as the split's shares allow.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print a line for each network, layer and step instead.
    """
    from bntt.cli import console
    from bntt.cli.opening import opened, told
    from bntt.runs.directory import find_run, stem_of
    from bntt.runs.figures.equivalence_figure import save_equivalence
    from bntt.runs.measures.equivalence import as_json, as_rows, equivalence_run

    loaded = opened(run, device, as_json=json, as_csv=csv)
    with console.progress("comparing", len(loaded.loader(split, images).places)) as advance:
        result = equivalence_run(loaded, split=split, images=images, progress=advance)
    tables = told(as_json(result), as_rows(result), as_json=json, as_csv=csv)
    if tables:
        _show(result)
    found, stem = find_run(run), stem_of("equivalence", split, "validation")
    found.keep(stem, as_json(result))
    save_equivalence(result, found.path / f"{stem}.png")
    if tables:
        console.line(f"written: {found.path / stem}.json and .png")


def _show(result: RunEquivalence) -> None:
    """Networks, and their layers in each of the two ways to feed them."""
    from bntt.cli import console
    from bntt.runs.measures.equivalence import FED

    found = result.found
    console.line("")
    console.line(
        f"{result.dataset}, {result.split}: {found.samples:,} images, epoch {result.epoch + 1}; "
        f"accuracy of the network {found.accuracy:.1%}"
    )
    rows = [(name, f"{fold.accuracy:.1%}", f"{fold.agreement:.1%}") for name, fold in found.folds.items()]
    console.columns("folded networks, on their own spikes", ("", "accuracy", "same answer"), rows)
    for fed, what in FED.items():
        layers = [
            (
                layer,
                *(_share(found.mean(name, fed, layer)) for name in found.folds),
                console.number(found.mean_rate(layer), ".1%"),
            )
            for layer in found.rate
        ]
        heads = ("layer", *found.folds, "fire at all")
        console.columns(f"neurons that fire otherwise, mean over steps: {what}", heads, layers)


def _share(share: float) -> str:
    """Some of very few are seen to be some."""
    from bntt.cli import console

    return console.number(share, ".1e" if 0 < share < 1e-4 else ".2%")
