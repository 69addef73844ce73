"""FGSM and PGD: against their formulas, in their bounds, whatever the batch; a provable example is found."""

import math
from dataclasses import replace

import pytest
import torch

from bntt.analysis.attack.attacks import (
    ATTACK_DRAW,
    Threat,
    descend,
    input_gradient,
    mean_loss,
    random_signs,
    right_under,
)
from bntt.ops.random import Purpose, sample_keys, uniform
from tests.analysis.attack.models import Hidden, conv_model, linear_model, some

STRAIGHT = {"estimator": "straight_through"}


def slope(model, x, labels, index, number, draws):
    draw = ATTACK_DRAW + number * draws
    return input_gradient(model, x, labels, draws=draws, draw=draw, index=index, seed=3, **STRAIGHT)


def test_fgsm_is_its_formula():
    model, (images, labels, index) = conv_model(), some()
    found = descend(model, images, labels, Threat(8 / 255, draws=3), index=index, seed=3, **STRAIGHT)
    first = slope(model, images, labels, index, 0, 3)
    assert torch.equal(found.images, (images + 8 / 255 * first.sign()).clamp(0, 1))
    assert torch.equal(found.zero, ~first.flatten(1).any(1))
    assert found.queries is None


def start(images, eps, index, restart):
    keys = sample_keys(3, Purpose.START, 1 + restart, index)
    return (images + eps * (2 * uniform(keys, *images.shape[1:]).double() - 1)).clamp(0, 1)


def pgd(model, images, labels, index, eps, restart, first):
    x = start(images, eps, index, restart)
    for step in range(3):
        sign = slope(model, x, labels, index, first + step, 2).sign()
        x = torch.clamp(x + 0.02 * sign, images - eps, images + eps).clamp(0, 1)
    return x


def test_pgd_is_its_formula_and_of_several_starts_each_image_keeps_the_worst():
    model, (images, labels, index) = conv_model(), some()
    threat = Threat(0.05, 3, 0.02, restarts=3, draws=2, random_start=True)
    once = descend(model, images, labels, replace(threat, restarts=1), index=index, seed=3, **STRAIGHT).images
    assert torch.allclose(once, pgd(model, images, labels, index, 0.05, 0, 0), rtol=0, atol=1e-15)
    found = descend(model, images, labels, threat, index=index, seed=3, **STRAIGHT).images
    each = [pgd(model, images, labels, index, 0.05, restart, 3 * restart) for restart in range(3)]
    after = {"draws": 2, "draw": ATTACK_DRAW + 18, "index": index, "seed": 3}
    loss = torch.stack([mean_loss(model, x, labels, **after) for x in each])
    chosen = loss.argmax(0)
    assert len(set(chosen.tolist())) > 1
    for row, restart in enumerate(chosen.tolist()):
        assert torch.allclose(found[row], each[restart][row], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("eps", "steps", "dtype"),
    [(1 / 255, 1, torch.float32), (8 / 255, 3, torch.float32), (0.3, 1, torch.float64), (1.0, 3, torch.float64)],
)
def test_it_stays_within_its_bounds(eps, steps, dtype):
    model, (images, labels, index) = conv_model(dtype=dtype), some(dtype=dtype)
    images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    threat = Threat(eps, steps, draws=1, random_start=steps > 1)
    found = descend(model, images, labels, threat, index=index, **STRAIGHT).images
    assert float((found - images).abs().max()) <= eps + 1e-7
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_images_do_not_depend_on_their_batch():
    model, (images, labels, index) = conv_model(), some(5)
    threat = Threat(0.1, 2, draws=1, restarts=2, random_start=True)
    whole = descend(model, images, labels, threat, index=index, seed=3, **STRAIGHT).images
    for rows in torch.arange(5).split(3):
        part = descend(model, images[rows], labels[rows], threat, index=index[rows], seed=3, **STRAIGHT).images
        assert torch.equal(part, whole[rows])


def test_a_provable_adversarial_example_is_found():
    """E3: in a linear model ε sign(w) moves the score by ε‖w‖₁; where that is more than it is, the attack wins."""
    model = linear_model()
    images, _, _ = some(40, shape=(1, 4, 4))
    images = 0.3 + 0.4 * images
    labels = model(images).argmax(1)
    weights = model.network.readout.synapse.weights.detach()
    margin = (images.flatten(1) @ weights - weights.sum() / 2).abs()
    for share in (0.5, 0.999, 1.001):
        eps = share * float(margin.median()) / float(weights.abs().sum())
        provable = margin < eps * weights.abs().sum()
        for threat in (Threat(eps, draws=1), Threat(eps, 5, draws=1, random_start=True)):
            attacked = descend(model, images, labels, threat, estimator="exact").images
            right = right_under(model, attacked, labels, draws=1)[0]
            assert torch.equal(right, ~provable)


def test_without_a_gradient_images_stay_as_they_are():
    """E2: the released encoder's gradient is zero in every pixel."""
    model, (images, labels, index) = conv_model(encoder=Hidden(4)), some()
    found = descend(model, images, labels, Threat(0.1, draws=2), estimator="exact", index=index)
    assert found.zero.all()
    assert torch.equal(found.images, images)


def test_random_signs_are_as_large_and_know_nothing():
    images, _, index = some(200)
    images = 0.2 + 0.6 * images
    found = random_signs(images, 0.1, index=index, seed=3)
    change = (found - images) / 0.1
    assert torch.allclose(change.abs(), torch.ones_like(change))
    assert abs(float(change.mean())) < 5 / math.sqrt(change.numel())
    assert torch.equal(random_signs(images[3:5], 0.1, index=index[3:5], seed=3), found[3:5])
    for restart in range(3):  # nor what a start knows
        other = (start(images, 0.1, index, restart) - images).sign()
        assert abs(float((change.sign() * other).mean())) < 5 / math.sqrt(change.numel())


def test_the_length_of_a_step():
    threats = (Threat(0.1), Threat(0.1, steps=10), Threat(0.1, steps=10, step_size=0.3))
    assert [threat.length for threat in threats] == [0.1, pytest.approx(0.025), 0.3]
