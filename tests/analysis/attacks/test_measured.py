"""Who is right under fresh noise: the same as an evaluation says of the same images."""

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.attacks.measured import accuracy_of, right_under
from tests.analysis.attacks.models import conv_model, some


def test_it_is_what_an_evaluation_counts():
    model, (images, labels, _) = conv_model(), some()
    model.train()
    right = right_under(model, images, labels, draws=3, seed=4)
    assert model.training
    theirs = evaluate(model, [(images, labels)], seed=4, draws=3).accuracy
    assert accuracy_of(right).per_draw == theirs.per_draw
    assert 0 < right.double().mean() < 1


def test_noise_is_the_images_own():
    model, (images, labels, index) = conv_model(), some()
    whole = right_under(model, images, labels, draws=2, index=index)
    assert torch.equal(right_under(model, images[2:4], labels[2:4], draws=2, index=index[2:4]), whole[:, 2:4])


def test_refusals():
    model, (images, labels, _) = conv_model(), some()
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        right_under(model, images, labels, draws=0)
    with pytest.raises(ValueError, match="labels must be integers from 0 to 3"):
        right_under(model, images, labels + 3, draws=1)
