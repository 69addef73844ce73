"""``bntt evaluate``: measure a trained run again."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

from bntt.cli.opening import Split


def evaluate(
    run: tyro.conf.Positional[Path],
    draws: int | None = None,
    images: int | None = None,
    split: Split = "test",
    device: str = "cpu",
    exit: bool = False,
    num_steps: int | None = None,
    longer: Literal["hold", "interpolate", "re-estimate"] | None = None,
    json: bool = False,
) -> None:
    """Measure a run's best epoch on every image, with fresh Poisson noise in every draw.

    Writes evaluation.json and evaluation.png into the run directory; evaluation-validation.* for the other split,
    evaluation-exit.* with --exit, evaluation-T-steps-HOW.* with --num-steps T, and evaluation-N-images.* with
    --images N where the recipe says another number.

    Example: bntt evaluate runs/fashion-mnist --draws 10

    Args:
        run: the run directory.
        draws: repetitions with fresh noise; as many as the recipe says (5 by default), one where nothing is drawn.
        images: so many of the split, as many of each class as its share; as the recipe says (all by default).
        split: which images; whatever is chosen is chosen on validation.
        device: cpu, or cuda.
        exit: stop after the steps that bntt exit RUN chose; the others are not computed.
        num_steps: another T than it was trained with: fewer are its first steps (truncate), more need --longer.
        longer: what added steps have: the last step's γ and statistics ("hold"), all steps' stretched ("interpolate"),
            or γ held and all statistics taken anew from 20 training batches ("re-estimate").
        json: print the numbers as JSON instead of tables.
    """
    from bntt.cli import console
    from bntt.cli.train import measure
    from bntt.io.checkpoint import read_facts
    from bntt.runs.directory import find_run
    from bntt.runs.identity import MEASURING, check_same_recipe, kept_exit
    from bntt.runs.measures.evaluate import draws_of
    from bntt.runs.measures.retiming import retiming_of
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.datasets import build_data
    from bntt.runs.recipe.file import RecipeError, load_recipe
    from bntt.training.processes import Processes

    require_device(device)
    if draws is not None and draws < 1:
        raise RecipeError(f"--draws must be 1 or more, got {draws}")
    if images is not None and images < 1:
        raise RecipeError(f"--images must be 1 or more, got {images}")
    if num_steps is not None and exit:
        raise RecipeError("--exit and --num-steps both say when to stop: leave one of them away")
    if longer is not None and num_steps is None:
        raise RecipeError(f"--longer {longer} needs a number of steps: --num-steps")
    found = find_run(run)
    recipe = load_recipe(found.recipe)
    if recipe.network.neuron == "relu" and (exit or num_steps is not None):
        raise RecipeError(f"{run} is an ANN: its one step is all there is, leave --exit and --num-steps away")
    draws_of(recipe, draws)
    check_same_recipe(recipe, read_facts(found.best), found.best, MEASURING)
    steps = retiming_of(recipe, num_steps, longer) if num_steps is not None else None
    at = kept_exit(found, recipe.network.num_steps) if exit else steps
    with console.progress_of("preparing data") as progress:
        data = build_data(recipe, progress)
    if images is not None:
        recipe = recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"images": images})})
    measure(recipe, data, found, split=split, draws=draws, processes=Processes(device), steps=at, json=json)
