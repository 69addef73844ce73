"""A trained run, measured on a whole split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bntt.analysis import Evaluation, GammaProfile, evaluate, gamma_profile
from bntt.data import SampleLoader
from bntt.experiments.build import Parts, Split, build_model, for_measuring
from bntt.experiments.directory import RunDirectory
from bntt.experiments.identity import MEASURING, check_same_data, check_same_recipe
from bntt.experiments.recipe import Recipe, RecipeError
from bntt.training.checkpoint import load_checkpoint, read_facts


@dataclass(frozen=True)
class RunResult:
    """The best epoch's network, measured."""

    epoch: int
    split: str
    dataset: str
    evaluation: Evaluation
    gamma: GammaProfile
    averaged: bool
    """Whether the weights are a moving average."""
    stopped: bool = False
    """Whether it stopped after fewer steps than it has."""

    @property
    def stem(self) -> str:
        """What its files are called."""
        return "-".join(["evaluation"] + ["validation"] * (self.split != "test") + ["exit"] * self.stopped)


def evaluate_run(
    recipe: Recipe,
    data: Parts,
    run: RunDirectory,
    *,
    split: Split = "test",
    draws: int | None = None,
    device: str = "cpu",
    steps: int | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> RunResult:
    """Measure the best epoch of a run on every image of a split.

    Args:
        steps: stop after so many; all of them by default.

    Raises:
        CheckpointError: if recipe or data are not those that the run was trained with.
        RecipeError: if more than one draw is asked for where nothing is drawn.
    """
    draws = draws_of(recipe, draws)
    check_same_recipe(recipe, read_facts(run.best), run.best, MEASURING)
    check_same_data(run.path, data.manifest)
    model = build_model(for_measuring(recipe), data, device)
    facts = load_checkpoint(run.best, model, needs=("epoch", "averaged"))
    loader = SampleLoader(data.of(split), recipe.evaluate.batch_size, device=device)
    evaluation = evaluate(model, loader, seed=recipe.seed, draws=draws, steps=steps, progress=progress)
    profile = gamma_profile(model.network)
    stopped = steps is not None
    return RunResult(facts["epoch"], split, data.label, evaluation, profile, facts["averaged"], stopped)


def write_result(run: RunDirectory, result: RunResult) -> None:
    """Keep the numbers as ``evaluation.json``, or as the file of another split or of an early exit.

    Raises:
        OSError: if they cannot be written; what was there before is then still there.
    """
    run.keep(result.stem, as_json(result))


def draws_of(recipe: Recipe, asked: int | None = None) -> int:
    """How often every image is measured: as often as asked, or as the recipe says; once where nothing is drawn.

    Raises:
        RecipeError: if more than one draw is asked for where nothing is drawn.
    """
    if recipe.encoder.name != "direct":
        return recipe.evaluate.draws if asked is None else asked
    if asked is not None and asked > 1:
        raise RecipeError(
            f"--draws {asked}: direct coding draws nothing (encoder.name = 'direct'), every pass would be the same; "
            f"leave --draws away"
        )
    return 1


def as_json(result: RunResult) -> dict[str, object]:
    """The numbers of a result with their names, ready for ``json``."""
    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    return {
        "dataset": result.dataset,
        "split": result.split,
        "epoch": result.epoch,
        "weights": "moving average" if result.averaged else "as trained",
        "images": accuracy.samples,
        "steps": len(accuracy.over_time),
        "draws": len(accuracy.correct),
        "accuracy": accuracy.mean,
        "accuracy_sd_over_draws": accuracy.spread,
        "accuracy_wilson_95": accuracy.interval,
        "accuracy_per_draw": accuracy.per_draw,
        "accuracy_over_time": accuracy.over_time,
        "gamma_magnitude": {name: row.tolist() for name, row in result.gamma.magnitude.items()},
        "gamma_signed": {name: row.tolist() for name, row in result.gamma.signed.items()},
        "firing_rate": {name: activity.rate(name).tolist() for name in activity.spikes},
        "spikes_per_image": activity.spikes_per_sample(),
    }
