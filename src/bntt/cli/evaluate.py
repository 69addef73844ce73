"""``bntt evaluate``: measure a trained run again."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro


def evaluate(
    run: tyro.conf.Positional[Path],
    draws: int | None = None,
    split: Literal["test", "validation"] = "test",
    device: str = "cpu",
    json: bool = False,
) -> None:
    """Measure a run's best epoch on every image, with fresh Poisson noise in every draw.

    Writes evaluation.json and evaluation.png into the run directory (evaluation-validation.* for the other split).

    Example: bntt evaluate runs/fashion-mnist --draws 10

    Args:
        run: the run directory.
        draws: repetitions with fresh noise; as many as the recipe says (5 by default), one where nothing is drawn.
        split: which images; whatever is chosen is chosen on validation.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
    """
    from bntt.cli import console
    from bntt.experiments.build import build_data, require_device
    from bntt.experiments.figures import save_overview
    from bntt.experiments.identity import MEASURING, check_same_recipe
    from bntt.experiments.recipe import RecipeError, load_recipe
    from bntt.experiments.run import as_json, draws_of, evaluate_run, find_run

    require_device(device)
    if draws is not None and draws < 1:
        raise RecipeError(f"--draws must be 1 or more, got {draws}")
    found = find_run(run)
    recipe = load_recipe(found.recipe)
    repetitions = draws_of(recipe, draws)
    check_same_recipe(recipe, found.checkpoint("best"), MEASURING)
    with console.progress_of("preparing data") as progress:
        data = build_data(recipe, progress)
    images = data.test if split == "test" else data.validation
    with console.progress("measuring", len(images) * repetitions) as advance:
        result = evaluate_run(recipe, data, found, split=split, draws=draws, device=device, progress=advance)
    stem = "evaluation" if split == "test" else f"evaluation-{split}"
    save_overview(result, run / f"{stem}.png")
    if json:
        console.as_json(as_json(result))
    else:
        console.result(result)
        console.line(f"written: {run / stem}.json and .png")
