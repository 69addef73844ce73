"""Evaluation of a trained run on a whole split, by one process or several; also at another number of steps."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from bntt.analysis import Accuracy, Activity, Evaluation, evaluate, gamma_profile
from bntt.analysis.accuracy import BegunWith, Conversion, EvaluationResult, Longer, Retiming
from bntt.analysis.measurement import ArgumentError, Progress, draws_of
from bntt.io.checkpoint import read_facts
from bntt.nn import SpikingClassifier, norm_facts, retime
from bntt.nn.kinds import encoder_facts_by_name
from bntt.runs.directory import RunDirectory, load_best, restore_thresholds
from bntt.runs.identity import RESUMING, check_same_data, check_same_recipe
from bntt.runs.recipe.build import (
    RecipeData,
    Split,
    build_encoder,
    build_model,
    evaluation_loader,
    facts_of,
    for_measuring,
    training_loader,
)
from bntt.runs.recipe.file import Recipe
from bntt.training import recalibrate
from bntt.training.processes import Processes
from bntt.training.schedule import Rates, floor_of_decay


def retiming_of(recipe: Recipe, steps: int, longer: Longer | None) -> Retiming:
    """Choose how to change the number of steps."""
    trained, said, encoder = recipe.network.num_steps, f"--num-steps {steps}", recipe.encoder.name
    fixed = recipe.data.order or (encoder and encoder_facts_by_name(encoder).takes != "images")
    wrong = ""
    if steps < 1 or steps == trained:
        wrong = f"{said}: give a number other than the {trained} it was trained with, 1 or more"
    elif steps < trained and longer:
        wrong = f"--longer {longer} adds steps, {said} is fewer than {trained}: leave out --longer"
    elif steps > trained and fixed:
        wrong = f"{said}: each sample has {trained} steps, no more"
    elif steps > trained and not encoder:
        wrong = f"{said}: the encoder is your own: in Python, make one of {steps} steps, and use bntt.nn.retime"
    elif steps > trained and longer is None:
        ways = ", or --longer ".join(get_args(Longer))
        wrong = f"{said} is more than the {trained} it was trained with: choose what added steps get, --longer {ways}"
    if wrong:
        raise ArgumentError(wrong)
    return Retiming(trained_steps=trained, steps=steps, how=longer or "truncate")


def lacks_statistics(model: SpikingClassifier, recipe: Recipe) -> str:
    """Say why the statistics of a run's norms cannot be measured again; "" if they can."""
    if not recipe.data.name:
        return "it takes training samples, which a run of bntt.fit does not keep"
    found = any(norm_facts(part).running_statistics for part in model.modules())
    return "" if found else f"network.norm = {recipe.network.norm!r} has no statistics"


def recalibrated(model: SpikingClassifier, recipe: Recipe, data: RecipeData) -> tuple[SpikingClassifier, int]:
    """Return a copy whose statistics are those of 40 training batches, with the number of samples seen."""
    if lacks := lacks_statistics(model, recipe):
        raise ArgumentError(f"--recalibrate: {lacks}: leave it out")
    model = copy.deepcopy(model)
    loader = training_loader(recipe, data, str(next(model.parameters()).device))
    drawn = {"seed": recipe.seed, "draw": recipe.train.epochs}  # an epoch after the last: noise no update has seen
    return model, recalibrate(model, loader, batches=40, per_step=True, **drawn)


def retimed(
    model: SpikingClassifier, recipe: Recipe, data: RecipeData, retiming: Retiming, device: str
) -> tuple[SpikingClassifier, Retiming]:
    """Give the model more steps, and describe the change."""
    again, seen = retiming.how == "re-estimate", 0
    if again and (lacks := lacks_statistics(model, recipe)):
        raise ArgumentError(f"--longer re-estimate: {lacks}: use --longer hold")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            network = retime(model.network, retiming.steps, "interpolate" if retiming.how == "interpolate" else "hold")
        except TypeError as error:  # a custom part whose steps are not known here
            raise ArgumentError(f"--num-steps {retiming.steps}: {error}") from None
    encoder = build_encoder(recipe, data, retiming.steps)
    if isinstance(model.encoder, nn.Module) and isinstance(encoder, nn.Module):  # an imported mean and std
        built, kept = encoder.state_dict(), model.encoder.state_dict()
        fits = {name: value for name, value in kept.items() if name in built and value.shape == built[name].shape}
        encoder.load_state_dict(fits, strict=False)
    longer = SpikingClassifier(encoder, network).to(device).eval()
    if again:
        loader = training_loader(recipe, data, device)
        seen = recalibrate(longer, loader, seed=recipe.seed, draw=recipe.train.epochs)
    done = {"samples": seen, "warning": "; ".join(str(one.message) for one in told)}
    return longer, retiming.model_copy(update=done)


