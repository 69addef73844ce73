"""Confidence over time, the class, and the step from which it stays."""

import pytest
import torch

from bntt.analysis import Prediction, predict
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.prediction import prediction_figure
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier

A, B, TIE = [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]
NAMES = ("cat", "dog", "fox")


def test_the_class_and_the_step_from_which_it_stays():
    for confidence, label, stable_from in (
        ([A], "a", 1),
        ([A, A, A], "a", 1),
        ([B, A, A], "a", 2),
        ([A, B, A], "a", 3),
        ([A, A, B], "b", 3),
        ([B, A, A, A, B, B], "b", 5),
        ([TIE, B, B], "b", 2),
        ([B, TIE, B], "b", 3),
        ([A, B, TIE], "a", 3),
        ([TIE, TIE, TIE], "a", 3),
        ([[1.0], [1.0]], "a", 1),
        ([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.0, 0.4, 0.6]], "c", 1),
        ([[0.1, 0.2, 0.7], [0.4, 0.3, 0.3], [0.0, 0.4, 0.6]], "c", 3),
    ):
        found = Prediction(("a", "b", "c")[: len(confidence[0])], torch.tensor(confidence))
        assert (found.label, found.stable_from) == (label, stable_from), confidence


def test_the_final_class_leads_then_the_highest_on_average():
    found = Prediction(("a", "b", "c", "d"), torch.tensor([[0.1, 0.2, 0.0, 0.7], [0.4, 0.2, 0.1, 0.3]]))
    assert [found.leading(count) for count in (1, 2, 3, 9)] == [[0], [0, 3], [0, 3, 1], [0, 3, 1, 2]]


@pytest.fixture
def model():
    net = mlp(in_features=16, hidden=(12,), num_classes=3, num_steps=5, leak=0.9)
    return SpikingClassifier(PoissonEncoder(5, mean=[0.4], std=[0.2]), net)


@pytest.fixture
def images(rng):
    return torch.rand(4, 1, 4, 4, generator=rng)


def test_confidence_is_the_mean_over_draws_of_the_softmax_of_the_logits_after_every_step(model, images):
    found = predict(model, images, NAMES, seed=3, draws=2)
    assert len(found) == 4
    for image, said in zip(images, found, strict=True):
        shares = []
        for draw in (FIRST_DRAW, FIRST_DRAW + 1):
            logits = model.trace(image[None], seed=3, index=torch.tensor([0]), draw=draw).logits[:, 0].double()
            shares.append(logits.exp() / logits.exp().sum(1, keepdim=True))
        assert not torch.equal(*shares)
        assert said.confidence.shape == (5, 3)
        torch.testing.assert_close(said.confidence, (shares[0] + shares[1]) / 2, rtol=1e-12, atol=0)


def test_what_is_said_of_an_image_depends_on_no_other(model, images):
    together = predict(model, images, NAMES, draws=2)
    order = [2, 0, 3, 1]
    for row, said in zip(order, predict(model, images[order], NAMES, draws=2), strict=True):
        assert torch.equal(said.confidence, together[row].confidence)
    alone = predict(model, images[3:], NAMES, draws=2)[0]
    assert torch.equal(alone.confidence, together[3].confidence)
    assert predict(model, images[:0], NAMES) == []


def test_other_names_are_refused(model, images):
    with pytest.raises(ValueError, match=r"3 classes, .* 2 names"):
        predict(model, images, NAMES[:2])


def test_predictions_stand_beside_their_pictures():
    names = ("_cat", "$dog$", "fox", "owl")
    pixels = torch.arange(2 * 3, dtype=torch.uint8).reshape(1, 2, 3)
    first = Prediction(names, torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.2, 0.7, 0.1, 0.0], [0.1, 0.8, 0.1, 0.0]]))
    figure = prediction_figure([("a$b$.png", pixels, first), ("c" * 27, pixels.expand(3, -1, -1), first)])
    image, lines, coloured, _ = figure.charts
    assert (image.title, coloured.title) == ("a$b$.png", "c" * 19 + "…")
    assert image.pixels[0] == pytest.approx([0, 1 / 255, 2 / 255])
    assert coloured.pixels[0][1] == pytest.approx([1 / 255] * 3)
    assert [line.name for line in lines.lines] == ["$dog$", "_cat", "fox"]
    assert lines.lines[1].y == pytest.approx([0.5, 0.2, 0.1])
    assert (lines.levels[0].value, lines.levels[0].at) == (2, "x")
    alike = Prediction(("American Staffordshire terrier", "American Staffordshire bull terrier"), torch.ones(2, 2) / 2)
    drawn = [line.name for line in prediction_figure([("a", pixels, alike)]).charts[1].lines]
    assert drawn == ["American Staffordsh… (0)", "American Staffordsh… (1)"]
