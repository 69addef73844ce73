"""Computation of stability: every start of the grid is trained once and saved to a file when done."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from bntt.analysis import evaluate
from bntt.analysis.measurement import Progress
from bntt.analysis.result import result_from
from bntt.analysis.stability.gradients import gradient_norms, loss_along_gradient
from bntt.data import Batch, SampleLoader
from bntt.data.samples import fair_order, some_of
from bntt.io.checkpoint import read_cell, write_cell
from bntt.io.lock import hold_run
from bntt.nn import SpikingClassifier
from bntt.runs.environment import NUMERICS
from bntt.runs.identity import rules_facts
from bntt.runs.open_run import OpenedRecipe
from bntt.runs.parts import parts_of, versions_of
from bntt.runs.recipe.build import RecipeData, build_data, build_model, training_loader
from bntt.runs.recipe.file import Recipe, RecipeError, parse_recipe, values_of
from bntt.runs.stability import MIXED, MOMENT, Moment, StabilityArguments, Start
from bntt.training import NonFiniteError, Session, StepRecord
from bntt.training.session import check_state

ALONG = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Distances along the gradient at which the loss is taken, in learning rates."""
VALIDATED = 1000
"""Maximum number of validation images that decide if a start failed."""


def trained_starts(
    opened: OpenedRecipe, arguments: StabilityArguments, settings: dict[str, Any], first: RecipeData, progress: Progress
) -> Iterator[Start]:
    """Yield every start of a grid when it is ready; starts trained before, with these settings, count as progress."""
    networks = arguments.networks or (opened.recipe.network.name,)
    order = list(itertools.product(range(arguments.starts), networks, arguments.norms, arguments.rates))
    recipes = [recipe_of(opened.recipe, network, norm, rate, start) for start, network, norm, rate in order]
    progress.expect(len(order) * arguments.work)
    data, of_start = None, -1
    with hold_run(folder := opened.path / "cells"):
        for (start, network, norm, rate), recipe in zip(order, recipes, strict=True):
            path = folder / f"{network}-{norm}-{float(rate)!r}-{start}.json"
            own = {**settings, "parts": versions_of(parts_of(recipe))}
            if found := read_cell(path, own, partial(result_from, Start)):
                progress.skip(arguments.work)
            else:
                if data is None or of_start != start:
                    data = _fewer(build_data(recipe) if start else first, arguments, recipe.seed)
                    for one in dict(zip((row[1:3] for row in order), recipes, strict=True)).values():
                        build_model(one, data)  # refuse now, not after training the others
                    of_start = start
                found = _train(recipe, data, arguments, start, opened.device, progress)
                write_cell(path, own, found.model_dump(mode="json"))
            yield found


def recipe_of(recipe: Recipe, network: str, norm: str, rate: float, start: int) -> Recipe:
    """Return the recipe of one start."""
    values = values_of(recipe)
    values["network"] |= {"name": network, "norm": norm}
    values["train"] |= {"lr": rate, "schedule": "constant", "warmup": 0.0, "average": 0.0, "grow": ()}
    return parse_recipe(values | {"seed": recipe.seed + start})


def settings_of(recipe: Recipe, arguments: StabilityArguments, data: RecipeData) -> dict[str, Any]:
    """Return the settings that all starts of a folder share, with the checksums of their data and the numerics."""
    if begun := recipe.init.source or recipe.convert.ann:
        raise RecipeError(f"init, convert: stability trains from new weights, not from {begun}: leave both out")
    first = recipe_of(recipe, recipe.network.name, recipe.network.norm, recipe.train.lr, start=0)
    values = {key: values_of(first)[key] for key in ("seed", "data", "encoder", "network", "train")}
    for key in ("name", "norm"):
        del values["network"][key]
    for key in ("lr", "schedule", "lr_drops", "lr_factor", "lr_every", "warmup", "average", "epochs"):
        del values["train"][key]
    values |= rules_facts(first) | {"numerics": NUMERICS, "sha256": dict(data.manifest.sha256)}
    if recipe.compute.precision != "fp32":  # starts kept before it was a setting do not state it
        values["precision"] = recipe.compute.precision
    return values | {"steps": arguments.steps, "images": arguments.images, "gradients_of": MIXED}


def _fewer(data: RecipeData, arguments: StabilityArguments, seed: int) -> RecipeData:
    return dataclasses.replace(
        data, train=some_of(data.train, arguments.images, seed), validation=some_of(data.validation, VALIDATED, seed)
    )


def _train(
    recipe: Recipe, data: RecipeData, arguments: StabilityArguments, start: int, device: str, progress: Progress
) -> Start:
    train, model, loader = recipe.train, build_model(recipe, data, device), training_loader(recipe, data, device)
    mixed = data.train.select(fair_order(data.train, recipe.seed))  # a folder of images is in the order of classes
    batch = next(SampleLoader(mixed, train.batch_size, device=device).epoch(0))
    epochs = math.ceil(arguments.steps / math.ceil(len(loader) / train.accumulate))
    session = Session(model, loader, epochs=epochs, method=train, seed=recipe.seed)
    moments, made, accuracy = [_moment(model, batch, recipe, 0)], 0, None
    progress(MOMENT)
    try:
        steps = (record for record in session.records() if isinstance(record, StepRecord))
        for made, _ in enumerate(itertools.islice(steps, arguments.steps), start=1):
            progress(1)
            if made in arguments.moments:
                moments.append(_moment(model, batch, recipe, made))
                progress(MOMENT)
        check_state(model, session.optimizer)
        held_out = SampleLoader(data.validation, recipe.evaluate.batch_size, device=device)
        accuracy = evaluate(model, held_out, seed=recipe.seed, draws=1).accuracy.mean
    except NonFiniteError:
        progress.skip(arguments.work - made - MOMENT * len(moments))
    failed, chance = "not finite", 1 / len(data.train.classes)
    if accuracy is not None:
        failed = "near chance" if accuracy < min(2 * chance, (1 + chance) / 2) else ""
    return Start(
        network=recipe.network.name,
        norm=recipe.network.norm,
        rate=train.lr,
        start=start,
        updates=made,
        accuracy=accuracy,
        chance=chance,
        moments=tuple(moments),
        failed=failed,
    )


def _moment(model: SpikingClassifier, batch: Batch, recipe: Recipe, updates: int) -> Moment:
    noise: dict[str, Any] = {"index": batch.indices, "seed": recipe.seed}
    found = gradient_norms(model, batch.inputs, batch.labels, **noise)
    rates = [recipe.train.lr * times for times in ALONG]
    along = loss_along_gradient(model, batch.inputs, batch.labels, steps=rates, **noise)
    return Moment(updates=updates, gradient={name: row.tolist() for name, row in found.norms.items()}, along=along)
