"""Which starts of a recipe fail, by norm, network and learning rate, and how steady those are that train.

Every start is a cell of a grid and is kept in a file of its own as soon as it is done, so that a grid that was
interrupted goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bntt.analysis import evaluate
from bntt.analysis.stability.gradients import gradient_norms, loss_along_gradient
from bntt.data import Batch, SampleLoader
from bntt.data.samples import some_of
from bntt.io.lock import hold_run
from bntt.nn import SpikingClassifier
from bntt.runs.measures.stability_cell import Cell, Moment, as_json, read_cell, write_cell
from bntt.runs.recipe.build import build_model, training_loader
from bntt.runs.recipe.datasets import Parts, build_data
from bntt.runs.recipe.file import Recipe, RecipeError, parse_recipe
from bntt.runs.recipe.option_versions import rules_told
from bntt.training import NonFiniteError, Session, StepRecord
from bntt.training.guard import check_state

ALONG = (0.25, 0.5, 1.0, 2.0, 4.0)
"""How far the loss is followed along the gradient, in learning rates."""
VALIDATED = 1000
"""Validation images that say whether a start failed, at most."""


@dataclass(frozen=True)
class Grid:
    """What is trained: every network with every norm at every rate, from so many starts.

    Raises:
        RecipeError: if there is nothing to train, or a rate is not above 0.
    """

    networks: tuple[str, ...]
    """By name: the depths."""
    norms: tuple[str, ...] = ("none", "bn", "bntt")
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Learning rates, constant through a start."""
    starts: int = 3
    """Start s takes the recipe's seed plus s."""
    steps: int = 100
    """Updates of a start."""
    images: int = 6400
    """Of the training part, at most."""

    def __post_init__(self) -> None:
        if not (self.networks and self.norms and self.rates) or min(self.starts, self.steps, self.images) < 1:
            raise RecipeError("a grid needs a network, a norm, a rate, and 1 or more starts, steps and images")
        if not all(0 < rate < math.inf for rate in self.rates):
            raise RecipeError(f"--rates: learning rates must be finite numbers above 0, got {list(self.rates)}")

    @property
    def moments(self) -> tuple[int, ...]:
        """After how many updates a start is measured: before the first, half-way, at the end."""
        return tuple(sorted({0, self.steps // 2, self.steps}))

    @property
    def updates(self) -> int:
        """Of all cells."""
        return len(self.networks) * len(self.norms) * len(self.rates) * self.starts * self.steps


def stability_cells(
    recipe: Recipe,
    grid: Grid,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda updates: None,
) -> Iterator[Cell]:
    """Train what is missing of a grid, each start once, and give every cell as it is there.

    A start is trained as the recipe says, but at a constant rate and on some of the images. Losses along the gradient
    are cross entropy, whatever the training's loss is.

    Args:
        folder: where cells are kept; made if it is not there.
        progress: called with numbers of updates that are done, or need not be.

    Raises:
        RecipeError: if a name or value is wrong, or the folder holds cells of other settings.
        CheckpointError: if a file of a cell is damaged.
        RunLockedError: if another process works in the folder.
    """
    order = list(itertools.product(range(grid.starts), grid.networks, grid.norms, grid.rates))
    recipes = [recipe_of(recipe, network, norm, rate, start) for start, network, norm, rate in order]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cells").mkdir(exist_ok=True)
    settings, data, opened = _settings(recipe, grid), None, -1
    with hold_run(folder):
        for (start, network, norm, rate), one in zip(order, recipes, strict=True):
            path = folder / "cells" / f"{network}-{norm}-{rate:g}-{start}.json"
            if path.exists():
                cell = read_cell(path, settings)
                progress(grid.steps)
            else:
                if data is None or opened != start:
                    data = _fewer(build_data(one), grid, one.seed)
                    if opened < 0:
                        for each in dict(zip((row[1:3] for row in order), recipes, strict=True)).values():
                            build_model(each, data)  # refused now, and not after the others were trained
                    opened = start
                cell = _train(one, data, grid, start, device, progress)
                write_cell(path, cell, settings)
                cell = read_cell(path, settings)  # the same, whenever it was trained
            yield cell


def recipe_of(recipe: Recipe, network: str, norm: str, rate: float, start: int) -> Recipe:
    """The recipe of one cell.

    Raises:
        RecipeError: if there is no such network or norm.

    >>> from bntt.runs.recipe.file import load_recipe
    >>> found = recipe_of(load_recipe("demo"), "vgg9", "bn", 0.1, 2)
    >>> found.network.name, found.network.norm, found.train.lr, found.seed
    ('vgg9', 'bn', 0.1, 2)
    """
    values = recipe.model_dump()
    values["network"] |= {"name": network, "norm": norm}
    values["train"] |= {"lr": rate, "schedule": "constant", "warmup": 0.0, "average": 0.0}
    return parse_recipe(values | {"seed": recipe.seed + start})


def _fewer(data: Parts, grid: Grid, seed: int) -> Parts:
    return dataclasses.replace(
        data, train=some_of(data.train, grid.images, seed), validation=some_of(data.validation, VALIDATED, seed)
    )


def _train(recipe: Recipe, data: Parts, grid: Grid, start: int, device: str, progress: Callable[[int], None]) -> Cell:
    train, model = recipe.train, build_model(recipe, data, device)
    loader = training_loader(recipe, data, device)
    batch = next(SampleLoader(data.train, train.batch_size, device=device).epoch(0))
    epochs = math.ceil(grid.steps / math.ceil(len(loader) / train.accumulate))
    session = Session(model, loader, epochs=epochs, method=train.method, seed=recipe.seed)
    moments, made, accuracy = [_moment(model, batch, recipe, 0)], 0, math.nan
    try:
        steps = (record for record in session.records() if isinstance(record, StepRecord))
        for made, _ in enumerate(itertools.islice(steps, grid.steps), start=1):
            progress(1)
            if made in grid.moments:
                moments.append(_moment(model, batch, recipe, made))
        check_state(model, session.optimizer)
        held_out = SampleLoader(data.validation, recipe.evaluate.batch_size, device=device)
        accuracy = evaluate(model, held_out, seed=recipe.seed, draws=1).accuracy.mean
    except NonFiniteError:
        progress(grid.steps - made)
    network, chance = recipe.network, 1 / len(data.train.classes)
    return Cell(network.name, network.norm, train.lr, start, made, accuracy, chance, tuple(moments))


def _moment(model: SpikingClassifier, batch: Batch, recipe: Recipe, updates: int) -> Moment:
    sample: dict[str, Any] = {"inputs": batch.inputs, "labels": batch.labels}
    noise: dict[str, Any] = {"index": batch.indices, "seed": recipe.seed}
    found = gradient_norms(model, **sample, **noise)
    rates = [recipe.train.lr * times for times in ALONG]
    along = loss_along_gradient(model, **sample, steps=rates, **noise)
    return Moment(updates, {name: row.tolist() for name, row in found.norms.items()}, along)


def _settings(recipe: Recipe, grid: Grid) -> dict[str, Any]:
    """What all cells of a folder share."""
    values = recipe.model_dump(include={"seed", "data", "encoder", "network", "train"})
    for key in ("name", "norm"):
        del values["network"][key]
    for key in ("lr", "schedule", "lr_drops", "lr_factor", "lr_every", "warmup", "average", "epochs"):
        del values["train"][key]
    network, train = recipe.network, recipe.train
    values |= rules_told(recipe_of(recipe, network.name, network.norm, train.lr, start=0))
    return values | {"steps": grid.steps, "images": grid.images}


def failures(cells: Sequence[Cell]) -> dict[tuple[str, str, float], tuple[int, int]]:
    """How many starts of each network, norm and rate failed, and how many there are.

    >>> failures([Cell("vgg6", "bn", 0.1, start, 100, accuracy, 0.1, ()) for start, accuracy in enumerate((0.5, 0.1))])
    {('vgg6', 'bn', 0.1): (1, 2)}
    """
    found: dict[tuple[str, str, float], tuple[int, int]] = {}
    for cell in cells:
        key = (cell.network, cell.norm, cell.rate)
        failed, starts = found.get(key, (0, 0))
        found[key] = (failed + bool(cell.failed), starts + 1)
    return found


def rows(cells: Sequence[Cell]) -> list[dict[str, object]]:
    """A row for each start."""
    return [{key: value for key, value in as_json(cell).items() if key != "moments"} for cell in cells]


def grid_json(recipe: Recipe, grid: Grid, cells: Sequence[Cell]) -> dict[str, object]:
    """All that a grid found, ready for ``json``."""
    shares = [
        {"network": network, "norm": norm, "rate": rate, "failed": failed, "starts": starts}
        for (network, norm, rate), (failed, starts) in failures(cells).items()
    ]
    settings: dict[str, object] = {"settings": _settings(recipe, grid), "shares": shares}
    return settings | {"cells": [as_json(cell) for cell in cells]}
