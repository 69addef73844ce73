"""Every recipe takes two steps: its own network and T, batches of two, made samples of its dataset's shape."""

import pytest
import torch

from bntt.data import FrameSet, synthetic
from bntt.data.prepared import Manifest, manifest_of
from bntt.data.samples import DATASETS
from bntt.engine.kernels import has_bf16
from bntt.io.files import names_in
from bntt.runs.directory import new_run_directory
from bntt.runs.recipe.build import RecipeData, build_model, in_order
from bntt.runs.recipe.file import load_recipe
from bntt.runs.training.epoch_log import EpochResult
from bntt.runs.training.train import train_run
from bntt.training import StepRecord
from tests.rows import each_row

SHAPES = {
    "cifar10": (3, 32, 10),
    "cifar100": (3, 32, 100),
    "fashion-mnist": (1, 28, 10),
    "fashion-mnist-bundled": (1, 28, 10),
    "mnist": (1, 28, 10),
    "tiny-imagenet": (3, 64, 200),
}


def frames(size, num_steps):
    """Counts of events, few and mostly none."""
    generator, labels = torch.Generator().manual_seed(0), torch.arange(4)
    counts = torch.poisson(torch.full((4, num_steps, 2, size, size), 0.2), generator=generator).to(torch.uint8)
    made = FrameSet(counts, labels, tuple(map(str, range(10))))
    manifest = Manifest("made", "", "simulated", {"train": 4, "test": 4}, list(counts.shape[1:]), list(made.classes))
    return RecipeData(made, made, made, [], [], "made", manifest)


QUICK = ("demo", "fashion-mnist", "fashion-mnist-growing", "sequential-fashion-mnist-rows")
"""Recipes that run in every test run, a kind each; the others are slow."""


@each_row("name", QUICK)
def test_two_steps_of_a_recipe_of_each_kind(name, tmp_path):
    trains_two_steps(name, tmp_path)


@pytest.mark.slow
@each_row("name", [name for name in names_in("runs/recipes") if name not in QUICK])
def test_two_steps_of_every_other_recipe(name, tmp_path):
    trains_two_steps(name, tmp_path)


def parts_like(recipe):
    """Made samples in the shape of a recipe's dataset."""
    if DATASETS[recipe.data.name].formats:
        return frames(recipe.data.frames.size, recipe.network.num_steps)
    channels, size, classes = SHAPES.get(recipe.data.name, (3, 32, 10))
    made = synthetic(channels=channels, image_size=size, num_classes=classes, train=4, test=2)
    train, test = (in_order(images, recipe.data.order) for images in made)
    return RecipeData(train, test, test, *made.train.pixel_statistics(), "made", manifest_of(made._asdict(), "made"))


def smallest(name):
    """Overrides with which a recipe takes two updates."""
    few = ["train.batch_size=2", "train.epochs=1", "evaluate.batch_size=2", "evaluate.images=0"]
    if not has_bf16():
        few += ["compute.precision=fp32"]
    return [*few, "train.epochs=2", "train.grow=[[2, 1]]"] if load_recipe(name).train.grow else few


def trains_two_steps(name, tmp_path):
    recipe = load_recipe(name, smallest(name))
    data = parts_like(recipe)
    if recipe.convert.ann or recipe.init.run:
        source, key = (
            ("fashion-mnist-ann", "convert.ann") if recipe.convert.ann else ("cifar10-compact-ann", "init.run")
        )
        ann = new_run_directory("ann", tmp_path)
        list(train_run(load_recipe(source, smallest(source)), data, ann))
        few = ["convert.images=2", "convert.steps=30", "convert.grid=[1.0]"] if recipe.convert.ann else []
        recipe = load_recipe(name, [*smallest(name), f"{key}={ann.path}", *few])
    run = new_run_directory(name, tmp_path)
    told = list(train_run(recipe, data, run))
    epochs = [one for one in told if isinstance(one, EpochResult)]
    assert len(epochs) == recipe.train.epochs
    assert sum(isinstance(one, StepRecord) for one in told) == 2 * len(epochs)
    assert run.best.exists()
    assert load_recipe(run.recipe) == recipe
    net = build_model(recipe, data).network
    assert net.num_steps == (recipe.network.num_steps if recipe.network.norm != "none" else None)
