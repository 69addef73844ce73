"""The data of a recipe: two parts of the training split, statistics of the one, and what is refused."""

from dataclasses import replace

import pytest
import torch

from bntt.data import ImageSet, Splits, stratified
from bntt.data.prepared import manifest_of
from bntt.runs.recipe import build as parts
from bntt.runs.recipe.build import build_data, build_model
from bntt.runs.recipe.file import RecipeError, parse_recipe
from tests.rows import each_row
from tests.runs.recipe.test_schema import changed


def test_the_parts_are_disjoint_and_the_statistics_are_the_training_parts():
    recipe = parse_recipe(changed(data={"validation": 0.2}))
    data = build_data(recipe)
    assert (len(data.train), len(data.validation), len(data.test)) == (4000, 1000, 1000)
    assert (data.mean, data.std) == data.train.pixel_statistics()
    seen = {row.tobytes() for row in data.train.images.numpy()}
    assert not any(row.tobytes() in seen for row in data.validation.images.numpy())


def test_some_of_the_training_images_are_chosen_after_validation_was_held_out():
    whole, some, other = (
        build_data(parse_recipe({**changed(data={"images": count}), "seed": seed}))
        for count, seed in ((0, 0), (300, 0), (300, 1))
    )
    again = build_data(parse_recipe(changed(data={"images": 300})))
    assert (len(whole.train), whole.whole, len(some.train), some.whole) == (4500, 4500, 300, 4500)
    assert some.train.counts() == [30] * 10
    assert torch.equal(some.validation.images, whole.validation.images), "validation is what it was"
    assert torch.equal(some.train.images, again.train.images)
    assert not torch.equal(some.train.images, other.train.images)
    assert (some.mean, some.std) == some.train.pixel_statistics()
    places = stratified(whole.train, 300, seed=0)
    assert torch.equal(some.train.images, whole.train.images[places])
    assert [whole.label, some.label] == ["fashion-mnist-bundled", "fashion-mnist-bundled, trained on 300 of 4,500"]
    assert some.facts()["samples"] == {"train": 300, "train_of": 4500, "validation": 500}

    few = build_data(parse_recipe(changed(data={"images": 4})))
    assert few.label.endswith(", trained on 4 of 4,500, with 4 of the 10 classes")
    every = build_data(parse_recipe(changed(data={"images": 4500})))
    assert torch.equal(every.train.images, whole.train.images)
    assert every.label == whole.label


@each_row(
    ("data", "named"),
    [
        ({"validation": 0.00001}, r"data\.validation"),
        ({"validation": 0.99999}, r"data\.validation"),
        ({"validation": 0.9995}, r"data\.validation: .* class"),
        ({"images": 4501}, r"data\.images"),
        ({"name": "images"}, r"data\.root"),
    ],
)
def test_data_that_cannot_be_had(data, named):
    with pytest.raises(RecipeError, match=named):
        build_data(parse_recipe(changed(data=data)))


def test_of_sequences_some_are_chosen_as_of_images():
    order = {"order": "rows", "images": 100}
    wanted = changed(data=order, encoder={"name": "sequence"}, network={"name": "mlp", "num_steps": 28})
    data = build_data(parse_recipe(wanted))
    assert (len(data.train), data.label) == (100, "fashion-mnist-bundled, rows, trained on 100 of 4,500")


def test_a_constant_set_gives_no_spikes_and_says_so(monkeypatch):
    """Fault 28: it trains without NaN, at chance."""
    blank = ImageSet(torch.zeros(40, 1, 28, 28, dtype=torch.uint8), torch.arange(40) % 10, tuple("0123456789"))
    splits = Splits(blank, blank)
    monkeypatch.setattr(parts, "open_samples", lambda name, *_: (splits, manifest_of(splits._asdict(), name)))
    recipe = parse_recipe(changed(network={"width": 0.125}))
    with pytest.warns(UserWarning, match="it gives no spikes"):
        data = build_data(recipe)
    logits = build_model(recipe, data)(blank.images[:8].float() / 255)
    assert (logits == 0).all()


@each_row("damage", [{"classes": []}, {"images": {"test": 3}}, {"shape": [28]}, {"shape": [1, 2, 3, 4, 5]}])
def test_a_manifest_of_no_samples_has_no_stand_in(damage):
    recipe = parse_recipe(changed())
    manifest = manifest_of({"train": build_data(recipe).train}, "made")
    assert len(parts.stand_in(recipe, manifest).train) == 4050  # without the validation part
    with pytest.raises(ValueError, match="classes"):
        parts.stand_in(recipe, replace(manifest, **damage))
