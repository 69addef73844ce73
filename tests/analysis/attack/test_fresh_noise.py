"""Who is right under fresh noise: the same as an evaluation says of the same images."""

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.attack.fresh_noise import accuracy_of, right_under, worst_of
from tests.analysis.attack.models import conv_model, some


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


def test_chance_is_no_attack():
    """Attacks that do nothing, each measured under noise of its own, leave the accuracy where it was."""
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(6, 10, 400, generator=generator) < 0.6
    assert right.all(0).double().mean() < 0.06
    assert worst_of(right, random=True).double().mean() == pytest.approx(0.6, abs=0.02)
    assert worst_of(right, random=True).sum() <= right.sum((1, 2)).min()
    assert worst_of(right[:, :1], random=True).double().mean() == right[:, 0].double().mean(1).min()


def test_the_worst_attack_of_each_image_is_found():
    """Written out: of two attacks one turns the first half of the images in most draws, the other the second."""
    right = torch.ones(3, 5, 8, dtype=torch.bool)
    right[0, :4, :4] = False
    right[1, 1:, 4:] = False
    expected = torch.stack([right[0, :, n] if n < 4 else right[1, :, n] for n in range(8)], 1)
    assert torch.equal(worst_of(right, random=True), expected)
    assert torch.equal(worst_of(right, random=False), right.all(0))


def test_refusals():
    model, (images, labels, _) = conv_model(), some()
    with pytest.raises(ValueError, match="draws must be 1 or more"):
        right_under(model, images, labels, draws=0)
    with pytest.raises(ValueError, match="labels must be integers from 0 to 3"):
        right_under(model, images, labels + 3, draws=1)
