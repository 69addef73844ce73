"""The data of a recipe: two parts of the training split, statistics of the one, and what is refused."""

import pytest
import torch

from bntt.data import ImageSet, Splits
from bntt.data.prepared import manifest_of
from bntt.experiments import parts
from bntt.experiments.build import build_model
from bntt.experiments.parts import build_data
from bntt.experiments.recipe import RecipeError, parse_recipe
from tests.experiments.test_schema import changed


def test_the_parts_are_disjoint_and_the_statistics_are_the_training_parts():
    recipe = parse_recipe(changed(data={"validation": 0.2}))
    data = build_data(recipe)
    assert (len(data.train), len(data.validation), len(data.test)) == (4000, 1000, 1000)
    assert (data.mean, data.std) == data.train.pixel_statistics()
    seen = {row.tobytes() for row in data.train.images.numpy()}
    assert not any(row.tobytes() in seen for row in data.validation.images.numpy())


@pytest.mark.parametrize("share", [0.00001, 0.99999])
def test_validation_must_leave_something(share):
    with pytest.raises(RecipeError, match=r"data\.validation: .* of 5000 images leaves a part without any"):
        build_data(parse_recipe(changed(data={"validation": share})))


def test_images_need_a_root():
    with pytest.raises(RecipeError, match="needs the folder that it is in"):
        build_data(parse_recipe(changed(data={"name": "images"})))


def test_a_constant_set_gives_no_spikes_and_says_so(monkeypatch):
    """Fault 28: it trains without NaN, at chance."""
    blank = ImageSet(torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10, tuple("0123456789"))
    splits = Splits(blank, blank)
    monkeypatch.setattr(parts, "open_dataset", lambda name, root, progress: (splits, manifest_of(splits, name)))
    recipe = parse_recipe(changed(network={"width": 0.125}))
    with pytest.warns(UserWarning, match="it gives no spikes"):
        data = build_data(recipe)
    logits = build_model(recipe, data)(blank.images[:8].float() / 255)
    assert (logits == 0).all()
