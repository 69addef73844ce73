"""What a run of sequences says of steps that never vary; runs of images say nothing."""

import dataclasses
import json

import torch

from bntt.analysis import surprises
from bntt.data import ImageSet, SequenceSet
from bntt.runs.directory import new_run_directory
from bntt.runs.evaluation import evaluate_run, unvarying_steps
from bntt.runs.recipe.build import build_data, build_model, evaluation_loader, training_loader
from bntt.runs.training.epoch_log import Notice, startup_warnings
from bntt.runs.training.train import train_run
from bntt.training import Session
from tests.runs import tiny
from tests.runs.training.test_train_sequences import recipe


def black_on_top(images, rows=2, inked=None):
    """The images with black rows on top; one of them with a pixel in the first of these."""
    pixels = images.images.images.clone()
    pixels[:, :, :rows] = 0
    if inked is not None:
        pixels[inked, 0, 0, 5] = 255
    return SequenceSet(ImageSet(pixels, images.labels, images.classes), images.order)


def bordered(of, inked=None):
    data, few = build_data(of), torch.arange(60)
    return dataclasses.replace(
        data,
        train=black_on_top(data.train.select(few)),
        validation=black_on_top(data.validation),
        test=black_on_top(data.test.select(few), inked=inked),
    )


def said(of, data, model):
    loader = training_loader(of, data)
    return list(startup_warnings(data, Session(model, loader, epochs=1, seed=of.seed), loader))


def test_a_run_says_it_before_and_after(tmp_path):
    of = recipe(train={"epochs": 1})
    data, run = bordered(of, inked=17), new_run_directory("rows", tmp_path)
    told = [one.text for one in train_run(of, data, run) if isinstance(one, Notice)]
    assert told[0] == (
        "warning, before training: the input of 2 of 28 steps (steps 1-2) never varies in the 60 training samples: "
        "differences there are not learned"
    )
    result = evaluate_run(of, data, run)
    found = json.loads(json.dumps(result.to_json()["unvarying_input"]))
    assert (found["steps"], found["training_samples"], found["samples"], found["differ"]) == ([0, 1], 60, 60, 1)
    assert evaluate_run(of, data, run, steps=2).unvarying_input is None, "it is about all steps"


def test_where_nothing_differs_and_where_everything_varies():
    of = recipe()
    data = bordered(of)
    model = build_model(of, data)
    assert surprises(model, unvarying_steps(data, model.encoder), evaluation_loader(of, data, "test")).text == (
        "the input of steps 1-2 never varies in the 60 training samples; 0 of the 60 measured differ there"
    )
    whole = build_data(of)
    assert unvarying_steps(whole, model.encoder) is None
    assert not any("never varies" in one.text for one in said(of, whole, model))


def test_images_have_no_such_steps():
    of = tiny.recipe(encoder={"name": "direct"})
    data = tiny.parts(of)
    model = build_model(of, data)
    assert not any("never varies" in one.text for one in said(of, data, model))
    assert unvarying_steps(data, model.encoder) is None
