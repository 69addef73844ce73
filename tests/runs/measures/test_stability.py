"""A grid of starts: what each is trained with, which fail, and that nothing is trained twice."""

import math

import pytest
import torch

from bntt.analysis.stability.gradients import gradient_norms
from bntt.io.checkpoint import CheckpointError
from bntt.runs.measures import stability
from bntt.runs.measures.stability import ALONG, Grid, failures, grid_json, recipe_of, rows, stability_cells
from bntt.runs.measures.stability_cell import as_json
from bntt.runs.recipe.build import build_model
from bntt.runs.recipe.datasets import build_data
from bntt.runs.recipe.file import RecipeError
from tests.runs.tiny import recipe

GRID = Grid(("mlp",), ("none", "bntt"), (0.3, 1e30), starts=2, steps=4, images=60)


@pytest.fixture
def of():
    return recipe(network={"name": "mlp", "num_steps": 2, "width": 0.1}, data={"validation": 0.02})


@pytest.fixture
def trainings(monkeypatch):
    """Every start that is trained."""
    found, train = [], stability._train

    def watched(one, data, grid, start, *options):
        found.append((one.network.name, one.network.norm, one.train.lr, start))
        assert (len(data.train), len(data.validation)) == (60, 100)
        return train(one, data, grid, start, *options)

    monkeypatch.setattr(stability, "_train", watched)
    return found


def test_the_grid(of, tmp_path, trainings):
    told = []
    cells = list(stability_cells(of, GRID, tmp_path / "new" / "grid", progress=told.append))
    assert sum(told) == GRID.updates == 32
    assert [(c.network, c.norm, c.rate, c.start) for c in cells] == trainings
    assert [c.start for c in cells] == [0] * 4 + [1] * 4
    for cell in cells:
        assert cell.chance == 0.1
        if cell.rate == 0.3:
            assert cell.updates == 4
            assert not math.isnan(cell.accuracy)
            assert [moment.updates for moment in cell.moments] == [0, 2, 4]
        assert cell.moments[0].along.steps == tuple(cell.rate * times for times in ALONG)
    found = failures(cells)
    assert found["mlp", "none", 1e30] == (2, 2)  # at such a rate nothing is left
    assert {starts for _, starts in found.values()} == {2}
    values = grid_json(of, GRID, cells)
    assert {"network": "mlp", "norm": "none", "rate": 1e30, "failed": 2, "starts": 2} in values["shares"]
    assert values["cells"] == [as_json(cell) for cell in cells]
    assert values["settings"]["steps"] == 4
    assert rows(cells)[0].keys() == {
        "network", "norm", "rate", "start", "updates", "accuracy", "chance", "failed"
    }  # fmt: skip


def test_numbers_that_are_not_finite_are_a_failed_start(of, tmp_path):
    grid = Grid(("mlp",), ("none",), (1e38,), starts=1, steps=4, images=60)
    told = []
    (cell,) = stability_cells(of, grid, tmp_path, progress=told.append)
    assert cell.failed == "not finite"
    assert cell.updates < 4
    assert sum(told) == 4


def test_an_interrupted_grid_trains_nothing_twice(of, tmp_path, trainings):
    part = stability_cells(of, GRID, tmp_path)
    first = [next(part) for _ in range(3)]
    part.close()  # as Ctrl-C does
    assert len(trainings) == 3
    told = []
    cells = list(stability_cells(of, GRID, tmp_path, progress=told.append))
    assert len(trainings) == len(set(trainings)) == 8
    assert [as_json(cell) for cell in cells[:3]] == [as_json(cell) for cell in first]
    assert sum(told) == GRID.updates
    again = list(stability_cells(of, GRID, tmp_path))
    assert [as_json(cell) for cell in again] == [as_json(cell) for cell in cells]
    wider = Grid(("mlp",), ("none", "bntt"), (0.3, 0.1, 1e30), starts=2, steps=4, images=60)
    assert len(list(stability_cells(of, wider, tmp_path))) == 12
    assert len(trainings) == len(set(trainings)) == 12


def test_it_measures_the_network_as_it_is_before_and_between_updates(of, tmp_path):
    grid = Grid(("mlp",), ("bntt",), (0.3,), starts=1, steps=4, images=60)
    (cell,) = stability_cells(of, grid, tmp_path)
    one = recipe_of(of, "mlp", "bntt", 0.3, 0)
    data = stability._fewer(build_data(one), grid, 0)
    model = build_model(one, data)
    index = torch.arange(20)
    found = gradient_norms(model, data.train.batch(index), data.train.labels[index], index=index, seed=0)
    assert cell.moments[0].gradient == {name: pytest.approx(row.tolist()) for name, row in found.norms.items()}
    assert cell.moments[0].along.start == pytest.approx(found.loss)
    losses = [moment.along.start for moment in cell.moments]
    assert len(set(losses)) == 3


def test_another_grid_in_the_folder_is_refused(of, tmp_path):
    grid = Grid(("mlp",), ("none",), (0.3,), starts=1, steps=1, images=60)
    list(stability_cells(of, grid, tmp_path))
    other = Grid(("mlp",), ("none",), (0.3,), starts=1, steps=2, images=60)
    with pytest.raises(RecipeError, match="another grid, whose steps differ"):
        list(stability_cells(of, other, tmp_path))
    next((tmp_path / "cells").iterdir()).write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        list(stability_cells(of, grid, tmp_path))


def test_names_are_looked_at_before_anything_is_trained(of, tmp_path, trainings):
    with pytest.raises(RecipeError, match=r"network.norm: unknown name; did you mean 'bntt'"):
        next(stability_cells(of, Grid(("mlp",), ("none", "bnnt")), tmp_path / "x"))
    assert not trainings
    assert not (tmp_path / "x").exists()


def test_networks_are_looked_at_before_anything_is_trained(of, tmp_path, trainings):
    """vgg9 halves an image three times, which 28 pixels cannot be."""
    with pytest.raises(RecipeError, match="image_size=28 cannot be halved 3 times"):
        list(stability_cells(of, Grid(("mlp", "vgg9"), ("bntt",), steps=4, images=60), tmp_path))
    assert trainings == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"networks": ()}, "a grid needs a network"),
        ({"starts": 0}, "1 or more starts"),
        ({"rates": (0.1, 0.0)}, "--rates: learning rates must be finite numbers above 0"),
        ({"rates": (math.nan,)}, "--rates"),
    ],
)
def test_grids_without_sense_are_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        Grid(**{"networks": ("mlp",)} | values)


def test_a_start_is_trained_at_a_constant_rate():
    found = recipe_of(recipe(train={"warmup": 1.0, "average": 0.9, "schedule": "cosine"}), "vgg9", "bn", 0.7, 3)
    train = found.train
    assert (train.schedule, train.warmup, train.average, train.lr, found.seed) == ("constant", 0.0, 0.0, 0.7, 3)
    assert Grid(("mlp",), steps=1).moments == (0, 1)
