"""Every model: the same call twice, finite gradients everywhere, state dict round trip, T = 1, and t beyond T."""

import pytest
import torch
from torch import nn

from bntt.models import MODELS
from tests.grids import all_pairs
from tests.rows import each_row

SHAPES = {
    "vgg6": ({"width": 0.25}, (1, 28, 28)),
    "vgg9": ({"width": 1 / 16}, (3, 32, 32)),
    "vgg11": ({"width": 1 / 32, "num_classes": 10}, (3, 32, 32)),
    "dvs_cnn": ({"width": 1 / 16, "image_size": 14}, (2, 14, 14)),
    "mlp": ({"in_features": 5, "hidden": (12, 8)}, (5,)),
    "resnet19": ({"width": 1 / 16}, (3, 16, 16)),
    "resnet20": ({"width": 0.5}, (3, 16, 16)),
    "compact": ({"width": 0.25}, (3, 16, 16)),
}


def build(name: str, num_steps: int = 4, **more):
    options, shape = SHAPES[name]
    net = MODELS[name](num_steps=num_steps, **options, **more)
    generator = torch.Generator().manual_seed(0)
    return net, torch.randint(-1, 2, (num_steps, 3, *shape), generator=generator).float()


def test_the_table_has_every_model():
    assert SHAPES.keys() == MODELS.keys()


@pytest.mark.parametrize(("name", "fire", "reset"), all_pairs(list(MODELS), ["after", "before"], ["soft", "hard"]))
def test_finite_gradients_everywhere(name, fire, reset):
    net, x = build(name, num_steps=30 if "resnet" in name else 12, fire=fire, reset=reset)  # each layer may delay
    nn.functional.cross_entropy(net(x), torch.tensor([0, 1, 2])).backward()
    for parameter_name, parameter in net.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name


@each_row("name", MODELS)
def test_the_same_call_twice_and_a_state_dict_round_trip(name):
    net, x = build(name, seed=1)
    net(x)
    other, _ = build(name, seed=2)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net.eval()(x), net(x))
    assert torch.equal(other.eval()(x), net(x))
    ours, theirs = (one.train()(x) for one in (net, other))  # by the batch's statistics no layer is silent
    assert torch.equal(ours, theirs)
    assert ours.abs().max() > 0


@each_row("name", MODELS)
def test_gamma_is_one_tensor_a_layer(name):
    net, _ = build(name)
    keys = [key for key in net.state_dict() if "norm" in key]
    assert len(keys) == 3 * len([layer for layer in net.layers.values() if layer.norm is not None])
    assert all(net.state_dict()[key].shape[0] == 4 for key in keys)


@each_row("name", MODELS)
def test_one_time_step_and_no_step_beyond_it(name):
    net, x = build(name, num_steps=1)
    for training in (True, False):  # fresh statistics leave a deep network silent in evaluation
        logits, state = net.train(training).advance(x)
        assert torch.allclose(net(x), logits[-1], atol=1e-5)
        assert not training or logits.abs().max() > 0
    with pytest.raises(ValueError, match=r"has 1 time steps \(0-0\), got t=1: build the network with num_steps=2"):
        net.advance(x, state)


@each_row("name", MODELS)
def test_the_seed_makes_the_weights(name):
    first, again, other = (build(name, seed=seed)[0] for seed in (1, 1, 2))
    equal = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(equal)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))