def evaluate_run(
    recipe: Recipe,
    data: RecipeData,
    run: RunDirectory,
    *,
    split: Split = "test",
    draws: int | None = None,
    processes: Processes | None = None,
    steps: int | Retiming | None = None,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Measure the best epoch of a run on every image of a split, or on as many as ``evaluate.images`` says."""
    processes = processes or Processes()
    model = build_model(for_measuring(recipe), data, processes.device)

    def look() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        check_same_recipe(recipe, read_facts(run.best), run.best, RESUMING)
        check_same_data(run.path, data.manifest)
        return load_best(run, recipe, model, needs=("epoch", "averaged")), run.kept_rows()

    facts, rows = processes.on_rank0(look)
    tensors = processes.broadcast(model.state_dict())
    if not processes.is_rank0:
        model.load_state_dict(dict(tensors))
        restore_thresholds(model, recipe, facts, run.best)
    how: dict[str, Any] = {"split": split, "draws": draws, "processes": processes, "steps": steps, "progress": progress}
    return evaluate_loaded((model, facts, rows), recipe, data, **how)


def evaluate_loaded(
    weights: tuple[SpikingClassifier, Mapping[str, Any], Sequence[Mapping[str, Any]]],
    recipe: Recipe,
    data: RecipeData,
    *,
    split: Split,
    draws: int | None,
    processes: Processes,
    steps: int | Retiming | None,
    progress: Progress | None,
) -> EvaluationResult:
    """Evaluate a loaded best epoch: its model, the facts stored with the weights, and the rows of the run's metrics."""
    (model, facts, rows), progress = weights, progress or Progress()
    last, known, device = rows[-1] if rows else {}, facts_of(recipe, model), processes.device
    draws = draws_of(known, draws)
    loader = evaluation_loader(recipe, data, split, device, share=(processes.rank, processes.count))
    retiming, stop = (steps, steps.steps) if isinstance(steps, Retiming) else (None, steps)
    if retiming is not None and retiming.how != "truncate":
        model, retiming = retimed(model, recipe, data, retiming, device)
    progress.expect(len(loader.places) * draws // processes.count)  # of this process
    own = evaluate(model, loader, seed=recipe.seed, draws=draws, steps=stop, part=True, progress=progress)
    rare: dict[str, Any] = {"retimed": retiming, "gamma_floor": _gamma_floor(recipe, facts, rows)}
    rare = {key: value for key, value in rare.items() if value is not None}
    found = combine_evaluations(own, len(loader), processes)
    accuracy, activity, gamma = found.accuracy, found.activity, gamma_profile(model.network)
    if "seconds" in (begun := facts.get("init", {})):
        told = {key: begun[key] for key in ("updates", "seconds", "weights_sha256")}
        rare["begun_with"] = BegunWith(run=Path(begun["run"]).name, **told)
    return EvaluationResult(
        arguments=None,
        dataset=data.label,
        split=split,
        epoch=facts["epoch"],
        weights="moving average" if facts.get("averaged") else "as trained",
        images_of=len(data.of(split)),
        training_images=len(data.train) or recipe.data.images or 0,  # a run of bntt.fit keeps only their number
        training_images_of=data.whole or len(data.train),
        updates=last.get("updates"),
        seconds=last.get("seconds"),
        conversion=None if (made := facts.get("conversion")) is None else Conversion.model_validate(made),
        is_random=known.is_random,
        is_trained=recipe.train.epochs > 0,
        images=accuracy.samples,
        steps=len(accuracy.over_time),
        draws=len(accuracy.correct),
        accuracy=accuracy.mean,
        accuracy_sd_over_draws=accuracy.spread,
        accuracy_wilson_95=accuracy.interval,
        accuracy_per_draw=accuracy.per_draw,
        accuracy_over_time=accuracy.over_time,
        gamma_magnitude={name: row.tolist() for name, row in gamma.magnitude.items()},
        gamma_signed={name: row.tolist() for name, row in gamma.signed.items()},
        firing_rate={name: activity.rate(name).tolist() for name in activity.spikes},
        spikes_per_image=activity.spikes_per_sample(),
        **rare,
    )


def _gamma_floor(recipe: Recipe, facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Return what weight decay alone would have made of γ by the epoch of these weights."""
    done = rows[: facts["epoch"] + 1]
    begun = recipe.init.source or recipe.convert.ann or recipe.train.grow  # whose late steps begin as copies
    if not recipe.data.name or begun or facts.get("averaged") or facts_of(recipe).norm_facts.identity:
        return None
    if not done or not (updates := done[-1].get("updates")):
        return None
    rates = rates_of(recipe, done)
    return None if rates is None else floor_of_decay(rates, updates)


def rates_of(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> Rates | None:
    """Return the learning rates of a recipe; None if one of these epochs began at another: epochs were added later."""
    train = recipe.train
    rates = Rates(train, train.epochs, rows[-1]["updates"] // len(rows))
    began = [train.lr * rates.factor(epoch, 0) for epoch in range(len(rows))]
    told = [row.get("lr", math.nan) for row in rows]
    return rates if all(map(math.isclose, told, began)) else None


def combine_evaluations(own: Evaluation, batches: int, processes: Processes) -> Evaluation:
    """Combine the evaluations of all processes, each sample counted once and in order; the same in each process."""
    if processes.count == 1:
        return own
    correct = processes.all_reduce_sum(torch.tensor(own.accuracy.correct))
    samples = int(processes.all_reduce_sum(torch.tensor([own.accuracy.samples])))
    parts = torch.arange(samples).tensor_split(batches)
    places = torch.cat([part.tensor_split(processes.count)[processes.rank] for part in parts])
    right = torch.zeros(len(correct), samples, dtype=torch.int64)
    right[:, places] = own.right.long()
    accuracy = Accuracy(samples, tuple(map(tuple, correct.tolist())))
    summed = processes.all_reduce_sum(torch.tensor([own.loss * own.activity.presentations], dtype=torch.float64))
    activity = combine_activities(own.activity, processes)
    right = processes.all_reduce_sum(right).bool()
    return Evaluation(accuracy, activity, right, float(summed) / activity.presentations)


def combine_activities(own: Activity, processes: Processes) -> Activity:
    """Add up the spikes of all processes."""
    if processes.count == 1:
        return own
    presentations = int(processes.all_reduce_sum(torch.tensor([own.presentations])))
    return Activity(
        presentations, {k: processes.all_reduce_sum(one.clone()) for k, one in own.spikes.items()}, own.neurons
    )
