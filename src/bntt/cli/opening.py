"""What the verbs that measure a trained run share: opening it, and telling what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bntt.runs.open_run import LoadedRun

Split = Literal["test", "validation"]
"""Which images: those of the test split, or those held out of the training split."""


def opened(run: Path, device: str, *, as_json: bool = False, as_csv: bool = False, spiking: bool = True) -> LoadedRun:
    """A run with its data at hand; says so if its network looks untrained.

    Args:
        spiking: whether spikes are looked at.

    Raises:
        RecipeError: if they are, and it is an ANN's; or if both forms of the numbers are asked for.
        CheckpointError: if this is no run, or one that cannot be measured.
        DataError: if its dataset is missing or damaged.
    """
    from bntt.analysis import looks_untrained
    from bntt.cli import console, streams
    from bntt.runs.open_run import load_run
    from bntt.runs.recipe.file import RecipeError

    check_form(as_json=as_json, as_csv=as_csv)
    loaded = load_run(run, device=device)
    if spiking and loaded.recipe.network.neuron == "relu":
        raise RecipeError(
            f"{run} is an ANN (network.neuron = 'relu'): it has one step and no spikes; bntt evaluate, energy, "
            f"robust, attack and predict take it, and a recipe with convert.ann = {str(run)!r} makes it spike"
        )
    with console.status("opening the data"):
        _ = loaded.data
    if looks_untrained(loaded.model.network):
        streams.complain(f"warning: {run}: γ is where it began: this network has hardly been trained")
    return loaded


def check_form(*, as_json: bool, as_csv: bool) -> None:
    """Refuse to tell the numbers twice, before any work is done.

    Raises:
        RecipeError: if both forms are asked for.
    """
    from bntt.runs.recipe.file import RecipeError

    if as_json and as_csv:
        raise RecipeError("--json and --csv: choose one")


def told(
    values: Mapping[str, object], rows: Sequence[Mapping[str, object]], *, as_json: bool = False, as_csv: bool = False
) -> bool:
    """Print the numbers as JSON, or their rows as CSV, where that is asked for.

    Returns:
        Whether nothing was printed, and tables are wanted.
    """
    from bntt.cli import console

    if as_json:
        console.as_json(values)
    if as_csv:
        console.as_csv(rows)
    return not (as_json or as_csv)
