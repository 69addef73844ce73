"""Every recipe takes two steps: its own network and T, batches of two, made images of its dataset's shape."""

import pytest

from bntt.data import synthetic
from bntt.data.prepared import manifest_of
from bntt.experiments.build import Parts, build_model
from bntt.experiments.recipe import load_recipe, recipe_names
from bntt.experiments.run import new_run_directory, train_run

SHAPES = {
    "cifar10": (3, 32, 10),
    "cifar100": (3, 32, 100),
    "fashion-mnist": (1, 28, 10),
    "fashion-mnist-bundled": (1, 28, 10),
    "tiny-imagenet": (3, 64, 200),
}


@pytest.mark.parametrize("name", recipe_names())
def test_two_steps_of_every_recipe(name, tmp_path):
    recipe = load_recipe(name, ["train.batch_size=2", "train.epochs=1", "evaluate.batch_size=2"])
    channels, size, classes = SHAPES[recipe.data.name]
    made = synthetic(channels=channels, image_size=size, num_classes=classes, train=4, test=2)
    mean, std = made.train.pixel_statistics()
    data = Parts(made.train, made.test, made.test, mean, std, "made", manifest_of(made, "made"))
    run = new_run_directory(name, tmp_path)
    *steps, epoch = train_run(recipe, data, run)
    assert len(steps) == 2
    assert epoch.train_loss > 0
    assert run.checkpoint("best").exists()
    assert load_recipe(run.recipe) == recipe
    net = build_model(recipe, data).network
    assert net.num_steps == recipe.network.num_steps
