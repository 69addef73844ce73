"""A trained run, measured on a whole split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bntt.analysis import Evaluation, GammaProfile, evaluate, gamma_profile
from bntt.io.checkpoint import read_facts
from bntt.nn import SpikingClassifier
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import MEASURING, check_same_data, check_same_recipe
from bntt.runs.measures.retiming import Retiming, retimed
from bntt.runs.recipe.build import build_model, for_measuring, is_random
from bntt.runs.recipe.datasets import Parts, Split, measured
from bntt.runs.recipe.file import Recipe, RecipeError, load_recipe
from bntt.runs.training.ann_thresholds import load_best, put_thresholds
from bntt.runs.training.shared import for_all, whole_evaluation
from bntt.runs.training.unvarying_steps import NeverVaried, never_varied
from bntt.training.processes import Processes


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
    """Whether it stopped where `bntt exit` says."""
    retiming: Retiming | None = None
    """At which other number of steps it was measured, if it was."""
    subset: int | None = None
    """How many images were asked for, where the run's own recipe says another number."""
    of: int = 0
    """Images that the split has; 0: as many as were measured."""
    training_images: tuple[int, int] = (0, 0)
    """How many it was trained on, and of how many they were chosen."""
    spent: Mapping[str, Any] = field(default_factory=dict)
    """What the training cost, see :meth:`~bntt.runs.directory.RunDirectory.spent`."""
    conversion: Mapping[str, Any] | None = None
    """Of a network that began with an ANN: see :class:`~bntt.runs.training.from_ann.Conversion`."""
    drawn: bool = False
    """Whether another draw of the input's noise could give another accuracy."""
    trained: bool = True
    """Whether it was trained, and not converted alone."""
    unvarying: NeverVaried | None = None
    """Of sequences: steps whose input never varied in training, and what was measured there."""

    @property
    def stem(self) -> str:
        """What its files are called."""
        some = [] if self.subset is None else [f"{self.subset}-images"]
        steps = ["exit"] * self.stopped + ([] if self.retiming is None else [self.retiming.stem])
        return "-".join(["evaluation"] + ["validation"] * (self.split != "test") + steps + some)


def evaluate_run(
    recipe: Recipe,
    data: Parts,
    run: RunDirectory,
    *,
    split: Split = "test",
    draws: int | None = None,
    processes: Processes | None = None,
    steps: int | Retiming | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> RunResult:
    """Measure the best epoch of a run on every image of a split, or on as many as ``evaluate.images`` says.

    Args:
        processes: those that measure it together, each of which makes this call and finds the same; the first alone
            reads the run directory. By default one, on the processor.
        steps: stop after so many, or another number than it was trained with; all of them by default.

    Raises:
        CheckpointError: if recipe or data are not those that the run was trained with.
        RecipeError: if more than one draw is asked for where nothing is drawn.
    """
    draws, processes = draws_of(recipe, draws), processes or Processes()
    device, share = processes.device, (processes.rank, processes.count)
    model = build_model(for_measuring(recipe), data, device)
    kept = _opened(recipe, data, run, model, processes)
    facts, loader = kept["facts"], measured(recipe, data, split, device, share=share)
    asked, stop = (steps, steps.steps) if isinstance(steps, Retiming) else (None, steps)
    if asked is not None and asked.how != "truncate":
        model, asked = retimed(model, recipe, data, asked, device)
    advance = for_all(progress, len(loader.places) * draws, processes)
    own = evaluate(model, loader, seed=recipe.seed, draws=draws, steps=stop, progress=advance)
    evaluation = whole_evaluation(own, len(loader), processes)
    profile = gamma_profile(model.network)
    return RunResult(
        facts["epoch"],
        split,
        data.label,
        evaluation,
        profile,
        facts["averaged"],
        stopped=isinstance(steps, int),
        retiming=asked,
        of=len(data.of(split)),
        training_images=(len(data.train), data.whole or len(data.train)),
        spent=kept["spent"],
        conversion=facts.get("conversion"),
        drawn=is_random(recipe),
        trained=recipe.train.epochs > 0,
        unvarying=never_varied(data, model, replace(loader, share=(0, 1))) if processes.first else None,
        subset=some if (some := recipe.evaluate.images) != kept["images"] else None,
    )


def _opened(
    recipe: Recipe, data: Parts, run: RunDirectory, model: SpikingClassifier, processes: Processes
) -> dict[str, Any]:
    """Put the best epoch's weights into the model; returns what the run directory says of them and of the run."""

    def look() -> dict[str, Any]:
        check_same_recipe(recipe, read_facts(run.best), run.best, MEASURING)
        check_same_data(run.path, data.manifest)
        facts = load_best(run, recipe, model, needs=("epoch", "averaged"))
        return {"facts": facts, "spent": run.spent(), "images": load_recipe(run.recipe).evaluate.images}

    found = processes.decided(look)
    weights = processes.given(model.state_dict())
    if not processes.first:
        model.load_state_dict(dict(weights))
        put_thresholds(model, recipe, found["facts"], run.best)
    return found


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
    if is_random(recipe):
        return recipe.evaluate.draws if asked is None else asked
    if asked is not None and asked > 1:
        raise RecipeError(
            f"--draws {asked}: {recipe.encoder.name} coding draws nothing (encoder.name = {recipe.encoder.name!r}), "
            f"every pass would be the same; leave --draws away"
        )
    return 1


def as_json(result: RunResult) -> dict[str, object]:
    """The numbers of a result with their names, ready for ``json``."""
    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    retiming, unvarying = result.retiming, result.unvarying
    values: dict[str, object] = {
        "dataset": result.dataset,
        "split": result.split,
        "epoch": result.epoch,
        "weights": "moving average" if result.averaged else "as trained",
        "images": accuracy.samples,
        "images_of": result.of or accuracy.samples,
        "training_images": result.training_images[0],
        "training_images_of": result.training_images[1],
        "updates": result.spent.get("updates"),
        "seconds": result.spent.get("seconds"),
        "conversion": result.conversion,
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
    values |= {} if retiming is None else {"retimed": retiming.as_json()}
    return values | ({} if unvarying is None else {"unvarying_input": unvarying.as_json()})
