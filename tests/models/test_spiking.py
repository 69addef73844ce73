"""Names become values once, in the builder."""

import pytest
import torch
from jaxtyping import TypeCheckError

from bntt.engine.compute import Compute
from bntt.models import mlp, vgg6
from bntt.nn import ArcTan, NoNorm, Triangle, fire_before, hard_reset
from tests.rows import each_row


def test_names_become_values():
    net = mlp(num_steps=2, fire="before", reset="hard", surrogate="arctan", threshold=0.5, leak=0.7)
    lif = net.blocks["fc1"].lif.neuron
    assert (lif.rule, lif.reset, lif.surrogate) == (fire_before, hard_reset, ArcTan())
    assert (lif.threshold, lif.leak) == (0.5, 0.7)


def test_values_are_taken_as_they_are():
    net = mlp(num_steps=2, fire=fire_before, norm=lambda channels, num_steps, threshold: NoNorm())
    assert net.blocks["fc2"].lif.neuron.rule is fire_before
    assert isinstance(net.blocks["fc2"].norm, NoNorm)


@each_row(
    "option, message",
    [
        ({"norm": "bnnt"}, "unknown norm 'bnnt': choose one of bntt, bntt-scaled, tdbn"),
        ({"fire": "sometimes"}, 'fire must be "after" or "before", got \'sometimes\''),
        ({"reset": "none"}, 'reset must be "soft" or "hard", got \'none\''),
        ({"surrogate": "sin"}, "surrogate must be .*, got 'sin'"),
        ({"num_classes": 0}, "num_classes must be 1 or more"),
    ],
)
def test_unknown_names_list_the_known(option, message):
    with pytest.raises(ValueError, match=message):
        mlp(num_steps=2, **option)


def test_every_layer_learns_its_own_leak():
    net = mlp(num_steps=2, learn_leak=True)
    assert [name for name, _ in net.named_parameters() if "leak" in name] == [
        "blocks.fc1.lif.leak_logit",
        "blocks.fc2.lif.leak_logit",
    ]


def test_a_leak_is_learned_by_layer_or_channel():
    assert mlp(num_steps=2, learn_leak="layer").blocks["fc1"].lif.leak_logit.shape == ()
    assert mlp(num_steps=2, learn_leak="channel").blocks["fc1"].lif.leak_logit.shape == (256,)
    with pytest.raises((ValueError, TypeCheckError), match="learn_leak"):
        mlp(num_steps=2, learn_leak="neuron")


def test_a_surrogate_with_another_scale():
    net = vgg6(num_steps=2, surrogate_scale=1.5, width=0.125)
    assert net.layers["conv1"].lif.neuron.surrogate == Triangle(1.5)
    assert vgg6(num_steps=2, width=0.125).layers["conv1"].lif.neuron.surrogate == Triangle(0.3)
    with pytest.raises(ValueError, match="has no scale"):
        vgg6(num_steps=2, surrogate="arctan", surrogate_scale=1.5)
    with pytest.raises(ValueError, match="surrogate_scale must be a number from 0"):
        vgg6(num_steps=2, surrogate_scale=-1.0)


def test_a_readout_that_counts_spikes(rng):
    net = vgg6(num_steps=3, readout="spikes", width=0.125)
    x = torch.randint(0, 2, (3, 2, 1, 28, 28), generator=rng).float()
    assert set((3 * net(x)).detach().flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    net.eval()
    whole, _ = net.advance(x)
    first, state = net.advance(x[:1])
    rest, _ = net.advance(x[1:], state.rows(torch.tensor([True, True])))
    assert torch.equal(torch.cat([first, rest]), whole)
    with pytest.raises((ValueError, TypeCheckError)):
        vgg6(num_steps=3, readout="count")
    with pytest.raises(ValueError, match="no spikes to count"):
        vgg6(num_steps=1, neuron="relu", norm="none", readout="spikes")


def test_epsilon_is_of_every_norm_that_has_one(rng):
    assert {block.norm.eps for block in mlp(num_steps=2, norm_eps=1e-5).blocks.values()} == {1e-5}
    assert {block.norm.eps for block in mlp(num_steps=2, norm="layer", norm_eps=1e-3).blocks.values()} == {1e-3}
    assert {block.norm.eps for block in mlp(num_steps=2).blocks.values()} == {1e-4}
    for norm in ("layer", "bntt", "tdbn"):  # plain and fused it acts, and is not only kept
        plain, fused, other = (mlp(in_features=784, num_steps=3, norm=norm, norm_eps=eps) for eps in (0.5, 0.5, 1e-4))
        plain.compute, x = Compute("reference"), torch.randint(0, 2, (3, 4, 784), generator=rng).float()
        assert torch.allclose(plain(x), fused(x), atol=1e-5)
        assert not torch.allclose(fused(x), other(x), atol=1e-2)
    with pytest.raises(ValueError, match=r"norm_eps=0\.1: a NoNorm has no ε"):
        mlp(num_steps=2, norm="none", norm_eps=0.1)
    with pytest.raises(ValueError, match="norm_eps must be a number from 0 to below 1"):
        mlp(num_steps=2, norm_eps=-1e-4)
